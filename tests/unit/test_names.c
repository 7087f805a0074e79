/* SPDX-License-Identifier: ISC
 *
 * base/names: a set, whatever is added and removed in whatever order. */
#include "base/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void adds_and_removes_once(void **state)
{
    (void)state;
    struct names n = {0};
    assert_false(names_has(&n, "bob"));
    assert_false(names_remove(&n, "bob"));
    assert_true(names_add(&n, "bob"));
    assert_false(names_add(&n, "bob"));
    assert_true(names_has(&n, "bob"));
    assert_false(names_has(&n, "bo"));
    assert_false(names_has(&n, "bobb"));
    assert_true(names_remove(&n, "bob"));
    assert_false(names_has(&n, "bob"));
    assert_int_equal(n.count, 0);
    names_free(&n);
}

static void stays_sorted(void **state)
{
    (void)state;
    struct names n = {0};
    names_add(&n, "b");
    names_add(&n, "c");
    names_add(&n, "a");
    assert_string_equal(n.list[0], "a");
    assert_string_equal(n.list[1], "b");
    assert_string_equal(n.list[2], "c");
    names_remove(&n, "b");
    assert_string_equal(n.list[1], "c");
    names_free(&n);
}

static void many_at_random(void **state)
{
    (void)state;
    enum { NAMES = 200 };
    bool in[NAMES] = {0};
    char name[20];
    struct names n = {0};
    srand(1);
    for (unsigned i = 0; i < 5000; i++) {
        unsigned k = (unsigned)rand() % NAMES;
        snprintf(name, sizeof name, "name%u", k);
        assert_int_equal(names_has(&n, name), in[k]);
        if (rand() % 2) {
            assert_int_equal(names_add(&n, name), !in[k]);
            in[k] = true;
        } else {
            assert_int_equal(names_remove(&n, name), in[k]);
            in[k] = false;
        }
    }
    struct names copy = names_copy(&n);
    names_free(&n);
    for (unsigned k = 0; k < NAMES; k++) {
        snprintf(name, sizeof name, "name%u", k);
        assert_int_equal(names_has(&copy, name), in[k]);
    }
    names_free(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_and_removes_once),
        cmocka_unit_test(stays_sorted),
        cmocka_unit_test(many_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
