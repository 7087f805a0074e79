/* SPDX-License-Identifier: ISC
 *
 * base/str.c: words, lines, numbers, likeness, base64. */
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_comparing(void **state)
{
    (void)state;
    assert_true(str_eq(str_of("ab"), str_of("ab")));
    assert_true(str_eq((struct str){NULL, 0}, str_of("")));
    assert_false(str_eq(str_of("ab"), str_of("aB")));
    assert_true(str_eq_nocase(str_of("aBz"), str_of("AbZ")));
    assert_false(str_eq_nocase(str_of("@[`{"), str_of("`{@[")));
    assert_true(str_is(str_of("Noop"), "NOOP"));
    assert_false(str_is(str_of("noo"), "NOOP"));
    assert_true(str_starts(str_of("USER bob"), "user "));
    assert_false(str_starts(str_of("us"), "user"));
}

static void test_words(void **state)
{
    (void)state;
    struct str rest = str_of("  one\ttwo  three ");
    assert_true(str_eq(str_word(&rest), str_of("one")));
    assert_true(str_eq(str_word(&rest), str_of("two")));
    assert_true(str_eq(rest, str_of("  three ")));
    assert_true(str_eq(str_word(&rest), str_of("three")));
    assert_int_equal(str_word(&rest).n, 0);
    assert_int_equal(rest.n, 0);
}

static void test_lines(void **state)
{
    (void)state;
    struct str line;
    size_t used;
    assert_true(str_line(str_of("a\r\nb\n"), &line, &used));
    assert_true(str_eq(line, str_of("a")) && used == 3);
    assert_true(str_line(str_of("b\nc"), &line, &used));
    assert_true(str_eq(line, str_of("b")) && used == 2);
    assert_true(str_line(str_of("\r\r\n"), &line, &used));
    assert_true(str_eq(line, str_of("\r")));
    assert_true(str_line(str_of("\n"), &line, &used));
    assert_true(line.n == 0 && used == 1);
    assert_false(str_line(str_of("a\r"), &line, &used));
    assert_false(str_line((struct str){NULL, 0}, &line, &used));
}

static void test_numbers(void **state)
{
    static const char *const wrong[] = {"", "-1", "+1", " 1", "1 ", "0x1", "65536", "99999"};
    (void)state;
    uint64_t v = 0;
    assert_true(str_number(str_of("65535"), 65535, &v) && v == 65535);
    assert_true(str_number(str_of("0"), 0, &v) && v == 0);
    assert_true(str_number(str_of("18446744073709551615"), UINT64_MAX, &v) && v == UINT64_MAX);
    assert_false(str_number(str_of("18446744073709551616"), UINT64_MAX, &v));
    assert_false(str_number(str_of("7"), 3, &v));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(str_number(str_of(wrong[i]), 65535, &v));
}

static void test_control(void **state)
{
    (void)state;
    assert_false(str_has_control(str_of("p\xc3\xa4ss \x80\xff")));
    assert_true(str_has_control((struct str){"a\0b", 3}));
    assert_true(str_has_control(str_of("a\x7f")));
    assert_true(str_has_control(str_of("\x1f")));
    assert_true(str_has_control(str_of("a\n")));
    for (unsigned c = 0; c < 256; c++)
        for (size_t at = 0; at < 19; at++) {
            char text[19];
            memset(text, at % 2 ? 0x80 : ' ', sizeof text);
            text[at] = (char)c;
            assert_int_equal(str_has_control((struct str){text, sizeof text}),
                             c < ' ' || c == 0x7f);
        }
}

static void test_lower(void **state)
{
    (void)state;
    char text[] = "A@Z[a\xc3\x84";
    str_lower(text, strlen(text));
    assert_string_equal(text, "a@z[a\xc3\x84");
}

static void test_distance(void **state)
{
    (void)state;
    assert_int_equal(str_distance("listen", "listen", 3), 0);
    assert_int_equal(str_distance("Listen", "listen", 3), 0);
    assert_int_equal(str_distance("listn", "listen", 3), 1);
    assert_int_equal(str_distance("lsiten", "listen", 3), 1);
    assert_int_equal(str_distance("lSiten", "lIsten", 3), 1);
    assert_int_equal(str_distance("", "abc", 3), 3);
    assert_int_equal(str_distance("abc", "xyz", 2), 3);
    assert_int_equal(str_distance("a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 3), 4);
}

/* The vectors of RFC 4648, 10. */
static void test_base64(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct str plain = str_of(pairs[i][0]), coded = str_of(pairs[i][1]);
        char out[16];
        assert_int_equal(base64_size(plain.n), coded.n);
        assert_true(str_eq((struct str){out, base64_encode(out, plain.p, plain.n)}, coded));
        assert_int_equal(base64_decode(out, coded), plain.n);
        assert_memory_equal(out, plain.p, plain.n);
    }
}

static void test_base64_all_bytes(void **state)
{
    (void)state;
    char bytes[256], text[400];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    size_t n = base64_encode(text, bytes, sizeof bytes);
    assert_int_equal(base64_decode(text, (struct str){text, n}), 256); /* in place */
    assert_memory_equal(text, bytes, sizeof bytes);
}

static void test_base64_strict(void **state)
{
    static const char *const wrong[] = {"Zg",   "Zg=",      "Z===",  "====", "Zh==",
                                        "Zm9=", "Zg==Zg==", "Zm9v ", "Z g=", "Zm9v\r\n",
                                        "Zm-_", "=Zg=",     "Zg=x",  "*"};
    (void)state;
    char out[16];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(base64_decode(out, str_of(wrong[i])), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comparing),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_lower),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_base64_all_bytes),
        cmocka_unit_test(test_base64_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
