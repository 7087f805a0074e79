/* SPDX-License-Identifier: ISC
 *
 * ManageSieve where a dialogue (tests/talk/sieve_*.talk) would not show it: words, what the front
 * wants and leaves, the reasons that reach the log, health checks, and what of a node's
 * capabilities goes on to clients. */
#include "proto/sieve.h"
#include "proto/sieve_words.h"
#include "proto_case.h"

static const char *const protocol = "sieve";

/* ---- words ---- */

static enum sieve_unit unit(const char *text, bool client, size_t *used)
{
    *used = 0;
    return sieve_unit(str_of(text), client, used);
}

static void test_units(void **state)
{
    (void)state;
    size_t used;
    assert_int_equal(unit("", true, &used), SIEVE_MORE);
    assert_int_equal(unit("NOOP\r", true, &used), SIEVE_MORE);
    assert_int_equal(unit("NOOP\nLOGOUT\r\n", true, &used), SIEVE_WHOLE);
    assert_int_equal(used, 5);
    assert_int_equal(unit("NOOP {3+}\r\na\r\n\r\nX", true, &used), SIEVE_WHOLE);
    assert_int_equal(used, 16);
    assert_int_equal(unit("NOOP {3+}\r\na\r\n", true, &used), SIEVE_MORE);
    assert_int_equal(unit("NOOP {3+}\r\na", true, &used), SIEVE_MORE);
    assert_int_equal(unit("NOOP {3}\r\na\r\n\r\n", true, &used), SIEVE_WHOLE);
    assert_int_equal(used, 10);
    assert_int_equal(unit("NO {3}\r\na\r\n\r\n", false, &used), SIEVE_WHOLE);
    assert_int_equal(used, 13);
    assert_int_equal(unit("X {12289+}\r\n", true, &used), SIEVE_LONG);
    assert_int_equal(unit("X {4294967295+}\r\n", true, &used), SIEVE_LONG);
    assert_int_equal(unit("X {4294967296+}\r\n", true, &used), SIEVE_WHOLE);
}

static void test_the_longest_unit(void **state)
{
    (void)state;
    static char text[PROTO_LINE_MAX + 4];
    size_t used = 0;
    memset(text, 'x', sizeof text);
    struct str all = {text, PROTO_LINE_MAX + 1};
    assert_int_equal(sieve_unit(all, true, &used), SIEVE_MORE);
    all.n++;
    assert_int_equal(sieve_unit(all, true, &used), SIEVE_LONG);
    memcpy(text + PROTO_LINE_MAX, "\r\n", 2);
    assert_int_equal(sieve_unit(all, true, &used), SIEVE_WHOLE);
    assert_int_equal(used, PROTO_LINE_MAX + 2);
}

static bool is_string(const char *text, const char *content)
{
    struct str rest = str_of(text);
    struct sieve_string s;
    return sieve_string(&rest, &s) && sieve_end(rest) && str_eq(s.text, str_of(content));
}

static void test_strings(void **state)
{
    (void)state;
    assert_true(is_string("\"\"\r\n", ""));
    assert_true(is_string("  \"a b\"\n", "a b"));
    assert_true(is_string("\"a\\\"b\\\\\"\r\n", "a\\\"b\\\\"));
    assert_true(is_string("{2+}\r\n\r\n\r\n", "\r\n"));
    assert_true(is_string("{0}\r\n\r\n", ""));
    assert_false(is_string("\"a\r\n", "a"));
    assert_false(is_string("\"a\\\"\r\n", "a"));
    assert_false(is_string("\"a\"b\r\n", "a"));
    assert_false(is_string("a\r\n", "a"));
    assert_false(is_string("{2}", ""));
    assert_false(is_string("{}\r\n\r\n", ""));
    assert_false(is_string("{1{1}\r\na\r\n", "a"));
    assert_false(is_string("{3}\r\na\r\n", "a\r\n"));
}

/* ---- the front ---- */

static void test_a_login_leaves_the_rest(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_int_equal(client_says(&w, "AUTHENTICATE \"PLAIN\" {16+}\r\nAGJvYgBzZWNy"), FRONT_MORE);
    assert_int_equal(client_says(&w, "ZXQ=\r\nLISTSCRIPTS\r\n"), FRONT_LOGIN);
    assert_true(said(&w, ""));
    assert_true(is_left(&w, "LISTSCRIPTS\r\n"));
    assert_string_equal(w.creds.login, "bob");
    assert_true(str_eq(buf_str(&w.creds.secret), str_of("secret")));
    end(&w);
}

static void test_refused_for_want_of_tls(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, false);
    assert_int_equal(client_says(&w, "AUTHENTICATE \"PLAIN\"\r\nNOOP\r\n"), FRONT_REFUSED);
    assert_string_equal(w.front.reason, "plaintext login not allowed");
    assert_int_equal(client_says(&w, ""), FRONT_MORE);
    assert_true(said(&w, "NO (ENCRYPT-NEEDED) \"Start TLS first\"\r\nOK \"Done\"\r\n"));
    end(&w);
}

static void test_reasons(void **state)
{
    (void)state;
    static const struct {
        const char *said, *reason;
    } cases[] = {
        {"GET / HTTP/1.1\r\n", "HTTP on a mail port"},
        {"X {20000+}\r\n", "line too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        begin_front(&w, true);
        assert_int_equal(client_says(&w, cases[i].said), FRONT_CLOSE);
        assert_string_equal(w.front.reason, cases[i].reason);
        end(&w);
    }
}

static void test_a_command_behind_starttls_is_left(void **state)
{
    (void)state;
    struct world w;
    begin_front(&w, true);
    assert_int_equal(client_says(&w, "STARTTLS\r\nNOOP\r\n"), FRONT_STARTTLS);
    assert_true(is_left(&w, "NOOP\r\n"));
    end(&w);
}

/* Each answer of its own, or nothing more is sent: never a part of one. */
static void test_answers_have_a_bound(void **state)
{
    (void)state;
    struct world w;
    enum front_want want = FRONT_MORE;
    begin_front(&w, true);
    for (unsigned i = 0; i < 10000 && want == FRONT_MORE; i++)
        want = client_says(&w, "CAPABILITY\r\n");
    assert_int_equal(want, FRONT_CLOSE);
    assert_string_equal(w.front.reason, "answers are not taken");
    end(&w);
}

/* ---- the back ---- */

/* The extensions of SIEVE come apart, so that the ones that all nodes have can be told. */
static void test_check(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, NULL);
    assert_int_equal(node_says(&w,
                               "\"IMPLEMENTATION\" \"a, b\"\r\n\"SIEVE\" \"fileinto reject\"\r\n"
                               "\"NOTIFY\" \"\"\r\n\"MAXREDIRECTS\" \"5\"\r\n\"STARTTLS\"\r\n"),
                     BACK_MORE);
    assert_int_equal(node_says(&w, "OK \"ready\"\r\n"), BACK_MORE);
    assert_true(said(&w, "LOGOUT\r\n"));
    assert_int_equal(node_says(&w, "BYE \"see you\"\r\n"), BACK_LEFT);
    struct str all = buf_str(&w.back.capabilities);
    assert_true(proto_has(all, ',', str_of("SIEVE fileinto")));
    assert_true(proto_has(all, ',', str_of("SIEVE reject")));
    assert_true(proto_has(all, ',', str_of("MAXREDIRECTS 5")));
    assert_true(proto_has(all, ',', str_of("STARTTLS")));
    assert_false(proto_has(all, ',', str_of("b")));
    end(&w);
}

static void test_what_a_client_is_told(void **state)
{
    (void)state;
    static const char *const told[] = {"SIEVE fileinto", "SIEVE",          "notify mailto",
                                       "VERSION 1.0",    "MAXREDIRECTS 5", "EXTLISTS"};
    static const char *const hidden[] = {"SASL PLAIN",  "STARTTLS",       "XCLIENT", "OWNER bob",
                                         "LANGUAGE de", "UNAUTHENTICATE", "",        "SIEVE a\"b"};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        assert_true(sieve_announce(str_of(told[i])));
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        assert_false(sieve_announce(str_of(hidden[i])));
}

static void test_faults_of_a_node(void **state)
{
    (void)state;
    static const struct {
        const char *said, *error;
    } cases[] = {
        {"NO \"closed\"\r\n", "the node does not greet with OK"},
        {"BYE\r\n", "the node says BYE"},
        {"* OK IMAP\r\n", "the node's answer is malformed"},
        {"\"SASL\" PLAIN\r\n", "the node's capabilities are malformed"},
        {"\"SASL\" \"GSSAPI\"\r\nOK\r\n",
         "the node offers no way to log in with these credentials"},
        {"\"X\" \"\x01\"\r\n", "the node sends control characters"},
        {"\"X\" {20000}\r\n", "the node's line is too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(cases[i].said, cases[i].error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_the_longest_unit),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_a_login_leaves_the_rest),
        cmocka_unit_test(test_refused_for_want_of_tls),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_a_command_behind_starttls_is_left),
        cmocka_unit_test(test_answers_have_a_bound),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_what_a_client_is_told),
        cmocka_unit_test(test_faults_of_a_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
