/* SPDX-License-Identifier: ISC
 *
 * The crew: see crew.h. A worker is busy when it does not wait for events: that it also tells when
 * others have the CPU. */
#include "crew.h"

#include "net/splice.h"

#include <errno.h>
#include <string.h>

enum {
    LOOK = 500, /* ms between two looks at the clocks */
    BUSY = 75,
    IDLE = 40, /* per cent of the time */
    BUSY_LOOKS = 2,
    IDLE_LOOKS = 10 /* in a row, before the crew grows or shrinks */
};

struct member {
    struct worker *worker;
    uint64_t idle;  /* ns, at the last look */
    uint64_t heard; /* the same for crew_answers */
};

static struct {
    struct member list[CREW_MAX]; /* the running ones first */
    unsigned count, running;
    unsigned busy_looks, idle_looks;
    uint64_t looked; /* ns */
    struct config *config;
    struct listen_set *set;
    uv_timer_t timer;
    bool started;
    void (*done)(void); /* set: the process ends */
} crew;

/* ---- members ---- */

static void thread_end(void)
{
    splice_thread_end();
    stream_thread_end();
}

/* False: there are no descriptors or threads for it. */
static bool begin(struct member *m, bool checks)
{
    if (!m->worker)
        m->worker = worker_start(thread_end);
    if (m->worker && !listener_serve(m->worker, crew.config, crew.set, checks)) {
        worker_join(m->worker); /* it ended in the very moment */
        m->worker = worker_start(thread_end);
        if (m->worker)
            listener_serve(m->worker, crew.config, crew.set, checks);
    }
    if (m->worker)
        m->idle = worker_idle(m->worker);
    return m->worker;
}

static bool grow(void)
{
    if (crew.running == CREW_MAX)
        return false;
    struct member *m = &crew.list[crew.running];
    if (crew.running == crew.count) {
        *m = (struct member){0};
        crew.count++;
    }
    if (!begin(m, crew.running == 0)) {
        *m = crew.list[--crew.count];
        log_message(LOG_LEVEL_WARNING, "worker", "cannot start one more: %s", strerror(errno));
        return false;
    }
    crew.running++;
    return true;
}

static void shrink(void)
{
    listener_retire(crew.list[--crew.running].worker);
}

/* Those that have ended leave the list. */
static void bury(void)
{
    for (unsigned i = crew.running; i < crew.count;)
        if (worker_ended(crew.list[i].worker)) {
            worker_join(crew.list[i].worker);
            crew.list[i] = crew.list[--crew.count];
        } else {
            i++;
        }
}

/* ---- load ---- */

/* Per cent of the time since the last look in which the running ones were busy: the least, and all
 * together. */
static void measure(unsigned *least, unsigned *sum)
{
    uint64_t now = uv_hrtime(), elapsed = now - crew.looked + 1;
    crew.looked = now;
    *least = UINT_MAX;
    *sum = 0;
    for (unsigned i = 0; i < crew.running; i++) {
        struct member *m = &crew.list[i];
        uint64_t idle = worker_idle(m->worker), waited = idle - m->idle;
        unsigned percent = waited < elapsed ? (unsigned)(100 - waited * 100 / elapsed) : 0;
        m->idle = idle;
        *sum += percent;
        if (percent < *least)
            *least = percent;
    }
}

static void balance(void)
{
    unsigned least, sum;
    measure(&least, &sum);
    crew.busy_looks = least >= BUSY ? crew.busy_looks + 1 : 0;
    crew.idle_looks = crew.running > 1 && sum < IDLE * (crew.running - 1) ? crew.idle_looks + 1 : 0;
    unsigned min = crew.config->global.workers_min, max = crew.config->global.workers_max;
    if (crew.busy_looks >= BUSY_LOOKS && crew.running < max) {
        if (grow())
            log_message(LOG_LEVEL_INFO, "worker", "all are busy: %u workers now", crew.running);
        crew.busy_looks = 0;
    } else if (crew.running > max || (crew.idle_looks >= IDLE_LOOKS && crew.running > min)) {
        shrink();
        log_message(LOG_LEVEL_INFO, "worker", "one fewer will do: %u workers now", crew.running);
        crew.idle_looks = 0;
    }
}

static void look(uv_timer_t *timer)
{
    bury();
    if (!crew.done) {
        balance();
    } else if (crew.count == 0) {
        uv_timer_stop(timer);
        config_unref(crew.config);
        crew.done();
    }
}

/* ---- orders ---- */

void crew_serve(uv_loop_t *loop, struct config *config, struct listen_set *set)
{
    struct config *old_config = crew.config;
    struct listen_set *old_set = crew.set;
    crew.config = config_ref(config);
    crew.set = listen_set_ref(set);
    for (unsigned i = 0; i < crew.running; i++)
        listener_serve(crew.list[i].worker, config, set, i == 0);
    while (crew.running < config->global.workers_min && grow())
        ;
    if (crew.started) {
        config_unref(old_config);
        listen_set_unref(old_set);
        return;
    }
    crew.started = true;
    uv_timer_init(loop, &crew.timer);
    uv_timer_start(&crew.timer, look, LOOK, LOOK);
}

size_t crew_workers(struct worker *list[CREW_MAX])
{
    for (unsigned i = 0; i < crew.count; i++)
        list[i] = crew.list[i].worker;
    return crew.count;
}

bool crew_has(const struct worker *w)
{
    for (unsigned i = 0; i < crew.count; i++)
        if (crew.list[i].worker == w)
            return true;
    return false;
}

void crew_retire(void (*done)(void))
{
    crew.done = done;
    listen_set_unref(crew.set);
    crew.set = NULL;
    while (crew.running)
        shrink();
    uv_timer_start(&crew.timer, look, 0, 20);
}

void crew_stop_sessions(uint64_t ms)
{
    for (unsigned i = 0; i < crew.count; i++)
        listener_stop_sessions(crew.list[i].worker, ms);
}

bool crew_answers(void)
{
    bool all = true;
    for (unsigned i = 0; i < crew.count; i++) {
        struct member *m = &crew.list[i];
        uint64_t idle = worker_idle(m->worker) + 1; /* 0: never looked at */
        all &= idle != m->heard;
        m->heard = idle;
    }
    return all;
}

uint64_t crew_longest_round(void)
{
    uint64_t longest = 0;
    for (unsigned i = 0; i < crew.count; i++) {
        uint64_t round = worker_longest_round(crew.list[i].worker);
        longest = round > longest ? round : longest;
    }
    return longest;
}

unsigned crew_running(void)
{
    return crew.running;
}
