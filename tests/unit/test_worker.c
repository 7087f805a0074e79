/* SPDX-License-Identifier: ISC
 *
 * worker: what is closed is not heard of any more, even while another process has the descriptor;
 * and what becomes of one for which there is no thread. */
#include "worker.h"

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct probe {
    struct watch watch;
    int here, there;
    unsigned heard;
    sem_t rung; /* with each event */
};

static struct worker *worker;
static struct probe closed, bell; /* an event of `bell` says that those before it were told */

static void ready(struct watch *watch, uint32_t events)
{
    (void)events;
    struct probe *p = OUTER(watch, probe, watch);
    p->heard++;
    sem_post(&p->rung);
}

static void open_probe(struct probe *p)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    *p = (struct probe){.watch.ready = ready, .here = pair[0], .there = pair[1]};
    sem_init(&p->rung, 0, 0);
}

static void watch_both(struct post *post)
{
    (void)post;
    assert_int_equal(worker_watch(worker, closed.here, &closed.watch), 0);
    assert_int_equal(worker_watch(worker, bell.here, &bell.watch), 0);
}

static void close_one(struct post *post)
{
    (void)post;
    worker_close(closed.here);
}

static void leave(struct post *post)
{
    (void)post;
    worker_unwatch(bell.here);
    worker->leaving = true;
}

static void nothing(void)
{
}

static void write_to(struct probe *p)
{
    assert_int_equal(write(p->there, "x", 1), 1);
}

static void closed_is_not_heard_of(void **state)
{
    (void)state;
    struct post watch = {.run = watch_both}, close_it = {.run = close_one}, end = {.run = leave};
    open_probe(&closed);
    open_probe(&bell);
    worker = worker_start(nothing);
    assert_non_null(worker);
    assert_true(worker_post(worker, &watch));
    sem_wait(&closed.rung); /* both can be written to */
    sem_wait(&bell.rung);

    int kept = dup(closed.here); /* as a process that is being started has it */
    worker_descriptors_shared(true);
    assert_true(worker_post(worker, &close_it));
    write_to(&bell);
    sem_wait(&bell.rung);
    unsigned before = closed.heard;
    write_to(&closed);
    write_to(&bell);
    sem_wait(&bell.rung);
    assert_int_equal(closed.heard, before);
    worker_descriptors_shared(false);

    assert_true(worker_post(worker, &end));
    worker_join(worker);
    close(kept);
    close(closed.there);
    close(bell.here);
    close(bell.there);
}

/* Nobody has the address space for a stack of that size. */
static void no_thread_is_no_worker(void **state)
{
    (void)state;
    pthread_attr_t usual, vast;
    assert_int_equal(pthread_getattr_default_np(&usual), 0);
    assert_int_equal(pthread_getattr_default_np(&vast), 0);
    assert_int_equal(pthread_attr_setstacksize(&vast, (size_t)1 << 50), 0);
    assert_int_equal(pthread_setattr_default_np(&vast), 0);
    int before = dup(STDIN_FILENO);
    close(before);
    errno = 0;
    assert_null(worker_start(nothing));
    assert_int_equal(errno, EAGAIN);
    int after = dup(STDIN_FILENO);
    close(after);
    assert_int_equal(after, before); /* no descriptor is left open */
    assert_int_equal(pthread_setattr_default_np(&usual), 0);
    pthread_attr_destroy(&usual);
    pthread_attr_destroy(&vast);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_is_not_heard_of),
        cmocka_unit_test(no_thread_is_no_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
