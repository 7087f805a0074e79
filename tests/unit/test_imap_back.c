/* SPDX-License-Identifier: ISC
 *
 * The IMAP back where a dialogue (tests/talk/imap_*.talk) would not show it: health checks, bounds,
 * what is left in the input, and the words in which a node's fault reaches the log. */
#include "base/mem.h"
#include "proto/imap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct back back;
    struct creds creds;
    struct addr client, local;
    struct buf in, out;
};

/* A login of bob with PASSWORD, or with NULL a check. */
static void begin(struct world *w, const char *password)
{
    *w = (struct world){0};
    struct back_setup setup = {.client = &w->client, .local = &w->local, .session_id = "s1"};
    creds_init(&w->creds, NULL, 0);
    if (password) {
        creds_set(&w->creds, str_of("bob"), str_of(password));
        setup.creds = &w->creds;
    }
    back_init(&w->back, &setup);
    buf_init(&w->in, NULL, 0, PROTO_IN_MAX);
    buf_init(&w->out, NULL, 0, PROTO_OUT_MAX);
    assert_int_equal(imap_back_read(&w->back, &w->in, &w->out), BACK_MORE);
    assert_int_equal(buf_len(&w->out), 0);
}

static void end(struct world *w)
{
    creds_wipe(&w->creds);
    back_free(&w->back);
    buf_free(&w->in);
    buf_free(&w->out);
}

static enum back_want hear(struct world *w, const char *text)
{
    assert_true(buf_adds(&w->in, text));
    return imap_back_read(&w->back, &w->in, &w->out);
}

static bool said(struct world *w, const char *text)
{
    bool same = str_eq(buf_str(&w->out), str_of(text));
    buf_clear(&w->out);
    return same;
}

static void test_check(void **state)
{
    (void)state;
    struct world w;
    begin(&w, NULL);
    assert_int_equal(hear(&w, "* OK node ready\r\n"), BACK_MORE);
    assert_true(said(&w, "c CAPABILITY\r\n"));
    assert_int_equal(hear(&w, "* CAPABILITY IMAP4rev1 ID AUTH=PLAIN\r\nc OK done\r\n"), BACK_MORE);
    assert_true(said(&w, "q LOGOUT\r\n"));
    assert_int_equal(hear(&w, "* BYE bye\r\n"), BACK_MORE);
    assert_int_equal(hear(&w, "q OK done\r\n"), BACK_LEFT);
    assert_true(str_eq(buf_str(&w.back.capabilities), str_of("IMAP4rev1 ID AUTH=PLAIN")));
    end(&w);
}

static void test_check_starttls(void **state)
{
    (void)state;
    struct world w;
    begin(&w, NULL);
    w.back.setup.starttls = true;
    assert_int_equal(hear(&w, "* OK [CAPABILITY IMAP4rev1 X-OLD STARTTLS] node\r\n"), BACK_MORE);
    assert_true(said(&w, "t STARTTLS\r\n"));
    assert_int_equal(hear(&w, "t OK go\r\n"), BACK_STARTTLS);
    w.back.setup.tls = true;
    assert_int_equal(imap_back_read(&w.back, &w.in, &w.out), BACK_MORE);
    assert_true(said(&w, "c CAPABILITY\r\n"));
    assert_int_equal(hear(&w, "* CAPABILITY IMAP4rev1 ID\r\nc OK\r\n"), BACK_MORE);
    assert_true(said(&w, "q LOGOUT\r\n"));
    assert_true(str_eq(buf_str(&w.back.capabilities), str_of("IMAP4rev1 ID")));
    end(&w);
}

/* What comes behind the yes is not ours: the caller looks at it. */
static void test_starttls_leaves_the_rest(void **state)
{
    (void)state;
    struct world w;
    begin(&w, "secret");
    w.back.setup.starttls = true;
    hear(&w, "* OK [CAPABILITY IMAP4rev1 STARTTLS] node\r\n");
    assert_int_equal(hear(&w, "t OK go\r\n* evil\r\n"), BACK_STARTTLS);
    assert_true(str_eq(buf_str(&w.in), str_of("* evil\r\n")));
    end(&w);
}

static void test_login(void **state)
{
    (void)state;
    struct world w;
    begin(&w, "secret");
    assert_int_equal(hear(&w, "* OK node\r"), BACK_MORE);
    assert_int_equal(buf_len(&w.out), 0);
    assert_int_equal(hear(&w, "\n"), BACK_MORE);
    assert_true(said(&w, "l LOGIN \"bob\" \"secret\"\r\n"));
    assert_int_equal(hear(&w, "* OK hi\t{x}\r\nl OK [CAPABILITY IMAP4rev1] in\r\n* 3 EXISTS\r\n"),
                     BACK_OK);
    assert_true(
        str_eq(buf_str(&w.back.reply), str_of("* OK hi\t{x}\r\nOK [CAPABILITY IMAP4rev1] in\r\n")));
    assert_true(str_eq(buf_str(&w.in), str_of("* 3 EXISTS\r\n")));
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
        begin(&w, password);
        assert_int_equal(hear(&w, "* OK [CAPABILITY IMAP4rev1 LITERAL-] node\r\n"), BACK_MORE);
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
    begin(&w, "secret");
    w.back.setup.identify = true;
    w.back.setup.session_id = "a\"b\\c";
    w.client.len = sizeof w.client.un;
    w.client.un.sun_family = AF_UNIX;
    hear(&w, "* OK [CAPABILITY IMAP4rev1 ID] node\r\n");
    assert_true(said(&w, "i ID (\"x-session-id\" \"a\\\"b\\\\c\" \"name\" \"proxyd\")\r\n"
                         "l LOGIN \"bob\" \"secret\"\r\n"));
    end(&w);
    begin(&w, "secret");
    w.back.setup.identify = true;
    addr_numeric(&w.client, str_of("2001:db8::1"), 9);
    hear(&w, "* OK [CAPABILITY IMAP4rev1 ID] node\r\n");
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
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        begin(&w, "secret");
        assert_int_equal(hear(&w, cases[i][0]), BACK_FAILED);
        assert_string_equal(w.back.error, cases[i][1]);
        end(&w);
    }
}

static void test_longest_line(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        struct world w;
        begin(&w, "secret");
        buf_adds(&w.in, "* OK ");
        char *room = buf_room(&w.in, PROTO_LINE_MAX);
        memset(room, 'x', PROTO_LINE_MAX);
        buf_added(&w.in, PROTO_LINE_MAX);
        assert_int_equal(hear(&w, whole ? "\r\n" : ""), BACK_FAILED);
        assert_string_equal(w.back.error, "the node's line is too long");
        end(&w);
    }
}

static void test_endless_answer(void **state)
{
    (void)state;
    struct world w;
    begin(&w, "secret");
    enum back_want want = hear(&w, "* OK node\r\n");
    for (int i = 0; i < 10000 && want == BACK_MORE; i++)
        want = hear(&w, "* OK still thinking\r\n");
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
