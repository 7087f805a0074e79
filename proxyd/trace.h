/* SPDX-License-Identifier: ISC
 *
 * Watching what one login, or one address, and proxyd and the node say to one another
 * (`proxyctl trace`). Engines tell what passes; it is cut into lines here, blanked (trace_line.h)
 * and sent to the main thread. While nobody watches, telling costs one look at a number.
 *
 * What is said before a login is known is kept with the client for as long as somebody waits for a
 * login; all is bounded, and lines that nobody fetches in time are counted and dropped. */
#ifndef TRACE_H
#define TRACE_H

#include "base/addr.h"
#include "base/str.h"
#include "worker.h"

#include <stdatomic.h>

struct client;

enum { TRACES_MAX = 8, TRACE_TEXT = 400 /* bytes of a line that are shown */ };

enum trace_way {
    TRACE_FROM_CLIENT,
    TRACE_TO_CLIENT,
    TRACE_FROM_NODE,
    TRACE_TO_NODE,
    TRACE_EVENT, /* what happened, in words */
    TRACE_UP,    /* carried from the client to the node */
    TRACE_DOWN
};

/* A line, on its way to who watches. */
struct trace_line {
    struct post post;
    unsigned watcher; /* the number that trace_begin returned */
    uint64_t dropped; /* lines before this one */
    uint64_t time;    /* ms since 1970 */
    char session[17], service[32];
    enum trace_way way;
    char text[TRACE_TEXT];
};

/* ---- who watches: the main thread ---- */

/* Watches those who log in as EMAIL (route_email), or where that is "" those who come from ADDRESS.
 * Each line is given to SEND, in a worker, with its post's `run` set to RUN, and is freed by
 * trace_line_free. The watcher's number; 0: there are TRACES_MAX of them. */
unsigned trace_begin(const char *email, const struct addr *address, void (*send)(struct post *),
                     void (*run)(struct post *));

/* Ends that. Lines that are on their way still come. */
void trace_end(unsigned watcher);

void trace_line_free(struct trace_line *line);

/* ---- what passes: the client's worker ---- */

extern atomic_uint trace_count;

static inline bool trace_is_on(void)
{
    return atomic_load_explicit(&trace_count, memory_order_relaxed) > 0;
}

/* The N bytes at P pass; something has happened. */
void trace_bytes_on(struct client *c, enum trace_way way, const void *p, size_t n);
void trace_event_on(struct client *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A head of HTTP of N bytes at P passes. */
void trace_head_on(struct client *c, enum trace_way way, const void *p, size_t n);

/* C has to do with LOGIN too, to whom it brings a message: who watches LOGIN watches C from now on.
 */
void trace_concerns_on(struct client *c, const char *login);

/* C, or NULL, has a login now, or another one. */
void trace_login_on(struct client *c);

/* So many bytes have been carried, all in all. */
void trace_carried_on(struct client *c, uint64_t from_client, uint64_t to_client);

static inline void trace_bytes(struct client *c, enum trace_way way, const void *p, size_t n)
{
    if (trace_is_on() && c)
        trace_bytes_on(c, way, p, n);
}

static inline void trace_head(struct client *c, enum trace_way way, struct str head)
{
    if (trace_is_on())
        trace_head_on(c, way, head.p, head.n);
}

static inline void trace_concerns(struct client *c, const char *login)
{
    if (trace_is_on())
        trace_concerns_on(c, login);
}

static inline void trace_login(struct client *c)
{
    if (trace_is_on())
        trace_login_on(c);
}

static inline void trace_carried(struct client *c, uint64_t from_client, uint64_t to_client)
{
    if (trace_is_on())
        trace_carried_on(c, from_client, to_client);
}

#define trace_event(c, ...)                                                                        \
    do {                                                                                           \
        if (trace_is_on())                                                                         \
            trace_event_on(c, __VA_ARGS__);                                                        \
    } while (0)

/* C ends: what is kept for it is freed. */
void trace_forget(struct client *c);

#endif
