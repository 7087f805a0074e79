/* SPDX-License-Identifier: ISC
 *
 * base/log.c: whatever comes from outside, one event is one line that a reader of its format takes
 * apart again. */
#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/proxyd-test-log-XXXXXX";
static char path[64], text[512 * 1024];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/log", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_open("stderr", LOG_FORMAT_LOGFMT);
    unlink(path);
    return rmdir(directory);
}

static void begin(enum log_format format)
{
    unlink(path);
    assert_int_equal(log_open(path, format), 0);
}

/* All that was logged since, and its length. */
static size_t logged(void)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    assert_true(n >= 0);
    text[n] = 0;
    return (size_t)n;
}

static void log_value(struct str value)
{
    struct log_line l;
    assert_true(log_begin(&l, LOG_LEVEL_INFO, LOG_LEVEL_INFO, "login"));
    log_slice(&l, "login", value);
    log_end(&l);
}

/* ---- readers as strict as others are ---- */

static const char *read_string(const char *p)
{
    assert_int_equal(*p++, '"');
    while (*p != '"') {
        assert_true((unsigned char)*p >= ' ' && *p != 0x7f);
        if (*p == '\\') {
            p++;
            assert_true(*p == '"' || *p == '\\' || *p == 'u');
            if (*p == 'u') {
                assert_int_equal(strspn(p + 1, "0123456789abcdef") >= 4, 1);
                p += 4;
            }
        }
        p++;
    }
    return p + 1;
}

static const char *read_json_line(const char *p)
{
    assert_int_equal(*p++, '{');
    for (;;) {
        p = read_string(p);
        assert_int_equal(*p++, ':');
        size_t bare = strspn(p, "0123456789.");
        p = bare ? p + bare : read_string(p);
        if (*p == '}')
            break;
        assert_int_equal(*p++, ',');
    }
    assert_int_equal(p[1], '\n');
    return p + 2;
}

static const char *read_logfmt_line(const char *p)
{
    for (;;) {
        size_t key = strspn(p, "abcdefghijklmnopqrstuvwxyz_");
        assert_true(key > 0);
        p += key;
        assert_int_equal(*p++, '=');
        if (*p == '"')
            p = read_string(p);
        else
            while ((unsigned char)*p > ' ' && *p != 0x7f && *p != '"' && *p != '=')
                p++;
        if (*p == '\n')
            return p + 1;
        assert_int_equal(*p++, ' ');
    }
}

/* RFC 3629, by the letter. */
static void assert_utf8(const unsigned char *p)
{
    while (*p) {
        unsigned more = *p < 0x80   ? 0
                        : *p < 0xc2 ? 9
                        : *p < 0xe0 ? 1
                        : *p < 0xf0 ? 2
                        : *p < 0xf5 ? 3
                                    : 9;
        assert_true(more < 9);
        unsigned code = more ? *p & (0x3f >> more) : *p;
        for (p++; more > 0; more--, p++) {
            assert_int_equal(*p & 0xc0, 0x80);
            code = code << 6 | (*p & 0x3f);
        }
        assert_true(code == '\n' || (code >= ' ' && (code < 0x7f || code > 0x9f)));
        assert_true(code < 0xd800 || (code > 0xdfff && code <= 0x10ffff));
    }
}

/* ---- tests ---- */

static void test_logfmt(void **state)
{
    (void)state;
    struct log_line l;
    struct addr a;
    begin(LOG_FORMAT_LOGFMT);
    addr_numeric(&a, str_of("2001:db8::1"), 143);
    assert_true(log_begin(&l, LOG_LEVEL_WARNING, LOG_LEVEL_WARNING, "close"));
    log_str(&l, "session", "s1");
    log_str(&l, "empty", "");
    log_str(&l, "null", NULL);
    log_str(&l, "reason", "two words");
    log_str(&l, "login", "b\xc3\xb6\"b\\\n\xff\x1b[2J");
    log_num(&l, "bytes", UINT64_MAX);
    log_seconds(&l, "seconds", 61007);
    log_addr(&l, "client", &a);
    log_fmt(&l, "message", "%s=%d", "x", 1);
    log_end(&l);
    logged();
    assert_non_null(strstr(text, "Z level=warning event=close session=s1 reason=\"two words\" "
                                 "login=\"b\xc3\xb6\\\"b\\\\\\u000a\\u00ff\\u001b[2J\" "
                                 "bytes=18446744073709551615 seconds=61.007 "
                                 "client=[2001:db8::1]:143 message=\"x=1\"\n"));
    assert_int_equal(*read_logfmt_line(text), 0);
}

static void test_json(void **state)
{
    (void)state;
    struct log_line l;
    begin(LOG_FORMAT_JSON);
    assert_true(log_begin(&l, LOG_LEVEL_INFO, LOG_LEVEL_INFO, "login"));
    log_str(&l, "login", "bob\t\"");
    log_num(&l, "bytes", 7);
    log_seconds(&l, "seconds", 5);
    log_end(&l);
    logged();
    assert_non_null(strstr(text,
                           "\"level\":\"info\",\"event\":\"login\",\"login\":\"bob\\u0009\\\"\","
                           "\"bytes\":7,\"seconds\":0.005}\n"));
    assert_int_equal(*read_json_line(text), 0);
}

static void assert_all_lines(enum log_format format, unsigned count)
{
    const char *p = text;
    logged();
    assert_utf8((const unsigned char *)text);
    for (unsigned i = 0; i < count; i++)
        p = format == LOG_FORMAT_JSON ? read_json_line(p) : read_logfmt_line(p);
    assert_int_equal(*p, 0);
}

/* Whatever the bytes are, and wherever a line that is too long is cut. */
static void test_any_bytes(void **state)
{
    (void)state;
    srand(1);
    for (unsigned format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
        begin(format);
        for (unsigned i = 0; i < 200; i++) {
            char value[400];
            for (size_t k = 0; k < sizeof value; k++)
                value[k] = (char)(i % 2 ? rand()
                                        : "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 \"\\"[rand() % 12]);
            log_value((struct str){value, 1 + i * 2 % sizeof value});
        }
        assert_all_lines(format, 200);
    }
}

static void test_too_long(void **state)
{
    (void)state;
    static char value[4000];
    for (unsigned format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
        begin(format);
        for (size_t n = 1850; n < 2000; n++) {
            struct log_line l;
            memset(value, n % 3 ? 'x' : '"', n);
            assert_true(log_begin(&l, LOG_LEVEL_INFO, LOG_LEVEL_INFO, "login"));
            log_slice(&l, "login", (struct str){value, n % 2 ? n : sizeof value});
            log_num(&l, "bytes", UINT64_MAX);
            log_seconds(&l, "seconds", UINT64_MAX);
            log_slice(&l, "error", (struct str){"\xe2\x82\xac\xe2\x82\xac", 6});
            log_end(&l);
            assert_true(l.n < sizeof l.text);
        }
        size_t most = logged();
        assert_true(most < 150 * sizeof(struct log_line));
        assert_all_lines(format, 150);
    }
}

static void test_levels(void **state)
{
    (void)state;
    struct log_line l;
    begin(LOG_FORMAT_LOGFMT);
    assert_false(log_begin(&l, LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, "x"));
    assert_true(log_begin(&l, LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, "x"));
    assert_int_equal(log_level("x"), LOG_LEVEL_INFO);
    struct log_event_level own = {(char[]){"node"}, LOG_LEVEL_DEBUG};
    log_set_levels(LOG_LEVEL_ERROR, &own, 1);
    log_message(LOG_LEVEL_WARNING, "x", "not said");
    log_message(LOG_LEVEL_ERROR, "x", "%s", "said %n");
    log_message(LOG_LEVEL_DEBUG, "node", "said too");
    log_set_levels(LOG_LEVEL_INFO, NULL, 0);
    logged();
    assert_non_null(strstr(text, "level=error event=x message=\"said %n\"\n"));
    assert_non_null(strstr(text, "level=debug event=node message=\"said too\"\n"));
    assert_null(strstr(text, "not said"));
}

static void test_problems(void **state)
{
    (void)state;
    struct problems problems = {0};
    begin(LOG_FORMAT_LOGFMT);
    problem_error(&problems, (struct place){"a.yaml", 3, 5}, "unknown key '%s'", "x\ny");
    problem_warning(&problems, (struct place){"a.yaml", 4, 0}, "odd");
    log_problems(&problems);
    problems_free(&problems);
    logged();
    assert_non_null(
        strstr(text, "level=error event=config message=\"a.yaml:3:5: error: unknown key"));
    assert_non_null(
        strstr(text, "level=warning event=config message=\"a.yaml:4: warning: odd\"\n"));
    assert_all_lines(LOG_FORMAT_LOGFMT, 2);
}

static void test_very_many_problems(void **state)
{
    (void)state;
    struct problems problems = {0};
    begin(LOG_FORMAT_LOGFMT);
    for (unsigned i = 0; i < PROBLEMS_MAX + 500; i++)
        problem_error(&problems, (struct place){.file = "users.map", .line = i + 1}, "bad");
    log_problems(&problems);
    problems_free(&problems);
    logged();
    assert_non_null(strstr(text, "users.map:1000: error: bad"));
    assert_null(strstr(text, "users.map:1001: error: bad"));
    assert_non_null(strstr(text, "event=config message=\"and 500 more\"\n"));
}

static void test_reopen(void **state)
{
    (void)state;
    char old[80];
    begin(LOG_FORMAT_LOGFMT);
    log_message(LOG_LEVEL_INFO, "x", "first");
    snprintf(old, sizeof old, "%s.1", path);
    assert_int_equal(rename(path, old), 0);
    log_message(LOG_LEVEL_INFO, "x", "second");
    log_reopen();
    log_message(LOG_LEVEL_INFO, "x", "third");
    logged();
    assert_null(strstr(text, "second"));
    assert_non_null(strstr(text, "third"));
    unlink(old);
    assert_int_not_equal(log_open("/nonexistent/log", LOG_FORMAT_JSON), 0);
    log_message(LOG_LEVEL_INFO, "x", "fourth");
    logged();
    assert_non_null(strstr(text, "event=x message=fourth\n")); /* nothing has changed */
}

/* /dev/full is a full disk. */
static void test_lost_lines_are_told_of(void **state)
{
    (void)state;
    assert_int_equal(log_open("/dev/full", LOG_FORMAT_LOGFMT), 0);
    log_message(LOG_LEVEL_INFO, "start", "one");
    log_message(LOG_LEVEL_INFO, "start", "two");
    begin(LOG_FORMAT_LOGFMT);
    log_message(LOG_LEVEL_INFO, "start", "three");
    log_message(LOG_LEVEL_INFO, "start", "four");
    logged();
    const char *lost = strstr(
        text,
        " level=error event=log message=\"2 lines were lost here: No space left on device\"\n");
    assert_non_null(lost);
    assert_non_null(strstr(lost, "message=three\n"));
    assert_null(strstr(strstr(lost, "message=three\n"), "lost"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logfmt),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_very_many_problems),
        cmocka_unit_test(test_reopen),
        cmocka_unit_test(test_lost_lines_are_told_of),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
