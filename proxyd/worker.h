/* SPDX-License-Identifier: ISC
 *
 * A worker: one thread with one libuv loop and, in front of it, an epoll set of its own for the
 * sockets of its sessions.
 *
 * Why not uv_poll_t for those: it takes six system calls for each descriptor over its life and two
 * more whenever the interest changes; here a socket is registered once, edge-triggered, for both
 * directions. libuv's own descriptor is one more in that set, so the thread pool, name resolution
 * and whatever else libuv does works as in any program of its kind (the way that libuv documents
 * for embedding: uv_backend_fd and uv_backend_timeout).
 *
 * Everything in here is for the worker's own thread unless it says otherwise. */
#ifndef WORKER_H
#define WORKER_H

#include "base/mem.h"
#include "base/ring.h"
#include "base/wheel.h"

#include <pthread.h>
#include <stdbool.h>
#include <uv.h>

struct checker;
struct listeners;

enum {
    WORKER_SCRATCH = 256 * 1024, /* bytes */
    WORKER_ENGINES = 3           /* kinds of what is done with clients (client.h) */
};

/* A descriptor's place in the epoll set; part of what it belongs to. */
struct watch {
    uint64_t since; /* the round in which it was registered: events of that are another's */
    /* EVENTS as epoll_wait gave them: new since the last call. */
    void (*ready)(struct watch *watch, uint32_t events);
};

/* Something to be run by a worker; part of what it is about, so that asking for it cannot fail. */
struct post {
    struct ring ring; /* in none: not under way */
    void (*run)(struct post *post);
};

/* What others keep with a worker: found by its owner, ended with the worker, in its thread. */
struct worker_guest {
    struct worker_guest *next;
    const void *owner;
    void (*end)(struct worker_guest *guest);
};

struct worker {
    uv_loop_t uv;
    int epoll;
    pthread_t thread;
    void (*at_end)(void);
    uint64_t now;   /* ms, of this round */
    uint64_t round; /* its number */
    struct wheel wheel;
    char *scratch; /* WORKER_SCRATCH bytes; nothing stays there from one event to the next */
    struct pool client_pools[WORKER_ENGINES], login_pool, exchange_pool, placement_pool,
        courier_pool;

    struct listeners *listeners; /* listener.c's */
    struct checker *checker;     /* check.c's; NULL: another worker checks the nodes */
    struct ring clients;         /* all of them, linked by client.c */
    struct ring walks;           /* over them; client.c's */
    size_t client_count;
    bool leaving;        /* ends when nothing is left to do; set by listener.c */
    unsigned busy_tasks; /* what else has to end first: checks, jobs in the thread pool */
    struct worker_guest *guests;

    _Atomic uint64_t idle, waiting_since; /* ns; the latter 0 while it does not wait */
    _Atomic uint64_t longest;             /* ns: worker_longest_round */
    uint64_t round_began;                 /* ns */
    struct ring soon;                     /* posts to be run in this round */
    uv_async_t wake;
    pthread_mutex_t lock;
    struct ring posts; /* under the lock: from other threads */
    bool ended;        /* under the lock: takes no posts any more */
};

/* Starts a worker; it has no listeners yet and lives until it is `leaving`. AT_END is called last
 * in its thread. NULL, and errno, when the system has no more descriptors or threads. For the main
 * thread. */
struct worker *worker_start(void (*at_end)(void));

/* Whether W has nothing left to do and ends; then worker_join does not wait for long. */
bool worker_ended(struct worker *w);

/* Waits for the thread's end and frees W. For the main thread. */
void worker_join(struct worker *w);

/* Registers FD for both directions, edge-triggered; returns 0 or an errno. */
int worker_watch(struct worker *w, int fd, struct watch *watch);

/* Ends that, for a descriptor that is closed by others; ends it and closes FD. In the thread of the
 * worker that watches. */
void worker_unwatch(int fd);
void worker_close(int fd);

/* Says that a process that is being started has, or will have until it runs its program, all our
 * descriptors; and that it has them no more. Meanwhile closing is not enough: the kernel would go
 * on telling of FD to a watch that is another's by then, so worker_close takes FD out of the set
 * first. Returns when no close that did not know is under way. For the main thread. */
void worker_descriptors_shared(bool are);

/* Runs P in W soon, in the order of asking; false when W has ended. From any thread; P must not be
 * under way. */
bool worker_post(struct worker *w, struct post *p);

/* Takes P, sent by worker_post, back if it has not run yet. */
void worker_unpost(struct worker *w, struct post *p);

/* Runs P in this round, after the events that are being handled. Does nothing if it is under way.
 */
void worker_soon(struct worker *w, struct post *p);

/* Sets a timer to fire MS from now; clears it. */
void worker_timer(struct worker *w, struct timer *t, uint64_t ms);
void worker_timer_clear(struct worker *w, struct timer *t);

/* Keeps GUEST, whose `owner` and `end` are set; finds OWNER's, or NULL; gives GUEST back to who
 * kept it. */
void worker_keep(struct worker *w, struct worker_guest *guest);
struct worker_guest *worker_guest(const struct worker *w, const void *owner);
void worker_forget(struct worker *w, struct worker_guest *guest);

/* The longest time, in ns, for which W had no look for events, since the last call. From any
 * thread.
 */
uint64_t worker_longest_round(struct worker *w);

/* How long W has waited for events so far, the present wait included, in ns. From any thread. */
uint64_t worker_idle(const struct worker *w);

#endif
