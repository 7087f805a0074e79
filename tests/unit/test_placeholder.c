/* SPDX-License-Identifier: ISC
 *
 * auth/placeholder.c: what each placeholder stands for, and that no byte of a login is ever more
 * than that byte, in a filter (RFC 4515) and in a DN (RFC 4514), wherever it stands. */
#include "auth/placeholder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct placeholder_values bob = {"Bob@Example.org", "bob@example.org", "imap"};
static char out[4096];

static const char *expand(const char *text, const struct placeholder_values *values,
                          enum placeholder_place place)
{
    memset(out, 'x', sizeof out);
    assert_true(placeholder_expand(out, sizeof out, text, values, place));
    return out;
}

static const char *in_filter(const char *text, const char *login, const char *email)
{
    struct placeholder_values values = {login, email, "imap"};
    return expand(text, &values, PLACEHOLDER_FILTER);
}

static const char *in_dn(const char *text, const char *login)
{
    struct placeholder_values values = {login, login, "imap"};
    return expand(text, &values, PLACEHOLDER_DN);
}

/* ---- what they stand for ---- */

static void test_values(void **state)
{
    (void)state;
    assert_string_equal(expand("%e|%u|%n|%d|%s|%%|", &bob, PLACEHOLDER_FILTER),
                        "bob@example.org|Bob@Example.org|bob|example.org|imap|%|");
    assert_string_equal(expand("(mail=%e)", &bob, PLACEHOLDER_FILTER), "(mail=bob@example.org)");
    assert_string_equal(expand("ou=%d,dc=x", &bob, PLACEHOLDER_DN), "ou=example.org,dc=x");
    assert_string_equal(expand("", &bob, PLACEHOLDER_DN), "");
    assert_string_equal(expand("(objectClass=*)", &bob, PLACEHOLDER_FILTER), "(objectClass=*)");
}

static void test_names_and_domains(void **state)
{
    static const char *const cases[][4] = {
        /* as typed, the full address, %n, %d */
        {"bob", "bob@example.org", "bob", "example.org"}, /* a default domain */
        {"bob", "bob", "bob", ""},
        {"bob@a@b.org", "bob@a@b.org", "bob@a", "b.org"},
        {"@example.org", "@example.org", "", "example.org"},
        {"bob@", "bob@", "bob", ""},
        {"@", "@", "", ""},
        {"CORP\\Bob", "corp\\bob@example.org", "bob", "corp"},
        {"CORP\\Bob", "corp\\bob", "bob", "corp"},
        {"CORP\\", "corp\\@example.org", "", "corp"},
        {"\\bob", "\\bob@example.org", "bob", ""},
        {"a\\b\\c", "a\\b\\c@example.org", "b\\5cc", "a"},
        {"CORP\\Bob@b.org", "corp\\bob@b.org", "corp\\5cbob", "b.org"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(in_filter("%n", cases[i][0], cases[i][1]), cases[i][2]);
        assert_string_equal(in_filter("%d", cases[i][0], cases[i][1]), cases[i][3]);
    }
}

static void test_nothing_is_expanded_twice(void **state)
{
    (void)state;
    assert_string_equal(in_filter("%e %u %n", "%u%d", "%n@%s"), "%n@%s %u%d %n");
    assert_string_equal(in_filter("%%u", "bob", "bob"), "%u");
    assert_string_equal(in_filter("%%%u%%", "%", "%"), "%%%");
    assert_string_equal(in_filter("%u%u", "%", "%"), "%%");
}

static void test_unknown(void **state)
{
    static const char *const wrong[] = {"%",    "%x",  "a%",        "%%%",
                                        "%e%U", "% u", "%\xc3\xa4", "%%%%%"};
    static const char *const good[] = {"", "a", "%%", "%e%u%n%d%s", "%%x", "(cn=%u)%%"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_non_null(placeholder_unknown(wrong[i]));
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_null(placeholder_unknown(good[i]));
    for (int c = 1; c < 256; c++) {
        char text[] = {'%', (char)c, 0};
        assert_int_equal(placeholder_unknown(text) == NULL, strchr("eunds%", c) != NULL);
    }
    assert_string_equal(placeholder_unknown("%%a%u%xb%"), "%xb%");
    assert_string_equal(placeholder_unknown("%e%"), "%");
}

static void test_any(void **state)
{
    (void)state;
    assert_true(placeholder_any("ou=%d"));
    assert_true(placeholder_any("%%%d"));
    assert_false(placeholder_any("ou=100%%d"));
    assert_false(placeholder_any("%%%%"));
    assert_false(placeholder_any(""));
    assert_false(placeholder_any("100%"));
}

static void test_what_does_not_fit(void **state)
{
    static const char text[] = "(&(mail=%e)(ou=a%%))";
    struct placeholder_values values = {"(*)", "\xc3\xa4 (*)", "imap"};
    (void)state;
    size_t need = strlen(expand(text, &values, PLACEHOLDER_FILTER)) + 1;
    char *whole = strdup(out);
    for (size_t size = 0; size <= need; size++) {
        char *exact = malloc(size ? size : 1); /* so that ASan sees a byte too much */
        *exact = 'x';
        assert_int_equal(placeholder_expand(exact, size, text, &values, PLACEHOLDER_FILTER),
                         size == need);
        if (size > 0)
            assert_string_equal(exact, size == need ? whole : "");
        else
            assert_int_equal(*exact, 'x');
        free(exact);
    }
    free(whole);
}

/* ---- escaping ---- */

static void test_filters(void **state)
{
    (void)state;
    assert_string_equal(in_filter("(cn=%u)", "*)(uid=*", ""), "(cn=\\2a\\29\\28uid=\\2a)");
    assert_string_equal(in_filter("(cn=%u)", "a\\2a", ""), "(cn=a\\5c2a)");
    assert_string_equal(in_filter("(cn=%u)", "\xc3\xa4\xff\n", ""), "(cn=\\c3\\a4\\ff\\0a)");
    assert_string_equal(in_filter("(cn=%u)", " #a,b=c ", ""), "(cn= #a,b=c )");
}

static void test_dns(void **state)
{
    (void)state;
    assert_string_equal(in_dn("uid=%u,dc=x", "bob,dc=y"), "uid=bob\\2cdc\\3dy,dc=x");
    assert_string_equal(in_dn("uid=%u,dc=x", "a+b=c\"\\<>;"),
                        "uid=a\\2bb\\3dc\\22\\5c\\3c\\3e\\3b,dc=x");
    assert_string_equal(in_dn("uid=%u,dc=x", "#a#"), "uid=\\23a#,dc=x");
    assert_string_equal(in_dn("uid=%u,dc=x", " a b "), "uid=\\20a b\\20,dc=x");
    assert_string_equal(in_dn("uid=%u,dc=x", " "), "uid=\\20,dc=x");
    assert_string_equal(in_dn("uid=%u,dc=x", "   "), "uid=\\20 \\20,dc=x");
    assert_string_equal(in_dn("uid=%d%n,dc=x", "#bob"), "uid=\\23bob,dc=x"); /* %d is empty */
    assert_string_equal(in_dn("uid=%n%d,dc=x", "bob @"), "uid=bob\\20,dc=x");
    assert_string_equal(in_dn("uid=a %u b,dc=x", " c "), "uid=a \\20c\\20 b,dc=x");
    assert_string_equal(in_dn("uid=%u,dc=x", "(*)\xc3\xa4"), "uid=(*)\\c3\\a4,dc=x");
}

/* Takes the escaping off TEXT as a directory does; fails at what it would not take literally. */
static size_t decode(char *bytes, struct str text, enum placeholder_place place)
{
    const char *special = place == PLACEHOLDER_FILTER ? "*()" : ",+\"<>;=";
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned c = (unsigned char)text.p[i];
        assert_true(c >= ' ' && c < 0x7f && !strchr(special, (int)c));
        if (place == PLACEHOLDER_DN && (i == 0 || i + 1 == text.n))
            assert_true(c != ' ' && (c != '#' || i > 0));
        if (c == '\\') {
            assert_true(i + 2 < text.n && sscanf(text.p + i + 1, "%2x", &c) == 1);
            i += 2;
        }
        bytes[n++] = (char)c;
    }
    return n;
}

static void assert_literal(const char *login, const char *before, const char *behind,
                           enum placeholder_place place)
{
    char text[64], bytes[64];
    struct placeholder_values values = {login, "", ""};
    snprintf(text, sizeof text, "%s%%u%s", before, behind);
    struct str all = str_of(expand(text, &values, place)), value = all;
    value.p += strlen(before);
    value.n -= strlen(before) + strlen(behind);
    assert_memory_equal(all.p, before, strlen(before));
    assert_string_equal(value.p + value.n, behind);
    size_t n = decode(bytes, value, place);
    assert_int_equal(n, strlen(login));
    assert_memory_equal(bytes, login, n);
}

/* NUL, the 256th, cannot stand in a login: it ends one. */
static void test_every_byte(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        char logins[][4] = {{(char)c, 0},
                            {(char)c, 'a', 0},
                            {'a', (char)c, 0},
                            {'a', (char)c, 'b', 0},
                            {(char)c, (char)c, (char)c, 0}};
        for (size_t i = 0; i < sizeof logins / sizeof *logins; i++) {
            assert_literal(logins[i], "(&(a=*)(mail=", "))", PLACEHOLDER_FILTER);
            assert_literal(logins[i], "(mail=*", "*)", PLACEHOLDER_FILTER);
            assert_literal(logins[i], "uid=", ",dc=x", PLACEHOLDER_DN);
            assert_literal(logins[i], "uid=a ", " b+cn=c", PLACEHOLDER_DN);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_names_and_domains),
        cmocka_unit_test(test_nothing_is_expanded_twice),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_dns),
        cmocka_unit_test(test_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
