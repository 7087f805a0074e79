/* SPDX-License-Identifier: ISC
 *
 * The HTTP server of the admin listener: see http_server.h. A connection reads a head
 * (http_head.h), writes an answer, says that it is the end, and waits until the other side has
 * closed, so that nothing unread destroys the answer on its way (RFC 9112, 9.6). */
#include "admin/http_server.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/ring.h"
#include "web/http_head.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS = 16,        /* in a turn */
    PAUSE = 100,         /* ms, when there are no descriptors */
    LINGER = 2000,       /* ms for the other side to close */
    DRAINED = 64 * 1024, /* bytes that are read away meanwhile */
    READ_SIZE = 4096     /* bytes */
};

struct socket_poll {
    struct ring ring;
    uv_poll_t poll;
    struct http_server *server;
    int fd;
};

struct http_server {
    uv_loop_t *loop;
    void (*answer)(const char *path, struct http_response *r);
    struct ring sockets, connections; /* the oldest first */
    unsigned count;
    uv_timer_t pause; /* while accepting pauses */
    bool freed;
    char space[READ_SIZE]; /* for all reads: nothing stays in it */
};

struct connection {
    struct ring ring; /* in none: it is being closed */
    struct http_server *server;
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    uv_timer_t timer;
    unsigned handles; /* open ones of these two */
    struct buf in;    /* the request's head so far */
    size_t seen;      /* bytes of it without an end */
    bool without_body, answered, sent;
    bool ended;     /* the other side has, before it was answered */
    size_t drained; /* bytes read away behind it */
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct buf head, body; /* of the answer */
    char in_space[1024], head_space[512];
};

static void free_data(uv_handle_t *handle)
{
    free(handle->data);
}

static void release_server(struct http_server *s)
{
    if (s->freed && s->count == 0)
        uv_close((uv_handle_t *)&s->pause, free_data);
}

/* ---- the end of a connection ---- */

static void handle_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    if (--c->handles)
        return;
    buf_free(&c->in);
    buf_free(&c->head);
    buf_free(&c->body);
    c->server->count--;
    release_server(c->server);
    free(c);
}

static void close_connection(struct connection *c)
{
    if (!ring_has(&c->ring))
        return;
    ring_remove(&c->ring);
    uv_close((uv_handle_t *)&c->stream, handle_closed);
    uv_close((uv_handle_t *)&c->timer, handle_closed);
}

static void time_over(uv_timer_t *timer)
{
    close_connection(timer->data);
}

/* ---- answering ---- */

static void ended(uv_shutdown_t *request, int status)
{
    struct connection *c = request->data;
    if (!ring_has(&c->ring))
        return;
    c->sent = true;
    if (status || c->ended)
        close_connection(c);
    else
        uv_timer_start(&c->timer, time_over, LINGER, 0);
}

static void written(uv_write_t *request, int status)
{
    struct connection *c = request->data;
    if (!ring_has(&c->ring))
        return;
    c->shutdown.data = c;
    if (status || uv_shutdown(&c->shutdown, &c->stream, ended))
        close_connection(c);
}

static void send_answer(struct connection *c, const struct http_response *r)
{
    buf_addf(&c->head,
             "HTTP/1.1 %u %s\r\n"
             "Content-Type: %s\r\n"
             "Content-Length: %u\r\n"
             "Cache-Control: no-store\r\n"
             "X-Content-Type-Options: nosniff\r\n"
             "%s"
             "Connection: close\r\n\r\n",
             r->status, http_status_words(r->status), r->type, buf_len(&c->body), r->headers);
    struct str head = buf_str(&c->head), body = buf_str(&c->body);
    uv_buf_t bufs[] = {uv_buf_init((char *)head.p, (unsigned)head.n),
                       uv_buf_init((char *)body.p, (unsigned)body.n)};
    c->write.data = c;
    c->answered = true;
    uv_timer_start(&c->timer, time_over, HTTP_SERVER_TIME, 0);
    if (uv_write(&c->write, &c->stream, bufs, body.n && !c->without_body ? 2 : 1, written))
        close_connection(c);
}

/* Answers for PATH, or, where STATUS is not 200, with that. */
static void answer(struct connection *c, unsigned status, const char *path)
{
    struct http_response r = {.status = status, .type = "text/plain; charset=utf-8", .headers = ""};
    buf_init(&r.body, NULL, 0, HTTP_SERVER_BODY_MAX);
    if (status == 200)
        c->server->answer(path, &r);
    else
        buf_addf(&r.body, "%u %s\n", status, http_status_words(status));
    if (status == 405)
        r.headers = "Allow: GET, HEAD\r\n";
    c->body = r.body;
    send_answer(c, &r);
}

/* ---- the request ---- */

static void take_request(struct connection *c, struct str bytes)
{
    struct http_head head;
    char path[HTTP_SERVER_PATH_MAX + 1];
    unsigned status = http_head_request(&head, bytes);
    size_t n = 0;
    if (status == 0) {
        c->without_body = head.is_head;
        while (n < head.target.n && !strchr("?#", head.target.p[n]))
            n++;
        status = !head.is_get && !head.is_head ? 405 : n > HTTP_SERVER_PATH_MAX ? 414 : 200;
    }
    if (status == 200) {
        memcpy(path, head.target.p, n);
        path[n] = 0;
    }
    answer(c, status, path);
}

static void read_head(struct connection *c, const char *bytes, size_t n)
{
    buf_add(&c->in, bytes, n);
    ssize_t end = http_head_end(buf_str(&c->in), &c->seen);
    if (end > 0)
        take_request(c, (struct str){buf_str(&c->in).p, (size_t)end});
    else if (end < 0)
        answer(c, 400, NULL);
    else if (c->in.full)
        answer(c, 431, NULL);
}

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct connection *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->server->space, READ_SIZE);
}

static void came(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;
    c->ended = n == UV_EOF;
    if (n < 0 && (!c->ended || !c->answered || c->sent))
        close_connection(c);
    else if (n < 0)
        uv_read_stop(stream);
    else if (!c->answered)
        read_head(c, buf->base, (size_t)n);
    else if ((c->drained += (size_t)n) > DRAINED)
        close_connection(c);
}

/* ---- accepting ---- */

static bool open_stream(struct http_server *s, struct connection *c, int fd, int family)
{
    int error;
    if (family == AF_UNIX) {
        uv_pipe_init(s->loop, &c->pipe, 0);
        error = uv_pipe_open(&c->pipe, fd);
    } else {
        uv_tcp_init(s->loop, &c->tcp);
        error = uv_tcp_open(&c->tcp, fd);
    }
    if (error)
        close(fd);
    c->stream.data = c;
    return error == 0;
}

static void begin(struct http_server *s, int fd, int family)
{
    struct connection *c = xcalloc(1, sizeof *c);
    if (s->count >= HTTP_SERVER_CONNECTIONS && !ring_is_empty(&s->connections))
        close_connection(OUTER(s->connections.next, connection, ring));
    c->server = s;
    s->count++;
    ring_add_last(&s->connections, &c->ring);
    c->handles = 2;
    uv_timer_init(s->loop, &c->timer);
    c->timer.data = c;
    buf_init(&c->head, c->head_space, sizeof c->head_space, 4096);
    buf_init(&c->body, NULL, 0, HTTP_SERVER_BODY_MAX);
    buf_init(&c->in, c->in_space, sizeof c->in_space, HTTP_SERVER_HEAD_MAX);
    uv_timer_start(&c->timer, time_over, HTTP_SERVER_TIME, 0);
    if (!open_stream(s, c, fd, family) || uv_read_start(&c->stream, lend, came))
        close_connection(c);
}

static void accept_some(uv_poll_t *poll, int status, int events);

static void accept_again(uv_timer_t *timer)
{
    struct http_server *s = timer->data;
    RING_EACH (ring, &s->sockets)
        uv_poll_start(&OUTER(ring, socket_poll, ring)->poll, UV_READABLE, accept_some);
}

static void pause_accepting(struct http_server *s, int error)
{
    log_message(LOG_LEVEL_ERROR, "admin", "accepting pauses: %s", strerror(error));
    RING_EACH (ring, &s->sockets)
        uv_poll_stop(&OUTER(ring, socket_poll, ring)->poll);
    uv_timer_start(&s->pause, accept_again, PAUSE, 0);
}

static void accept_some(uv_poll_t *poll, int status, int events)
{
    struct socket_poll *socket = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage sa;
        socklen_t n = sizeof sa;
        int fd = accept4(socket->fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            begin(socket->server, fd, sa.ss_family);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(socket->server, errno);
        return;
    }
}

/* ---- the server ---- */

struct http_server *http_server_new(uv_loop_t *loop,
                                    void (*answer_path)(const char *path, struct http_response *r))
{
    struct http_server *s = xcalloc(1, sizeof *s);
    s->loop = loop;
    s->answer = answer_path;
    ring_init(&s->sockets);
    ring_init(&s->connections);
    uv_timer_init(loop, &s->pause);
    s->pause.data = s;
    return s;
}

void http_server_listen(struct http_server *server, int fd)
{
    struct socket_poll *socket = xcalloc(1, sizeof *socket);
    socket->server = server;
    socket->fd = fd;
    uv_poll_init(server->loop, &socket->poll, fd);
    socket->poll.data = socket;
    ring_add_last(&server->sockets, &socket->ring);
    uv_poll_start(&socket->poll, UV_READABLE, accept_some);
}

void http_server_forget(struct http_server *server)
{
    RING_EACH (ring, &server->sockets) {
        ring_remove(ring);
        uv_close((uv_handle_t *)&OUTER(ring, socket_poll, ring)->poll, free_data);
    }
    uv_timer_stop(&server->pause);
}

void http_server_free(struct http_server *server)
{
    http_server_forget(server);
    RING_EACH (ring, &server->connections)
        close_connection(OUTER(ring, connection, ring));
    server->freed = true;
    release_server(server);
}
