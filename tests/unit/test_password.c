/* SPDX-License-Identifier: ISC
 *
 * auth/password.c: stored passwords that other programs made (doveadm pw, openssl passwd, Python's
 * hashlib), those that never match, and the time for a login that nobody has. */
#include "auth/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define PASSWORD "correct horse"

static const char *const good[] = {
    PASSWORD,
    "{CLEAR}" PASSWORD,
    "{CLEARTEXT}" PASSWORD, /* doveadm */
    "{plain}" PASSWORD,
    /* hashlib */
    "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
    "{SHA256}QQTTb42iwlQ0n4WDZ5Pr4CngyVcGOjTJHC6SAxh7VjE=",
    "{SHA512}VraY3v7bWkNbY0r+MyC7rz/c2SC2xQOkRvx7endrKY1HnRumqLYXgI6wv1ec6aldZoNHvKtxSQhayTyyeZUZew"
    "==",
    "{MD5}PLTnMmMfR+brlh80VUt83g==",
    "{SSHA}9MlPILL9mn6eS3xbB7DSTqz/MxowMTIzNDU2Nzg5",
    "{SSHA256}uwS5r8k9cCvrxpARL4DMvos6B5403+E0MAOz9Gu3a2MwMTIzNDU2Nzg5",
    "{SSHA512}vOUqbgYtE/aaozQp47O9U4jSaD95k+aq3ORpna9nSV0iJnKsjM6nBlkAXdTR6S9+2lwum7bq4OskjbsJ59mby"
    "zAxMjM0NTY3ODk=",
    "{SMD5}i08RfAzWF+4wMys8KFd26jAxMjM0NTY3ODk=",
    /* doveadm */
    "{SSHA}GofI8ImnD3LKwcBL+fQIy4T1LrkYy/sk",
    "{SSHA256}w5etnbpNxmi1WZ+go0Ha29qC7OarLQI6vjRzOlIKvSGCPbIZ",
    "{ssha512}9AanopGqQSspw3KjgvHWgXB+tlJL8oEzUy93zEqyHGfZzUVjSsW9wKeasnhmgXagn5lqTdDlyR4AlJWVxCrbb"
    "0V1qUU=",
    "{SMD5}0wwQU+LHPWiHPSlRw7UHFtk2ytE=",
    "{CRYPT}$2y$04$6n5nlBQGA12P0JJsDZcL5OtZck.veGkSC1q18BE4L7y2gtVlxcDFO",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$/UANyocwK2RTOX8hapLIBg$"
    "FVVQoMQ29C1aHmo5u9xYlMwgoiaA0LPnPxX3Ie1mNiU",
    "{ARGON2I}$argon2i$v=19$m=32768,t=3,p=1$iyCucBCfI3M+GFtGKiX3zg$"
    "fXXZrAZn1vUrDgbyH32FzhvBMeg0OqGb0D9iViJ8h4E",
    "{ARGON2}$argon2i$v=19$m=32768,t=3,p=1$iyCucBCfI3M+GFtGKiX3zg$"
    "fXXZrAZn1vUrDgbyH32FzhvBMeg0OqGb0D9iViJ8h4E",
    /* openssl passwd */
    "{crypt}$1$saltsalt$NuzA7WTAelpl95xgBGWN60",
    "{CRYPT}$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
    "{CRYPT}$6$saltsalt$"
    "hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
    /* perl, crypt(3) */
    "{CRYPT}$y$j75$F5Jx5fExrKuPp53xLKQ..1$aEFV0VcEI5Jx.rzUhLbfRgipTKSbuNF0ldHPkDpnco3",
};

static const char *const unusable[] = {
    "",
    "{",
    "{}",
    "{}" PASSWORD,
    "{PLAIN}",
    "{PLAIN" PASSWORD,
    "{ROT13}pbeerpg ubefr",
    "{SHA}",
    "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A",      /* no padding */
    "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A= ",    /* a blank */
    "{SHA}PLTnMmMfR+brlh80VUt83g==",         /* too short */
    "{SHA}GofI8ImnD3LKwcBL+fQIy4T1LrkYy/sk", /* with a salt */
    "{SSHA}L55TUjtiq8FBorTWAZ0jy6g129A=",    /* without one */
    "{MD5}$1$saltsalt$NuzA7WTAelpl95xgBGWN60",
    "{CRYPT}",
    "{CRYPT}*",
    "{CRYPT}!",
    "{CRYPT}!!",
    "{CRYPT}x",
    "{CRYPT}vMdl1TrQsGOc",                        /* cut off */
    "{CRYPT}!$1$saltsalt$NuzA7WTAelpl95xgBGWN60", /* locked */
    "{CRYPT}*************",
    "{CRYPT}$6$saltsalt$",
    "{CRYPT}$6$saltsaltsalt",
    "{CRYPT}$99$saltsalt$NuzA7WTAelpl95xgBGWN60",
    "{ARGON2}",
    "{ARGON2}" PASSWORD,
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$/UANyocwK2RTOX8hapLIBg$",
    "{ARGON2}$argon2d$v=19$m=65536,t=3,p=1$/UANyocwK2RTOX8hapLIBg$"
    "FVVQoMQ29C1aHmo5u9xYlMwgoiaA0LPnPxX3Ie1mNiU",
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static enum password_result check(const char *stored, const char *given)
{
    return password_check(str_of(stored), str_of(given));
}

static void test_right_and_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        if (!password_usable(str_of(good[i])) || check(good[i], PASSWORD) != PASSWORD_MATCH)
            fail_msg("refused: %s", good[i]);
        assert_int_equal(check(good[i], "correct horsf"), PASSWORD_WRONG);
        assert_int_equal(check(good[i], ""), PASSWORD_WRONG);
    }
}

static void test_near_misses(void **state)
{
    static const char *const given[] = {
        "correct hors", "correct horse ", "Correct horse", "{CLEAR}" PASSWORD, "{", "{PLAIN}"};
    (void)state;
    for (size_t i = 0; i < COUNT(given); i++)
        for (size_t k = 0; k < COUNT(good); k++)
            if (!strstr(good[k], "argon2")) /* these take long, and are libsodium's */
                assert_int_equal(check(good[k], given[i]), PASSWORD_WRONG);
}

/* The oldest crypt, made by doveadm: eight bytes count. */
static void test_des(void **state)
{
    static const char stored[] = "{CRYPT}vMdl1TrQsGOcs";
    (void)state;
    assert_int_equal(check(stored, PASSWORD), PASSWORD_MATCH);
    assert_int_equal(check(stored, "correct"), PASSWORD_WRONG);
    assert_int_equal(check(stored, ""), PASSWORD_WRONG);
}

static void test_empty_passwords(void **state)
{
    static const char *const of_nothing[] = {
        "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=",          /* hashlib */
        "{CRYPT}$1$saltsalt$5Jhcit4zN9UlGiA0txPkO0"}; /* openssl */
    (void)state;
    for (size_t i = 0; i < COUNT(of_nothing); i++)
        assert_int_equal(check(of_nothing[i], ""), PASSWORD_WRONG);
}

static void test_a_nul_ends_nothing(void **state)
{
    static const char given[] = PASSWORD "\0more", stored[] = "{PLAIN}" PASSWORD "\0more";
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_int_equal(password_check(str_of(good[i]), (struct str){given, sizeof given - 1}),
                         PASSWORD_WRONG);
    assert_int_equal(password_check((struct str){stored, sizeof stored - 1}, str_of(PASSWORD)),
                     PASSWORD_WRONG);
}

static void test_unusable(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(unusable); i++) {
        if (password_usable(str_of(unusable[i])))
            fail_msg("usable: %s", unusable[i]);
        assert_int_equal(check(unusable[i], PASSWORD), PASSWORD_UNUSABLE);
        assert_int_equal(check(unusable[i], unusable[i]), PASSWORD_UNUSABLE);
        assert_int_equal(check(unusable[i], ""), PASSWORD_UNUSABLE);
    }
}

static void test_lengths(void **state)
{
    char stored[1025], given[8192];
    (void)state;
    memset(stored, 'a', sizeof stored);
    memset(given, 'a', sizeof given);
    struct str longest = {stored, 1024};
    assert_int_equal(password_check(longest, longest), PASSWORD_MATCH);
    assert_false(password_usable((struct str){stored, 1025}));
    for (size_t i = 0; i < COUNT(good); i++)
        assert_int_equal(password_check(str_of(good[i]), (struct str){given, sizeof given}),
                         PASSWORD_WRONG);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The least of a few: what a busy machine adds does not count. */
static uint64_t least_ns(const char *stored)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        uint64_t start = cpu_ns();
        if (stored)
            check(stored, "guess");
        else
            password_pretend(str_of("guess"));
        uint64_t took = cpu_ns() - start;
        least = took < least ? took : least;
    }
    return least;
}

static void test_time_does_not_tell(void **state)
{
    static const char *const kinds[] = {"{CRYPT}$6$", "{CRYPT}$2y$", "{SSHA512}", "{ARGON2I}"};
    (void)state;
    assert_true(least_ns(NULL) > 200000); /* a slow hash before anything was compared */
    for (size_t i = 0; i < COUNT(kinds); i++) {
        size_t k = 0;
        while (strncmp(good[k], kinds[i], strlen(kinds[i])) != 0)
            k++;
        uint64_t wrong = least_ns(good[k]), nobody = least_ns(NULL);
        assert_true(nobody < 2 * wrong + 20000 && wrong < 2 * nobody + 20000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_does_not_tell), /* first: see there */
        cmocka_unit_test(test_right_and_wrong),
        cmocka_unit_test(test_near_misses),
        cmocka_unit_test(test_des),
        cmocka_unit_test(test_empty_passwords),
        cmocka_unit_test(test_a_nul_ends_nothing),
        cmocka_unit_test(test_unusable),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
