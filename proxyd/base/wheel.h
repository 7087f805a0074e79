/* SPDX-License-Identifier: ISC
 *
 * Deadlines by the thousand: a hashed timing wheel. Setting and clearing take constant time; a
 * deadline fires up to WHEEL_TICK milliseconds late and never early. For one thread. */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include "base/ring.h"

#include <stddef.h>
#include <stdint.h>

enum { WHEEL_TICK = 50, WHEEL_SLOTS = 512 }; /* milliseconds; a turn takes 25.6 s */

struct timer {
    struct ring ring; /* in none: not set */
    uint64_t due;     /* ms, on the caller's clock */
    void (*fire)(struct timer *timer);
};

struct wheel {
    struct ring slots[WHEEL_SLOTS];
    uint64_t tick; /* the next one to be looked at */
    size_t count;  /* timers set */
};

void wheel_init(struct wheel *w, uint64_t now);

/* Sets T (set before or not) to fire at DUE. */
void wheel_set(struct wheel *w, struct timer *t, uint64_t due);

/* Clears T; does nothing when it is not set. */
void wheel_clear(struct wheel *w, struct timer *t);

/* Fires what is due at NOW; a timer is cleared before it is fired, and may be set again then. */
void wheel_run(struct wheel *w, uint64_t now);

#endif
