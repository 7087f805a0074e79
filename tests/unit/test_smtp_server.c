/* SPDX-License-Identifier: ISC
 *
 * The server of port 25 and LMTP, and the client that hands mail to a node (proto/smtp_client.c):
 * what is wanted in which order, bounds, answers that must not overtake others. Whole sessions over
 * sockets are in tests/e2e/test_mail.py. */
#include "proto/smtp.h"
#include "proto/smtp_client.h"
#include "proto/smtp_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct smtp_server server;
    struct buf in, out;
};

static struct world w;

static void begin(const struct smtp_server_setup *setup)
{
    buf_init(&w.in, NULL, 0, PROTO_IN_MAX);
    buf_init(&w.out, NULL, 0, PROTO_OUT_MAX);
    smtp_server_start(&w.server, setup, &w.out);
}

static int end(void **state)
{
    (void)state;
    buf_free(&w.in);
    buf_free(&w.out);
    return 0;
}

static const struct smtp_server_setup usual = {.hostname = "mx.example.org",
                                               .capabilities = "8BITMIME,DSN,SIZE 1000",
                                               .size_max = 5000,
                                               .max_errors = 5};

static enum smtp_want hear(const char *text)
{
    assert_true(buf_adds(&w.in, text));
    return smtp_server_read(&w.server, &w.in, &w.out);
}

static enum smtp_want on(void)
{
    return smtp_server_read(&w.server, &w.in, &w.out);
}

static void assert_said(const char *text)
{
    assert_true(buf_add(&w.out, "", 1));
    assert_string_equal(buf_str(&w.out).p, text);
    buf_clear(&w.out);
}

/* Up to MAIL. */
static void begin_mail(void)
{
    begin(&usual);
    assert_int_equal(hear("EHLO c.example.net\r\n"), SMTP_WANT_RESET);
    assert_int_equal(hear("MAIL FROM:<a@example.net>\r\n"), SMTP_WANT_MAIL);
    assert_int_equal(on(), SMTP_WANT_MORE);
    buf_clear(&w.out);
}

static void test_greeting_and_capabilities(void **state)
{
    (void)state;
    begin(&usual);
    assert_said("220 mx.example.org ESMTP proxyd\r\n");
    assert_int_equal(hear("ehlo c.example.net\r\n"), SMTP_WANT_RESET);
    assert_string_equal(w.server.helo, "c.example.net");
    assert_said("250-mx.example.org\r\n250-8BITMIME\r\n250-DSN\r\n250-SIZE 1000\r\n"
                "250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n");
}

static void test_what_is_announced(void **state)
{
    static const char *const good[] = {"8BITMIME", "dsn", "SMTPUTF8", "CHUNKING", "SIZE", "SIZE 5"};
    static const char *const bad[] = {"AUTH PLAIN", "STARTTLS", "XCLIENT ADDR", "PIPELINING",
                                      "DSN X",      "ETRN",     "BINARYMIME",   ""};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(smtp_server_announce(str_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(smtp_server_announce(str_of(bad[i])));
}

static void test_lmtp(void **state)
{
    struct smtp_server_setup setup = usual;
    (void)state;
    setup.lmtp = true;
    begin(&setup);
    assert_said("220 mx.example.org LMTP proxyd\r\n");
    assert_int_equal(hear("EHLO x\r\n"), SMTP_WANT_MORE);
    assert_said("500 5.5.1 This is LMTP: say LHLO\r\n");
    assert_int_equal(hear("MAIL FROM:<>\r\n"), SMTP_WANT_MORE);
    assert_said("503 5.5.1 Say LHLO first\r\n");
    assert_int_equal(hear("LHLO x\r\n"), SMTP_WANT_RESET);
}

static void test_recipients_are_told_before_they_are_answered(void **state)
{
    (void)state;
    begin_mail();
    assert_int_equal(hear("RCPT TO:<b@example.org> NOTIFY=NEVER\r\nRCPT TO:<c@example.org>\r\n"
                          "RCPT\r\nDATA\r\n"),
                     SMTP_WANT_RCPT);
    assert_true(str_is(w.server.path.address, "b@example.org"));
    assert_true(w.server.params.given & 1u << SMTP_PARAM_NOTIFY);
    w.server.owed++;
    assert_int_equal(on(), SMTP_WANT_RCPT);
    assert_true(str_is(w.server.path.address, "c@example.org"));
    w.server.owed++;
    assert_int_equal(on(), SMTP_WANT_WAIT);
    assert_said("");
    w.server.owed = 0;
    w.server.accepted = 1;
    assert_int_equal(on(), SMTP_WANT_DATA);
    assert_said("501 5.5.4 Expected an argument\r\n");
}

static void test_data_needs_a_recipient(void **state)
{
    (void)state;
    begin_mail();
    assert_int_equal(hear("DATA\r\n"), SMTP_WANT_MORE);
    assert_said("503 5.5.1 No valid recipients\r\n");
}

static void test_chunks(void **state)
{
    (void)state;
    begin_mail();
    w.server.accepted = 1;
    assert_int_equal(hear("BDAT 5\r\nhello"), SMTP_WANT_CHUNK);
    assert_int_equal(w.server.chunk, 5);
    assert_false(w.server.last);
    assert_true(str_eq(buf_str(&w.in), str_of("hello")));
    smtp_server_skip(&w.server);
    assert_int_equal(hear("BDAT 0 LAST\r\n"), SMTP_WANT_CHUNK);
    assert_true(w.server.last);
    smtp_server_end(&w.server);
    assert_int_equal(hear("BDAT 6\r\nQUIT\r\nNOOP\r\n"), SMTP_WANT_MORE);
    assert_said("503 5.5.1 There is no transaction\r\n250 2.0.0 Ok\r\n");
}

static void test_pipelining_before_ehlo(void **state)
{
    (void)state;
    begin(&usual);
    buf_clear(&w.out);
    assert_int_equal(hear("EHLO x\r\nMAIL FROM:<>\r\n"), SMTP_WANT_CLOSE);
    assert_said("554 5.5.0 Wait for the answer\r\n");
    assert_string_equal(w.server.reason, "pipelining before EHLO");
}

static void test_bytes_behind_data(void **state)
{
    (void)state;
    begin_mail();
    w.server.accepted = 1;
    assert_int_equal(hear("DATA\r\nx"), SMTP_WANT_CLOSE);
}

static void test_xclient(void **state)
{
    struct smtp_server_setup setup = usual;
    (void)state;
    setup.trusted = true;
    begin(&setup);
    assert_int_equal(hear("EHLO x\r\n"), SMTP_WANT_RESET);
    buf_clear(&w.out);
    assert_int_equal(hear("XCLIENT ADDR=192.0.2.1 HELO=spike.example.net\r\n"), SMTP_WANT_XCLIENT);
    assert_said("220 mx.example.org ESMTP proxyd\r\n");
    assert_string_equal(w.server.helo, "spike.example.net");
    assert_int_equal(hear("MAIL FROM:<>\r\n"), SMTP_WANT_MORE);
    assert_said("503 5.5.1 Say EHLO first\r\n");
}

static void test_bounds(void **state)
{
    char line[3000];
    (void)state;
    begin(&usual);
    buf_clear(&w.out);
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = 0;
    assert_int_equal(hear(line), SMTP_WANT_CLOSE);
    assert_string_equal(w.server.reason, "line too long");
    end(state);
    begin(&usual);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(hear("FROB\r\n"), SMTP_WANT_MORE);
    assert_int_equal(hear("FROB\r\n"), SMTP_WANT_CLOSE);
    assert_string_equal(w.server.reason, "too many errors");
    end(state);
    begin_mail();
    smtp_server_end(&w.server);
    assert_int_equal(hear("MAIL FROM:<> SIZE=5001\r\n"), SMTP_WANT_MORE);
    assert_said("552 5.3.4 The message is too big\r\n");
    assert_int_equal(hear("MAIL FROM:<> BODY=BINARYMIME\r\n"), SMTP_WANT_MORE);
    assert_said("555 5.5.4 BINARYMIME is not available\r\n");
}

/* ---- the client ---- */

static void test_client_commands(void **state)
{
    struct smtp_client c;
    struct smtp_path path;
    struct smtp_params params;
    (void)state;
    begin(&usual);
    buf_clear(&w.out);
    smtp_client_init(&c, str_of("PIPELINING,DSN,SIZE 10,"));
    smtp_path_mail(str_of("FROM:<a@example.net> SIZE=7 BODY=8BITMIME ENVID=x AUTH=<>"), &path,
                   &params);
    smtp_client_mail(&c, &w.out, &path, &params);
    smtp_path_rcpt(str_of("TO:<b@example.org> NOTIFY=NEVER"), &path, &params);
    smtp_client_rcpt(&c, &w.out, &path, &params);
    smtp_client_chunk(&c, &w.out, 12, true, 2);
    assert_said(
        "MAIL FROM:<a@example.net> SIZE=7 ENVID=x\r\nRCPT TO:<b@example.org> NOTIFY=NEVER\r\n"
        "BDAT 12 LAST\r\n");
    assert_int_equal(smtp_client_waiting(&c), 4);
    assert_true(smtp_client_may_send(&c));
    smtp_client_free(&c);
}

static void test_client_replies(void **state)
{
    static const enum smtp_awaited order[] = {SMTP_AWAITED_RSET, SMTP_AWAITED_RCPT,
                                              SMTP_AWAITED_DATA, SMTP_AWAITED_FINAL};
    struct smtp_client c;
    (void)state;
    begin(&usual);
    smtp_client_init(&c, (struct str){"", 0});
    c.waiting[SMTP_AWAITED_FINAL] = c.waiting[SMTP_AWAITED_DATA] = 1;
    c.waiting[SMTP_AWAITED_RCPT] = c.waiting[SMTP_AWAITED_RSET] = 1;
    buf_adds(&w.in, "250 ok\n550-no\r\n550 never\r\n354 go\r\n250 2.0.0 kept\r\n250 more\r\n25");
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(smtp_client_read(&c, &w.in), SMTP_TOLD_REPLY);
        assert_int_equal(c.awaited, order[i]);
        if (i == 1)
            assert_true(str_eq(buf_str(&c.reply), str_of("550-no\r\n550 never\r\n")));
    }
    assert_int_equal(smtp_client_read(&c, &w.in), SMTP_TOLD_BROKEN);
    assert_string_equal(c.error, "the node says what nobody has asked for");
    assert_int_equal(smtp_client_read(&c, &w.in), SMTP_TOLD_NONE);
    smtp_client_free(&c);
}

static void test_client_does_not_believe_everything(void **state)
{
    static const struct {
        enum smtp_awaited awaited;
        const char *said;
    } lies[] = {{SMTP_AWAITED_DATA, "250 kept\r\n"},
                {SMTP_AWAITED_FINAL, "354 go\r\n"},
                {SMTP_AWAITED_RCPT, "250-a\r\n251 b\r\n"},
                {SMTP_AWAITED_RCPT, "250 a\rb\r\n"},
                {SMTP_AWAITED_RCPT, "+OK\r\n"},
                {SMTP_AWAITED_RCPT, "150 x\r\n"},
                {SMTP_AWAITED_DATA, "350 x\r\n"}};
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct smtp_client c;
        begin(&usual);
        smtp_client_init(&c, (struct str){"", 0});
        c.waiting[lies[i].awaited] = 1;
        buf_adds(&w.in, lies[i].said);
        assert_int_equal(smtp_client_read(&c, &w.in), SMTP_TOLD_BROKEN);
        smtp_client_free(&c);
        end(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_greeting_and_capabilities, end),
        cmocka_unit_test(test_what_is_announced),
        cmocka_unit_test_teardown(test_lmtp, end),
        cmocka_unit_test_teardown(test_recipients_are_told_before_they_are_answered, end),
        cmocka_unit_test_teardown(test_data_needs_a_recipient, end),
        cmocka_unit_test_teardown(test_chunks, end),
        cmocka_unit_test_teardown(test_pipelining_before_ehlo, end),
        cmocka_unit_test_teardown(test_bytes_behind_data, end),
        cmocka_unit_test_teardown(test_xclient, end),
        cmocka_unit_test_teardown(test_bounds, end),
        cmocka_unit_test_teardown(test_client_commands, end),
        cmocka_unit_test_teardown(test_client_replies, end),
        cmocka_unit_test(test_client_does_not_believe_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
