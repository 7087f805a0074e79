/* SPDX-License-Identifier: ISC
 *
 * A connection to a node up to the moment when it can be used: name, connect (each address in
 * turn), PROXY header, TLS, and the protocol's back, which logs in or, for a check, only greets and
 * leaves. Sessions and checks do the same here. The stream belongs to the caller and outlives the
 * link. */
#ifndef LINK_H
#define LINK_H

#include "config.h"
#include "net/stream.h"
#include "node.h"

struct client;

enum link_result {
    LINK_MORE,    /* wait for the stream, the post, or `deadline` */
    LINK_OK,      /* logged in (back->reply), or a check is done */
    LINK_REFUSED, /* the node refused the login (back->reply) */
    LINK_FAILED   /* `error` says why */
};

enum link_state { LINK_RESOLVE, LINK_CONNECT, LINK_HEADER, LINK_TLS, LINK_TALK };

struct link {
    struct stream *stream;
    struct worker *worker;
    const struct config_service *service;
    struct node *node;
    struct client *client; /* set by the caller: whose dialogue it is (trace.h), or NULL */
    enum link_state state;
    struct node_resolve resolve; /* resolve.post.run: the caller's; it calls link_step. Also sent
                                    when it is our turn to read on */
    struct node_addresses addresses;
    unsigned tried;   /* of them */
    uint64_t started; /* ns */
    bool greeted;     /* the node has said something: another address would not help */
    uint64_t
        deadline; /* ms on the worker's clock; 0: the caller's own holds. At it: link_timed_out */
    struct back back;
    struct buf in, out;
    void (*ready)(struct watch *, uint32_t);
    char error[160];
    char in_space[1024], out_space[512];
};

/* Begins a link in W for SERVICE to NODE over STREAM, whose events go to READY. SETUP is what the
 * back is to do; its strings must outlive the link. */
void link_start(struct link *link, struct worker *w, const struct config_service *service,
                struct node *node, struct stream *stream, const struct back_setup *setup,
                void (*ready)(struct watch *, uint32_t));

/* Goes on as far as it can. */
enum link_result link_step(struct link *link);

/* `deadline` is over: the next address is tried, or it fails. */
enum link_result link_timed_out(struct link *link);

/* Gives back what LINK holds but for the stream. Harmless on one that is all zero. */
void link_free(struct link *link);

#endif
