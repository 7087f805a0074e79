/* SPDX-License-Identifier: ISC
 *
 * The IMAP front where a dialogue (tests/talk/imap_*.talk) would not show it: bounds, what is left
 * in the input, what stands in the credentials. */
#include "proto/imap.h"
#include "proto_case.h"

static const char *const protocol = "imap";

static bool out_ends(struct world *w, const char *text)
{
    size_t n = strlen(text);
    struct str out = buf_str(&w->out);
    bool same = out.n >= n && memcmp(out.p + out.n - n, text, n) == 0;
    buf_clear(&w->out);
    return same;
}

static void test_creds(void **state)
{
    (void)state;
    static const char *const logins[] = {
        "a LOGIN b\\b se\"c\r\n",
        "a LOGIN b\\\\b sec\r\n",
        "a LOGIN \"b\\\\b\" sec\r\n",
        "a LOGIN {3+}\r\nb\\b {3+}\r\nsec\r\n",
        "a LOGIN \"b\\\\b\" \"\\\"\\\\\"\r\n",
    };
    static const struct {
        enum front_want want;
        const char *login, *password;
    } expected[] = {
        {FRONT_MORE, "", ""},         {FRONT_LOGIN, "b\\\\b", "sec"}, {FRONT_LOGIN, "b\\b", "sec"},
        {FRONT_LOGIN, "b\\b", "sec"}, {FRONT_LOGIN, "b\\b", "\"\\"},
    };
    for (size_t i = 0; i < sizeof logins / sizeof *logins; i++) {
        struct world w;
        begin_front(&w, true);
        assert_int_equal(client_says(&w, logins[i]), expected[i].want);
        assert_string_equal(w.creds.login, expected[i].login);
        assert_int_equal(buf_len(&w.creds.secret), strlen(expected[i].password));
        if (buf_len(&w.creds.secret))
            assert_true(str_eq(buf_str(&w.creds.secret), str_of(expected[i].password)));
        end(&w);
    }
}

/* A second login finds nothing of the first one. */
static void test_creds_again(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_int_equal(client_says(&w, "a LOGIN \"\" x\r\nb LOGIN bob secret\r\n"), FRONT_LOGIN);
    assert_true(w.creds.malformed);
    assert_int_equal(imap_answer(&w.front, VERDICT_AUTH_FAILED, NULL, &w.out), FRONT_MORE);
    assert_int_equal(client_says(&w, ""), FRONT_LOGIN);
    assert_false(w.creds.malformed);
    assert_string_equal(w.creds.login, "bob");
    assert_true(str_eq(buf_str(&w.creds.secret), str_of("secret")));
    end(&w);
}

/* What is not whole stays; a continuation is sent once however often we are asked. */
static void test_not_whole(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_int_equal(client_says(&w, ""), FRONT_MORE);
    assert_int_equal(client_says(&w, "a LOGIN {3}\r"), FRONT_MORE);
    assert_int_equal(buf_len(&w.in), 12);
    assert_int_equal(buf_len(&w.out), 0);
    assert_int_equal(client_says(&w, "\n"), FRONT_MORE);
    assert_true(said(&w, "+ OK\r\n"));
    assert_int_equal(client_says(&w, ""), FRONT_MORE);
    assert_int_equal(client_says(&w, "bob"), FRONT_MORE);
    assert_int_equal(client_says(&w, " {1}\r\n"), FRONT_MORE);
    assert_true(said(&w, "+ OK\r\n"));
    assert_int_equal(client_says(&w, ""), FRONT_MORE);
    assert_int_equal(buf_len(&w.in), 22);
    assert_int_equal(client_says(&w, "x\r\nb NOOP"), FRONT_LOGIN);
    assert_int_equal(buf_len(&w.out), 0);
    assert_true(is_left(&w, "b NOOP"));
    end(&w);
}

/* A command of N bytes before its CR LF, whole or (with STEP 1) byte by byte. */
static enum front_want long_command(struct world *w, size_t n, size_t step)
{
    static const char head[] = "a LOGIN bob ";
    struct buf all;
    enum front_want want = FRONT_MORE;
    begin_front(w, true);
    buf_init(&all, NULL, 0, 2 * PROTO_IN_MAX);
    buf_adds(&all, head);
    fill(&all, 'x', n - (sizeof head - 1));
    buf_adds(&all, "\r\n");
    while (buf_len(&all) && want == FRONT_MORE) {
        size_t piece = step < buf_len(&all) ? step : buf_len(&all);
        buf_add(&w->in, buf_str(&all).p, piece);
        buf_take(&all, (uint32_t)piece);
        want = client_says(w, "");
    }
    buf_free(&all);
    return want;
}

static void test_longest_line(void **state)
{
    (void)state;
    struct world w;
    for (size_t step = 1; step <= 100001; step += 100000) {
        assert_int_equal(long_command(&w, 12 + SECRET_MAX, step), FRONT_LOGIN);
        assert_false(w.creds.malformed);
        assert_int_equal(buf_len(&w.creds.secret), SECRET_MAX);
        end(&w);
        assert_int_equal(long_command(&w, PROTO_LINE_MAX, step), FRONT_LOGIN);
        assert_true(w.creds.malformed);
        end(&w);
        assert_int_equal(long_command(&w, PROTO_LINE_MAX + 1, step), FRONT_CLOSE);
        assert_string_equal(w.front.reason, "line too long");
        assert_true(said(&w, "* BYE Line too long\r\n"));
        end(&w);
    }
}

static void test_login_length(void **state)
{
    (void)state;
    for (size_t n = LOGIN_MAX; n <= LOGIN_MAX + 1; n++) {
        struct world w;
        begin_front(&w, true);
        buf_adds(&w.in, "a LOGIN ");
        fill(&w.in, 'x', n);
        assert_int_equal(client_says(&w, " secret\r\n"), FRONT_LOGIN);
        assert_int_equal(w.creds.malformed, n > LOGIN_MAX);
        end(&w);
    }
}

/* The bound is that of the whole command: two large literals do not fit together. */
static void test_literal_sizes(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    buf_adds(&w.in, "a LOGIN {9000+}\r\n");
    fill(&w.in, 'x', 9000);
    assert_int_equal(client_says(&w, " {9000}\r\n"), FRONT_MORE);
    assert_true(said(&w, "a NO [TOOBIG] Literal too large\r\n"));
    assert_int_equal(buf_len(&w.in), 0);
    assert_int_equal(client_says(&w, "b NOOP\r\n"), FRONT_MORE);
    assert_true(said(&w, "b OK NOOP completed\r\n"));

    buf_adds(&w.in, "c LOGIN {9000+}\r\n");
    fill(&w.in, 'x', 9000);
    assert_int_equal(client_says(&w, " {9000+}\r\n"), FRONT_CLOSE);
    assert_true(out_ends(&w, "* BYE Unexpected literal\r\n"));
    end(&w);
}

/* A line behind a literal counts, too. */
static void test_long_after_literal(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    buf_adds(&w.in, "a LOGIN {12000+}\r\n");
    fill(&w.in, 'x', 12000);
    assert_int_equal(client_says(&w, ""), FRONT_MORE);
    fill(&w.in, 'y', 300);
    assert_int_equal(client_says(&w, ""), FRONT_CLOSE);
    assert_string_equal(w.front.reason, "line too long");
    end(&w);
}

/* Somebody who sends commands and never reads does not fill our memory. */
static void test_answers_not_taken(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    enum front_want want = FRONT_MORE;
    for (int i = 0; i < 1000 && want == FRONT_MORE; i++)
        want = client_says(&w, "a CAPABILITY\r\n");
    assert_int_equal(want, FRONT_CLOSE);
    assert_string_equal(w.front.reason, "answers are not taken");
    assert_true(buf_len(&w.out) <= PROTO_OUT_MAX);
    end(&w);
}

/* Without a line end, too. */
static void test_closed_early(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    buf_add(&w.in, "\x16\x03\x01\x00\x05", 5);
    assert_int_equal(client_says(&w, ""), FRONT_CLOSE);
    assert_string_equal(w.front.reason, "TLS from the start");
    end(&w);
    begin_front(&w, true);
    assert_int_equal(client_says(&w, "GET / HTTP/1.1\r\n"), FRONT_CLOSE);
    assert_string_equal(w.front.reason, "HTTP on a mail port");
    assert_int_equal(buf_len(&w.out), 0);
    end(&w);
}

static void test_refused_reason(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    w.front.setup.plaintext = false;
    assert_int_equal(client_says(&w, "a LOGIN bob secret\r\nb NOOP\r\n"), FRONT_REFUSED);
    assert_string_equal(w.front.reason, "plaintext login not allowed");
    assert_int_equal(client_says(&w, ""), FRONT_MORE);
    assert_true(said(&w, "a NO [PRIVACYREQUIRED] Start TLS first\r\nb OK NOOP completed\r\n"));
    end(&w);
}

static void test_goodbye(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    imap_goodbye(&w.out, "Shutting down");
    assert_true(said(&w, "* BYE Shutting down\r\n"));
    end(&w);
}

static void test_announce(void **state)
{
    (void)state;
    static const char *const yes[] = {"IMAP4rev1", "LITERAL+",    "LITERAL-",     "ID",    "IDLE",
                                      "ENABLE",    "RIGHTS=kxte", "THREAD=REFS",  "XLIST", "ACL",
                                      "SORT",      "IMAP4rev2",   "APPENDLIMIT=9"};
    static const char *const no[] = {"AUTH=PLAIN",
                                     "auth=x",
                                     "STARTTLS",
                                     "LogInDisabled",
                                     "SASL-IR",
                                     "COMPRESS=DEFLATE",
                                     "LOGIN-REFERRALS",
                                     "UNAUTHENTICATE",
                                     "X-PROXY",
                                     "XCLIENT",
                                     "x-foo",
                                     "MAILBOX-REFERRALS",
                                     "A]",
                                     "A,B",
                                     "A\"",
                                     "A(",
                                     "A\x01",
                                     "A\xc3\xa9",
                                     ""};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(imap_announce(str_of(yes[i])));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(imap_announce(str_of(no[i])));
}

static void test_filter(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, NULL, 0, 1024);
    proto_filter(protocol_find("IMAP"), str_of("IMAP4rev1 STARTTLS  ID AUTH=PLAIN id IDLE "), &out);
    assert_true(str_eq(buf_str(&out), str_of("IMAP4rev1 ID IDLE ")));
    buf_clear(&out);
    proto_filter(protocol_find("pop3"), str_of("TOP,STLS,EXPIRE 9 USER,top,UIDL,"), &out);
    assert_true(str_eq(buf_str(&out), str_of("TOP,EXPIRE 9 USER,UIDL,")));
    buf_free(&out);
}

static void test_http(void **state)
{
    (void)state;
    assert_true(proto_is_http(str_of("GET / HTTP/1.1")));
    assert_true(proto_is_http(str_of("PRI * HTTP/2.0")));
    assert_false(proto_is_http(str_of("GET /")));
    assert_false(proto_is_http(str_of("a LOGIN HTTP/1.1 x")));
    assert_false(proto_is_http(str_of("a X HTTP/")));
    assert_false(proto_is_http(str_of("a X HTTP/x")));
    assert_false(proto_is_http((struct str){NULL, 0}));
}

static void test_table(void **state)
{
    (void)state;
    assert_null(protocol_find("gopher"));
    assert_string_equal(protocol_find("imap")->alpn, "imap");
    assert_int_equal(protocol_find("pop3")->port, 110);
    size_t n = 0;
    while (protocol_all()[n])
        n++;
    assert_true(n >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_creds),
        cmocka_unit_test(test_creds_again),
        cmocka_unit_test(test_not_whole),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_login_length),
        cmocka_unit_test(test_literal_sizes),
        cmocka_unit_test(test_long_after_literal),
        cmocka_unit_test(test_answers_not_taken),
        cmocka_unit_test(test_closed_early),
        cmocka_unit_test(test_refused_reason),
        cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_announce),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_http),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
