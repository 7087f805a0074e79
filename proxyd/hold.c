/* SPDX-License-Identifier: ISC
 *
 * Holds by hand: see hold.h. While there are none, as there mostly are, a login asks no lock. A
 * worker's lock is taken within the one here (worker_post). */
#include "hold.h"

#include <stdatomic.h>

static struct {
    pthread_mutex_t lock;
    struct names held;
    struct ring waits;
    atomic_size_t count; /* of those held */
} holds = {.lock = PTHREAD_MUTEX_INITIALIZER, .waits = {&holds.waits, &holds.waits}};

enum hold_result hold_add(const char *email)
{
    enum hold_result result = HOLD_TOO_MANY;
    pthread_mutex_lock(&holds.lock);
    if (holds.held.count < HOLDS_MAX || names_has(&holds.held, email))
        result = names_add(&holds.held, email) ? HOLD_DONE : HOLD_ALREADY;
    atomic_store(&holds.count, holds.held.count);
    pthread_mutex_unlock(&holds.lock);
    return result;
}

void hold_add_all(const struct names *emails)
{
    for (size_t i = 0; i < emails->count; i++)
        hold_add(emails->list[i]);
}

/* Under the lock. */
static void wake(const char *email)
{
    RING_EACH (ring, &holds.waits) {
        struct hold_wait *wait = OUTER(ring, hold_wait, ring);
        if (strcmp(wait->email, email) != 0)
            continue;
        ring_remove(&wait->ring);
        worker_post(wait->worker, &wait->post);
    }
}

bool hold_remove(const char *email)
{
    pthread_mutex_lock(&holds.lock);
    bool removed = names_remove(&holds.held, email);
    atomic_store(&holds.count, holds.held.count);
    if (removed)
        wake(email);
    pthread_mutex_unlock(&holds.lock);
    return removed;
}

bool hold_has(const char *email)
{
    if (atomic_load(&holds.count) == 0)
        return false;
    pthread_mutex_lock(&holds.lock);
    bool held = names_has(&holds.held, email);
    pthread_mutex_unlock(&holds.lock);
    return held;
}

struct names hold_list(void)
{
    pthread_mutex_lock(&holds.lock);
    struct names copy = names_copy(&holds.held);
    pthread_mutex_unlock(&holds.lock);
    return copy;
}

bool hold_wait(struct hold_wait *wait, struct worker *w, const char *email)
{
    hold_forget(wait); /* the post of an earlier wait might be under way */
    wait->worker = w;
    wait->email = email;
    pthread_mutex_lock(&holds.lock);
    bool held = names_has(&holds.held, email);
    if (held)
        ring_add_last(&holds.waits, &wait->ring);
    pthread_mutex_unlock(&holds.lock);
    return held;
}

void hold_forget(struct hold_wait *wait)
{
    if (!wait->worker)
        return;
    pthread_mutex_lock(&holds.lock);
    ring_remove(&wait->ring);
    pthread_mutex_unlock(&holds.lock);
    worker_unpost(wait->worker, &wait->post);
}
