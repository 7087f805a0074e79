/* SPDX-License-Identifier: ISC
 *
 * A hashed timing wheel: see wheel.h. A timer that is due in a later turn stays in its slot and is
 * passed over until then. */
#include "base/wheel.h"

void wheel_init(struct wheel *w, uint64_t now)
{
    for (size_t i = 0; i < WHEEL_SLOTS; i++)
        w->slots[i].next = w->slots[i].prev = &w->slots[i];
    w->tick = now / WHEEL_TICK;
    w->count = 0;
}

void wheel_clear(struct wheel *w, struct timer *t)
{
    if (!t->next)
        return;
    t->next->prev = t->prev;
    t->prev->next = t->next;
    t->next = t->prev = NULL;
    w->count--;
}

void wheel_set(struct wheel *w, struct timer *t, uint64_t due)
{
    wheel_clear(w, t);
    uint64_t tick = due / WHEEL_TICK + 1; /* the first tick at which DUE is over */
    struct timer *head = &w->slots[(tick < w->tick ? w->tick : tick) % WHEEL_SLOTS];
    t->due = due;
    t->next = head;
    t->prev = head->prev;
    head->prev->next = t;
    head->prev = t;
    w->count++;
}

static void run_slot(struct wheel *w, struct timer *head, uint64_t now)
{
    /* The ring is taken over first: what fires may set and clear timers, in this slot too. */
    struct timer ring = *head;
    if (ring.next == head)
        return;
    ring.next->prev = ring.prev->next = &ring;
    head->next = head->prev = head;
    while (ring.next != &ring) {
        struct timer *t = ring.next;
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
        struct timer *head = &w->slots[w->tick % WHEEL_SLOTS];
        w->tick++;
        run_slot(w, head, now);
    }
}
