/* SPDX-License-Identifier: ISC
 *
 * The back-end nodes of a service, for all workers together: where they are (addresses, resolved
 * again now and then), the gate before each (a number of places, and a bounded queue served first
 * come, first served), and whether the checks say that it is up.
 *
 * A node is known by its service, host and port from the first login or configuration that names
 * it; a reload keeps it. It is checked as long as the configuration names it, or, where only a map
 * does, while it is used and some time longer. Functions may be called from any thread unless they
 * say otherwise. */
#ifndef NODE_H
#define NODE_H

#include "base/addr.h"
#include "base/log.h"
#include "base/names.h"
#include "worker.h"

struct config;
struct config_service;
struct node;
struct protocol;

enum { NODE_ADDRESSES_MAX = 8 };

/* What a service's nodes have in common; lives as long as the process. */
struct node_group;

/* Finds or makes the groups of CONFIG's services, puts them into `config_service.group`, gives
 * them the service's limits, and makes the nodes that CONFIG names, so that they are checked
 * before anybody logs in. For the main thread. */
void node_configure(struct config *config);

/* The node of GROUP at HOST (a name, an address or "unix:/path") and PORT, made where it is new,
 * with a reference for the caller; NULL when there are too many that are all in use. NAME (NULL:
 * "host:port") is what logs call it. */
struct node *node_get(struct node_group *group, const char *name, const char *host, uint16_t port);
struct node *node_ref(struct node *node);
void node_unref(struct node *node);

const char *node_name(const struct node *node);
const char *node_host(const struct node *node);
uint16_t node_port(const struct node *node);
const char *node_service(const struct node *node);

/* What it speaks. */
const struct protocol *node_protocol(const struct node *node);

/* What the nodes of GROUP that are up announced, as far as all of them did and a client may be
 * told; NULL while nothing is known. The text stays. */
const char *node_capabilities(const struct node_group *group);

/* ---- addresses ---- */

struct node_addresses {
    struct addr list[NODE_ADDRESSES_MAX];
    unsigned count;
};

/* Waits for a name to be resolved; part of what waits. */
struct node_resolve {
    struct post post; /* `run` is the waiter's; it asks node_resolve again */
    struct worker *worker;
    struct node_resolve *next;
    bool waiting;
};

/* Fills OUT: 0. Or 1 while the resolver is being asked: then WAIT's post runs in worker W. Or the
 * resolver's error (uv_strerror has the words). Old answers serve while new ones are asked for.
 * For W's thread. */
int node_resolve(struct node *node, struct node_addresses *out, struct node_resolve *wait,
                 struct worker *w);

/* Stops waiting; harmless when WAIT is not. For the thread of its worker. */
void node_resolve_cancel(struct node *node, struct node_resolve *wait);

/* ---- the gate ---- */

enum node_ticket_state { TICKET_NONE, TICKET_WAITING, TICKET_GRANTED };

/* A place at a node or in its queue; part of what wants it. All zero at the start. */
struct node_ticket {
    struct post post; /* `run` is the waiter's: a place was granted after waiting */
    struct worker *worker;
    struct node *node;
    struct node_ticket *next, *prev;
    bool runs;      /* set by the waiter: of a session that the node has already, be it drained */
    uint64_t asked; /* ns: when it began to wait */
    _Atomic enum node_ticket_state state;
};

/* Asks for a place at NODE: TICKET_GRANTED at once, TICKET_WAITING (T's post will run in W), or
 * TICKET_NONE: the queue is full. While NODE is down everybody waits. */
enum node_ticket_state node_enter(struct node *node, struct node_ticket *t, struct worker *w);

/* Gives the place, granted or waited for, back, and lets the next one in. Harmless on a ticket
 * that holds none. For the thread of T's worker. */
void node_leave(struct node_ticket *t);

/* Counts a login that is refused because it waited too long for NODE. One that finds the queue
 * full is counted by node_enter. */
void node_count_rejected(struct node *node);

/* ---- health ---- */

/* Notes how a check ended; ERROR NULL: well, and CAPABILITIES were announced. `fall` failures in a
 * row make a node down, `rise` successes up again, and let in who waits. */
void node_checked(struct node *node, const char *error, struct str capabilities);

/* Whether somebody waits for a place there. */
bool node_is_wanted(struct node *node);

bool node_is_up(const struct node *node);

/* Whether a login of GROUP can find a node: one of those that the configuration names is up, or,
 * where it names none, one of those that maps have named so far; before the first of these, yes.
 * The failover only counts where there is nothing else. If not, WHY (SIZE bytes) has the reason. */
bool node_group_usable(struct node_group *group, char *why, size_t size);

/* ---- drained by hand ---- */

/* Nodes are named by KEY: a name from `nodes`, "host:port" or a host, in any case; of every service
 * that has such a node. */
bool node_is_called(const struct node *node, const char *key);

/* Lets no new logins in to the nodes called KEY, now and in time to come: they wait in the queue,
 * where their owner may ask the maps again. Returns whether there is such a node. */
bool node_drain(const char *key);

/* Takes that back; false where KEY is not drained. */
bool node_undrain(const char *key);

bool node_is_drained(const struct node *node);

/* The keys that are drained, for the caller to free; and takes what another process had. */
struct names node_drained(void);
void node_drain_again(const struct names *keys);

/* ---- what there is ---- */

enum { NODE_RECENT = 60, NODE_TROUBLE = 160 };

/* A node at a moment. */
struct node_state {
    struct node *node; /* a reference */
    const char *service, *name;
    bool up, drained;
    unsigned active, waiting;
    unsigned max_connections;     /* 0: no limit */
    uint64_t rejected;            /* logins, so far: node_count_rejected */
    char trouble[NODE_TROUBLE];   /* why the last check failed, or "" */
    uint16_t recent[NODE_RECENT]; /* `active` at the last calls of node_sample, the oldest first */
};

/* All nodes of services that the newest configuration has, with *COUNT, by service and name: free
 * it by node_list_free. Nobody who logs in waits for it. */
struct node_state *node_list(size_t *count);
void node_list_free(struct node_state *list, size_t count);

/* Notes how many sessions each node has, for `recent`. For one thread. */
void node_sample(void);

/* ---- checks ---- */

/* Finds a node whose next check is due at NOW (ms, any clock, always the same), sets that of the
 * next one, and returns it with a reference and its GROUP's service name; or NULL. */
struct node *node_check_due(uint64_t now);

#endif
