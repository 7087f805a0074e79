/* SPDX-License-Identifier: ISC
 *
 * The machine's clock, where somebody sets it while we run. Our timers do not follow it (they count
 * the time since the machine's start), so nobody is logged out by it; what does is the log, and how
 * long cookies and TLS tickets are good. So it is told in the log. */
#ifndef CLOCK_H
#define CLOCK_H

#include <uv.h>

/* Begins to look at the clock, on LOOP's timer. For the main thread. */
void clock_watch(uv_loop_t *loop);

#endif
