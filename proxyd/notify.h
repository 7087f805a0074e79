/* SPDX-License-Identifier: ISC
 *
 * Tells systemd how the process stands (the protocol of sd_notify(3)): that it is ready, reloads,
 * ends, hands over, and that it is not stuck (its watchdog). */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdbool.h>
#include <uv.h>

/* Sends STATE ("READY=1", "RELOADING=1", "STOPPING=1", "MAINPID=...") to the socket that
 * $NOTIFY_SOCKET names; does nothing without one. */
void notify(const char *state);

/* Where systemd watches us ($WATCHDOG_USEC), says on a timer of LOOP that we are well, as long as
 * WELL says so. Once. */
void notify_watchdog(uv_loop_t *loop, bool (*well)(void));

/* Says nothing any more, for another process does now. */
void notify_stop(void);

#endif
