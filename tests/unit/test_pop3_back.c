/* SPDX-License-Identifier: ISC
 *
 * The POP3 back where a dialogue (tests/talk/pop3_*.talk) would not show it: health checks, bounds,
 * what is left in the input, and the words in which a node's fault reaches the log. */
#include "proto/pop3.h"
#include "proto_case.h"

static const char *const protocol = "pop3";

static void test_check(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, NULL);
    assert_int_equal(node_says(&w, "+OK ready\r\n"), BACK_MORE);
    assert_true(said(&w, "CAPA\r\n"));
    assert_int_equal(node_says(&w, "+OK list\r\nTOP\r\nEXPIRE 60\r\nIMPLEMENTATION x, y\r\n.\r\n"),
                     BACK_MORE);
    assert_true(said(&w, "QUIT\r\n"));
    assert_int_equal(node_says(&w, "+OK bye\r\n"), BACK_LEFT);
    assert_true(str_eq(buf_str(&w.back.capabilities), str_of("TOP,EXPIRE 60,,")));
    end(&w);
}

static void test_check_of_an_old_node(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, NULL);
    node_says(&w, "+OK ready\r\n");
    assert_true(said(&w, "CAPA\r\n"));
    assert_int_equal(node_says(&w, "-ERR what?\r\n"), BACK_MORE);
    assert_true(said(&w, "QUIT\r\n"));
    assert_int_equal(node_says(&w, "-ERR what?\r\n"), BACK_LEFT);
    assert_int_equal(buf_len(&w.back.capabilities), 0);
    end(&w);
}

static void test_check_stls(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, NULL);
    w.back.setup.starttls = true;
    node_says(&w, "+OK ready\r\n");
    assert_true(said(&w, "CAPA\r\n"));
    assert_int_equal(node_says(&w, "+OK\r\nSTLS\r\nX-OLD\r\n.\r\n"), BACK_MORE);
    assert_true(said(&w, "STLS\r\n"));
    assert_int_equal(node_says(&w, "+OK go\r\n+OK evil\r\n"), BACK_STARTTLS);
    assert_true(is_left(&w, "+OK evil\r\n")); /* the caller's to look at */
    buf_clear(&w.in);
    w.back.setup.tls = true;
    assert_int_equal(node_says(&w, ""), BACK_MORE);
    assert_true(said(&w, "CAPA\r\n"));
    assert_int_equal(node_says(&w, "+OK\r\nTOP\r\n.\r\n"), BACK_MORE);
    assert_true(said(&w, "QUIT\r\n"));
    assert_true(str_eq(buf_str(&w.back.capabilities), str_of("TOP,")));
    end(&w);
}

static void test_login(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, "secret");
    assert_int_equal(node_says(&w, "+OK ready\r"), BACK_MORE);
    assert_int_equal(buf_len(&w.out), 0);
    assert_int_equal(node_says(&w, "\n"), BACK_MORE);
    assert_true(said(&w, "USER bob\r\n"));
    assert_int_equal(node_says(&w, "+OK\r\n"), BACK_MORE);
    assert_true(said(&w, "PASS secret\r\n"));
    assert_int_equal(node_says(&w, "+OK in\r\n+OK 3 1\r\n"), BACK_OK);
    assert_true(str_eq(buf_str(&w.back.reply), str_of("+OK in\r\n")));
    assert_true(is_left(&w, "+OK 3 1\r\n"));
    end(&w);
}

static void test_identify_over_ipv6(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, "secret");
    w.back.setup.identify = true;
    addr_numeric(&w.client, str_of("2001:db8::1"), 4711);
    node_says(&w, "+OK [XCLIENT] ready\r\n+OK\r\n.\r\n");
    assert_true(said(&w, "CAPA\r\nXCLIENT ADDR=2001:db8::1 PORT=4711 SESSION=s1\r\n"));
    end(&w);
}

/* A client on a unix socket has no address that a node could use. */
static void test_identify_without_address(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, "secret");
    w.back.setup.identify = true;
    addr_numeric(&w.client, str_of("unix:/x"), 0);
    node_says(&w, "+OK [XCLIENT] ready\r\n+OK\r\n.\r\n");
    assert_true(said(&w, "CAPA\r\nUSER bob\r\n"));
    end(&w);
}

/* The longest that USER and PASS carry, and one more. */
static void test_longest_password(void **state)
{
    (void)state;
    struct world w;
    char password[250];
    memset(password, 'x', sizeof password);
    password[248] = 0;
    begin_back(&w, password);
    node_says(&w, "+OK ready\r\n");
    assert_true(said(&w, "USER bob\r\n"));
    end(&w);
    password[248] = 'x';
    password[249] = 0;
    begin_back(&w, password);
    node_says(&w, "+OK ready\r\n");
    assert_true(said(&w, "CAPA\r\n"));
    end(&w);
}

/* AUTH with its message in one command of 255 bytes at most, CR LF included. */
static void test_longest_auth(void **state)
{
    (void)state;
    struct world w;
    char password[200];
    for (size_t n = 170; n < 185; n++) {
        memset(password, 'x', n);
        password[0] = ' ';
        password[n] = 0;
        begin_back(&w, password);
        node_says(&w, "+OK\r\n+OK\r\nSASL PLAIN\r\n.\r\n");
        buf_take(&w.out, (uint32_t)strlen("CAPA\r\n"));
        size_t whole = strlen("AUTH PLAIN \r\n") + base64_size(n + 5);
        if (whole <= 255)
            assert_int_equal(buf_len(&w.out), whole);
        else
            assert_true(said(&w, "AUTH PLAIN\r\n"));
        end(&w);
    }
}

static void test_faults(void **state)
{
    (void)state;
    assert_fails("-ERR no\r\n", "the node does not greet with +OK");
    assert_fails("220 smtp\r\n", "the node's answer is malformed");
    assert_fails("\r\n", "the node's answer is malformed");
    assert_fails("+OK\x07\r\n", "the node sends control characters");
    assert_fails("+OK a\rb\r\n", "the node sends control characters");
    assert_fails("+ \r\n", "the node asks for more without a reason");
    assert_fails("+OK\r\n+OK\r\nOK\r\n", "the node's answer is malformed");
}

static void test_external_alone(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, "x");
    w.creds.mech = SASL_EXTERNAL;
    assert_int_equal(node_says(&w, "+OK\r\n"), BACK_FAILED);
    assert_string_equal(w.back.error, "EXTERNAL needs a master user");
    end(&w);
}

static void test_longest_line(void **state)
{
    (void)state;
    assert_long_lines_fail("+OK ");
}

static void test_endless_capabilities(void **state)
{
    (void)state;
    struct world w;
    enum back_want want = BACK_MORE;
    begin_back(&w, NULL);
    node_says(&w, "+OK\r\n+OK\r\n");
    for (int i = 0; i < 2000 && want == BACK_MORE; i++)
        want = node_says(&w, "X-CAPABILITY\r\n");
    assert_int_equal(want, BACK_FAILED);
    assert_string_equal(w.back.error, "the node's capabilities are too long");
    end(&w);
}

static void test_announce(void **state)
{
    static const char *const yes[] = {"TOP", "uidl", "EXPIRE 60 USER", "PIPELINING",
                                      "LOGIN-DELAY 900"};
    static const char *const no[] = {"STLS", "SASL PLAIN",    "USER",       "XCLIENT",
                                     "UTF8", "LANG",          "X TOP",      "TOPLESS",
                                     "",     "EXPIRE\x01 60", "EXPIRE 6\r0"};
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(pop3_announce(str_of(yes[i])));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(pop3_announce(str_of(no[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_check_of_an_old_node),
        cmocka_unit_test(test_check_stls),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_identify_over_ipv6),
        cmocka_unit_test(test_identify_without_address),
        cmocka_unit_test(test_longest_password),
        cmocka_unit_test(test_longest_auth),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_external_alone),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_endless_capabilities),
        cmocka_unit_test(test_announce),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
