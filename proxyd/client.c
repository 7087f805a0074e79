/* SPDX-License-Identifier: ISC
 *
 * What all clients' connections have in common: see client.h. */
#include "client.h"

#include "base/id.h"
#include "proto/proxy_header.h"
#include "stats.h"
#include "trace.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STOP_TIME = 10000,              /* ms that who is not ended at once has for what he is about */
    DRAIN_TIME = 3000,              /* ms that a client has to take our last words */
    DRAIN_BYTES = 64 * 1024 * 1024, /* of a client's that are read away meanwhile: an upload */
};

static atomic_uint total;

static const struct {
    const char *word;  /* in the log */
    const char *words; /* for the client, at a command boundary */
} reasons[REASON_COUNT] = {
    [REASON_LOGOUT] = {"logout", NULL},
    [REASON_CLIENT_CLOSED] = {"client_closed", NULL},
    [REASON_NODE_CLOSED] = {"node_closed", NULL},
    [REASON_CLIENT_LOST] = {"client_lost", NULL},
    [REASON_NODE_LOST] = {"node_lost", NULL},
    [REASON_LOGIN_TIMEOUT] = {"login_timeout", "Too long without a login, closing"},
    [REASON_IDLE_TIMEOUT] = {"idle_timeout", "Idle for too long, closing"},
    [REASON_TOO_MANY_ERRORS] = {"too_many_errors", NULL},
    [REASON_TLS] = {"tls", NULL},
    [REASON_INJECTION] = {"injection", NULL},
    [REASON_PROXY_HEADER] = {"proxy_header", NULL},
    [REASON_SHUTDOWN] = {"shutdown", "Server is shutting down, try again"},
    [REASON_KICKED] = {"kicked", "Closed by the administrator"},
    [REASON_DRAINED] = {"drained", "Server is going into maintenance, try again"},
    [REASON_HELD] = {"held", "Mailbox is being moved, try again"},
    [REASON_REFUSED] = {"refused", NULL},
};

const char *client_reason_word(enum client_reason reason)
{
    return reasons[reason].word;
}

const char *client_reason_text(enum client_reason reason)
{
    return reasons[reason].words;
}

void client_set_user(struct client *c, const char *login)
{
    if (c->user && strcmp(c->user, login) == 0)
        return;
    free(c->user);
    c->user = *login ? xstrdup(login) : NULL;
    trace_login(c);
}

/* ---- the log ---- */

bool client_log(struct log_line *l, const struct client *c, enum log_level level, const char *event)
{
    if (c->refused || !log_begin(l, level, c->service->log_level, event))
        return false;
    log_str(l, "service", c->service->name);
    log_str(l, "session", c->id);
    log_addr(l, "client", &c->address);
    log_str(l, "login", c->user);
    return true;
}

static void log_connect(const struct client *c, enum log_level level)
{
    struct log_line l;
    if (!client_log(&l, c, level, "connect"))
        return;
    log_addr(&l, "listener", &c->listener->bind);
    log_end(&l);
}

bool client_log_close(struct log_line *l, struct client *c)
{
    bool left = c->reason == REASON_CLIENT_CLOSED || c->reason == REASON_CLIENT_LOST;
    enum log_level level = c->quiet && left ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
    if (c->quiet && !c->arriving)
        log_connect(c, level);
    c->quiet = false;
    return client_log(l, c, level, "close");
}

void client_log_end(struct log_line *l, const struct client *c, uint64_t bytes_in,
                    uint64_t bytes_out, const char *detail)
{
    log_num(l, "bytes_in", bytes_in);
    log_num(l, "bytes_out", bytes_out);
    log_seconds(l, "seconds", c->worker->now - c->started);
    log_str(l, "reason", client_reason_word(c->reason));
    log_str(l, "detail", detail);
    log_end(l);
}

void client_count_login(const struct client *c, enum verdict verdict, uint64_t since)
{
    static const enum stats_login results[] = {[VERDICT_OK] = STATS_LOGIN_OK,
                                               [VERDICT_NODE_REFUSED] = STATS_LOGIN_FAILED,
                                               [VERDICT_AUTH_FAILED] = STATS_LOGIN_FAILED,
                                               [VERDICT_TEMPORARY] = STATS_LOGIN_TEMPORARY,
                                               [VERDICT_NODE_DOWN] = STATS_LOGIN_NODE_DOWN,
                                               [VERDICT_BUSY] = STATS_LOGIN_BUSY};
    stats_login(c->service->stats, results[verdict], uv_hrtime() - since);
}

/* ---- arriving ---- */

static bool is_balancer(const struct client *c)
{
    return c->config->global.balancers_known && client_is_trusted(c);
}

/* Who has said something was not only looking whether we are there. */
static void announce(struct client *c)
{
    c->quiet = false;
    log_connect(c, LOG_LEVEL_INFO);
}

bool client_is_trusted(const struct client *c)
{
    const struct config_networks *trusted = &c->config->global.trusted_networks;
    return c->address.sa.sa_family == AF_UNIX ||
           network_match(trusted->list, trusted->count, &c->address);
}

void client_find_local(const struct client *c, struct addr *local)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    bool wanted = c->service->backend.client_address != CLIENT_ADDRESS_NONE;
    if (wanted && !local->len && getsockname(c->stream.fd, (struct sockaddr *)&sa, &n) == 0)
        addr_from_sockaddr(local, (struct sockaddr *)&sa, n);
}

bool client_plaintext(const struct client *c)
{
    if (c->stream.handshaken)
        return true;
    switch (c->service->plaintext_auth) {
    case PLAINTEXT_ALWAYS:
        return true;
    case PLAINTEXT_TRUSTED:
        return client_is_trusted(c);
    default:
        return false;
    }
}

static enum client_arrival gone(struct client *c, enum client_reason reason, const char *words,
                                char text[CLIENT_TEXT])
{
    c->reason = reason;
    strcpy(text, words);
    return CLIENT_GONE;
}

/* Throws away what a PROXY header has behind its addresses. */
static enum client_arrival skip_header(struct client *c, char text[CLIENT_TEXT])
{
    while (c->header_rest) {
        ssize_t n = stream_read(&c->stream, c->worker->scratch, c->header_rest);
        if (n == STREAM_AGAIN)
            return CLIENT_ARRIVING;
        if (n <= 0)
            return gone(c, client_left(n), "", text);
        c->header_rest = (uint16_t)(c->header_rest - n);
    }
    return CLIENT_ARRIVED;
}

static struct limit_place place_of(const struct client *c)
{
    return (struct limit_place){c->config, c->service, c->listener};
}

/* The client that a header told of may not come in: the log has been told already. */
static enum client_arrival turn_away(struct client *c, const struct buf *words,
                                     char text[CLIENT_TEXT])
{
    stream_write(&c->stream, buf_str(words).p, buf_len(words));
    c->refused = true;
    return gone(c, REASON_REFUSED, "", text);
}

static enum client_arrival admit_client(struct client *c, char text[CLIENT_TEXT])
{
    char space[ADMIT_WORDS];
    struct buf words;
    const struct limit_place place = place_of(c);
    buf_init(&words, space, sizeof space, sizeof space);
    return admit_announced(&place, c->id, &c->address, c->worker->now, &c->ticket, &words)
               ? CLIENT_ARRIVED
               : turn_away(c, &words, text);
}

bool client_become(struct client *c, const struct addr *address, struct buf *words)
{
    const struct limit_place place = place_of(c);
    limit_leave(&place, &c->address, c->worker->now, &c->ticket);
    c->address = *address;
    bool in = admit_announced(&place, c->id, address, c->worker->now, &c->ticket, words);
    c->refused = !in;
    return in;
}

/* The load balancer's words about the client, where the listener expects them. */
static enum client_arrival read_header(struct client *c, struct addr *local, char text[CLIENT_TEXT])
{
    struct buf in;
    struct addr address = c->address;
    char *space = c->worker->scratch;
    if (!c->listener->proxy_protocol)
        return CLIENT_ARRIVED;
    if (c->header_rest)
        return skip_header(c, text);
    if (!client_is_trusted(c))
        return gone(c, REASON_PROXY_HEADER, "from an address that is not trusted", text);
    ssize_t n = stream_peek(&c->stream, space, PROXY_HEADER_MAX);
    if (n == STREAM_AGAIN)
        return CLIENT_ARRIVING;
    if (n <= 0)
        return gone(c, client_left(n), "", text);
    buf_init(&in, space, PROXY_HEADER_MAX, PROXY_HEADER_MAX);
    buf_added(&in, (uint32_t)n);
    enum proxy_header result = proxy_header_read(&in, &address, local, &c->header_rest);
    if (result == PROXY_HEADER_MORE)
        return CLIENT_ARRIVING;
    if (result == PROXY_HEADER_BAD)
        return gone(c, REASON_PROXY_HEADER, "no PROXY header", text);
    stream_skip(&c->stream, (size_t)n - buf_len(&in));
    c->quiet = result == PROXY_HEADER_LOCAL;
    c->announced = result == PROXY_HEADER_OK;
    if (c->announced)
        c->address = address;
    return skip_header(c, text);
}

enum client_arrival client_arrive(struct client *c, struct addr *local, char text[CLIENT_TEXT])
{
    bool implicit = c->listener->tls_mode == TLS_IMPLICIT;
    if (c->arriving) {
        enum client_arrival arrival = read_header(c, local, text);
        if (arrival == CLIENT_ARRIVED && c->announced)
            arrival = admit_client(c, text);
        if (arrival != CLIENT_ARRIVED)
            return arrival;
        c->arriving = false;
        stats_connection(c->service->stats, STATS_ACCEPTED);
        if (!c->quiet || stream_waiting(&c->stream))
            announce(c);
        trace_event(c, "connected");
        if (implicit)
            stream_tls_server(&c->stream, c->listener->tls_server);
    }
    return implicit ? client_handshake(c, text) : CLIENT_ARRIVED;
}

void client_starttls(struct client *c)
{
    stream_push(&c->stream);
    stream_tls_server(&c->stream, c->listener->tls_server);
}

enum client_arrival client_handshake(struct client *c, char text[CLIENT_TEXT])
{
    int rc = stream_handshake(&c->stream);
    if (rc == STREAM_AGAIN)
        return CLIENT_ARRIVING;
    if (rc != STREAM_FAILED)
        return CLIENT_ARRIVED;
    if (c->quiet)
        return gone(c, REASON_CLIENT_CLOSED, "", text);
    stream_push(&c->stream); /* the alert */
    c->reason = REASON_TLS;
    stream_error_text(&c->stream, text, CLIENT_TEXT);
    return CLIENT_GONE;
}

/* ---- leaving ---- */

void client_leave(struct client *c)
{
    c->deadline = c->worker->now + DRAIN_TIME;
}

bool client_drain(struct client *c)
{
    bool said = stream_shutdown(&c->stream);
    for (unsigned reads = 0; said && !client_timed_out(c); reads++) {
        if (reads == STREAM_TURN) {
            worker_soon(c->worker, &c->post);
            return false;
        }
        ssize_t n = stream_read(&c->stream, c->worker->scratch, WORKER_SCRATCH);
        if (n == STREAM_AGAIN)
            return false;
        c->drained += (uint32_t)(n > 0 ? n : 0);
        if (n <= 0 || c->drained > DRAIN_BYTES)
            return true;
    }
    return client_timed_out(c);
}

static void step_over(struct client_walk *walk, const struct client *c)
{
    if (walk->next == &c->ring)
        walk->next = c->ring.next;
}

static void release(struct post *post)
{
    struct client *c = OUTER(post, client, post);
    pool_put(&c->worker->client_pools[c->engine->pool], c);
}

void client_close(struct client *c)
{
    struct worker *w = c->worker;
    RING_EACH (ring, &w->walks)
        step_over(OUTER(ring, client_walk, ring), c);
    stream_close(&c->stream);
    worker_timer_clear(w, &c->timer);
    trace_forget(c);
    ring_remove(&c->ring);
    stats_session_ends(c->service->stats, c->reason);
    const struct limit_place place = place_of(c);
    limit_leave(&place, &c->address, w->now, &c->ticket);
    w->client_count--;
    atomic_fetch_sub(&total, 1);
    config_unref(c->config);
    free(c->user);
    c->post.run = release;
    worker_soon(w, &c->post);
}

/* ---- beginning, and being stepped ---- */

static void step_post(struct post *post)
{
    struct client *c = OUTER(post, client, post);
    c->engine->step(c);
}

static void step_timer(struct timer *timer)
{
    struct client *c = OUTER(timer, client, timer);
    if (c->stop_at && c->worker->now >= c->stop_at)
        client_stop(c, c->stop_reason);
    else
        c->engine->step(c);
}

static void step_stream(struct watch *watch, uint32_t events)
{
    struct client *c = OUTER(watch, client, stream.watch);
    stream_events(&c->stream, events);
    if (c->quiet && !c->arriving && stream_waiting(&c->stream))
        announce(c);
    c->engine->step(c);
}

/* Of two times, 0 being none. */
static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a && (!b || a < b) ? a : b;
}

void client_arm(struct client *c, uint64_t last)
{
    uint64_t stop = !c->stopping ? c->stop_at : client_may_go_on(c) ? c->stop_by : 0;
    uint64_t due = earlier(earlier(c->deadline, last), stop);
    if (due && (!ring_has(&c->timer.ring) || due < c->timer.due))
        worker_timer(c->worker, &c->timer, due > c->worker->now ? due - c->worker->now : 0);
}

static struct client *client_new(struct worker *w, const struct engine *engine)
{
    struct pool *pool = &w->client_pools[engine->pool];
    if (!pool->block)
        pool_init(pool, engine->size);
    struct client *c = pool_get(pool);
    c->engine = engine;
    c->worker = w;
    c->started = w->now;
    c->arriving = true;
    c->post.run = step_post;
    c->timer.fire = step_timer;
    id_make(c->id);
    ring_add_first(&w->clients, &c->ring);
    w->client_count++;
    atomic_fetch_add(&total, 1);
    return c;
}

void client_start(struct worker *w, const struct engine *engine, struct config *config,
                  const struct config_service *service, const struct config_listener *listener,
                  int fd, const struct addr *address)
{
    struct limit_ticket ticket = {0};
    const struct limit_place place = {config, service, listener};
    if (!listener->proxy_protocol && !admit_socket(&place, fd, address, w->now, &ticket)) {
        close(fd);
        return;
    }
    struct client *c = client_new(w, engine);
    c->ticket = ticket;
    c->config = config_ref(config);
    c->service = service;
    c->listener = listener;
    c->address = *address;
    stats_session_begins(service->stats);
    c->quiet = is_balancer(c);
    int error = stream_open(&c->stream, w, fd, step_stream);
    if (error) {
        log_message(LOG_LEVEL_ERROR, "listener", "cannot serve a client: %s", strerror(error));
        close(fd);
        c->reason = REASON_CLIENT_LOST;
        client_close(c);
        return;
    }
    engine->start(c);
}

unsigned client_total(void)
{
    return atomic_load(&total);
}

void client_stop(struct client *c, enum client_reason reason)
{
    if (!c->stopping && reason == REASON_DRAINED)
        c->stop_by = c->worker->now + STOP_TIME;
    else
        c->stop_by = 0;
    c->stopping = true;
    c->reason = c->stop_reason = reason;
    c->engine->step(c);
}

void client_stop_in(struct client *c, enum client_reason reason, uint64_t ms)
{
    uint64_t at = c->worker->now + ms;
    if (c->stopping || (c->stop_at && c->stop_at <= at))
        return;
    c->stop_at = at;
    c->stop_reason = reason;
    client_arm(c, 0);
}

void client_stop_all(struct worker *w, enum client_reason reason, uint64_t ms)
{
    uint64_t count = w->client_count, i = 0;
    RING_EACH (ring, &w->clients)
        if (ms)
            client_stop_in(OUTER(ring, client, ring), reason, ms * i++ / count);
        else
            client_stop(OUTER(ring, client, ring), reason);
}

void client_step_all(struct worker *w)
{
    RING_EACH (ring, &w->clients) {
        struct client *c = OUTER(ring, client, ring);
        c->engine->step(c);
    }
}

/* ---- walks ---- */

struct client_told client_tell(const struct client *c)
{
    struct client_told told = {0};
    if (c->engine->tell) {
        c->engine->tell(c, &told);
    } else {
        told.phase = c->user ? CLIENT_SERVED : CLIENT_TALKS;
        told.state = c->user ? "served" : "talking";
    }
    return told;
}

void client_walk_begin(struct client_walk *walk, struct worker *w)
{
    walk->worker = w;
    walk->next = w->clients.next;
    ring_add_last(&w->walks, &walk->ring);
    w->busy_tasks++;
}

struct client *client_walk_next(struct client_walk *walk)
{
    struct ring *ring = walk->next;
    if (ring == &walk->worker->clients)
        return NULL;
    walk->next = ring->next;
    return OUTER(ring, client, ring);
}

void client_walk_end(struct client_walk *walk)
{
    ring_remove(&walk->ring);
    walk->worker->busy_tasks--;
}
