/* SPDX-License-Identifier: ISC
 *
 * The control socket's connections: see control.h. */
#include "admin/control.h"

#include "admin/desk.h"
#include "admin/text.h"
#include "base/mem.h"
#include "base/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    CONNECTIONS = 16,
    BACKLOG = 16,
    SILENCE = 10000,     /* ms without a whole request */
    STALL = 30000,       /* ms in which a client takes nothing of its answer */
    QUEUE = 1024 * 1024, /* bytes of answers that wait to be taken */
};

enum reload { RELOAD_NONE, RELOAD_ASKED, RELOAD_READS };

struct control_conn {
    struct ring ring; /* in control.conns */
    uv_pipe_t pipe;
    uv_timer_t timer;
    unsigned open; /* handles */
    unsigned user; /* the peer's */
    bool busy;     /* with `request` */
    bool closing;
    bool full; /* something was not said, for the client takes too little */
    enum reload reload;
    struct control_task *task; /* or NULL */
    struct control_request request;
    size_t n;
    char in[CONTROL_LINE_MAX];
};

struct answer {
    uv_write_t write;
    char *line;
};

static struct {
    uv_loop_t *loop;
    uint64_t started; /* ms, of the loop */
    bool (*reload)(void);
    struct config *config;
    struct control_socket *socket;
    uv_pipe_t *listener; /* freed when it is closed */
    struct ring conns;
    unsigned count;
} control = {.conns = {&control.conns, &control.conns}};

/* ---- a connection's end ---- */

static void closed(uv_handle_t *handle)
{
    struct control_conn *c = handle->data;
    if (--c->open == 0)
        free(c);
}

static void close_conn(struct control_conn *c)
{
    struct control_task *task = c->task;
    if (c->closing)
        return;
    c->closing = true;
    c->task = NULL;
    ring_remove(&c->ring);
    control.count--;
    uv_close((uv_handle_t *)&c->pipe, closed);
    uv_close((uv_handle_t *)&c->timer, closed);
    if (task)
        task->cancel(task);
}

static void timed_out(uv_timer_t *timer)
{
    close_conn(timer->data);
}

/* ---- answers ---- */

static void next_request(struct control_conn *c);

static void sent(uv_write_t *write, int status)
{
    struct answer *a = OUTER(write, answer, write);
    struct control_conn *c = write->data;
    free(a->line);
    free(a);
    if (c->closing)
        return;
    if (status < 0) {
        close_conn(c);
        return;
    }
    uv_timer_again(&c->timer);
    if (uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) > 0)
        return;
    uv_timer_stop(&c->timer);
    c->full = false;
    if (c->task && c->task->ready)
        c->task->ready(c->task);
    if (!c->busy && !c->closing)
        next_request(c);
}

static void say(struct control_conn *c, const json_t *object)
{
    struct answer *a = xcalloc(1, sizeof *a);
    char *text = json_dumps(object, JSON_COMPACT);
    a->line = xasprintf("%s\n", text);
    free(text);
    a->write.data = c;
    uv_buf_t buf = uv_buf_init(a->line, (unsigned)strlen(a->line));
    uv_timer_start(&c->timer, timed_out, STALL, STALL);
    if (uv_write(&a->write, (uv_stream_t *)&c->pipe, &buf, 1, sent) == 0)
        return;
    free(a->line); /* the timer ends the connection */
    free(a);
}

bool control_say(struct control_conn *c, json_t *object)
{
    c->full |= uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) > QUEUE;
    bool takes = !c->full && !c->closing;
    if (takes)
        say(c, object);
    json_decref(object);
    return takes;
}

/* What was ordered, by whom, and how it ended. */
static void log_order(const struct control_conn *c, int status)
{
    const struct control_request *r = &c->request;
    struct log_line l;
    bool looks_only = r->command == CONTROL_STATUS || r->command == CONTROL_SESSIONS;
    if (looks_only || !log_begin(&l, LOG_LEVEL_INFO, log_level("control"), "control"))
        return;
    log_str(&l, "command", control_command_name(r->command));
    log_str(&l, "login", r->user[0] ? r->user : r->who);
    log_str(&l, "node", r->node);
    log_str(&l, "target", r->session);
    log_num(&l, "user", c->user);
    log_num(&l, "status", (uint64_t)status);
    log_end(&l);
}

void control_end(struct control_conn *c, int status, json_t *object)
{
    object = object ? object : json_object();
    json_object_set_new(object, "status", json_integer(status));
    log_order(c, status);
    c->busy = false;
    c->task = NULL;
    c->reload = RELOAD_NONE;
    say(c, object);
    json_decref(object);
}

void control_fail(struct control_conn *c, int status, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    control_end(c, status, json_pack("{s:o}", "error", text_json(text)));
    free(text);
}

/* ---- requests ---- */

void control_keep(struct control_conn *c, struct control_task *task)
{
    task->conn = c;
    c->task = task;
}

struct config *control_config(void)
{
    return control.config;
}

uv_loop_t *control_loop(void)
{
    return control.loop;
}

double control_seconds(void)
{
    return (double)(uv_now(control.loop) - control.started) / 1e3;
}

static void refuse_line(struct control_conn *c, const char *error)
{
    json_t *object = json_pack("{s:i,s:o}", "status", EX_USAGE, "error", text_json(error));
    say(c, object);
    json_decref(object);
}

/* The next one is read when the answer to the last one has been taken. */
static void next_request(struct control_conn *c)
{
    char error[CONTROL_ERROR];
    const char *end = memchr(c->in, '\n', c->n);
    if (!end) {
        uv_timer_start(&c->timer, timed_out, SILENCE, 0);
        return;
    }
    size_t size = (size_t)(end - c->in);
    uv_timer_stop(&c->timer);
    bool good = control_request_read(&c->request, (struct str){c->in, size}, error);
    c->n -= size + 1;
    memmove(c->in, end + 1, c->n);
    c->busy = good;
    if (good)
        control_run(c, &c->request);
    else
        refuse_line(c, error);
}

static void make_room(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct control_conn *c = handle->data;
    (void)size;
    *buf = uv_buf_init(c->in + c->n, (unsigned)(sizeof c->in - c->n));
}

/* A request that does not fit, and an end (UV_ENOBUFS, UV_EOF), end the connection. */
static void received(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct control_conn *c = stream->data;
    (void)buf;
    if (n < 0) {
        close_conn(c);
        return;
    }
    c->n += (size_t)n;
    if (!c->busy && uv_stream_get_write_queue_size(stream) == 0)
        next_request(c);
}

/* ---- accepting ---- */

static unsigned peer_of(const uv_pipe_t *pipe)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)pipe, &fd) == 0)
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer.uid;
}

static void connected(uv_stream_t *listener, int status)
{
    struct control_conn *c = xcalloc(1, sizeof *c);
    (void)status;
    uv_pipe_init(control.loop, &c->pipe, 0);
    uv_timer_init(control.loop, &c->timer);
    c->open = 2;
    c->pipe.data = c->timer.data = c;
    ring_add_last(&control.conns, &c->ring);
    control.count++;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0 || control.count > CONNECTIONS ||
        uv_read_start((uv_stream_t *)&c->pipe, make_room, received) < 0) {
        close_conn(c);
        return;
    }
    c->user = peer_of(&c->pipe);
    uv_timer_start(&c->timer, timed_out, SILENCE, 0);
}

static void listener_closed(uv_handle_t *handle)
{
    free(handle);
}

static void stop_listening(void)
{
    if (control.listener)
        uv_close((uv_handle_t *)control.listener, listener_closed);
    control.listener = NULL;
}

static void listen_on(const struct control_socket *socket)
{
    int fd = fcntl(control_socket_fd(socket), F_DUPFD_CLOEXEC, 0);
    control.listener = xcalloc(1, sizeof *control.listener);
    uv_pipe_init(control.loop, control.listener, 0);
    int error = fd < 0 ? -errno : uv_pipe_open(control.listener, fd);
    if (!error)
        error = uv_listen((uv_stream_t *)control.listener, BACKLOG, connected);
    if (!error)
        return;
    log_message(LOG_LEVEL_ERROR, "control", "cannot listen for proxyctl: %s", uv_strerror(error));
    stop_listening();
}

/* ---- for main.c ---- */

void control_start(uv_loop_t *loop, bool (*reload)(void))
{
    control.loop = loop;
    control.started = uv_now(loop);
    control.reload = reload;
    desk_open(loop);
}

void control_serve(struct config *config, struct control_socket *socket)
{
    struct config *old = control.config;
    control.config = config_ref(config);
    if (old)
        config_unref(old);
    if (socket == control.socket)
        return;
    stop_listening();
    control_socket_close(control.socket);
    control.socket = socket;
    if (socket)
        listen_on(socket);
}

struct control_socket *control_socket(void)
{
    return control.socket;
}

void control_stop(void)
{
    RING_EACH (ring, &control.conns)
        close_conn(OUTER(ring, control_conn, ring));
    stop_listening();
    control_socket_close(control.socket);
    config_unref(control.config);
    desk_close();
}

/* ---- reload ---- */

void control_await_reload(struct control_conn *c)
{
    c->reload = RELOAD_ASKED;
    if (!control.reload())
        control_fail(c, EX_TEMPFAIL, "not reloaded: the process is ending");
}

void control_reload_begins(void)
{
    RING_EACH (ring, &control.conns) {
        struct control_conn *c = OUTER(ring, control_conn, ring);
        if (c->reload == RELOAD_ASKED)
            c->reload = RELOAD_READS;
    }
}

static json_t *lines_of(const struct problems *problems)
{
    json_t *lines = json_array();
    for (size_t i = 0; i < problems->kept; i++) {
        char *text = problem_text(&problems->list[i]);
        json_array_append_new(lines, text_json(text));
        free(text);
    }
    return lines;
}

void control_reload_ends(bool good, const struct problems *problems)
{
    RING_EACH (ring, &control.conns) {
        struct control_conn *c = OUTER(ring, control_conn, ring);
        if (c->reload != RELOAD_READS)
            continue;
        json_t *object = json_pack("{s:o}", "problems", lines_of(problems));
        if (!good)
            json_object_set_new(object, "error",
                                json_string("not reloaded: the old configuration "
                                            "stays in use"));
        control_end(c, good ? EX_OK : EX_CONFIG, object);
    }
}
