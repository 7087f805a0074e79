/* SPDX-License-Identifier: ISC
 *
 * base/wheel: timers fire once, never early, in whatever order they are set and cleared. */
#include "base/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include <cmocka.h>

static struct wheel wheel;
static uint64_t now;

struct probe {
    struct timer timer;
    unsigned fired;
    uint64_t at;
    uint64_t again; /* ms: set again from within, once */
};

static void fire(struct timer *timer)
{
    struct probe *p = (struct probe *)timer;
    assert_true(timer->due <= now);
    p->fired++;
    p->at = now;
    if (p->again) {
        wheel_set(&wheel, timer, now + p->again);
        p->again = 0;
    }
}

static void run_until(uint64_t end)
{
    for (; now < end; now += 10)
        wheel_run(&wheel, now);
}

static int setup(void **state)
{
    (void)state;
    now = 123456;
    wheel_init(&wheel, now);
    return 0;
}

static void fires_once_and_not_early(void **state)
{
    (void)state;
    struct probe p = {.timer.fire = fire};
    wheel_set(&wheel, &p.timer, now + 120);
    uint64_t due = now + 120;
    run_until(due);
    assert_int_equal(p.fired, 0);
    run_until(due + 2 * WHEEL_TICK);
    assert_int_equal(p.fired, 1);
    assert_true(p.at <= due + WHEEL_TICK + 10);
    run_until(due + 60000);
    assert_int_equal(p.fired, 1);
    assert_int_equal(wheel.count, 0);
}

static void waits_for_later_turns(void **state)
{
    (void)state;
    struct probe p = {.timer.fire = fire};
    uint64_t due = now + 5 * WHEEL_SLOTS * WHEEL_TICK + 7;
    wheel_set(&wheel, &p.timer, due);
    run_until(due);
    assert_int_equal(p.fired, 0);
    run_until(due + 2 * WHEEL_TICK);
    assert_int_equal(p.fired, 1);
}

static void cleared_does_not_fire(void **state)
{
    (void)state;
    struct probe a = {.timer.fire = fire}, b = {.timer.fire = fire};
    wheel_set(&wheel, &a.timer, now + 100);
    wheel_set(&wheel, &b.timer, now + 100);
    wheel_clear(&wheel, &a.timer);
    wheel_clear(&wheel, &a.timer);
    run_until(now + 300);
    assert_int_equal(a.fired, 0);
    assert_int_equal(b.fired, 1);
}

static void may_be_set_again_from_within(void **state)
{
    (void)state;
    struct probe p = {.timer.fire = fire, .again = 500};
    wheel_set(&wheel, &p.timer, now);
    run_until(now + 1000);
    assert_int_equal(p.fired, 2);
}

static void a_long_sleep_loses_nothing(void **state)
{
    (void)state;
    struct probe p[100] = {0};
    for (unsigned i = 0; i < 100; i++) {
        p[i].timer.fire = fire;
        wheel_set(&wheel, &p[i].timer, now + 777 * i);
    }
    now += 1000000;
    wheel_run(&wheel, now);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(p[i].fired, 1);
}

static void many_at_random(void **state)
{
    (void)state;
    static struct probe p[2000];
    srand(1);
    for (unsigned i = 0; i < 2000; i++) {
        p[i] = (struct probe){.timer.fire = fire};
        wheel_set(&wheel, &p[i].timer, now + (unsigned)rand() % 100000);
        if (i % 3 == 0)
            wheel_set(&wheel, &p[i].timer, now + (unsigned)rand() % 100000);
        if (i % 5 == 0)
            wheel_clear(&wheel, &p[i].timer);
    }
    run_until(now + 101000);
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(p[i].fired, i % 5 != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fires_once_and_not_early, setup),
        cmocka_unit_test_setup(waits_for_later_turns, setup),
        cmocka_unit_test_setup(cleared_does_not_fire, setup),
        cmocka_unit_test_setup(may_be_set_again_from_within, setup),
        cmocka_unit_test_setup(a_long_sleep_loses_nothing, setup),
        cmocka_unit_test_setup(many_at_random, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
