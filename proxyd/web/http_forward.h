/* SPDX-License-Identifier: ISC
 *
 * What goes on to the node and back to the client: heads written anew from what was parsed, never
 * bytes that somebody sent. Fields of one connection stay behind (RFC 9110, 7.6.1), there is one
 * Host and one framing; the node is told who asks and how the site is called outside, and what it
 * says of its own name is put right. Sans-I/O; called by exchange.c. */
#ifndef WEB_HTTP_FORWARD_H
#define WEB_HTTP_FORWARD_H

#include "base/buf.h"
#include "web/http_head.h"

/* How the site is called by who asked. */
struct http_outside {
    struct str host; /* with a port, if it has one; empty: unknown */
    bool https;
};

/* What goes to the node besides the client's own words. Strings may be NULL where nothing is to be
 * said. */
struct http_request_setup {
    const char *client;     /* its address without port; NULL: it has none (a socket file) */
    bool tls;               /* how it came */
    bool trusted;           /* what it says of others before it is believed */
    const char *id;         /* X-Request-ID */
    const char *host;       /* Host where an HTTP/1.0 client names none */
    const char *cookie;     /* the name of the route cookie, which is not the node's business */
    struct str credentials; /* to stand in Authorization; .p NULL: as the client said */
    const char *template_name, *device;
};

/* Writes the head of the request H for the node; OUTSIDE's host points into OUT. False: too long.
 */
bool http_forward_request(struct buf *out, const struct http_head *h,
                          const struct http_request_setup *setup, struct http_outside *outside);

/* How the client gets the answer. */
struct http_answer_setup {
    struct http_outside outside;
    struct str node_host; /* as the node's own name may stand in what it says */
    uint16_t node_port;
    const char *cookie;        /* the name of the route cookie, which is not the node's to set */
    struct str fields;         /* to be added, whole, CR LF behind each */
    bool old;                  /* the client speaks HTTP/1.0 */
    bool keep;                 /* its connection will be used again */
    enum http_framing framing; /* of the body on its way to the client */
};

/* Writes the head of the answer H for the client. False: too long. */
bool http_forward_answer(struct buf *out, const struct http_head *h,
                         const struct http_answer_setup *setup);

/* Writes those trailers of SECTION (http_body) that say nothing about framing, routing or who asks,
 * and the empty line. False: they are not as they ought to be. */
bool http_forward_trailers(struct buf *out, struct str section);

/* Writes the head of an answer of our own with LENGTH bytes of body: FIELDS are whole fields, DATE
 * is now (RFC 9110, 5.6.7). False: too long. */
bool http_forward_own(struct buf *out, unsigned status, struct str fields, size_t length,
                      const char *date, bool old, bool keep);

#endif
