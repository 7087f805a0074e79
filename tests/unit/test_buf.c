/* SPDX-License-Identifier: ISC
 *
 * base/buf.c: growing out of lent storage, the bound, and that nothing is left behind. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool holds(const struct buf *b, const char *text)
{
    return str_eq(buf_str(b), str_of(text));
}

static void test_add_and_take(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, NULL, 0, 100);
    assert_true(holds(&b, "") && buf_str(&b).p);
    assert_true(buf_adds(&b, "hello ") && buf_addf(&b, "%s %d", "world", 42));
    assert_true(buf_add(&b, "", 0));
    buf_add_texts(&b, "", "");
    assert_true(holds(&b, "hello world 42"));
    buf_take(&b, 6);
    assert_true(holds(&b, "world 42"));
    buf_take(&b, 8);
    assert_int_equal(buf_len(&b), 0);
    buf_free(&b);
    buf_add_texts(&b, "a", "ga", "in");
    assert_true(holds(&b, "again"));
    buf_free(&b);
}

static void test_lent(void **state)
{
    (void)state;
    char lent[8];
    struct buf b;
    buf_init(&b, lent, sizeof lent, 100);
    assert_true(buf_adds(&b, "QQQQQQQQ") && b.data == lent);
    assert_true(buf_adds(&b, "R") && b.data != lent);
    assert_true(holds(&b, "QQQQQQQQR"));
    assert_null(memchr(lent, 'Q', sizeof lent));
    buf_free(&b);
    assert_true(b.data == lent);
    assert_true(buf_adds(&b, "QQ"));
    buf_free(&b);
    assert_null(memchr(lent, 'Q', sizeof lent));
    assert_true(buf_addf(&b, "%s", "01") && b.data == lent);
    assert_true(buf_addf(&b, "%s", "QQQQQQQQ") && b.data != lent);
    assert_true(holds(&b, "01QQQQQQQQ"));
    assert_null(memchr(lent, 'Q', sizeof lent));
    buf_free(&b);
}

/* A lent storage that is larger than the bound does not raise it. */
static void test_bound(void **state)
{
    (void)state;
    char lent[64];
    struct buf b;
    buf_init(&b, lent, sizeof lent, 10);
    assert_true(buf_adds(&b, "0123456789"));
    assert_false(b.full);
    assert_false(buf_adds(&b, "x"));
    assert_true(b.full && holds(&b, "0123456789"));
    buf_take(&b, 5);
    assert_false(buf_adds(&b, "x")); /* once full, nothing later may slip in */
    buf_clear(&b);
    assert_true(buf_adds(&b, "x"));
    assert_false(buf_addf(&b, "%s", "0123456789"));
    assert_true(holds(&b, "x"));
    assert_null(buf_room(&b, UINT32_MAX));
    buf_free(&b);
}

static void test_moved_bytes_are_wiped(void **state)
{
    (void)state;
    char lent[16];
    struct buf b;
    buf_init(&b, lent, sizeof lent, sizeof lent);
    buf_adds(&b, "QQQQQQQQQQQQabcd");
    buf_take(&b, 12);
    assert_true(buf_adds(&b, "efgh"));
    assert_true(holds(&b, "abcdefgh"));
    assert_null(memchr(lent, 'Q', sizeof lent));
    assert_true(buf_adds(&b, "QQQQ"));
    buf_take(&b, buf_len(&b));
    assert_null(memchr(lent, 'Q', sizeof lent));
    buf_free(&b);
}

static void test_room(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, NULL, 0, 1000);
    for (int i = 0; i < 1000; i++) {
        *buf_room(&b, 1) = (char)('a' + i % 26);
        buf_added(&b, 1);
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_str(&b).p[i], 'a' + i % 26);
    assert_null(buf_room(&b, 1));
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_and_take), cmocka_unit_test(test_lent),
        cmocka_unit_test(test_bound),        cmocka_unit_test(test_moved_bytes_are_wiped),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
