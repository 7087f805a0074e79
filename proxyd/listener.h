/* SPDX-License-Identifier: ISC
 *
 * Listening sockets and accepting on them. The sockets of a configuration are opened once, by the
 * main thread, and every running worker accepts from them; so workers can come and go, and
 * configurations follow one another, without a connection being lost. */
#ifndef LISTENER_H
#define LISTENER_H

#include "config.h"
#include "worker.h"

struct listen_set; /* the open sockets of one configuration; counted references */

/* Opens the sockets for CONFIG; those that OLD (or NULL) has at the same address are the same ones.
 * NULL when one cannot be bound: PROBLEMS says which. One reference for the caller. */
struct listen_set *listen_set_open(const struct config *config, const struct listen_set *old,
                                   struct problems *problems);
struct listen_set *listen_set_ref(struct listen_set *set);
void listen_set_unref(struct listen_set *set);

/* Whether the caller has the only reference: no worker accepts on SET any more. */
bool listen_set_is_idle(const struct listen_set *set);

/* How many sessions the process may have before accepting pauses (two descriptors each). */
void listener_set_limit(unsigned sessions);

/* ---- what the main thread tells a worker; each is done soon, in the order of telling ---- */

/* W serves CONFIG on SET from now on (keeping references), in the place of what it served before;
 * with CHECKS it also checks the nodes. False when W has ended. */
bool listener_serve(struct worker *w, struct config *config, struct listen_set *set, bool checks);

/* W accepts no more, and ends with its last session. */
void listener_retire(struct worker *w);

/* W closes its sessions. */
void listener_stop_sessions(struct worker *w);

#endif
