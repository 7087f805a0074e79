/* SPDX-License-Identifier: ISC
 *
 * The IMAP back where a dialogue (tests/talk/imap_*.talk) would not show it: health checks, bounds,
 * what is left in the input, and the words in which a node's fault reaches the log. */
#include "proto/imap.h"
#include "proto_case.h"

static const char *const protocol = "imap";

static void test_check(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, NULL);
    assert_int_equal(node_says(&w, "* OK node ready\r\n"), BACK_MORE);
    assert_true(said(&w, "c CAPABILITY\r\n"));
    assert_int_equal(node_says(&w, "* CAPABILITY IMAP4rev1 ID AUTH=PLAIN\r\nc OK done\r\n"),
                     BACK_MORE);
    assert_true(said(&w, "q LOGOUT\r\n"));
    assert_int_equal(node_says(&w, "* BYE bye\r\n"), BACK_MORE);
    assert_int_equal(node_says(&w, "q OK done\r\n"), BACK_LEFT);
    assert_true(str_eq(buf_str(&w.back.capabilities), str_of("IMAP4rev1 ID AUTH=PLAIN")));
    end(&w);
}

static void test_check_starttls(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, NULL);
    w.back.setup.starttls = true;
    assert_int_equal(node_says(&w, "* OK [CAPABILITY IMAP4rev1 X-OLD STARTTLS] node\r\n"),
                     BACK_MORE);
    assert_true(said(&w, "t STARTTLS\r\n"));
    assert_int_equal(node_says(&w, "t OK go\r\n"), BACK_STARTTLS);
    w.back.setup.tls = true;
    assert_int_equal(node_says(&w, ""), BACK_MORE);
    assert_true(said(&w, "c CAPABILITY\r\n"));
    assert_int_equal(node_says(&w, "* CAPABILITY IMAP4rev1 ID\r\nc OK\r\n"), BACK_MORE);
    assert_true(said(&w, "q LOGOUT\r\n"));
    assert_true(str_eq(buf_str(&w.back.capabilities), str_of("IMAP4rev1 ID")));
    end(&w);
}

/* What comes behind the yes is not ours: the caller looks at it. */
static void test_starttls_leaves_the_rest(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, "secret");
    w.back.setup.starttls = true;
    node_says(&w, "* OK [CAPABILITY IMAP4rev1 STARTTLS] node\r\n");
    assert_int_equal(node_says(&w, "t OK go\r\n* evil\r\n"), BACK_STARTTLS);
    assert_true(is_left(&w, "* evil\r\n"));
    end(&w);
}

static void test_login(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, "secret");
    assert_int_equal(node_says(&w, "* OK node\r"), BACK_MORE);
    assert_int_equal(buf_len(&w.out), 0);
    assert_int_equal(node_says(&w, "\n"), BACK_MORE);
    assert_true(said(&w, "l LOGIN \"bob\" \"secret\"\r\n"));
    assert_int_equal(
        node_says(&w, "* OK hi\t{x}\r\nl OK [CAPABILITY IMAP4rev1] in\r\n* 3 EXISTS\r\n"), BACK_OK);
    assert_true(
        str_eq(buf_str(&w.back.reply), str_of("* OK hi\t{x}\r\nOK [CAPABILITY IMAP4rev1] in\r\n")));
    assert_true(is_left(&w, "* 3 EXISTS\r\n"));
    end(&w);
}

static void test_literal_minus(void **state)
{
    (void)state;
    for (size_t n = 4096; n <= 4097; n++) {
        struct world w;
        char password[4098];
        memset(password, 'x', n);
        memcpy(password, "\xc3\xa9", 2);
        password[n] = 0;
        begin_back(&w, password);
        assert_int_equal(node_says(&w, "* OK [CAPABILITY IMAP4rev1 LITERAL-] node\r\n"), BACK_MORE);
        if (n == 4096)
            assert_true(str_starts(buf_str(&w.out), "l LOGIN {3+}\r\nbob {4096+}\r\n\xc3\xa9xx"));
        else
            assert_true(said(&w, "l LOGIN {3}\r\n"));
        end(&w);
    }
}

static void test_identify(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, "secret");
    w.back.setup.identify = true;
    w.back.setup.session_id = "a\"b\\c";
    w.client.len = sizeof w.client.un;
    w.client.un.sun_family = AF_UNIX;
    node_says(&w, "* OK [CAPABILITY IMAP4rev1 ID] node\r\n");
    assert_true(said(&w, "i ID (\"x-session-id\" \"a\\\"b\\\\c\" \"name\" \"proxyd\")\r\n"
                         "l LOGIN \"bob\" \"secret\"\r\n"));
    end(&w);
    begin_back(&w, "secret");
    w.back.setup.identify = true;
    addr_numeric(&w.client, str_of("2001:db8::1"), 9);
    node_says(&w, "* OK [CAPABILITY IMAP4rev1 ID] node\r\n");
    assert_true(said(&w, "i ID (\"x-originating-ip\" \"2001:db8::1\" \"x-originating-port\" \"9\" "
                         "\"x-session-id\" \"s1\" \"name\" \"proxyd\")\r\n"
                         "l LOGIN \"bob\" \"secret\"\r\n"));
    end(&w);
}

static void test_errors(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"* PREAUTH root\r\n", "the node greets with PREAUTH"},
        {"* BYE full\r\n", "the node greets with BYE"},
        {"* NO\r\n", "the node does not greet with OK"},
        {"\r\n", "the node does not greet as an IMAP server"},
        {"220 smtp\r\n", "the node does not greet as an IMAP server"},
        {"* OK\r\n+ go\r\n", "the node asks for more without a reason"},
        {"* OK\r\n\r\n", "the node answers what was not asked"},
        {"* OK\r\nc OK\r\n", "the node answers what was not asked"},
        {"* OK\r\nL OK\r\n", "the node answers what was not asked"},
        {"* OK\r\nl\r\n", "the node's answer is malformed"},
        {"* OK\r\n* BYE\r\nl OK\r\n", "the node says BYE"},
        {"* OK\r\n* X {3}\r\n", "the node sends a literal"},
        {"* OK\r\n* X ~{99999999999999999999+}\r\n", "the node sends a literal"},
        {"* OK \x1b[2J\r\n", "the node sends control characters"},
        {"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED]\r\n",
         "the node offers no way to log in with these credentials"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(cases[i][0], cases[i][1]);
}

static void test_longest_line(void **state)
{
    (void)state;
    assert_long_lines_fail("* OK ");
}

static void test_endless_answer(void **state)
{
    (void)state;
    struct world w;
    begin_back(&w, "secret");
    enum back_want want = node_says(&w, "* OK node\r\n");
    for (int i = 0; i < 10000 && want == BACK_MORE; i++)
        want = node_says(&w, "* OK still thinking\r\n");
    assert_int_equal(want, BACK_FAILED);
    assert_string_equal(w.back.error, "the node's answer is too long");
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_check_starttls),
        cmocka_unit_test(test_starttls_leaves_the_rest),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_literal_minus),
        cmocka_unit_test(test_identify),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_endless_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
