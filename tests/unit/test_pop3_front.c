/* SPDX-License-Identifier: ISC
 *
 * The POP3 front where a dialogue (tests/talk/pop3_*.talk) would not show it: what it wants, the
 * reasons that reach the log, bounds, and what is left of credentials. */
#include "proto/pop3.h"
#include "proto_case.h"

static const char *const protocol = "pop3";

static void test_half_a_line_is_left(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_int_equal(client_says(&w, "NOOP\r\nQUI"), FRONT_MORE);
    assert_true(said(&w, "+OK\r\n"));
    assert_true(is_left(&w, "QUI"));
    assert_int_equal(client_says(&w, "T\r\nNOOP\r\n"), FRONT_QUIT);
    assert_true(is_left(&w, "NOOP\r\n"));
    end(&w);
}

static void test_login_leaves_the_rest(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_int_equal(client_says(&w, "USER bob\r\nPASS a b \r\nSTAT\r\n"), FRONT_LOGIN);
    assert_true(said(&w, "+OK\r\n"));
    assert_true(is_left(&w, "STAT\r\n"));
    assert_string_equal(w.creds.login, "bob");
    assert_true(str_eq(buf_str(&w.creds.secret), str_of("a b ")));
    assert_int_equal(w.creds.mech, SASL_PLAIN);
    assert_false(w.creds.malformed);
    end(&w);
}

static void test_long_logins(void **state)
{
    (void)state;
    struct world w;
    char line[600];
    begin_front(&w, true);
    memset(line, 'x', sizeof line);
    memcpy(line, "USER ", 5);
    strcpy(line + 5 + LOGIN_MAX, "\r\nPASS p\r\n");
    assert_int_equal(client_says(&w, line), FRONT_LOGIN);
    assert_false(w.creds.malformed);
    assert_int_equal(strlen(w.creds.login), LOGIN_MAX);
    memset(line + 5, 'x', LOGIN_MAX + 1);
    strcpy(line + 6 + LOGIN_MAX, "\r\nPASS p\r\n");
    assert_int_equal(client_says(&w, line), FRONT_LOGIN);
    assert_true(w.creds.malformed);
    end(&w);
}

static void test_refused_for_want_of_tls(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, false);
    assert_int_equal(client_says(&w, "USER bob\r\nNOOP\r\n"), FRONT_REFUSED);
    assert_string_equal(w.front.reason, "plaintext login not allowed");
    assert_int_equal(client_says(&w, ""), FRONT_MORE);
    assert_true(said(&w, "-ERR [AUTH] Start TLS first\r\n+OK\r\n"));
    end(&w);
}

static void test_stls_forgets_credentials(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_int_equal(client_says(&w, "USER bob\r\nSTLS\r\n"), FRONT_STARTTLS);
    assert_string_equal(w.creds.login, "");
    end(&w);
}

static void test_cancel_forgets_credentials(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    w.front.setup.mechanisms |= 1u << SASL_LOGIN;
    client_says(&w, "AUTH LOGIN Ym9i\r\n");
    assert_string_equal(w.creds.login, "bob");
    assert_int_equal(client_says(&w, "*\r\n"), FRONT_MORE);
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
    assert_int_equal(client_says(&w, "HELO\r\n"), FRONT_CLOSE);
    assert_true(said(&w, "-ERR Unknown command, or not before the login\r\n"
                         "-ERR Too many errors\r\n"));
    assert_string_equal(w.front.reason, "too many errors");
    end(&w);

    begin_front(&w, true);
    buf_add(&w.in, "\x16\x03\x01\0", 4);
    assert_int_equal(client_says(&w, ""), FRONT_CLOSE);
    assert_string_equal(w.front.reason, "TLS from the start");
    end(&w);
}

/* N bytes at once, and ENDING behind them. */
static enum front_want hear_line(struct world *w, size_t n, const char *ending)
{
    begin_front(w, true);
    fill(&w->in, 'x', n);
    return client_says(w, ending);
}

static void test_longest_line(void **state)
{
    (void)state;
    struct world w;
    assert_int_equal(hear_line(&w, PROTO_LINE_MAX, "\r"), FRONT_MORE);
    assert_int_equal(buf_len(&w.in), PROTO_LINE_MAX + 1);
    assert_int_equal(client_says(&w, "\n"), FRONT_MORE);
    assert_int_equal(buf_len(&w.in), 0);
    end(&w);
    assert_int_equal(hear_line(&w, PROTO_LINE_MAX + 1, "\n"), FRONT_CLOSE);
    assert_true(said(&w, "-ERR Line too long\r\n"));
    assert_string_equal(w.front.reason, "line too long");
    end(&w);
    assert_int_equal(hear_line(&w, PROTO_LINE_MAX + 2, ""), FRONT_CLOSE);
    end(&w);
}

static void test_answers_not_taken(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    w.out.max = 20;
    assert_int_equal(client_says(&w, "CAPA\r\n"), FRONT_CLOSE);
    assert_string_equal(w.front.reason, "answers are not taken");
    end(&w);
}

static void test_too_many_failed_logins(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_int_equal(client_says(&w, "USER bob\r\nPASS x\r\n"), FRONT_LOGIN);
    assert_int_equal(pop3_answer(&w.front, VERDICT_AUTH_FAILED, NULL, &w.out), FRONT_MORE);
    assert_int_equal(pop3_answer(&w.front, VERDICT_BUSY, NULL, &w.out), FRONT_MORE);
    assert_int_equal(w.front.auth_errors, 1);
    buf_clear(&w.out);
    assert_int_equal(pop3_answer(&w.front, VERDICT_AUTH_FAILED, NULL, &w.out), FRONT_CLOSE);
    assert_true(said(&w, "-ERR [AUTH] Authentication failed\r\n-ERR Too many failed logins\r\n"));
    assert_string_equal(w.front.reason, "too many failed logins");
    end(&w);
}

static void test_goodbye(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    pop3_goodbye(&w.out, "Shutting down");
    assert_true(said(&w, "-ERR Shutting down\r\n"));
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_a_line_is_left),
        cmocka_unit_test(test_login_leaves_the_rest),
        cmocka_unit_test(test_long_logins),
        cmocka_unit_test(test_refused_for_want_of_tls),
        cmocka_unit_test(test_stls_forgets_credentials),
        cmocka_unit_test(test_cancel_forgets_credentials),
        cmocka_unit_test(test_closing),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_answers_not_taken),
        cmocka_unit_test(test_too_many_failed_logins),
        cmocka_unit_test(test_goodbye),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
