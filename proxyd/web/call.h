/* SPDX-License-Identifier: ISC
 *
 * A request of our own to a node, for the login there: one place at the node, one connection, one
 * answer with a bounded body. */
#ifndef WEB_CALL_H
#define WEB_CALL_H

#include "web/http_body.h"
#include "web/leg.h"

enum { CALL_BODY_MAX = 1024 * 1024 };

enum call_result {
    CALL_OK,     /* `head` and `body` are the node's answer, whatever its status */
    CALL_FAILED, /* `status` is what the client is to be told (502, 503, 504), `error` is for the
                    log */
};

/* All zero, but for `done`, which the caller sets. */
struct call {
    void (*done)(struct call *call); /* once, and never from within call_start */
    enum call_result result;
    struct http_head head; /* until call_end, as is `body` */
    struct str body;
    unsigned status;
    char error[160];
    /* ---- call.c's own */
    struct leg leg;
    struct buf request, in, data;
    struct http_body reader;
    struct timer timer;
    struct post post;
    size_t seen, head_size;
    uint64_t deadline;
    bool is_head, is_idempotent, sent, answered;
};

/* Asks the node of ROUTE, on account of CLIENT: START is the request line ("GET /login HTTP/1.1"),
 * FIELDS are whole fields with CR LF behind each, one Host among them; Content-Length is added
 * where there is a BODY or the method is POST. All are copied; ROUTE too. call_end before CLIENT
 * goes. */
void call_start(struct call *call, struct client *client, const struct web_route *route,
                struct str start, struct str fields, struct str body);

/* Forgets it, under way or done, and wipes what was said. Harmless on one that is all zero. */
void call_end(struct call *call);

#endif
