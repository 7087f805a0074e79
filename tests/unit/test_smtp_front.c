/* SPDX-License-Identifier: ISC
 *
 * The submission front where a dialogue (tests/talk/smtp_*.talk) would not show it: what it wants,
 * the reasons that reach the log, bounds, what is left of credentials; and the words of a client
 * (proto/smtp.c). */
#include "proto/smtp.h"
#include "proto_case.h"

static const char *const protocol = "submission";

/* A client that has said who he is. */
static void begin_helo(struct world *w, bool plaintext)
{
    begin_front(w, plaintext);
    assert_int_equal(client_says(w, "HELO client.example.org\r\n"), FRONT_MORE);
    assert_true(said(w, "250 mail.example.org\r\n"));
}

static void test_early_talker(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    w.front.setup.early = true;
    smtp_greet(&w.front, &w.out);
    assert_true(said(&w, "554 mail.example.org Wait for the greeting\r\n"));
    assert_int_equal(client_says(&w, ""), FRONT_CLOSE);
    assert_string_equal(w.front.reason, "talked before the greeting");
    assert_true(said(&w, ""));
    end(&w);
}

static void test_half_a_line_is_left(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_int_equal(client_says(&w, "NOOP\r\nQUI"), FRONT_MORE);
    assert_true(said(&w, "250 2.0.0 OK\r\n"));
    assert_true(is_left(&w, "QUI"));
    assert_int_equal(client_says(&w, "T\r\nNOOP\r\n"), FRONT_QUIT);
    assert_true(is_left(&w, "NOOP\r\n"));
    end(&w);
}

static void test_login_leaves_the_rest(void **state)
{
    (void)state;
    struct world w;
    begin_helo(&w, true);
    assert_int_equal(client_says(&w, "AUTH PLAIN AGJvYgBzZWNyZXQ=\r\nMAIL FROM:<>\r\n"),
                     FRONT_LOGIN);
    assert_true(said(&w, ""));
    assert_true(is_left(&w, "MAIL FROM:<>\r\n"));
    assert_string_equal(w.creds.login, "bob");
    assert_true(str_eq(buf_str(&w.creds.secret), str_of("secret")));
    assert_false(w.creds.malformed);
    end(&w);
}

static void test_the_name_that_nodes_hear(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_string_equal(front_helo(&w.front), "mail.example.org");
    client_says(&w, "EHLO client.example.org\r\n");
    assert_string_equal(front_helo(&w.front), "client.example.org");
    client_says(&w, "HELO a computer\r\n");
    assert_string_equal(front_helo(&w.front), "mail.example.org");
    client_says(&w, "HELO [192.0.2.1]\r\n");
    assert_int_equal(client_says(&w, "STARTTLS\r\n"), FRONT_STARTTLS);
    assert_string_equal(front_helo(&w.front), "mail.example.org");
    end(&w);
}

static void test_refused_for_want_of_tls(void **state)
{
    (void)state;
    struct world w;
    begin_helo(&w, false);
    assert_int_equal(client_says(&w, "AUTH PLAIN\r\nNOOP\r\n"), FRONT_REFUSED);
    assert_string_equal(w.front.reason, "plaintext login not allowed");
    assert_int_equal(client_says(&w, ""), FRONT_MORE);
    assert_true(said(&w, "538 5.7.11 Encryption required, start TLS first\r\n250 2.0.0 OK\r\n"));
    end(&w);
}

static void test_starttls_and_cancel_forget_credentials(void **state)
{
    (void)state;
    struct world w;
    begin_helo(&w, true);
    w.front.setup.mechanisms |= 1u << SASL_LOGIN;
    client_says(&w, "AUTH LOGIN Ym9i\r\n");
    assert_string_equal(w.creds.login, "bob");
    assert_int_equal(client_says(&w, "*\r\n"), FRONT_MORE);
    assert_string_equal(w.creds.login, "");
    assert_int_equal(client_says(&w, "AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n"), FRONT_LOGIN);
    smtp_answer(&w.front, VERDICT_BUSY, NULL, &w.out);
    assert_int_equal(client_says(&w, "STARTTLS\r\n"), FRONT_STARTTLS);
    assert_string_equal(w.creds.login, "");
    end(&w);
}

static void test_closing(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_int_equal(client_says(&w, "POST /x HTTP/1.0\r\n"), FRONT_CLOSE);
    assert_true(said(&w, ""));
    assert_string_equal(w.front.reason, "HTTP on a mail port");
    end(&w);

    begin_front(&w, true);
    w.front.setup.max_errors = 1;
    assert_int_equal(client_says(&w, "FROB\r\n"), FRONT_CLOSE);
    assert_true(said(&w, "500 5.5.2 Unknown command\r\n421 4.7.0 Too many errors\r\n"));
    assert_string_equal(w.front.reason, "too many errors");
    end(&w);

    begin_front(&w, true);
    buf_add(&w.in, "NO\0P", 4);
    assert_int_equal(client_says(&w, ""), FRONT_CLOSE);
    assert_string_equal(w.front.reason, "NUL in a command");
    end(&w);
}

/* BEFORE and x up to N bytes at once, and ENDING behind them. */
static enum front_want hear_line(struct world *w, const char *before, size_t n, const char *ending)
{
    begin_helo(w, true);
    buf_adds(&w->in, before);
    fill(&w->in, 'x', n - strlen(before));
    return client_says(w, ending);
}

static void test_longest_line(void **state)
{
    static const struct {
        const char *before;
        size_t max;
    } lines[] = {{"NOOP ", SMTP_EXTENDED_MAX},
                 {"xAUTH ", SMTP_EXTENDED_MAX},
                 {"AUTH PLAIN ", PROTO_LINE_MAX},
                 {"auth plain\r\n", PROTO_LINE_MAX + 12}};
    (void)state;
    struct world w;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *before = lines[i].before;
        size_t max = lines[i].max;
        assert_int_equal(hear_line(&w, before, max, "\r"), FRONT_MORE);
        assert_int_equal(client_says(&w, "\n"), FRONT_MORE);
        assert_int_equal(buf_len(&w.in), 0);
        end(&w);
        assert_int_equal(hear_line(&w, before, max + 1, "\n"), FRONT_CLOSE);
        assert_string_equal(w.front.reason, "line too long");
        end(&w);
        assert_int_equal(hear_line(&w, before, max + 2, ""), FRONT_CLOSE);
        end(&w);
    }
}

static void test_long_logins(void **state)
{
    (void)state;
    struct world w;
    for (size_t n = LOGIN_MAX; n <= LOGIN_MAX + 1; n++) {
        char message[LOGIN_MAX + 8] = {0};
        memset(message + 1, 'x', n);
        memcpy(message + 1 + n, "\0p", 2);
        begin_helo(&w, true);
        buf_adds(&w.in, "AUTH PLAIN ");
        sasl_encode(&w.in, (struct str){message, n + 3});
        assert_int_equal(client_says(&w, "\r\n"), FRONT_LOGIN);
        assert_int_equal(w.creds.malformed, n > LOGIN_MAX);
        end(&w);
    }
}

/* A chunk that is larger than any buffer is read away as it comes. */
static void test_a_large_chunk(void **state)
{
    (void)state;
    struct world w;
    begin_helo(&w, true);
    assert_int_equal(client_says(&w, "BDAT 100000 LAST\r\n"), FRONT_MORE);
    assert_true(said(&w, "530 5.7.0 Authentication required\r\n"));
    for (int i = 0; i < 10; i++) {
        fill(&w.in, 0, 10000);
        assert_int_equal(client_says(&w, ""), FRONT_MORE);
        assert_int_equal(buf_len(&w.in), 0);
    }
    assert_int_equal(client_says(&w, "NOOP\r\n"), FRONT_MORE);
    assert_true(said(&w, "250 2.0.0 OK\r\n"));
    end(&w);
}

static void test_answers_not_taken(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_int_equal(client_says(&w, "EHLO x\r\n"), FRONT_MORE);
    uint32_t whole = buf_len(&w.out);
    end(&w);
    for (uint32_t max = 1; max < whole; max++) {
        begin_front(&w, true);
        w.out.max = max;
        assert_int_equal(client_says(&w, "EHLO x\r\n"), FRONT_CLOSE);
        assert_string_equal(w.front.reason, "answers are not taken");
        end(&w);
    }
}

static void test_too_many_failed_logins(void **state)
{
    (void)state;
    struct world w;
    begin_helo(&w, true);
    assert_int_equal(client_says(&w, "AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n"), FRONT_LOGIN);
    assert_int_equal(smtp_answer(&w.front, VERDICT_AUTH_FAILED, NULL, &w.out), FRONT_MORE);
    assert_int_equal(smtp_answer(&w.front, VERDICT_BUSY, NULL, &w.out), FRONT_MORE);
    assert_int_equal(w.front.auth_errors, 1);
    buf_clear(&w.out);
    assert_int_equal(smtp_answer(&w.front, VERDICT_AUTH_FAILED, NULL, &w.out), FRONT_CLOSE);
    assert_true(
        said(&w, "535 5.7.8 Authentication failed\r\n421 4.7.0 Too many failed logins\r\n"));
    assert_string_equal(w.front.reason, "too many failed logins");
    end(&w);
}

static void test_goodbye(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    smtp_goodbye(&w.out, "Shutting down");
    assert_true(said(&w, "421 4.3.2 Shutting down\r\n"));
    end(&w);
}

static void test_command(void **state)
{
    struct str args;
    (void)state;
    assert_int_equal(smtp_command(str_of(" mail  FROM:<a b> \t"), &args), SMTP_MAIL);
    assert_true(str_eq(args, str_of("FROM:<a b>")));
    assert_int_equal(smtp_command(str_of("STARTTLS"), &args), SMTP_STARTTLS);
    assert_int_equal(args.n, 0);
    assert_int_equal(smtp_command(str_of("MAILFROM:<a>"), &args), SMTP_UNKNOWN);
    assert_int_equal(smtp_command(str_of(""), &args), SMTP_UNKNOWN);
}

static void test_helo(void **state)
{
    static const char *const yes[] = {"localhost", "client.example.org", "[192.0.2.1]",
                                      "[IPv6:2001:db8::1]"};
    static const char *const no[] = {
        "",     "my_computer", "a b",           "[]",      "[a",  "[a b]",
        "[a]b", "a..b",        "j\xc3\xbcrgen", "[a\x01]", "a=b", "[a+b]"};
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(smtp_is_helo(str_of(yes[i])));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(smtp_is_helo(str_of(no[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_early_talker),
        cmocka_unit_test(test_half_a_line_is_left),
        cmocka_unit_test(test_login_leaves_the_rest),
        cmocka_unit_test(test_the_name_that_nodes_hear),
        cmocka_unit_test(test_refused_for_want_of_tls),
        cmocka_unit_test(test_starttls_and_cancel_forget_credentials),
        cmocka_unit_test(test_closing),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_long_logins),
        cmocka_unit_test(test_a_large_chunk),
        cmocka_unit_test(test_answers_not_taken),
        cmocka_unit_test(test_too_many_failed_logins),
        cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_helo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
