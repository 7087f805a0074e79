/* SPDX-License-Identifier: ISC
 *
 * What session.c, which does it, and session_log.c, which tells of it, have in common. */
#ifndef SESSION_PARTS_H
#define SESSION_PARTS_H

#include "client.h"
#include "hold.h"
#include "link.h"
#include "net/splice.h"
#include "route.h"

enum session_state {
    SESSION_ARRIVE, /* the load balancer's PROXY header and implicit TLS */
    SESSION_TLS,    /* handshake behind STARTTLS */
    SESSION_TALK,   /* the client's commands up to a login */
    SESSION_REFUSE, /* a login has failed; the client is told later */
    SESSION_ROUTE,  /* maps and passwords are asked */
    SESSION_HOLD,   /* the mailbox is on hold */
    SESSION_WAIT,   /* for a place at the node */
    SESSION_LOGIN,  /* connecting and logging in there */
    SESSION_CARRY,  /* bytes, both ways */
    SESSION_DRAIN,  /* our last words are on their way to the client */
    SESSION_END     /* closed; freed after this round */
};

/* What a session needs until it carries. */
struct login {
    struct front front;
    struct creds creds;
    struct buf in, out;
    struct route route;
    struct hold_wait hold;
    struct link link;
    struct addr local;    /* where the client came in; len 0: not asked for */
    uint64_t asked;       /* ms: when the credentials were whole */
    uint64_t asked_ns;    /* the same, by the clock that stats.h has */
    enum verdict verdict; /* of the last login that failed */
    bool pulsed;          /* a client that has ended its side was asked whether it is there */
    char external[LOGIN_MAX + 1];
    char secret_space[256], in_space[1024], out_space[1024];
    struct session *session;
};

struct session {
    struct client client;
    struct stream node;
    struct splice up, down; /* client to node, node to client */
    struct turn turn;       /* of these two, once there is no login any more */
    enum session_state state;
    bool half_closed; /* one side has ended; the client's `reason` says which */
    struct node_ticket ticket;
    uint64_t active; /* ms */
    uint64_t told;   /* bytes that recent.h has heard of */
    struct login *login;
};

/* Tells where S's login belongs, as the maps answered, and how they came to it. */
void session_log_route(struct session *s);

/* Tells how the login ended; REASON is NULL for a good one. */
void session_log_login(struct session *s, bool ok, const char *reason);

/* Tells that S ends, for the client's `reason`; DETAIL or NULL. */
void session_log_close(struct session *s, const char *detail);

/* Tells who moves much: from time to time, and at the END. */
void session_count_talker(struct session *s, bool end);

/* How the node refused, in a few words, into TEXT, which is returned: the codes of the line that
 * answers. Its own words might repeat what it was told, the password in whatever form among it; the
 * client gets these, and the log does not. */
const char *session_node_words(const struct login *l, char *text, size_t size);

#endif
