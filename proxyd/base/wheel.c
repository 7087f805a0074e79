/* SPDX-License-Identifier: ISC
 *
 * A hashed timing wheel: see wheel.h. A timer that is due in a later turn stays in its slot and is
 * passed over until then. */
#include "base/wheel.h"

#include "base/mem.h"

void wheel_init(struct wheel *w, uint64_t now)
{
    for (size_t i = 0; i < WHEEL_SLOTS; i++)
        ring_init(&w->slots[i]);
    w->tick = now / WHEEL_TICK;
    w->count = 0;
}

void wheel_clear(struct wheel *w, struct timer *t)
{
    w->count -= ring_has(&t->ring);
    ring_remove(&t->ring);
}

void wheel_set(struct wheel *w, struct timer *t, uint64_t due)
{
    wheel_clear(w, t);
    uint64_t tick = due / WHEEL_TICK + 1; /* the first tick at which DUE is over */
    t->due = due;
    ring_add_last(&w->slots[(tick < w->tick ? w->tick : tick) % WHEEL_SLOTS], &t->ring);
    w->count++;
}

static void run_slot(struct wheel *w, struct ring *slot, uint64_t now)
{
    struct ring
        timers; /* taken over first: what fires may set and clear timers, in this slot too */
    ring_take(&timers, slot);
    while (!ring_is_empty(&timers)) {
        struct timer *t = OUTER(timers.next, timer, ring);
        uint64_t due = t->due;
        wheel_clear(w, t);
        if (due <= now)
            t->fire(t);
        else
            wheel_set(w, t, due);
    }
}

void wheel_run(struct wheel *w, uint64_t now)
{
    uint64_t last = now / WHEEL_TICK;
    if (last - w->tick >= WHEEL_SLOTS && last > w->tick)
        w->tick = last - WHEEL_SLOTS + 1;
    while (w->tick <= last) {
        struct ring *slot = &w->slots[w->tick % WHEEL_SLOTS];
        w->tick++;
        run_slot(w, slot, now);
    }
}
