/* SPDX-License-Identifier: ISC
 *
 * access.c: the first match decides, for every order and nesting of networks. */
#include "access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RULES = 200, ROUNDS = 300, ASKED = 200 };

static struct network network(const char *text)
{
    struct network n;
    assert_true(network_parse(&n, str_of(text)));
    return n;
}

static const struct access_rule *find(const struct access *a, const char *address)
{
    struct network n = network(address);
    return access_find(a, &n);
}

static void the_first_match_decides(void **state)
{
    const struct access_rule rules[] = {
        {network("10.1.0.0/16"), false},    {network("10.1.2.3"), true},
        {network("10.0.0.0/8"), true},      {network("2001:db8::/32"), false},
        {network("2001:db8:1::/48"), true}, {network("0.0.0.0/0"), false},
    };
    (void)state;
    struct access *a = access_new(rules, sizeof rules / sizeof *rules);
    assert_ptr_equal(find(a, "10.1.2.3"), &rules[0]); /* the more exact one comes too late */
    assert_ptr_equal(find(a, "10.2.0.1"), &rules[2]);
    assert_ptr_equal(find(a, "192.0.2.1"), &rules[5]);
    assert_ptr_equal(find(a, "2001:db8:1::1"), &rules[3]);
    assert_null(find(a, "2001:db9::1")); /* 0.0.0.0/0 is IPv4 */
    assert_ptr_equal(find(a, "::ffff:10.2.0.1"), &rules[2]);
    assert_ptr_equal(find(a, "10.1.4.0/24"), &rules[0]);
    assert_ptr_equal(find(a, "10.0.0.0/15"), &rules[2]); /* 10.1.0.0/16 has only a part of it */
    assert_null(find(a, "::/0"));
    access_free(a);
}

static void no_rules_match_nothing(void **state)
{
    (void)state;
    struct access *a = access_new(NULL, 0);
    assert_null(find(a, "10.0.0.1"));
    assert_null(find(a, "::/0"));
    assert_null(find(NULL, "::1"));
    access_free(a);
}

/* ---- at random, against the list read from top to bottom ---- */

static bool is_four(const struct network *n)
{
    return n->prefix >= 96 &&
           memcmp(n->bytes, (unsigned char[12]){[10] = 0xff, [11] = 0xff}, 12) == 0;
}

static bool has(const struct network *outer, const struct network *inner)
{
    if (is_four(outer) != is_four(inner))
        return false;
    for (unsigned bit = 0; bit < outer->prefix; bit++)
        if ((outer->bytes[bit / 8] ^ inner->bytes[bit / 8]) & (0x80 >> bit % 8))
            return false;
    return outer->prefix <= inner->prefix;
}

static const struct access_rule *naive(const struct access_rule *rules, size_t count,
                                       const struct network *n)
{
    for (size_t i = 0; i < count; i++)
        if (has(&rules[i].network, n))
            return &rules[i];
    return NULL;
}

/* Few different bytes, so that networks lie within one another and stand twice. */
static struct network any_network(unsigned prefix)
{
    static const unsigned char some[] = {0, 0, 0, 0xff, 0x80, 1};
    struct network n = {.prefix = (uint8_t)prefix};
    bool four = prefix >= 96 && rand() % 2;
    for (unsigned i = 0; i < 16; i++)
        n.bytes[i] = some[(size_t)rand() % sizeof some];
    if (four)
        memcpy(n.bytes, (unsigned char[12]){[10] = 0xff, [11] = 0xff}, 12);
    for (unsigned bit = prefix; bit < 128; bit++)
        n.bytes[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
    return n;
}

static void as_the_list_says(void **state)
{
    static struct access_rule rules[RULES];
    (void)state;
    srand(6);
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t count = (size_t)rand() % RULES;
        for (size_t i = 0; i < count; i++)
            rules[i] = (struct access_rule){any_network((unsigned)rand() % 129), rand() % 2};
        struct access *a = access_new(rules, count);
        for (unsigned i = 0; i < ASKED; i++) {
            struct network n = any_network(rand() % 4 ? 128 : (unsigned)rand() % 129);
            if (count && rand() % 2)
                memcpy(n.bytes, rules[(size_t)rand() % count].network.bytes, (size_t)rand() % 17);
            for (unsigned bit = n.prefix; bit < 128; bit++)
                n.bytes[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
            assert_ptr_equal(access_find(a, &n), naive(rules, count, &n));
        }
        access_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_match_decides),
        cmocka_unit_test(no_rules_match_nothing),
        cmocka_unit_test(as_the_list_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
