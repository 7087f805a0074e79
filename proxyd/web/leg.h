/* SPDX-License-Identifier: ISC
 *
 * The way of one request to its node: a place at the node or in its queue, then a connection, one
 * that was kept or a new one. Each worker keeps connections of its own; one is given on only after
 * a message that ended as it should, and only to requests of the same node and service. Whether
 * more may be under way is the node's gate's to say (node.h), for all workers together. */
#ifndef WEB_LEG_H
#define WEB_LEG_H

#include "node.h"
#include "web/web.h"

struct conn; /* a connection to a node */

enum leg_result {
    LEG_MORE,  /* wait for `ready`, or for `deadline` */
    LEG_READY, /* leg_stream can be used */
    LEG_FAILED /* `status` and `error` */
};

enum leg_state { LEG_NONE, LEG_WAIT, LEG_CONNECT, LEG_TALK };

/* All zero, but for `ready` and `local`, which the owner sets. `ready` is called when something has
 * happened, an event on the stream among it; never from within a function of this header. */
struct leg {
    void (*ready)(struct leg *leg);
    const struct addr *local; /* where the client came to; NULL: where its socket is */
    enum leg_state state;
    struct client *client; /* on whose account it is */
    struct conn **own;     /* where a connection waits that only this client may use again */
    struct node *node;     /* from leg_start to leg_end; NULL: none */
    struct node_ticket ticket;
    struct conn *conn;
    uint64_t deadline; /* ms; 0: none of ours. At it: leg_step */
    bool idempotent;   /* the request may be asked again */
    bool runs;         /* set by the owner: of a session that the node has already, be it drained */
    bool reused;       /* the connection had carried a message before this one */
    unsigned status;   /* of LEG_FAILED: 502, 503, 504 */
    char error[160];
};

/* Begins to go to ROUTE's node on account of CLIENT. OWN is the client's place for a connection of
 * its own. IDEMPOTENT: the request may be asked again, so a kept connection need not be looked at
 * before it is used. */
enum leg_result leg_start(struct leg *leg, struct client *client, const struct web_route *route,
                          struct conn **own, bool idempotent);

/* Goes on as far as it can. */
enum leg_result leg_step(struct leg *leg);

/* The kept connection was closed by the node before it said a word: a new one. */
enum leg_result leg_again(struct leg *leg);

/* The connection, from LEG_READY on. */
struct stream *leg_stream(struct leg *leg);

/* The node has answered completely. GOOD: the connection can be used again; OWN: by the same client
 * only (what it said may be bound to the connection, as NTLM is). Gives the place back. */
void leg_done(struct leg *leg, bool good, bool own);

/* The connection carries something else from now on, without a place at the node. */
void leg_upgraded(struct leg *leg);

/* Ends it, wherever it is, with its connection. Harmless on one that is over. */
void leg_end(struct leg *leg);

/* Closes a client's own connection, if there is one. */
void leg_close_own(struct conn **own);

#endif
