/* SPDX-License-Identifier: ISC
 *
 * smtp_path.c: paths, parameters, names, BDAT, XCLIENT and xtext. */
#include "proto/smtp_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof *(list))

static struct smtp_path path;
static struct smtp_params params;
static struct smtp_xclient xclient;

static void assert_text(struct str a, const char *expected)
{
    if (!str_eq(a, str_of(expected)))
        fail_msg("\"%.*s\" instead of \"%s\"", (int)a.n, a.p, expected);
}

static enum smtp_path_result mail(const char *args)
{
    return smtp_path_mail(str_of(args), &path, &params);
}

static enum smtp_path_result rcpt(const char *args)
{
    return smtp_path_rcpt(str_of(args), &path, &params);
}

/* ---- paths ---- */

static void test_paths(void **state)
{
    static const struct {
        const char *args, *address, *local, *domain, *mailbox;
    } cases[] = {
        {"TO:<bob@example.org>", "bob@example.org", "bob", "example.org", "bob@example.org"},
        {"to:<Bob@EXAMPLE.Org>", "Bob@EXAMPLE.Org", "Bob", "EXAMPLE.Org", "Bob@example.org"},
        {"To:  <b+x=y/z@a>", "b+x=y/z@a", "b+x=y/z", "a", "b+x=y/z@a"},
        {"TO:<a..b.@x>", "a..b.@x", "a..b.", "x", "a..b.@x"},
        {"TO:<!#$%&'*-?^_`{|}~@x.y>", "!#$%&'*-?^_`{|}~@x.y", "!#$%&'*-?^_`{|}~", "x.y",
         "!#$%&'*-?^_`{|}~@x.y"},
        {"TO:<@a.example,@b.example:bob@c.example>", "bob@c.example", "bob", "c.example",
         "bob@c.example"},
        {"TO:<Postmaster>", "Postmaster", "Postmaster", "", "Postmaster"},
        {"TO:<bob@[192.0.2.1]>", "bob@[192.0.2.1]", "bob", "[192.0.2.1]", "bob@[192.0.2.1]"},
        {"TO:<bob@[IPv6:2001:DB8::1]>", "bob@[IPv6:2001:DB8::1]", "bob", "[IPv6:2001:DB8::1]",
         "bob@[ipv6:2001:db8::1]"},
        {"TO:<\"bob\"@x>", "\"bob\"@x", "\"bob\"", "x", "bob@x"},
        {"TO:<\"b\\o\\b.x\"@x>", "\"b\\o\\b.x\"@x", "\"b\\o\\b.x\"", "x", "bob.x@x"},
        {"TO:<\"b ob\"@x>", "\"b ob\"@x", "\"b ob\"", "x", "\"b ob\"@x"},
        {"TO:<\"b\\ ob\"@x>", "\"b\\ ob\"@x", "\"b\\ ob\"", "x", "\"b ob\"@x"},
        {"TO:<\"a@b\"@x>", "\"a@b\"@x", "\"a@b\"", "x", "\"a@b\"@x"},
        {"TO:<\"a>\\\"\\\\\"@x>", "\"a>\\\"\\\\\"@x", "\"a>\\\"\\\\\"", "x", "\"a>\\\"\\\\\"@x"},
        {"TO:<\"\"@x>", "\"\"@x", "\"\"", "x", "\"\"@x"},
        {"TO:<\xc3\xa4@\xc3\xa4.example>", "\xc3\xa4@\xc3\xa4.example", "\xc3\xa4",
         "\xc3\xa4.example", "\xc3\xa4@\xc3\xa4.example"},
        {"TO:<\"\xf0\x9f\x93\xa7\"@x>", "\"\xf0\x9f\x93\xa7\"@x", "\"\xf0\x9f\x93\xa7\"", "x",
         "\xf0\x9f\x93\xa7@x"},
        {"TO:<a@xn--4ca.1_2.example>", "a@xn--4ca.1_2.example", "a", "xn--4ca.1_2.example",
         "a@xn--4ca.1_2.example"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char mailbox[SMTP_MAILBOX_MAX + 1];
        if (rcpt(cases[i].args) != SMTP_PATH_OK)
            fail_msg("refused: %s", cases[i].args);
        assert_text(path.address, cases[i].address);
        assert_text(path.local, cases[i].local);
        assert_text(path.domain, cases[i].domain);
        assert_true(smtp_path_mailbox(&path, mailbox));
        assert_string_equal(mailbox, cases[i].mailbox);
        assert_int_equal(path.utf8, cases[i].address[0] & 0x80 || cases[i].address[1] & 0x80);
    }
}

static void test_wrong_mailboxes(void **state)
{
    static const char *const wrong[] = {
        "a",
        "a@",
        "@x",
        "a@x@y",
        "a b@x",
        " a@x",
        "a@x ",
        "a@.x",
        "a@x.",
        "a@x..y",
        "a@-x",
        "a@x-",
        "a@x-.y",
        "a@x/y",
        "\"a\"b@x",
        "a\"b\"@x",
        "\"a@x",
        "\"a\\\"@x",
        "\"a\\",
        "a\\b@x",
        "a,b@x",
        "a:b@x",
        "(a)@x",
        "a@(x)",
        "<a@x",
        "a@[1.2.3]",
        "a@[1.2.3.4",
        "a@[]",
        "a@[::1]",
        "a@[1.2.3.4]x",
        "a@[IPv6:x]",
        "a@[IPv6:1.2.3.4]",
        "a@[unix:/x]",
        "a@[tag:x]",
        "a@[256.1.1.1]",
        "@a,b:c@x",
        "@a:@b:c@x",
        "@a c@x",
        "@:c@x",
        "@a,@b",
        "@[1.2.3.4]:c@x",
        "postmaster@",
        "\x80@x",
        "\xc3@x",
        "\xc0\xaf@x",
        "\xed\xa0\x80@x",
        "\xf4\x90\x80\x80@x",
        "\xc2\x85@x",
        "a@x\xff",
        "\"\\\xc3\xa4\"@x",
        "\xe0\x80\xaf@x",
        "\xf0\x80\x80\xaf@x",
        "\xf5\x80\x80\x80@x",
        "\xc3x@x",
        "\xe2\x82x@x",
    };
    char args[100];
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        snprintf(args, sizeof args, "TO:<%s>", wrong[i]);
        if (rcpt(args) != SMTP_PATH_BAD_MAILBOX)
            fail_msg("not refused: %s", args);
        snprintf(args, sizeof args, "FROM:<%s>", wrong[i]);
        assert_int_equal(mail(args), SMTP_PATH_BAD_MAILBOX);
    }
}

static void test_sender_and_recipient(void **state)
{
    char mailbox[SMTP_MAILBOX_MAX + 1];
    (void)state;
    assert_int_equal(mail("FROM:<>"), SMTP_PATH_OK);
    assert_int_equal(path.address.n, 0);
    assert_true(smtp_path_mailbox(&path, mailbox));
    assert_string_equal(mailbox, "");
    assert_int_equal(rcpt("TO:<>"), SMTP_PATH_BAD_MAILBOX);
    assert_int_equal(mail("FROM:<postmaster>"), SMTP_PATH_BAD_MAILBOX);
    assert_int_equal(mail("FROM:<bob@x>"), SMTP_PATH_OK);
    assert_int_equal(rcpt("TO:<\"postmaster\">"), SMTP_PATH_BAD_MAILBOX);
}

static void test_wrong_form(void **state)
{
    static const char *const wrong[] = {
        "",
        "TO",
        "TO:",
        "TO <a@x>",
        "FROM:<a@x>",
        "TO:a@x",
        "TO: a@x",
        "TO:<a@x>SIZE=1",
        "TO:<a@x>>",
        "TO:<a@x> =1",
        "TO:<a@x>,<b@x>",
        "TO:<a@x>\tNOTIFY=NEVER",
        "TO:\t<a@x>",
        "TO:<a@x> -A=1",
        "TO:<a@x> A_B=1",
        "TO:<a@x> \xc3\xa4=1",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++)
        if (rcpt(wrong[i]) != SMTP_PATH_BAD_SYNTAX)
            fail_msg("not refused: %s", wrong[i]);
}

/* Wherever it stands: in atoms, in quotes, behind a backslash, in a domain, in a parameter. */
static void test_controls(void **state)
{
    static const char *const places[] = {
        "TO:<a%b@x>",   "TO:<\"a%b\"@x>",   "TO:<\"a\\%\"@x>", "TO:<a@x%y>",
        "TO:%<a@x>",    "TO:<a@x>%",        "TO:<a@x> %",      "TO:<a@x> ORCPT=rfc822;a%b",
        "TO:<@a%:b@x>", "TO:<a@[1.2.3.4%]>"};
    (void)state;
    for (size_t i = 0; i < COUNT(places); i++) {
        for (char c = 0; c <= ' '; c++) {
            char text[40];
            size_t n = strlen(places[i]);
            memcpy(text, places[i], n);
            *(char *)memchr(text, '%', n) = c == ' ' ? 0x7f : c;
            assert_int_equal(smtp_path_rcpt((struct str){text, n}, &path, &params),
                             SMTP_PATH_BAD_SYNTAX);
        }
    }
}

/* A local part of LOCAL bytes at "EXAMPLE.org". */
static bool fits(size_t local, bool quoted)
{
    char args[600] = "TO:<", mailbox[SMTP_MAILBOX_MAX + 1];
    size_t n = 4;
    if (quoted)
        args[n++] = '"';
    for (size_t i = 0; i < local; i++) {
        if (quoted)
            args[n++] = '\\';
        args[n++] = 'a';
    }
    snprintf(args + n, sizeof args - n, "%s@EXAMPLE.org>", quoted ? "\"" : "");
    assert_int_equal(rcpt(args), SMTP_PATH_OK);
    bool fit = smtp_path_mailbox(&path, mailbox);
    assert_int_equal(strlen(mailbox), fit ? local + 12 : 0);
    return fit;
}

static void test_mailbox_length(void **state)
{
    (void)state;
    assert_true(fits(243, false));
    assert_false(fits(244, false));
    assert_true(fits(243, true));
    assert_false(fits(244, true));
    assert_false(fits(280, true));
}

/* ---- parameters ---- */

static void test_mail_params(void **state)
{
    (void)state;
    assert_int_equal(mail("FROM:<a@x>"), SMTP_PATH_OK);
    assert_int_equal(params.given, 0);
    assert_int_equal(params.body, SMTP_BODY_7BIT);
    assert_int_equal(mail("FROM:<a@x>  size=1000 Body=8bitmime SMTPUTF8 RET=hdrs ENVID=QQ+2B1 "
                          "AUTH=<> "),
                     SMTP_PATH_OK);
    assert_int_equal(params.given, (1u << SMTP_PARAM_NOTIFY) - 1);
    assert_int_equal(params.size, 1000);
    assert_int_equal(params.body, SMTP_BODY_8BITMIME);
    assert_text(params.value[SMTP_PARAM_RET], "hdrs");
    assert_text(params.value[SMTP_PARAM_ENVID], "QQ+2B1");
    assert_text(params.value[SMTP_PARAM_AUTH], "<>");
    assert_int_equal(params.wrong.n, 0);
    assert_int_equal(mail("FROM:<a@x> BODY=BINARYMIME SIZE=18446744073709551615"), SMTP_PATH_OK);
    assert_true(params.body == SMTP_BODY_BINARYMIME && params.size == UINT64_MAX);
    assert_int_equal(mail("FROM:<a@x> SIZE=99999999999999999999"), SMTP_PATH_OK);
    assert_true(params.size == UINT64_MAX);
}

static void test_rcpt_params(void **state)
{
    static const char *const good[] = {"NOTIFY=NEVER",
                                       "notify=success,Failure,DELAY",
                                       "NOTIFY=DELAY",
                                       "ORCPT=rfc822;bob+40x",
                                       "ORCPT=x-y;z",
                                       "ORCPT=utf-8;\xc3\xa4@x",
                                       "ORCPT=utf-8;\\x{E4}+2B@x"};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        char args[100];
        snprintf(args, sizeof args, "TO:<a@x> %s", good[i]);
        if (rcpt(args) != SMTP_PATH_OK)
            fail_msg("refused: %s", args);
    }
    assert_int_equal(rcpt("TO:<a@x> ORCPT=rfc822;b NOTIFY=NEVER"), SMTP_PATH_OK);
    assert_int_equal(params.given, 1u << SMTP_PARAM_NOTIFY | 1u << SMTP_PARAM_ORCPT);
    assert_text(params.value[SMTP_PARAM_ORCPT], "rfc822;b");
}

/* What lies behind the line does not make it whole. */
static void test_cut_line(void **state)
{
    static const char args[] = "TO:<a@x> ORCPT=utf-8;\xe2\x82\xac";
    char out[8];
    (void)state;
    for (size_t n = sizeof args - 3; n < sizeof args; n++)
        assert_int_equal(smtp_path_rcpt((struct str){args, n}, &path, &params),
                         n < sizeof args - 1 ? SMTP_PATH_BAD_VALUE : SMTP_PATH_OK);
    assert_int_equal(smtp_path_xtext_decode(out, sizeof out, (struct str){"a+41", 3}), -1);
    assert_int_equal(smtp_path_xtext_decode(out, sizeof out, (struct str){"a+41", 4}), 2);
}

/* The name of the first wrong one is told. */
static void assert_wrong(const char *args, enum smtp_path_result expected)
{
    enum smtp_path_result r = str_starts(str_of(args), "TO:") ? rcpt(args) : mail(args);
    if (r != expected)
        fail_msg("%d instead of %d: %s", r, expected, args);
    const char *word = strrchr(args, ' ') + 1;
    assert_true(str_eq(params.wrong, (struct str){word, strcspn(word, "=")}));
}

static void test_wrong_values(void **state)
{
    static const char *const wrong[] = {"SIZE",
                                        "SIZE=",
                                        "SIZE=-1",
                                        "SIZE=1k",
                                        "SIZE=+1",
                                        "SIZE=0x1",
                                        "SIZE=1=1",
                                        "BODY",
                                        "BODY=9BIT",
                                        "SMTPUTF8=",
                                        "SMTPUTF8=1",
                                        "RET=ALL",
                                        "RET=",
                                        "ENVID=",
                                        "ENVID=a+b",
                                        "ENVID=a+4",
                                        "ENVID=+",
                                        "ENVID=+0D+0A",
                                        "ENVID=+00",
                                        "ENVID=+C3+A4",
                                        "ENVID=\xc3\xa4",
                                        "ENVID=a=b",
                                        "AUTH=",
                                        "AUTH",
                                        "AUTH=a+0Ab",
                                        "SIZE=1 SIZE=1",
                                        "SMTPUTF8 SMTPUTF8",
                                        "SIZE=000000000000000000001"};
    static const char *const rcpt_wrong[] = {"NOTIFY=",
                                             "NOTIFY",
                                             "NOTIFY=NEVER,DELAY",
                                             "NOTIFY=DELAY,",
                                             "NOTIFY=,DELAY",
                                             "NOTIFY=x",
                                             "ORCPT=",
                                             "ORCPT=rfc822",
                                             "ORCPT=;a",
                                             "ORCPT=rfc822;",
                                             "ORCPT=rfc822;a+0D",
                                             "ORCPT=rfc822;\xc3\xa4",
                                             "ORCPT=utf-8;",
                                             "ORCPT=utf-8;\xc3",
                                             "ORCPT=utf-8;\xc2\x85",
                                             "ORCPT=a@b;c",
                                             "ORCPT=utf-8;a=b",
                                             "NOTIFY=DELAY NOTIFY=DELAY"};
    char args[100];
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        snprintf(args, sizeof args, "FROM:<> %s", wrong[i]);
        assert_wrong(args, SMTP_PATH_BAD_VALUE);
    }
    for (size_t i = 0; i < COUNT(rcpt_wrong); i++) {
        snprintf(args, sizeof args, "TO:<a@x> %s", rcpt_wrong[i]);
        assert_wrong(args, SMTP_PATH_BAD_VALUE);
    }
}

static void test_unknown_params(void **state)
{
    (void)state;
    assert_wrong("FROM:<> XYZ=1", SMTP_PATH_UNKNOWN);
    assert_wrong("FROM:<> SIZE=1 X-Y", SMTP_PATH_UNKNOWN);
    assert_wrong("FROM:<> NOTIFY=NEVER", SMTP_PATH_UNKNOWN);
    assert_wrong("TO:<a@x> SIZE=1", SMTP_PATH_UNKNOWN);
    assert_wrong("TO:<a@x> SIZ", SMTP_PATH_UNKNOWN);
}

static void test_value_length(void **state)
{
    char args[600] = "FROM:<> ENVID=";
    (void)state;
    memset(args + 14, 'a', 501);
    assert_int_equal(mail(args), SMTP_PATH_BAD_VALUE);
    args[514] = 0;
    assert_int_equal(mail(args), SMTP_PATH_OK);
    memcpy(args, "TO:<a@x> ORCPT=utf-8;", 21);
    args[514] = 'a'; /* a value of 500 bytes, then of 501 */
    args[515] = 0;
    assert_int_equal(rcpt(args), SMTP_PATH_OK);
    args[515] = 'a';
    assert_int_equal(rcpt(args), SMTP_PATH_BAD_VALUE);
}

static void test_param_names(void **state)
{
    (void)state;
    assert_string_equal(smtp_param_name(SMTP_PARAM_SIZE), "SIZE");
    assert_string_equal(smtp_param_name(SMTP_PARAM_ORCPT), "ORCPT");
}

/* ---- others ---- */

static void test_helo(void **state)
{
    static const char *const good[] = {"mail.example.org", "a",          "my_host",
                                       "[192.0.2.1]",      "[IPv6:::1]", "1.2.3.4",
                                       "xn--4ca.example",  "[ipv6:1::2]"};
    static const char *const wrong[] = {"",      "a b", "a..b",       "-a",         "a.",
                                        "[::1]", "[x]", "a\r",        "\xc3\xa4.x", "[1.2.3.4",
                                        "a@b",   "<a>", "[1.2.3.4]x", "a\tb"};
    char long_name[257];
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        if (!smtp_path_is_helo(str_of(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < COUNT(wrong); i++)
        if (smtp_path_is_helo(str_of(wrong[i])))
            fail_msg("not refused: %s", wrong[i]);
    assert_false(smtp_path_is_helo((struct str)STR("[1.2.3.4\0]")));
    memset(long_name, 'a', sizeof long_name);
    assert_true(smtp_path_is_helo((struct str){long_name, 255}));
    assert_false(smtp_path_is_helo((struct str){long_name, 256}));
}

static void test_bdat(void **state)
{
    static const char *const wrong[] = {"",
                                        "LAST",
                                        "-1",
                                        "1 2",
                                        "1 LAST x",
                                        "1LAST",
                                        "0x10",
                                        "1 LASTS",
                                        "1\t",
                                        "1 LAST\r",
                                        "9223372036854775808",
                                        "+1",
                                        "1,LAST"};
    uint64_t size;
    bool last;
    (void)state;
    assert_true(smtp_path_bdat(str_of("86"), &size, &last) && size == 86 && !last);
    assert_true(smtp_path_bdat(str_of("0 last"), &size, &last) && size == 0 && last);
    assert_true(smtp_path_bdat(str_of(" 007  LAST "), &size, &last) && size == 7 && last);
    assert_true(smtp_path_bdat(str_of("9223372036854775807"), &size, &last) && size == INT64_MAX);
    for (size_t i = 0; i < COUNT(wrong); i++)
        if (smtp_path_bdat(str_of(wrong[i]), &size, &last))
            fail_msg("not refused: %s", wrong[i]);
    assert_false(smtp_path_bdat((struct str)STR("1\0"), &size, &last));
}

static void test_xtext(void **state)
{
    static const char *const wrong[] = {"a b", "+", "+4", "+4g", "a=b", "\x80", "a\x7f", "++41"};
    char all[256], out[256];
    struct buf coded;
    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    buf_init(&coded, NULL, 0, 1000);
    smtp_path_xtext(&coded, (struct str){all, sizeof all});
    assert_true(str_starts(buf_str(&coded), "+00+01"));
    for (const char *p = coded.data; p < coded.data + coded.end; p++)
        assert_true(*p > ' ' && *p <= '~' && *p != '=');
    assert_int_equal(smtp_path_xtext_decode(out, sizeof out, buf_str(&coded)), 256);
    assert_memory_equal(out, all, sizeof all);
    buf_clear(&coded);
    smtp_path_xtext(&coded, str_of("a+b=c d\xe4\x7f"));
    assert_text(buf_str(&coded), "a+2Bb+3Dc+20d+E4+7F");
    buf_free(&coded);
    assert_int_equal(smtp_path_xtext_decode(out, sizeof out, str_of("a+2bx")), 3);
    assert_memory_equal(out, "a+x", 3);
    assert_int_equal(smtp_path_xtext_decode(out, 3, str_of("a+2Bxy")), -1);
    assert_int_equal(smtp_path_xtext_decode(out, sizeof out, str_of("")), 0);
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_int_equal(smtp_path_xtext_decode(out, sizeof out, str_of(wrong[i])), -1);
}

/* ---- XCLIENT ---- */

static enum smtp_path_result read_xclient(const char *args)
{
    return smtp_path_xclient(str_of(args), &xclient);
}

static void test_xclient(void **state)
{
    char text[ADDR_TEXT];
    (void)state;
    assert_int_equal(read_xclient("NAME=spike.example.org ADDR=192.0.2.1 PORT=4711 PROTO=ESMTP "
                                  "HELO=a+20b LOGIN=bob+40x destaddr=IPV6:2001:db8::1 destport=25"),
                     SMTP_PATH_OK);
    assert_int_equal(xclient.given, (1u << SMTP_XCLIENT_COUNT) - 1);
    assert_int_equal(xclient.unavailable, 0);
    assert_text(xclient.value[SMTP_XCLIENT_NAME], "spike.example.org");
    assert_text(xclient.value[SMTP_XCLIENT_HELO], "a+20b");
    assert_text(xclient.value[SMTP_XCLIENT_LOGIN], "bob+40x");
    assert_text(xclient.value[SMTP_XCLIENT_PROTO], "ESMTP");
    assert_string_equal(addr_format(&xclient.client, text), "192.0.2.1:4711");
    assert_string_equal(addr_format(&xclient.local, text), "[2001:db8::1]:25");
}

static void test_xclient_parts(void **state)
{
    char text[ADDR_TEXT];
    (void)state;
    assert_int_equal(read_xclient("proto=smtp"), SMTP_PATH_OK);
    assert_int_equal(read_xclient("PROTO=LMTP"), SMTP_PATH_OK);
    assert_int_equal(read_xclient("PORT=25"), SMTP_PATH_OK);
    assert_int_equal(xclient.given, 1u << SMTP_XCLIENT_PORT);
    assert_true(xclient.client.len == 0 && xclient.client_port == 25);
    assert_int_equal(read_xclient(" Addr=ipv6:::ffff:192.0.2.1 "), SMTP_PATH_OK);
    assert_string_equal(addr_format(&xclient.client, text), "192.0.2.1:0");
    assert_true(xclient.local.len == 0);
}

static void test_xclient_unavailable(void **state)
{
    (void)state;
    assert_int_equal(read_xclient("NAME=[TEMPUNAVAIL] ADDR=[unavailable] HELO=+5BUNAVAILABLE+5D "
                                  "LOGIN=x"),
                     SMTP_PATH_OK);
    assert_int_equal(xclient.given, 1u << SMTP_XCLIENT_NAME | 1u << SMTP_XCLIENT_ADDR |
                                        1u << SMTP_XCLIENT_HELO | 1u << SMTP_XCLIENT_LOGIN);
    assert_int_equal(xclient.unavailable,
                     1u << SMTP_XCLIENT_NAME | 1u << SMTP_XCLIENT_ADDR | 1u << SMTP_XCLIENT_HELO);
    assert_int_equal(xclient.temporary, 1u << SMTP_XCLIENT_NAME);
    assert_int_equal(xclient.value[SMTP_XCLIENT_NAME].n, 0);
    assert_int_equal(xclient.client.len, 0);
}

static void test_xclient_wrong(void **state)
{
    static const char *const wrong[] = {
        "ADDR=",         "ADDR",           "ADDR=::1",          "ADDR=[192.0.2.1]",
        "ADDR=host",     "ADDR=unix:/x",   "ADDR=IPV6:1.2.3.4", "ADDR=1.2.3.4+00",
        "PORT=65536",    "PORT=x",         "PORT=-1",           "NAME=a+20b",
        "NAME=",         "NAME=+C3+A4",    "PROTO=HTTP",        "LOGIN=a+0D+0Ab",
        "HELO=+00",      "HELO=",          "LOGIN=a+4",         "LOGIN=a=b",
        "PORT=1 PORT=1", "LOGIN=\xc3\xa4", "DESTPORT=",         "DESTADDR=x"};
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        if (read_xclient(wrong[i]) != SMTP_PATH_BAD_VALUE)
            fail_msg("not refused: %s", wrong[i]);
        assert_true(str_eq_nocase(xclient.wrong, (struct str){wrong[i], strcspn(wrong[i], "=")}));
    }
    assert_int_equal(read_xclient("ADDR=192.0.2.1 FORWARD=x"), SMTP_PATH_UNKNOWN);
    assert_text(xclient.wrong, "FORWARD");
    assert_int_equal(read_xclient(""), SMTP_PATH_BAD_SYNTAX);
    assert_int_equal(read_xclient("HELO=a\r"), SMTP_PATH_BAD_SYNTAX);
    assert_int_equal(read_xclient("HELO=a\tADDR=1.2.3.4"), SMTP_PATH_BAD_SYNTAX);
}

static void test_xclient_length(void **state)
{
    char args[400] = "LOGIN=";
    (void)state;
    memset(args + 6, 'a', 256);
    assert_int_equal(read_xclient(args), SMTP_PATH_BAD_VALUE);
    args[6 + 255] = 0;
    assert_int_equal(read_xclient(args), SMTP_PATH_OK);
    assert_string_equal(smtp_xclient_name(SMTP_XCLIENT_LOGIN), "LOGIN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_wrong_mailboxes),
        cmocka_unit_test(test_sender_and_recipient),
        cmocka_unit_test(test_wrong_form),
        cmocka_unit_test(test_controls),
        cmocka_unit_test(test_mailbox_length),
        cmocka_unit_test(test_mail_params),
        cmocka_unit_test(test_rcpt_params),
        cmocka_unit_test(test_cut_line),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_unknown_params),
        cmocka_unit_test(test_value_length),
        cmocka_unit_test(test_param_names),
        cmocka_unit_test(test_helo),
        cmocka_unit_test(test_bdat),
        cmocka_unit_test(test_xtext),
        cmocka_unit_test(test_xclient),
        cmocka_unit_test(test_xclient_parts),
        cmocka_unit_test(test_xclient_unavailable),
        cmocka_unit_test(test_xclient_wrong),
        cmocka_unit_test(test_xclient_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
