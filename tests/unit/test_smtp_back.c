/* SPDX-License-Identifier: ISC
 *
 * The SMTP back where a dialogue (tests/talk/smtp_*.talk) would not show it: health checks, bounds,
 * what is left in the input, the words in which a node's fault reaches the log; and the words of a
 * server (proto/smtp.c). */
#include "proto/smtp.h"
#include "proto_case.h"

static const char *const protocol = "submission";

/* A node that has greeted and is asked what it can do. */
static void begin_ehlo(struct world *w, const char *password)
{
    begin_back(w, password);
    assert_int_equal(node_says(w, "220 node\r\n"), BACK_MORE);
    assert_true(said(w, "EHLO client.example.org\r\n"));
}

static void test_check(void **state)
{
    (void)state;
    struct world w;
    begin_ehlo(&w, NULL);
    assert_int_equal(node_says(&w, "250-node at your service\r\n250-SIZE 1000\r\n"), BACK_MORE);
    assert_int_equal(node_says(&w, "250-X-ODD a, b\r\n250-DSN\r\n250 AUTH PLAIN\r\n"), BACK_MORE);
    assert_true(said(&w, "QUIT\r\n"));
    assert_int_equal(node_says(&w, "221 bye\r\n"), BACK_LEFT);
    assert_true(str_eq(buf_str(&w.back.capabilities), str_of("SIZE 1000,DSN,AUTH PLAIN,")));
    end(&w);
}

static void test_check_of_a_node_without_capabilities(void **state)
{
    (void)state;
    struct world w;
    begin_ehlo(&w, NULL);
    assert_int_equal(node_says(&w, "250 node\r\n"), BACK_MORE);
    assert_true(said(&w, "QUIT\r\n"));
    assert_int_equal(node_says(&w, "421 goes down\r\n"), BACK_LEFT);
    assert_int_equal(buf_len(&w.back.capabilities), 0);
    end(&w);
}

static void test_check_starttls(void **state)
{
    (void)state;
    struct world w;
    begin_ehlo(&w, NULL);
    w.back.setup.starttls = true;
    assert_int_equal(node_says(&w, "250-node\r\n250-X-OLD\r\n250 STARTTLS\r\n"), BACK_MORE);
    assert_true(said(&w, "STARTTLS\r\n"));
    assert_int_equal(node_says(&w, "220 go\r\n250 evil\r\n"), BACK_STARTTLS);
    assert_true(is_left(&w, "250 evil\r\n")); /* the caller's to look at */
    buf_clear(&w.in);
    w.back.setup.tls = true;
    assert_int_equal(node_says(&w, ""), BACK_MORE);
    assert_true(said(&w, "EHLO client.example.org\r\n"));
    assert_int_equal(node_says(&w, "250-node\r\n250 DSN\r\n"), BACK_MORE);
    assert_true(said(&w, "QUIT\r\n"));
    assert_true(str_eq(buf_str(&w.back.capabilities), str_of("DSN,")));
    end(&w);
}

static void test_login(void **state)
{
    (void)state;
    struct world w;
    begin_ehlo(&w, "secret");
    assert_int_equal(node_says(&w, "250-node\r\n250 AUTH PLAIN\r"), BACK_MORE);
    assert_int_equal(buf_len(&w.out), 0);
    assert_int_equal(node_says(&w, "\n"), BACK_MORE);
    assert_true(said(&w, "AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n"));
    assert_int_equal(node_says(&w, "235-2.7.0 a\r\n235 2.7.0 b\r\n421 c\r\n"), BACK_OK);
    assert_true(str_eq(buf_str(&w.back.reply), str_of("235-2.7.0 a\r\n235 2.7.0 b\r\n")));
    assert_true(is_left(&w, "421 c\r\n"));
    end(&w);
}

static void test_identify_over_ipv6(void **state)
{
    (void)state;
    struct world w;
    begin_ehlo(&w, "secret");
    w.back.setup.identify = true;
    addr_numeric(&w.client, str_of("2001:db8::1"), 4711);
    node_says(&w, "250-node\r\n250 XCLIENT ADDR PORT\r\n");
    assert_true(said(&w, "XCLIENT ADDR=IPV6:2001:db8::1 PORT=4711\r\n"));
    end(&w);
}

/* A client on a unix socket has no address that a node could use, but a name. */
static void test_identify_without_address(void **state)
{
    (void)state;
    struct world w;
    for (int verified = 0; verified < 2; verified++) {
        begin_ehlo(&w, "secret");
        w.back.setup.identify = true;
        w.back.setup.verified = verified;
        addr_numeric(&w.client, str_of("unix:/x"), 0);
        node_says(&w, "250-node\r\n250-AUTH PLAIN\r\n250 XCLIENT ADDR LOGIN\r\n");
        assert_true(said(&w, "AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n"));
        end(&w);
    }
    begin_ehlo(&w, "secret");
    w.back.setup.identify = w.back.setup.verified = true;
    addr_numeric(&w.client, str_of("unix:/x"), 0);
    node_says(&w, "250-node\r\n250 XCLIENT ADDR LOGIN PROTO\r\n");
    assert_true(said(&w, "XCLIENT LOGIN=bob\r\n"));
    end(&w);
}

/* What does not fit into a command of 512 bytes is left out, but never the login. */
static void test_longest_xclient(void **state)
{
    (void)state;
    struct world w;
    char helo[PROTO_HELO_MAX + 1];
    memset(helo, 'h', sizeof helo);
    helo[PROTO_HELO_MAX] = 0;
    for (size_t n = 100; n <= LOGIN_MAX; n++) {
        begin_ehlo(&w, "secret");
        memset(w.creds.login, '=', n);
        w.creds.login[n] = 0;
        w.back.setup.helo = helo;
        w.back.setup.identify = w.back.setup.verified = true;
        addr_numeric(&w.client, str_of("192.0.2.1"), 4711);
        enum back_want want = node_says(&w, "250-node\r\n250 XCLIENT ADDR LOGIN HELO\r\n");
        assert_true(buf_len(&w.out) <= SMTP_COMMAND_MAX);
        size_t login = strlen("XCLIENT LOGIN=\r\n") + 3 * n;
        assert_int_equal(want, login <= SMTP_COMMAND_MAX ? BACK_MORE : BACK_FAILED);
        if (want == BACK_MORE && login + strlen(" ADDR=192.0.2.1") <= SMTP_COMMAND_MAX)
            assert_int_equal(buf_len(&w.out), login + strlen(" ADDR=192.0.2.1"));
        else if (want == BACK_FAILED)
            assert_string_equal(w.back.error, "the login is too long for XCLIENT");
        end(&w);
    }
}

/* AUTH with its message in one command of 512 bytes at most, CR LF included. */
static void test_longest_auth(void **state)
{
    (void)state;
    struct world w;
    char password[400];
    for (size_t n = 360; n < 375; n++) {
        memset(password, 'x', n);
        password[n] = 0;
        begin_ehlo(&w, password);
        node_says(&w, "250-node\r\n250 AUTH PLAIN\r\n");
        size_t whole = strlen("AUTH PLAIN \r\n") + base64_size(n + 5);
        if (whole <= SMTP_COMMAND_MAX)
            assert_int_equal(buf_len(&w.out), whole);
        else
            assert_true(said(&w, "AUTH PLAIN\r\n"));
        end(&w);
    }
}

static void test_faults(void **state)
{
    (void)state;
    assert_fails("554 no\r\n", "the node does not greet with 220");
    assert_fails("421 no\r\n", "the node closes the connection with 421");
    assert_fails("+OK pop3\r\n", "the node's answer is malformed");
    assert_fails("\r\n", "the node's answer is malformed");
    assert_fails("220\x07\r\n", "the node sends control characters");
    assert_fails("220 a\rb\r\n", "the node sends control characters");
    assert_fails("220-a\r\n250 b\r\n", "the node's answer is malformed");
    assert_fails("220 a\r\n502 b\r\n", "the node refuses EHLO");
    assert_fails("220 a\r\n250 b\r\n", "the node offers no way to log in with these credentials");
    assert_fails("220 a\r\n250-b\r\n250 AUTH PLAIN\r\n334 c\r\n",
                 "the node asks for more without a reason");
    assert_fails("220 a\r\n250-b\r\n250 AUTH PLAIN\r\n220 c\r\n", "the node's answer is malformed");
}

static void test_external_alone(void **state)
{
    (void)state;
    struct world w;
    begin_ehlo(&w, "x");
    w.creds.mech = SASL_EXTERNAL;
    assert_int_equal(node_says(&w, "250-node\r\n250 AUTH PLAIN EXTERNAL\r\n"), BACK_FAILED);
    assert_string_equal(w.back.error, "the node offers no way to log in with these credentials");
    end(&w);
}

static void test_longest_line(void **state)
{
    (void)state;
    assert_long_lines_fail("220 ");
}

static void test_endless_replies(void **state)
{
    static const char *const lines[] = {"220-once more\r\n", "250-X-CAPABILITY\r\n"};
    (void)state;
    struct world w;
    for (size_t k = 0; k < 2; k++) {
        enum back_want want = BACK_MORE;
        begin_back(&w, NULL);
        if (k == 1)
            node_says(&w, "220 node\r\n");
        for (int i = 0; i < 2000 && want == BACK_MORE; i++)
            want = node_says(&w, lines[k]);
        assert_int_equal(want, BACK_FAILED);
        assert_string_equal(w.back.error, "the node's answer is too long");
        end(&w);
    }
}

static void test_announce(void **state)
{
    static const char *const yes[] = {"SIZE",
                                      "size 1000",
                                      "8BITMIME",
                                      "DSN",
                                      "SMTPUTF8",
                                      "CHUNKING",
                                      "PIPELINING",
                                      "ENHANCEDSTATUSCODES",
                                      "LIMITS RCPTMAX=20",
                                      "VRFY",
                                      "MT-PRIORITY MIXER"};
    static const char *const no[] = {"AUTH PLAIN", "auth",           "STARTTLS", "XCLIENT ADDR",
                                     "XFORWARD",   "X-ANONYMOUSTLS", "xexch50",  "",
                                     " ",          "-DSN",           "D.SN",     "AUTH=PLAIN",
                                     "SIZE 1\x01", "SIZE 1\r0",      "A,B",      "SIZE \xc3\xa4"};
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(smtp_announce(str_of(yes[i])));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(smtp_announce(str_of(no[i])));
}

static void test_reply(void **state)
{
    static const char *const bad[] = {"",      "25",   "150 x",  "650 x",
                                      "25a x", "250x", "250\tx", " 250"};
    struct smtp_reply r;
    (void)state;
    assert_true(smtp_reply(str_of("250-SIZE 1"), &r));
    assert_true(r.code == 250 && r.more && str_eq(r.text, str_of("SIZE 1")));
    assert_true(smtp_reply(str_of("535 5.7.8 no"), &r));
    assert_true(r.code == 535 && !r.more && str_eq(r.text, str_of("5.7.8 no")));
    assert_true(smtp_reply(str_of("354"), &r));
    assert_true(r.code == 354 && !r.more && r.text.n == 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(smtp_reply(str_of(bad[i]), &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_check_of_a_node_without_capabilities),
        cmocka_unit_test(test_check_starttls),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_identify_over_ipv6),
        cmocka_unit_test(test_identify_without_address),
        cmocka_unit_test(test_longest_xclient),
        cmocka_unit_test(test_longest_auth),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_external_alone),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_endless_replies),
        cmocka_unit_test(test_announce),
        cmocka_unit_test(test_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
