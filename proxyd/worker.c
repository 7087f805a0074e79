/* SPDX-License-Identifier: ISC
 *
 * A worker's loop: see worker.h. A round is: wait, the events, timers, libuv, what is to be run
 * soon. What a round frees (a session) is freed last, for a later event of the same round may
 * still name it. */
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 256 };

static _Thread_local int epoll_here = -1; /* of the worker whose thread this is */

static _Atomic bool shared;      /* see worker_descriptors_shared */
static _Atomic unsigned closing; /* calls that may not know of it */

/* The oldest post of the ring that other threads fill, one at a time: until it is out of there
 * worker_unpost can take it back. */
static struct post *next_post(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    struct ring *ring = ring_is_empty(&w->posts) ? NULL : w->posts.next;
    if (ring)
        ring_remove(ring);
    pthread_mutex_unlock(&w->lock);
    return ring ? OUTER(ring, post, ring) : NULL;
}

static void run_posts(uv_async_t *wake)
{
    struct worker *w = wake->data;
    for (struct post *p; (p = next_post(w)) != NULL;)
        p->run(p);
}

/* Only what was asked for up to now: a post that asks again has its turn in the next round. */
static void run_soon(struct worker *w)
{
    struct ring posts;
    ring_take(&posts, &w->soon);
    while (!ring_is_empty(&posts)) {
        struct post *p = OUTER(posts.next, post, ring);
        ring_remove(&p->ring);
        p->run(p);
    }
}

/* How long the round may wait for events, in ms; -1: for ever. */
static int patience(struct worker *w)
{
    int uv = uv_backend_timeout(&w->uv);
    if (!ring_is_empty(&w->soon))
        return 0;
    if (w->wheel.count == 0)
        return uv;
    int tick = (int)(WHEEL_TICK - w->now % WHEEL_TICK);
    return uv < 0 || tick < uv ? tick : uv;
}

/* Only who asks resets it, in between: one of two that are as long may be lost by that. */
static void note_round(struct worker *w, uint64_t now)
{
    uint64_t took = w->round_began ? now - w->round_began : 0;
    if (took > atomic_load_explicit(&w->longest, memory_order_relaxed))
        atomic_store_explicit(&w->longest, took, memory_order_relaxed);
}

static int wait_for_events(struct worker *w, struct epoll_event *events)
{
    uint64_t since = uv_hrtime();
    note_round(w, since);
    atomic_store_explicit(&w->waiting_since, since, memory_order_relaxed);
    int n = epoll_wait(w->epoll, events, EVENTS, patience(w));
    assert(n >= 0 || errno == EINTR);
    atomic_store_explicit(&w->waiting_since, 0, memory_order_relaxed);
    w->round_began = uv_hrtime();
    uint64_t idle = atomic_load_explicit(&w->idle, memory_order_relaxed) + w->round_began - since;
    atomic_store_explicit(&w->idle, idle, memory_order_relaxed);
    return n;
}

static void round_once(struct worker *w)
{
    struct epoll_event events[EVENTS];
    bool uv_ready = false;
    int n = wait_for_events(w, events);
    w->round++;
    uv_update_time(&w->uv);
    w->now = uv_now(&w->uv);
    for (int i = 0; i < n; i++) {
        struct watch *watch = events[i].data.ptr;
        if (!watch)
            uv_ready = true;
        else if (watch->since < w->round)
            watch->ready(watch, events[i].events);
    }
    wheel_run(&w->wheel, w->now);
    if (uv_ready || uv_backend_timeout(&w->uv) == 0)
        uv_run(&w->uv, UV_RUN_NOWAIT);
    run_soon(w);
}

/* Nothing is left to do, and from now on nothing can be asked for. */
static bool finished(struct worker *w)
{
    if (!w->leaving || w->client_count || w->busy_tasks || !ring_is_empty(&w->soon))
        return false;
    pthread_mutex_lock(&w->lock);
    w->ended = ring_is_empty(&w->posts);
    pthread_mutex_unlock(&w->lock);
    return w->ended;
}

/* Ends all that libuv still does for W. */
static void close_loop(struct worker *w)
{
    uv_close((uv_handle_t *)&w->wake, NULL);
    uv_run(&w->uv, UV_RUN_DEFAULT);
}

static void *run(void *arg)
{
    struct worker *w = arg;
    epoll_here = w->epoll;
    while (!finished(w))
        round_once(w);
    while (w->guests) {
        struct worker_guest *guest = w->guests;
        w->guests = guest->next;
        guest->end(guest);
    }
    close_loop(w);
    w->at_end();
    return NULL;
}

/* The epoll set with libuv's in it; 0 or an errno, and then there is neither. */
static int open_loop(struct worker *w)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll < 0)
        return errno;
    int error = -uv_loop_init(&w->uv);
    if (error) {
        close(w->epoll);
        return error;
    }
    int failed = uv_async_init(&w->uv, &w->wake, run_posts) ||
                 epoll_ctl(w->epoll, EPOLL_CTL_ADD, uv_backend_fd(&w->uv), &event) != 0;
    assert(!failed);
    return 0;
}

/* Gives back all that W has; its thread has ended, or has never begun. */
static void worker_free(struct worker *w)
{
    uv_loop_close(&w->uv);
    close(w->epoll);
    for (size_t i = 0; i < WORKER_ENGINES; i++)
        pool_free(&w->client_pools[i]);
    pool_free(&w->login_pool);
    pool_free(&w->exchange_pool);
    pool_free(&w->placement_pool);
    pool_free(&w->courier_pool);
    pthread_mutex_destroy(&w->lock);
    free(w->scratch);
    free(w);
}

struct worker *worker_start(void (*at_end)(void))
{
    struct worker *w = xcalloc(1, sizeof *w);
    int error = open_loop(w);
    if (error) {
        free(w);
        errno = error;
        return NULL;
    }
    w->wake.data = w;
    w->at_end = at_end;
    w->now = uv_now(&w->uv);
    w->scratch = xmalloc(WORKER_SCRATCH);
    wheel_init(&w->wheel, w->now);
    ring_init(&w->clients);
    ring_init(&w->walks);
    ring_init(&w->soon);
    ring_init(&w->posts);
    pthread_mutex_init(&w->lock, NULL);
    error = pthread_create(&w->thread, NULL, run, w);
    if (error == 0)
        return w;
    close_loop(w);
    worker_free(w);
    errno = error;
    return NULL;
}

bool worker_ended(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    bool ended = w->ended;
    pthread_mutex_unlock(&w->lock);
    return ended;
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
    worker_free(w);
}

int worker_watch(struct worker *w, int fd, struct watch *watch)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET,
        .data.ptr = watch,
    };
    watch->since = w->round;
    return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void worker_unwatch(int fd)
{
    epoll_ctl(epoll_here, EPOLL_CTL_DEL, fd, NULL);
}

/* A close counts itself before it looks whether descriptors are shared, and who shares them looks
 * for closes afterwards: so one of the two sees the other. */
void worker_close(int fd)
{
    atomic_fetch_add(&closing, 1);
    if (!atomic_load(&shared)) {
        close(fd);
        atomic_fetch_sub(&closing, 1);
        return;
    }
    atomic_fetch_sub(&closing, 1);
    worker_unwatch(fd);
    close(fd);
}

void worker_descriptors_shared(bool are)
{
    atomic_store(&shared, are);
    while (are && atomic_load(&closing))
        sched_yield();
}

bool worker_post(struct worker *w, struct post *p)
{
    pthread_mutex_lock(&w->lock);
    assert(!ring_has(&p->ring));
    bool runs = !w->ended;
    if (runs) {
        ring_add_last(&w->posts, &p->ring);
        uv_async_send(&w->wake); /* under the lock: the handle is closed once `ended` is set */
    }
    pthread_mutex_unlock(&w->lock);
    return runs;
}

void worker_unpost(struct worker *w, struct post *p)
{
    pthread_mutex_lock(&w->lock);
    ring_remove(&p->ring);
    pthread_mutex_unlock(&w->lock);
}

void worker_soon(struct worker *w, struct post *p)
{
    if (!ring_has(&p->ring))
        ring_add_last(&w->soon, &p->ring);
}

void worker_timer(struct worker *w, struct timer *t, uint64_t ms)
{
    wheel_set(&w->wheel, t, w->now + ms);
}

void worker_timer_clear(struct worker *w, struct timer *t)
{
    wheel_clear(&w->wheel, t);
}

void worker_keep(struct worker *w, struct worker_guest *guest)
{
    guest->next = w->guests;
    w->guests = guest;
}

struct worker_guest *worker_guest(const struct worker *w, const void *owner)
{
    struct worker_guest *guest = w->guests;
    while (guest && guest->owner != owner)
        guest = guest->next;
    return guest;
}

void worker_forget(struct worker *w, struct worker_guest *guest)
{
    struct worker_guest **p = &w->guests;
    while (*p != guest)
        p = &(*p)->next;
    *p = guest->next;
}

uint64_t worker_longest_round(struct worker *w)
{
    return atomic_exchange_explicit(&w->longest, 0, memory_order_relaxed);
}

uint64_t worker_idle(const struct worker *w)
{
    uint64_t idle = atomic_load(&w->idle), since = atomic_load(&w->waiting_since);
    return since ? idle + uv_hrtime() - since : idle;
}
