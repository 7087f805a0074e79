/* SPDX-License-Identifier: ISC
 *
 * A small HTTP/1.1 server on a libuv loop: for a few administrators, load balancers and monitors.
 * One request a connection, GET and HEAD, no bodies; connections, heads and times are bounded. It
 * knows nothing of what is served. Called by admin.c. */
#ifndef ADMIN_HTTP_SERVER_H
#define ADMIN_HTTP_SERVER_H

#include "base/buf.h"

#include <uv.h>

enum {
    HTTP_SERVER_CONNECTIONS = 64,           /* with one more, the oldest has to go */
    HTTP_SERVER_HEAD_MAX = 8192,            /* bytes */
    HTTP_SERVER_PATH_MAX = 256,             /* bytes */
    HTTP_SERVER_TIME = 10000,               /* ms for a request's head; for taking the answer */
    HTTP_SERVER_BODY_MAX = 64 * 1024 * 1024 /* bytes of an answer */
};

struct http_response {
    unsigned status;     /* 200 at the start */
    const char *type;    /* the media type; plain text at the start */
    const char *headers; /* more fields, each with CR LF; "" at the start */
    struct buf body;     /* empty at the start, at most HTTP_SERVER_BODY_MAX */
};

struct http_server;

/* A server on LOOP that answers with what ANSWER makes of a path (as it was written, without its
 * query). For LOOP's thread, like all of these. */
struct http_server *http_server_new(uv_loop_t *loop,
                                    void (*answer)(const char *path, struct http_response *r));

/* Accepts from the listening socket FD too, which has to stay open until the server is freed or
 * told to forget all its sockets. */
void http_server_listen(struct http_server *server, int fd);
void http_server_forget(struct http_server *server);

/* Closes all connections; what is left is freed by LOOP, in its next turns. */
void http_server_free(struct http_server *server);

#endif
