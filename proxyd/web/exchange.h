/* SPDX-License-Identifier: ISC
 *
 * One client's connection that speaks HTTP (struct web), and the request that is under way on it
 * (struct exchange), as the files that serve them see them: web.c is the way of a request from top
 * to bottom, pump.c moves its bytes, answer.c answers by itself, basic.c routes by Authorization.
 * Between two requests there is no exchange, and a connection weighs little. */
#ifndef WEB_EXCHANGE_H
#define WEB_EXCHANGE_H

#include "base/buf.h"
#include "net/splice.h"
#include "web/http_body.h"
#include "web/http_forward.h"
#include "web/leg.h"
#include "web/web.h"

struct basic;

enum { WEB_READ = 64 * 1024 }; /* bytes of a body read at once; others may be behind it */

enum web_state {
    WEB_ARRIVE, /* PROXY header, TLS */
    WEB_IDLE,   /* nothing of the next request has come */
    WEB_HEAD,   /* some of its head has */
    WEB_ROUTE,  /* the maps are asked about its Authorization */
    WEB_HOLD,   /* that mailbox is on hold, or its login failed and this is told later */
    WEB_BODY,   /* its body is read, for it is answered here */
    WEB_SERVE,  /* it is being answered here */
    WEB_ANSWER, /* our own answer is on its way to the client */
    WEB_WAY,    /* on the way to the node */
    WEB_PUMP,   /* bytes go to the node and come from there */
    WEB_CARRY,  /* upgraded: bytes both ways */
    WEB_LEAVE,  /* our last words are on their way to the client */
    WEB_END     /* closed; freed after this round */
};

struct web {
    struct client client;
    enum web_state state;
    struct exchange *exchange;    /* NULL: none is under way */
    struct conn *own;             /* a connection to a node that only this client may use */
    struct addr *local;           /* where it came to, where a PROXY header told; owned */
    uint64_t bytes_in, bytes_out; /* of bodies, in all exchanges that are over */
    uint64_t told;                /* of them, to recent.h */
};

/* A request's answer, as the log tells it. */
struct web_result {
    unsigned status;
    uint64_t bytes;    /* of its body */
    const char *error; /* why there was none, or not all of one; or NULL */
};

struct exchange {
    struct web *web;
    struct web_request request;
    uint64_t started; /* ms: its first byte */
    uint64_t active;  /* ms: the last progress */
    struct buf in;    /* what the client has said and nobody has used yet: all that is read at
                         once fits, so none of it is ever lost */
    size_t in_seen;
    struct buf line; /* "METHOD /path" for the log, where that is told */

    /* what is known of the request once its head is there */
    bool is_head, old, keep; /* HEAD; HTTP/1.0; the client's connection will be used again */
    bool awaits;             /* the client waits for 100 Continue */
    bool upgrades;           /* to be a websocket */
    bool can_retry;          /* it may be sent again over a new connection */
    bool bound;              /* its credentials may be bound to the connection to the node */
    uint64_t body_max;
    struct buf raw;           /* its head as it came, where it has to be looked at again */
    struct http_head *parsed; /* that, parsed; owned */
    struct http_body up;
    struct buf body;     /* of one that is answered here */
    struct basic *basic; /* its Authorization; owned */

    /* at the node */
    struct leg leg;
    struct buf head;             /* as it goes to the node: kept until the answer begins */
    struct http_outside outside; /* points into it */
    bool head_sent;
    struct buf node_in; /* a part of the answer's head */
    size_t node_seen;
    unsigned interims; /* answers 1xx so far */
    struct http_body down;
    enum http_framing down_framing; /* towards the client */
    bool down_begun;                /* the head of the answer that counts has come */
    bool node_keep;                 /* the connection to the node can be used again */
    bool long_lived;                /* it may be silent for long: events */
    uint32_t read;                  /* bytes of it read at once; 0: not yet set */
    size_t pending;                 /* bytes that the client had not taken at the last look */
    struct splice splice_up, splice_down;

    /* its end */
    struct buf out;
    bool asked, served;  /* web_login_serve was called; it has answered */
    enum web_state next; /* after that */
    char *rest;          /* of our own answer: what has not been written yet; owned */
    size_t rest_at, rest_size;
    struct web_result result;
    /* storage of `line`, `head` and `out`, which leave it wiped */
    char line_space[128], head_space[2560], out_space[2560];
};

/* Has W look what can be done now. */
void web_step(struct web *w);

/* A request has begun on W; and frees the one that is under way, wherever it is. */
struct exchange *exchange_begin(struct web *w);
void exchange_free(struct exchange *x);

/* Reads some of the body of X to P, from `in` or the socket, at most WEB_READ bytes: what
 * stream_read returns. *DATA bytes of the body are there, without framing (`up` says whether it is
 * as it has to be), and what is behind the body is in `in`. */
ssize_t exchange_read(struct exchange *x, char *p, size_t *data);

/* The answer is with the client, or on its way: the state for what comes next, another request or
 * the end. */
enum web_state exchange_over(struct exchange *x);

/* What RESULT, of the way to the node, leads to. */
enum web_state exchange_way(struct exchange *x, enum leg_result result);

/* THE exit of a connection, for REASON: what was said so far still gets to the client. DETAIL is
 * for the log. */
enum web_state web_end(struct web *w, enum client_reason reason, const char *detail);

/* The client has left, or the connection to it broke, while its request was under way. */
enum web_state web_gone(struct web *w);

/* ---- answer.c ---- */

/* Answers by ourselves, all in one piece: FIELDS are whole fields. What follows the request is read
 * on only where `keep` is still set. Returns the next state. */
enum web_state answer_own(struct exchange *x, unsigned status, struct str fields, struct str body);

/* The same with a short page for STATUS, ERROR for the log. */
enum web_state answer_refuse(struct exchange *x, unsigned status, const char *error);

/* Goes on with it, as far as the client takes it. */
enum web_state answer_step(struct exchange *x);

/* Logs and counts the request, which is over, answered or not. */
void answer_log(const struct exchange *x);

/* Tells who moves much: from time to time, and at the END of a connection. */
void answer_talker(struct web *w, bool end);

/* ---- pump.c ---- */

/* Moves what can be moved of the request and of the answer. */
enum web_state pump_step(struct exchange *x);

/* ---- basic.c ---- */

/* Whether HEAD has credentials by which it is routed; notes them. False: none, or of another kind.
 */
bool basic_begin(struct exchange *x, const struct http_head *head);

/* Asks the maps; WEB_ROUTE, or what basic_answered returns. */
enum web_state basic_ask(struct exchange *x);

/* Looks at their answer: WEB_ROUTE or WEB_HOLD to wait, WEB_WAY when `request.route` is filled in,
 * or what a refusal returns. */
enum web_state basic_answered(struct exchange *x);
enum web_state basic_hold(struct exchange *x);

/* What the node is to be told in Authorization, in OUT; empty: what the client said. */
struct str basic_credentials(const struct exchange *x, struct buf *out);

/* Notes that the node answered with STATUS: 401 is a failed login as any other. */
void basic_told(struct exchange *x, unsigned status);

void basic_free(struct exchange *x);

#endif
