/* SPDX-License-Identifier: ISC
 *
 * Sealed cookies and login tokens: what is opened, and what is as good as none. */
#include "web/cookie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define KEY_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

enum { NOW = 1700000000, HOUR = 3600 };

static const struct cookie_route route = {
    .time = NOW * 1000ull,
    .name = STR("node1"),
    .host = STR("10.0.0.11"),
    .port = 8080,
    .login = STR("alice@example.org"),
};

static struct cookie_keys *keys_of(const char *text)
{
    const char *wrong;
    unsigned line;
    struct cookie_keys *keys = cookie_keys_new(text, &wrong, &line);
    assert_non_null(keys);
    return keys;
}

static void refused(const char *text, unsigned at, const char *why)
{
    const char *wrong;
    unsigned line;
    assert_null(cookie_keys_new(text, &wrong, &line));
    assert_string_equal(wrong, why);
    assert_int_equal(line, at);
}

static void reads_keys(void **state)
{
    (void)state;
    cookie_keys_free(keys_of(KEY_A));
    cookie_keys_free(keys_of("\n" KEY_A " \r\n\n" KEY_B "\n"));
    cookie_keys_free(NULL);
    refused("", 0, "there is no key");
    refused("\n\n", 2, "there is no key");
    refused(KEY_A "\n" KEY_A "0\n", 2, "a key is 64 hexadecimal digits");
    refused("0123", 1, "a key is 64 hexadecimal digits");
    refused(" " KEY_A, 1, "a key is 64 hexadecimal digits");
    refused(KEY_A KEY_B, 1, "a key is 64 hexadecimal digits");
    char many[17 * 65 + 1] = "";
    for (size_t i = 0; i < 17; i++)
        strcat(many, KEY_A "\n");
    refused(many, 17, "there are more than 16 keys");
}

/* Whether TEXT is opened by KEYS at a time, as the route above. */
static bool opens(struct cookie_keys *keys, const char *service, const char *text, uint64_t now)
{
    char room[COOKIE_ROOM];
    struct cookie_route found;
    if (!cookie_open(keys, service, str_of(text), now, HOUR, room, &found))
        return false;
    assert_true(str_eq(found.name, route.name));
    assert_true(str_eq(found.host, route.host));
    assert_true(str_eq(found.login, route.login));
    assert_int_equal(found.port, route.port);
    assert_int_equal(found.time, route.time);
    return true;
}

static void opens_what_was_sealed(void **state)
{
    struct cookie_keys *keys = keys_of(KEY_A);
    char text[COOKIE_TEXT], other[COOKIE_TEXT];
    (void)state;
    assert_true(cookie_seal(keys, "webmail", &route, text));
    assert_true(opens(keys, "webmail", text, NOW));
    assert_true(opens(keys, "webmail", text, NOW + HOUR - 1));
    assert_false(opens(keys, "webmail", text, NOW + HOUR));
    assert_true(opens(keys, "webmail", text, NOW - 60)); /* clocks differ */
    assert_false(opens(keys, "webmail", text, NOW - 61));
    assert_false(opens(keys, "other", text, NOW));
    /* No two are alike, and nothing of them can be read. */
    assert_true(cookie_seal(keys, "webmail", &route, other));
    assert_string_not_equal(text, other);
    for (const char *c = text; *c; c++)
        assert_true(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", *c));
    cookie_keys_free(keys);
}

static void keys_can_be_rotated(void **state)
{
    struct cookie_keys *old = keys_of(KEY_A), *both = keys_of(KEY_B "\n" KEY_A),
                       *new = keys_of(KEY_B);
    char before[COOKIE_TEXT], after[COOKIE_TEXT];
    (void)state;
    assert_true(cookie_seal(old, "webmail", &route, before));
    assert_true(cookie_seal(both, "webmail", &route, after));
    assert_true(opens(both, "webmail", before, NOW));
    assert_true(opens(both, "webmail", after, NOW));
    assert_true(opens(new, "webmail", after, NOW));
    assert_false(opens(new, "webmail", before, NOW));
    assert_false(opens(old, "webmail", after, NOW));
    cookie_keys_free(old);
    cookie_keys_free(both);
    cookie_keys_free(new);
}

static void changed_is_none(void **state)
{
    struct cookie_keys *keys = keys_of(KEY_A);
    char text[COOKIE_TEXT];
    (void)state;
    assert_true(cookie_seal(keys, "webmail", &route, text));
    for (size_t i = 0; text[i]; i++) {
        char kept = text[i];
        text[i] = kept == 'A' ? 'B' : 'A';
        assert_false(opens(keys, "webmail", text, NOW));
        text[i] = kept;
    }
    for (size_t n = strlen(text); n-- > 0;) {
        text[n] = 0;
        assert_false(opens(keys, "webmail", text, NOW));
    }
    char large[8192];
    memset(large, 'A', sizeof large);
    large[sizeof large - 1] = 0;
    assert_false(opens(keys, "webmail", large, NOW));
    assert_false(opens(keys, "webmail", "AQ==", NOW));
    cookie_keys_free(keys);
}

static void parts_may_be_long_or_empty(void **state)
{
    struct cookie_keys *keys = keys_of(KEY_A);
    char text[COOKIE_TEXT], room[COOKIE_ROOM], long_one[COOKIE_PART_MAX + 1];
    (void)state;
    memset(long_one, 'x', sizeof long_one);
    struct str most = {long_one, COOKIE_PART_MAX};
    struct cookie_route found, large = {NOW * 1000ull, most, most, 65535, most};
    assert_true(cookie_seal(keys, "webmail", &large, text));
    assert_true(cookie_open(keys, "webmail", str_of(text), NOW, HOUR, room, &found));
    assert_int_equal(found.login.n, COOKIE_PART_MAX);
    assert_int_equal(found.port, 65535);
    large = (struct cookie_route){.time = NOW * 1000ull};
    assert_true(cookie_seal(keys, "webmail", &large, text));
    assert_true(cookie_open(keys, "webmail", str_of(text), NOW, HOUR, room, &found));
    assert_int_equal(found.host.n, 0);
    large.login = (struct str){long_one, sizeof long_one};
    assert_false(cookie_seal(keys, "webmail", &large, text));
    cookie_keys_free(keys);
}

static void has_a_key_of_its_own(void **state)
{
    struct cookie_keys *keys = cookie_keys_own();
    char text[COOKIE_TEXT];
    (void)state;
    assert_true(cookie_seal(keys, "webmail", &route, text));
    cookie_keys_free(keys);
    assert_ptr_equal(cookie_keys_own(), keys);
    assert_true(opens(keys, "webmail", text, NOW));
}

static void tokens_are_for_a_visit(void **state)
{
    struct cookie_keys *old = keys_of(KEY_A), *both = keys_of(KEY_B "\n" KEY_A),
                       *new = keys_of(KEY_B);
    char visit[COOKIE_VISIT_TEXT], other[COOKIE_VISIT_TEXT], token[COOKIE_TOKEN_TEXT];
    (void)state;
    cookie_visit(visit);
    cookie_visit(other);
    assert_string_not_equal(visit, other);
    assert_true(cookie_is_visit(str_of(visit)));
    assert_false(cookie_is_visit(str_of("")));
    assert_false(cookie_is_visit(str_of("!aaaaaaaaaaaaaaaaaaaaaaa")));
    cookie_token(old, str_of(visit), NOW, token);
    struct str t = str_of(token);
    assert_true(cookie_token_fits(old, str_of(visit), t, NOW, HOUR));
    assert_true(cookie_token_fits(both, str_of(visit), t, NOW + HOUR - 1, HOUR));
    assert_false(cookie_token_fits(new, str_of(visit), t, NOW, HOUR));
    assert_false(cookie_token_fits(old, str_of(visit), t, NOW + HOUR, HOUR));
    assert_false(cookie_token_fits(old, str_of(other), t, NOW, HOUR));
    assert_false(cookie_token_fits(old, str_of(""), t, NOW, HOUR));
    for (size_t i = 0; token[i]; i++) {
        char kept = token[i];
        token[i] = kept == 'A' ? 'B' : 'A';
        assert_false(cookie_token_fits(old, str_of(visit), t, NOW, HOUR));
        token[i] = kept;
    }
    assert_false(cookie_token_fits(old, str_of(visit), str_of(""), NOW, HOUR));
    cookie_keys_free(old);
    cookie_keys_free(both);
    cookie_keys_free(new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_keys),
        cmocka_unit_test(opens_what_was_sealed),
        cmocka_unit_test(keys_can_be_rotated),
        cmocka_unit_test(changed_is_none),
        cmocka_unit_test(parts_may_be_long_or_empty),
        cmocka_unit_test(has_a_key_of_its_own),
        cmocka_unit_test(tokens_are_for_a_visit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
