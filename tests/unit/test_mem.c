/* SPDX-License-Identifier: ISC
 *
 * base/mem.c: the pools. Blocks come zeroed, never overlap, and go back to the system. */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 1000, COUNT = 2000 };

static bool is_filled(const unsigned char *p, unsigned char byte)
{
    for (size_t i = 0; i < SIZE; i++)
        if (p[i] != byte)
            return false;
    return true;
}

static void test_blocks(void **state)
{
    (void)state;
    static unsigned char *blocks[COUNT];
    struct pool pool;
    pool_init(&pool, SIZE);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = pool_get(&pool);
            assert_true((uintptr_t)blocks[i] % 16 == 0 && is_filled(blocks[i], 0));
            memset(blocks[i], (int)(i % 255 + 1), SIZE);
        }
        for (size_t i = 0; i < COUNT; i++) {
            size_t at = i * 7 % COUNT; /* in another order than they came */
            assert_true(is_filled(blocks[at], (unsigned char)(at % 255 + 1)));
            pool_put(&pool, blocks[at]);
        }
        assert_int_equal(pool.idle_chunks, POOL_KEPT); /* the others went back */
    }
    pool_free(&pool);
    assert_null(pool.partly);
}

/* A long life of coming and going, with a block here and there that stays. */
static void test_churn(void **state)
{
    (void)state;
    static unsigned char *blocks[COUNT];
    struct pool pool;
    pool_init(&pool, SIZE);
    srand(1);
    for (int i = 0; i < 20000; i++) {
        size_t at = (size_t)rand() % COUNT;
        if (!blocks[at]) {
            blocks[at] = pool_get(&pool);
            assert_true(is_filled(blocks[at], 0));
            memset(blocks[at], (int)(at % 255 + 1), SIZE);
        } else {
            assert_true(is_filled(blocks[at], (unsigned char)(at % 255 + 1)));
            pool_put(&pool, blocks[at]);
            blocks[at] = NULL;
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        if (blocks[i])
            pool_put(&pool, blocks[i]);
    assert_int_equal(pool.idle_chunks, POOL_KEPT);
    pool_free(&pool);
}

static void test_sizes(void **state)
{
    static const size_t sizes[] = {1, 15, 16, 17, 4096, 16000};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct pool pool;
        pool_init(&pool, sizes[i]);
        char *a = pool_get(&pool), *b = pool_get(&pool);
        memset(a, 1, sizes[i]);
        memset(b, 2, sizes[i]);
        assert_true(a[0] == 1 && a[sizes[i] - 1] == 1);
        pool_put(&pool, a);
        assert_true(pool_get(&pool) == a && a[0] == 0 && a[sizes[i] - 1] == 0);
        pool_put(&pool, a);
        pool_put(&pool, b);
        pool_free(&pool);
    }
}

static void test_blocks_that_are_nearly_clean(void **state)
{
    static const char zero[100];
    struct pool pool;
    (void)state;
    pool_init(&pool, sizeof zero);
    char *a = pool_get(&pool);
    memset(a, 1, 40);
    pool_put_clean(&pool, a, 40);
    assert_ptr_equal(pool_get(&pool), a);
    assert_memory_equal(a, zero, sizeof zero);
    pool_put(&pool, a);
    pool_free(&pool);
}

static void test_empty_pool(void **state)
{
    (void)state;
    struct pool pool;
    pool_init(&pool, 64);
    pool_free(&pool);
    assert_int_equal(pool.idle_chunks, 0);
}

static void test_texts(void **state)
{
    (void)state;
    char *a = xstrndup("hello", 3), *b = xasprintf("%s-%d", "x", 7), *c = xstrdup("");
    assert_string_equal(a, "hel");
    assert_string_equal(b, "x-7");
    assert_string_equal(c, "");
    mem_wipe(a, 3);
    assert_memory_equal(a, "\0\0\0", 3);
    free(a);
    free(b);
    free(c);
    free(xmalloc(0));
    free(xcalloc(0, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),     cmocka_unit_test(test_churn),
        cmocka_unit_test(test_sizes),      cmocka_unit_test(test_blocks_that_are_nearly_clean),
        cmocka_unit_test(test_empty_pool), cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
