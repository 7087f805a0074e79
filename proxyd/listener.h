/* SPDX-License-Identifier: ISC
 *
 * Accepting connections: every running worker accepts on all sockets of the configuration's set
 * (listen_set.h), which makes them sessions of its own. */
#ifndef LISTENER_H
#define LISTENER_H

#include "config.h"
#include "listen_set.h"
#include "worker.h"

/* How many sessions the process may have before accepting pauses (two descriptors each). */
void listener_set_limit(unsigned sessions);

/* Why accepting pauses, in words, or NULL. From any thread. */
const char *listener_paused(void);

/* ---- what the main thread tells a worker; each is done soon, in the order of telling ---- */

/* W serves CONFIG on SET from now on (keeping references), in the place of what it served before;
 * with CHECKS it also checks the nodes. False when W has ended. */
bool listener_serve(struct worker *w, struct config *config, struct listen_set *set, bool checks);

/* W accepts no more, and ends with its last session. */
void listener_retire(struct worker *w);

/* W closes its sessions, one after the other over MS. */
void listener_stop_sessions(struct worker *w, uint64_t ms);

#endif
