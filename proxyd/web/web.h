/* SPDX-License-Identifier: ISC
 *
 * What the exchange (exchange.c) and the login (login.c) say to each other about one request. The
 * exchange moves all bytes; the login says where a request belongs, and answers those which are its
 * own: the page, the form's post, static files, the logout. */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include "client.h"
#include "web/http_head.h"

enum { WEB_NODE_NAME_MAX = 255 };

/* Where the requests of somebody who is logged in go. */
struct web_route {
    char name[WEB_NODE_NAME_MAX + 1]; /* as in `nodes`; "": none there */
    char host[MAP_HOST_MAX + 1];
    uint16_t port;
    char login[LOGIN_MAX + 1]; /* as it was typed, for the log */
};

/* One request. It lives from its head to the end of its answer. */
struct web_request {
    struct client *client;  /* whose it is: config, service, listener, worker, address */
    struct http_head *head; /* in web_login_decide, and of a request that is served here */
    struct str body;        /* of a request that is served here: whole, no framing left */
    bool tls;               /* it came over TLS */
    bool https;   /* it did on its way to a trusted proxy, or here; web_login_describe's */
    bool trusted; /* the client is: what it says of others is believed */
    char id[65];  /* X-Request-ID */
    struct web_route route; /* by web_login_decide, or by Authorization: Basic */
    const char
        *template_name; /* for X-Webmail-Template, X-Webmail-Device; or NULL; as long as the */
    const char *device; /* configuration */
    struct buf fields;  /* to be added to the node's answer: whole fields, CR LF behind each */
    bool forget;        /* the logout: passed on, and the answer forgets the route */
    void *login;        /* the login's own, from web_login_serve on */
};

enum web_way {
    WEB_NODE, /* to `route` */
    WEB_HERE  /* the body is read (at most http.body_size), then web_login_serve */
};

/* ---- what login.c does for exchange.c: see login.h ---- */

/* ---- what exchange.c does for login.c ---- */

/* Answers R, which web_login_serve got, now or later: FIELDS are whole fields with CR LF behind
 * each (Content-Length, Date and Connection are added; an answer to HEAD keeps its length and loses
 * its body). Both are copied. R's `login` is not looked at again. */
void web_answer(struct web_request *r, unsigned status, struct str fields, struct str body);

/* Answers R with a short page of our own for STATUS; 503 says Retry-After. */
void web_refuse(struct web_request *r, unsigned status);

#endif
