/* SPDX-License-Identifier: ISC
 *
 * auth/sasl.c: what clients may say and what they may not, and that a node gets the same again. */
#include "auth/sasl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char lent[64];
static struct creds creds;
static struct sasl sasl;

static int setup(void **state)
{
    (void)state;
    creds_init(&creds, lent, sizeof lent);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    creds_wipe(&creds);
    return 0;
}

/* A response of N raw bytes. */
static enum sasl_result say(const char *bytes, size_t n)
{
    static char text[16384];
    return sasl_step(&sasl, (struct str){text, base64_encode(text, bytes, n)});
}

static enum sasl_result initial(enum sasl_mech mech, const char *bytes, size_t n)
{
    sasl_start(&sasl, mech, &creds, NULL);
    return say(bytes, n);
}

static enum sasl_result line(const char *text)
{
    return sasl_step(&sasl, str_of(text));
}

static void assert_creds(enum sasl_mech mech, const char *login, const char *authcid,
                         const char *secret)
{
    assert_false(creds.malformed);
    assert_int_equal(creds.mech, mech);
    assert_string_equal(creds.login, login);
    assert_string_equal(creds.authcid, authcid);
    assert_true(str_eq(buf_str(&creds.secret), str_of(secret)));
}

#define INITIAL(mech, text) initial(mech, text, sizeof(text) - 1)

static void assert_malformed(enum sasl_result result)
{
    assert_int_equal(result, SASL_DONE);
    assert_true(creds.malformed);
}

static void test_names(void **state)
{
    enum sasl_mech mech;
    (void)state;
    assert_true(sasl_find(str_of("xoauth2"), 1u << SASL_XOAUTH2, &mech));
    assert_int_equal(mech, SASL_XOAUTH2);
    assert_false(sasl_find(str_of("XOAUTH2"), 1u << SASL_PLAIN, &mech));
    assert_false(sasl_find(str_of("PLAI"), ~0u, &mech));
    assert_false(sasl_find(str_of(""), ~0u, &mech));
    assert_string_equal(sasl_name(SASL_OAUTHBEARER), "OAUTHBEARER");
}

static void test_plain(void **state)
{
    (void)state;
    assert_int_equal(INITIAL(SASL_PLAIN, "\0bob\0se cret"), SASL_DONE);
    assert_creds(SASL_PLAIN, "bob", "", "se cret");
    assert_int_equal(INITIAL(SASL_PLAIN, "Bob\0bob\0secret"), SASL_DONE);
    assert_creds(SASL_PLAIN, "bob", "", "secret");
    assert_int_equal(INITIAL(SASL_PLAIN, "bob\0admin\0secret"), SASL_DONE);
    assert_creds(SASL_PLAIN, "bob", "admin", "secret");
    assert_int_equal(INITIAL(SASL_PLAIN, "\0b\xc3\xb6"
                                         "b\0p\xc3\xa4ss"),
                     SASL_DONE);
    assert_creds(SASL_PLAIN,
                 "b\xc3\xb6"
                 "b",
                 "", "p\xc3\xa4ss");
}

static void test_plain_asked_for(void **state)
{
    (void)state;
    sasl_start(&sasl, SASL_PLAIN, &creds, NULL);
    assert_int_equal(sasl_step(&sasl, (struct str){NULL, 0}), SASL_CONTINUE);
    assert_string_equal(sasl.challenge, "");
    assert_int_equal(line("AGJvYgBzZWNyZXQ="), SASL_DONE);
    assert_creds(SASL_PLAIN, "bob", "", "secret");
}

static void test_plain_malformed(void **state)
{
    (void)state;
    assert_malformed(INITIAL(SASL_PLAIN, "\0bob\0"));
    assert_malformed(INITIAL(SASL_PLAIN, "\0\0secret"));
    assert_malformed(INITIAL(SASL_PLAIN, "bob\0\0secret"));
    assert_malformed(INITIAL(SASL_PLAIN, "\0bob\0sec\0ret"));
    assert_malformed(INITIAL(SASL_PLAIN, "\0bob\r\nDELE 1\0secret"));
    assert_malformed(INITIAL(SASL_PLAIN, "bob\0ad\nmin\0secret"));
    assert_malformed(INITIAL(SASL_PLAIN, "\0bob\0sec\x7fret"));
    assert_int_equal(INITIAL(SASL_PLAIN, "bob\0secret"), SASL_ERROR);
    assert_int_equal(INITIAL(SASL_PLAIN, ""), SASL_ERROR);
    assert_int_equal(INITIAL(SASL_PLAIN, "\0bob\0secret"), SASL_DONE);
    assert_false(creds.malformed);
}

static void test_sizes(void **state)
{
    char message[9217];
    (void)state;
    memset(message, 'x', sizeof message);
    message[0] = message[256] = 0;
    assert_int_equal(initial(SASL_PLAIN, message, 257 + SECRET_MAX), SASL_DONE);
    assert_false(creds.malformed);
    assert_int_equal(strlen(creds.login), LOGIN_MAX);
    assert_int_equal(buf_len(&creds.secret), SECRET_MAX);
    assert_malformed(initial(SASL_PLAIN, message, 258 + SECRET_MAX));
    assert_malformed(initial(SASL_PLAIN, message, 9216));
    assert_int_equal(initial(SASL_PLAIN, message, 9217), SASL_ERROR);
    message[256] = 'x';
    message[257] = 0;
    assert_malformed(initial(SASL_PLAIN, message, 300));
    assert_string_equal(creds.login, "");
}

static void test_login(void **state)
{
    (void)state;
    sasl_start(&sasl, SASL_LOGIN, &creds, NULL);
    assert_int_equal(sasl_step(&sasl, (struct str){NULL, 0}), SASL_CONTINUE);
    assert_string_equal(sasl.challenge, "VXNlcm5hbWU6");
    assert_int_equal(say("bob", 3), SASL_CONTINUE);
    assert_string_equal(sasl.challenge, "UGFzc3dvcmQ6");
    assert_int_equal(say("secret", 6), SASL_DONE);
    assert_creds(SASL_PLAIN, "bob", "", "secret");

    assert_int_equal(INITIAL(SASL_LOGIN, "eve"), SASL_CONTINUE);
    assert_string_equal(sasl.challenge, "UGFzc3dvcmQ6");
    assert_int_equal(say("pass", 4), SASL_DONE);
    assert_creds(SASL_PLAIN, "eve", "", "pass");

    assert_int_equal(INITIAL(SASL_LOGIN, "eve"), SASL_CONTINUE);
    assert_malformed(line(""));
    assert_int_equal(INITIAL(SASL_LOGIN, "e\tve"), SASL_CONTINUE);
    assert_malformed(say("pass", 4));
    assert_int_equal(INITIAL(SASL_LOGIN, "eve"), SASL_CONTINUE);
    assert_int_equal(line("="), SASL_ERROR); /* stands for nothing in an initial response only */
}

#define XOAUTH2 "user=bob@example.org\1auth=Bearer abc.def\1\1"
#define BEARER  "n,a=b=2Co=3Db,\1host=mail.example.org\1auth=Bearer abc\1\1"

static void test_tokens(void **state)
{
    (void)state;
    assert_int_equal(INITIAL(SASL_XOAUTH2, XOAUTH2), SASL_DONE);
    assert_creds(SASL_XOAUTH2, "bob@example.org", "", XOAUTH2);
    assert_int_equal(INITIAL(SASL_OAUTHBEARER, BEARER), SASL_DONE);
    assert_creds(SASL_OAUTHBEARER, "b,o=b", "", BEARER);
}

static void test_tokens_malformed(void **state)
{
    static char longest[600] = "n,a=";
    (void)state;
    assert_malformed(INITIAL(SASL_XOAUTH2, "user=\1auth=Bearer abc\1\1"));
    assert_malformed(INITIAL(SASL_XOAUTH2, "user=b\nob\1auth=Bearer abc\1\1"));
    assert_malformed(INITIAL(SASL_XOAUTH2, "user=bob\1auth=Bearer a\r\nbc\1\1"));
    assert_malformed(INITIAL(SASL_XOAUTH2, "user=bob\1auth=Bearer a\0bc\1\1"));
    assert_malformed(INITIAL(SASL_OAUTHBEARER, "n,,\1auth=Bearer abc\1\1"));
    assert_malformed(INITIAL(SASL_OAUTHBEARER, "n,a=b\0b,\1auth=Bearer abc\1\1"));
    memset(longest + 4, 'x', 256);
    strcpy(longest + 260, ",\1auth=Bearer abc\1\1");
    assert_malformed(initial(SASL_OAUTHBEARER, longest, strlen(longest)));
}

static void test_longest_token(void **state)
{
    static char message[SECRET_MAX + 1];
    static const char head[] = "user=bob\1auth=Bearer ";
    (void)state;
    memset(message, 'x', sizeof message);
    memcpy(message, head, sizeof head - 1);
    memcpy(message + SECRET_MAX - 2, "\1\1", 2);
    assert_int_equal(initial(SASL_XOAUTH2, message, SECRET_MAX), SASL_DONE);
    assert_false(creds.malformed);
    memcpy(message + SECRET_MAX - 2, "x\1\1", 3);
    assert_malformed(initial(SASL_XOAUTH2, message, SECRET_MAX + 1));
}

static void test_tokens_wrong(void **state)
{
    static const char *const xoauth2[] = {"",
                                          "user=bob",
                                          "user=bob\1",
                                          "user=bob\1\1",
                                          "user=bob\1auth=Bearer abc\1",
                                          "user=bob\1auth=Bearer \1\1",
                                          "user=bob\1auth=Basic abc\1\1",
                                          "user=bob\1auth=Bearer abc\1\1x",
                                          "name=bob\1auth=Bearer abc\1\1"};
    static const char *const bearer[] = {"\1",
                                         "n",
                                         "n,a=bob",
                                         "n,a=bob,",
                                         "n,a=bob,\1\1",
                                         "n,a=bob,x\1auth=Bearer abc\1\1",
                                         "n,bob,\1auth=Bearer abc\1\1",
                                         "p=tls-unique,a=bob,\1auth=Bearer abc\1\1",
                                         "n,a=bo=41,\1auth=Bearer abc\1\1",
                                         "n,a=bob=,\1auth=Bearer abc\1\1",
                                         "n,a=bob,\1auth=Bearer abc\1"};
    (void)state;
    for (size_t i = 0; i < sizeof xoauth2 / sizeof *xoauth2; i++)
        assert_int_equal(initial(SASL_XOAUTH2, xoauth2[i], strlen(xoauth2[i])), SASL_ERROR);
    for (size_t i = 0; i < sizeof bearer / sizeof *bearer; i++)
        assert_int_equal(initial(SASL_OAUTHBEARER, bearer[i], strlen(bearer[i])), SASL_ERROR);
}

static enum sasl_result external(const char *name, const char *response)
{
    sasl_start(&sasl, SASL_EXTERNAL, &creds, name);
    return response ? line(response) : sasl_step(&sasl, (struct str){NULL, 0});
}

static void test_external(void **state)
{
    (void)state;
    assert_int_equal(external("bob@example.org", "="), SASL_DONE);
    assert_creds(SASL_EXTERNAL, "bob@example.org", "", "");
    assert_int_equal(external("bob@example.org", "Qk9CQGV4YW1wbGUub3Jn"), SASL_DONE);
    assert_creds(SASL_EXTERNAL, "bob@example.org", "", "");
    assert_int_equal(external("bob@example.org", NULL), SASL_CONTINUE);
    assert_int_equal(line(""), SASL_DONE);
    assert_creds(SASL_EXTERNAL, "bob@example.org", "", "");
    assert_malformed(external("bob@example.org", "ZXZl"));
    assert_malformed(external("bob\n", "="));
    assert_int_equal(external(NULL, "="), SASL_ERROR);
    assert_int_equal(external(NULL, NULL), SASL_ERROR);
}

static void test_cancel_and_nonsense(void **state)
{
    static const char *const nonsense[] = {"AGJvYgBzZWNyZXQ", "AGJv YgBzZWNyZXQ=", "====", "A",
                                           "AGJvYgBzZWNyZXR="};
    (void)state;
    sasl_start(&sasl, SASL_PLAIN, &creds, NULL);
    assert_int_equal(sasl_step(&sasl, (struct str){NULL, 0}), SASL_CONTINUE);
    assert_int_equal(line("*"), SASL_CANCELLED);
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        sasl_start(&sasl, SASL_PLAIN, &creds, NULL);
        assert_int_equal(line(nonsense[i]), SASL_ERROR);
    }
}

static void test_creds_set(void **state)
{
    static char big[SECRET_MAX + 2000];
    (void)state;
    memset(big, 'x', sizeof big);
    creds_set(&creds, str_of("bob"), str_of("s p"));
    assert_creds(SASL_PLAIN, "bob", "", "s p");
    creds_set(&creds, str_of("bob"), str_of(""));
    assert_true(creds.malformed);
    creds_set(&creds, str_of(creds.login), str_of("later"));
    assert_creds(SASL_PLAIN, "bob", "", "later");
    creds_set(&creds, str_of(""), str_of("secret"));
    assert_true(creds.malformed);
    creds_set(&creds, (struct str){"b\0b", 3}, str_of("secret"));
    assert_true(creds.malformed);
    creds_set(&creds, str_of("bob"), str_of("sec\rret"));
    assert_true(creds.malformed);
    creds_set(&creds, (struct str){big, LOGIN_MAX + 1}, str_of("secret"));
    assert_true(creds.malformed);
    creds_set(&creds, str_of("bob"), (struct str){big, SECRET_MAX + 1});
    assert_true(creds.malformed);
    creds_set(&creds, str_of("bob"), (struct str){big, sizeof big});
    assert_true(creds.malformed);
    creds_set(&creds, (struct str){big, LOGIN_MAX}, (struct str){big, SECRET_MAX});
    assert_false(creds.malformed);
}

/* Two of them: a pointer may have one in it. */
static bool holds_twice(const void *memory, size_t n, char byte)
{
    const char two[] = {byte, byte};
    return memmem(memory, n, two, sizeof two) != NULL;
}

static void test_wiped(void **state)
{
    (void)state;
    assert_int_equal(INITIAL(SASL_PLAIN, "QQ\0QQ\0QQQQQQQQ"), SASL_DONE);
    assert_true(holds_twice(&creds, sizeof creds, 'Q') && holds_twice(lent, sizeof lent, 'Q'));
    creds_wipe(&creds);
    assert_false(holds_twice(&creds, sizeof creds, 'Q') || holds_twice(lent, sizeof lent, 'Q'));
    sasl_start(&sasl, SASL_PLAIN, &creds, NULL);
    assert_int_equal(line("UVFRUVFR****"), SASL_ERROR);
    assert_false(holds_twice(lent, sizeof lent, 'Q'));
}

static void assert_initial(const struct sasl_login *login, const char *expected)
{
    struct buf out;
    buf_init(&out, NULL, 0, 1000);
    sasl_initial(&out, login);
    assert_true(str_eq(buf_str(&out), str_of(expected)));
    buf_free(&out);
}

static void test_initial(void **state)
{
    struct sasl_login plain = {SASL_PLAIN, "", "bob", str_of("secret")};
    struct sasl_login master = {SASL_PLAIN, "bob", "admin", str_of("pw")};
    struct sasl_login token = {SASL_XOAUTH2, "", "", str_of(XOAUTH2)};
    struct sasl_login empty = {SASL_EXTERNAL, "", "", str_of("")};
    (void)state;
    assert_initial(&plain, "AGJvYgBzZWNyZXQ=");
    assert_initial(&master, "Ym9iAGFkbWluAHB3");
    assert_initial(&token, "dXNlcj1ib2JAZXhhbXBsZS5vcmcBYXV0aD1CZWFyZXIgYWJjLmRlZgEB");
    assert_initial(&empty, "=");
}

/* Every length once: the message is encoded over its own bytes. */
static void test_initial_is_read_back(void **state)
{
    char text[200];
    struct buf out;
    (void)state;
    buf_init(&out, NULL, 0, 1000);
    for (int n = 1; n < (int)sizeof text; n++) {
        snprintf(text, sizeof text, "%0*d", n, n);
        struct sasl_login login = {SASL_PLAIN, "bob", "admin", str_of(text)};
        buf_clear(&out);
        sasl_initial(&out, &login);
        sasl_start(&sasl, SASL_PLAIN, &creds, NULL);
        assert_int_equal(sasl_step(&sasl, buf_str(&out)), SASL_DONE);
        assert_creds(SASL_PLAIN, "bob", "admin", text);
    }
    buf_free(&out);
}

static void test_no_room(void **state)
{
    struct sasl_login login = {SASL_PLAIN, "", "bob", str_of("secret")};
    struct buf out;
    (void)state;
    buf_init(&out, NULL, 0, 15);
    sasl_initial(&out, &login);
    assert_true(out.full);
    assert_int_equal(buf_len(&out), 0);
    buf_clear(&out);
    sasl_encode(&out, str_of("0123456789ab"));
    assert_true(out.full);
    buf_free(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names),           TEST(test_plain),
        TEST(test_plain_asked_for), TEST(test_plain_malformed),
        TEST(test_sizes),           TEST(test_login),
        TEST(test_tokens),          TEST(test_tokens_malformed),
        TEST(test_longest_token),   TEST(test_tokens_wrong),
        TEST(test_external),        TEST(test_cancel_and_nonsense),
        TEST(test_creds_set),       TEST(test_wiped),
        TEST(test_initial),         TEST(test_initial_is_read_back),
        TEST(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
