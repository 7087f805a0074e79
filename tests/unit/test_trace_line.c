/* SPDX-License-Identifier: ISC
 *
 * trace_line: what is shown of every way to tell a password, and that it is never the password. */
#include "trace_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char space[2000];
static struct buf out;
static bool secret;

static const char *text(void)
{
    static char copy[sizeof space];
    struct str s = buf_str(&out);
    memcpy(copy, s.p, s.n);
    copy[s.n] = 0;
    return copy;
}

static const char *command(const char *line)
{
    buf_init(&out, space, sizeof space, sizeof space);
    trace_line_command(str_of(line), &secret, &out);
    return text();
}

static const char *codes(const char *line)
{
    buf_init(&out, space, sizeof space, sizeof space);
    trace_line_blank(trace_line_codes(str_of(line), &out), &out);
    return text();
}

static void harmless_commands_are_shown(void **state)
{
    (void)state;
    static const char *const lines[] = {"a CAPABILITY",
                                        "a7 ID (\"name\" \"mutt\")",
                                        "EHLO client.example.org",
                                        "USER bob@example.org",
                                        "quit",
                                        "STARTTLS",
                                        "MAIL FROM:<a@example.org> SIZE=5"};
    secret = false;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_string_equal(command(lines[i]), lines[i]);
    assert_false(secret);
}

static void secrets_are_not(void **state)
{
    (void)state;
    static const struct {
        const char *line, *shown;
    } table[] = {
        {"a LOGIN bob s3cret", "a LOGIN ********"},
        {"ID login bob s3cret", "ID login ********"},
        {"noop LOGIN bob s3cret", "noop LOGIN ********"},
        {"a AUTHENTICATE PLAIN AGJvYgBzM2NyZXQ=", "a AUTHENTICATE PLAIN ********"},
        {"a AUTHENTICATE s3cret", "a AUTHENTICATE ********"},
        {"AUTHENTICATE \"PLAIN\" \"AGJvYgBzM2NyZXQ=\"", "AUTHENTICATE \"PLAIN\" ********"},
        {"PASS s3cret", "PASS ********"},
        {"AUTH PLAIN AGJvYgBzM2NyZXQ=", "AUTH PLAIN ********"},
        {"AUTH LOGIN", "AUTH LOGIN"},
        {"APOP bob s3cret", "APOP ********"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        secret = false;
        assert_string_equal(command(table[i].line), table[i].shown);
        assert_true(secret);
    }
}

static void what_is_not_known_is_not_shown(void **state)
{
    (void)state;
    static const char *const lines[] = {"s3cret",     "a s3cret", "LOGINN bob s3cret",
                                        "PASSs3cret", "a b NOOP", "\"a\" NOOP s3cret",
                                        "* s3cret"};
    char wanted[30];
    secret = false;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        snprintf(wanted, sizeof wanted, "[%zu bytes]", strlen(lines[i]));
        assert_string_equal(command(lines[i]), wanted);
    }
    assert_false(secret);
    assert_string_equal(command(""), "");
}

static void what_goes_on_is_a_secret_until_it_is_answered(void **state)
{
    (void)state;
    secret = false;
    command("a LOGIN {3}");
    trace_line_answer(str_of("+ OK"), &secret);
    assert_string_equal(command("a NOOP"), "********");
    trace_line_answer(str_of("+"), &secret);
    trace_line_answer(str_of("334 UGFzc3dvcmQ6"), &secret);
    assert_string_equal(command("QUIT"), "********");
    trace_line_answer(str_of("+OK"), &secret);
    assert_string_equal(command("QUIT"), "QUIT");
}

static void codes_of_answers(void **state)
{
    (void)state;
    static const struct {
        const char *line, *shown;
    } table[] = {
        {"a NO [AUTHENTICATIONFAILED] s3cret", "NO [AUTHENTICATIONFAILED] [6 bytes]"},
        {"s3cret NO", "NO"},
        {"s3cret", "[6 bytes]"},
        {"a NO [S3CRET] no", "NO [11 bytes]"},
        {"* BYE s3cret", "* BYE [6 bytes]"},
        {"-ERR [SYS/TEMP] s3cret", "-ERR [SYS/TEMP] [6 bytes]"},
        {"+OK s3cret", "+OK [6 bytes]"},
        {"535 5.7.8 s3cret", "535 5.7.8 [6 bytes]"},
        {"535-5.7.8 s3cret", "535-5.7.8 [6 bytes]"},
        {"535 123 s3cret", "535 [10 bytes]"},
        {"1234567 s3cret", "[14 bytes]"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_string_equal(codes(table[i].line), table[i].shown);
}

static void answers_of_our_own_have_no_tag(void **state)
{
    (void)state;
    static const struct {
        const char *line, *shown;
    } table[] = {
        {"a OK done", "OK done"},
        {"s3cret BAD what?", "BAD what?"},
        {"* OK ready", "* OK ready"},
        {"+OK no", "+OK no"},
        {"250 OK", "250 OK"},
        {"250-node", "250-node"},
        {"535 5.7.8 no", "535 5.7.8 no"},
        {"OK \"bye\"", "OK \"bye\""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        buf_init(&out, space, sizeof space, sizeof space);
        trace_line_own(str_of(table[i].line), &out);
        assert_string_equal(text(), table[i].shown);
    }
}

static const char *http(const char *line, bool first)
{
    buf_init(&out, space, sizeof space, sizeof space);
    trace_line_http(str_of(line), first, &out);
    return text();
}

static void heads_of_http(void **state)
{
    (void)state;
    static const struct {
        const char *line, *shown;
        bool first;
    } table[] = {
        {"GET /mail?a=b HTTP/1.1", "GET /mail?[3 bytes] HTTP/1.1", true},
        {"GET /mail HTTP/1.1", "GET /mail HTTP/1.1", true},
        {"HTTP/1.1 200 OK", "HTTP/1.1 200 OK", true},
        {"", "", true},
        {"host: mail.example.org", "host: mail.example.org", false},
        {"Location: /?token=1", "Location: /?[7 bytes]", false},
        {"Cookie: a=b", "Cookie: ********", false},
        {"Authorization:Basic Ym9i", "Authorization: ********", false},
        {"X-Token: 1", "X-Token: ********", false},
        {" folded", ": ********", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_string_equal(http(table[i].line, table[i].first), table[i].shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harmless_commands_are_shown),
        cmocka_unit_test(secrets_are_not),
        cmocka_unit_test(what_is_not_known_is_not_shown),
        cmocka_unit_test(what_goes_on_is_a_secret_until_it_is_answered),
        cmocka_unit_test(codes_of_answers),
        cmocka_unit_test(answers_of_our_own_have_no_tag),
        cmocka_unit_test(heads_of_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
