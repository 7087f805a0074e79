/* SPDX-License-Identifier: ISC
 *
 * proxyd/hold: who waits is told once, at once, and only of his own login, with a real worker to
 * deliver to. */
#include "hold.h"
#include "worker_case.h"

#include <semaphore.h>
#include <stdio.h>
#include <string.h>

struct waiter {
    struct hold_wait wait;
    sem_t told;
};

static void told(struct post *post)
{
    sem_post(&OUTER(OUTER(post, hold_wait, post), waiter, wait)->told);
}

static bool begin(struct waiter *w, const char *email)
{
    memset(w, 0, sizeof *w);
    w->wait.post.run = told;
    sem_init(&w->told, 0, 0);
    return hold_wait(&w->wait, worker, email);
}

static bool is_told(struct waiter *w)
{
    return sem_trywait(&w->told) == 0;
}

static void held_until_released(void **state)
{
    (void)state;
    assert_false(hold_has("bob@example.org"));
    assert_false(hold_remove("bob@example.org"));
    assert_int_equal(hold_add("bob@example.org"), HOLD_DONE);
    assert_int_equal(hold_add("bob@example.org"), HOLD_ALREADY);
    assert_true(hold_has("bob@example.org"));
    assert_false(hold_has("alice@example.org"));
    assert_true(hold_remove("bob@example.org"));
    assert_false(hold_has("bob@example.org"));
}

static void a_release_tells_who_waits_for_it(void **state)
{
    (void)state;
    struct waiter bob, too, alice, left;
    hold_add("bob@example.org");
    hold_add("alice@example.org");
    assert_true(begin(&bob, "bob@example.org"));
    assert_true(begin(&too, "bob@example.org"));
    assert_true(begin(&left, "bob@example.org"));
    assert_true(begin(&alice, "alice@example.org"));
    hold_forget(&left.wait);
    hold_remove("bob@example.org");
    sem_wait(&bob.told);
    sem_wait(&too.told);
    assert_false(is_told(&alice));
    assert_false(is_told(&left));
    hold_remove("alice@example.org");
    sem_wait(&alice.told);
    hold_forget(&alice.wait);
    hold_forget(&alice.wait);
}

static void who_comes_too_late_does_not_wait(void **state)
{
    (void)state;
    struct waiter bob;
    hold_add("bob@example.org");
    hold_remove("bob@example.org");
    assert_false(begin(&bob, "bob@example.org"));
    hold_add("bob@example.org");
    hold_remove("bob@example.org");
    assert_false(is_told(&bob));
    hold_forget(&bob.wait);
}

static void has_a_bound_and_goes_to_another_process(void **state)
{
    (void)state;
    char email[40];
    for (unsigned i = 0; i < HOLDS_MAX; i++) {
        snprintf(email, sizeof email, "user%u@example.org", i);
        assert_int_equal(hold_add(email), HOLD_DONE);
    }
    assert_int_equal(hold_add("one.more@example.org"), HOLD_TOO_MANY);
    assert_int_equal(hold_add("user7@example.org"), HOLD_ALREADY);
    struct names all = hold_list();
    assert_int_equal(all.count, HOLDS_MAX);
    for (size_t i = 0; i < all.count; i++)
        assert_true(hold_remove(all.list[i]));
    hold_add_all(&all);
    assert_true(hold_has("user9999@example.org"));
    for (size_t i = 0; i < all.count; i++)
        assert_true(hold_remove(all.list[i]));
    names_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_until_released),
        cmocka_unit_test(a_release_tells_who_waits_for_it),
        cmocka_unit_test(who_comes_too_late_does_not_wait),
        cmocka_unit_test(has_a_bound_and_goes_to_another_process),
    };
    return cmocka_run_group_tests(tests, worker_case_start, worker_case_stop);
}
