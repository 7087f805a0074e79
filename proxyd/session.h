/* SPDX-License-Identifier: ISC
 *
 * One client, from accept to close: see session.c, which is the way of a login from top to bottom.
 * All functions are for the worker's own thread. */
#ifndef SESSION_H
#define SESSION_H

#include "config.h"
#include "worker.h"

/* Why a session ended: the word in the log's `close` line. */
enum session_reason {
    REASON_LOGOUT,        /* logout: the client said goodbye before it logged in */
    REASON_CLIENT_CLOSED, /* client_closed: the client ended the connection first */
    REASON_NODE_CLOSED, /* node_closed: the node did (after a LOGOUT or QUIT that is the usual end)
                         */
    REASON_CLIENT_LOST, /* client_lost: the connection to the client broke */
    REASON_NODE_LOST,   /* node_lost: the connection to the node broke */
    REASON_LOGIN_TIMEOUT,   /* login_timeout: not logged in in time */
    REASON_IDLE_TIMEOUT,    /* idle_timeout: nothing was carried for too long */
    REASON_TOO_MANY_ERRORS, /* too_many_errors: max_errors, max_auth_errors, or nothing to be talked
                               with */
    REASON_TLS,             /* tls: the handshake with the client failed */
    REASON_INJECTION,       /* injection: bytes behind STARTTLS in the clear */
    REASON_PROXY_HEADER,    /* proxy_header: none, a bad one, or one from an address that is not
                               trusted */
    REASON_SHUTDOWN,        /* shutdown: the process ends */
    REASON_RESOURCES,       /* resources: no descriptor or memory of the kernel's for it */
    REASON_COUNT
};

/* Serves the connection FD from CLIENT, accepted by LISTENER of SERVICE in CONFIG (of which the
 * session keeps a reference). Takes FD in any case. */
void session_start(struct worker *w, struct config *config, const struct config_service *service,
                   const struct config_listener *listener, int fd, const struct addr *client);

/* Sessions of the whole process. From any thread. */
unsigned session_total(void);

/* Closes all sessions of W: those at a command boundary are told. */
void session_stop_all(struct worker *w);

#endif
