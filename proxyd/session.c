/* SPDX-License-Identifier: ISC
 *
 * One client, from accept to close. The states stand below in the order in which a login passes
 * through them: do_header, do_tls, do_talk, do_route, do_hold, do_wait, do_login, do_carry,
 * do_drain. Each does what its streams allow and returns the next state, or its own to wait;
 * session_step loops until nothing changes, and nothing else sets the state. Whatever happens (an
 * event on a stream, a timer, an answer) is noted and then stepped.
 *
 * What only the login needs (parsers, credentials, buffers) is in struct login and is given back,
 * wiped, when carrying starts. */
#include "session.h"

#include "base/id.h"
#include "link.h"
#include "net/splice.h"
#include "proto/proxy_header.h"
#include "route.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HOLD_POLL = 500,          /* ms between two questions whether a mailbox is still on hold */
    DRAIN_TIME = 3000,        /* ms that a client has to take our last words */
    DRAIN_BYTES = 64 * 1024,  /* of a client's that are read away meanwhile */
    HALF_CLOSED_TIME = 30000, /* ms of silence after the node has ended */
    CLIENT_GONE_TIME = 300000 /* after the client has ended: the node may have work to do */
};

enum session_state {
    SESSION_HEADER, /* the load balancer's PROXY header is awaited */
    SESSION_TLS,    /* handshake with the client */
    SESSION_TALK,   /* the client's commands up to a login */
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
    struct link link;
    struct addr local; /* where the client came in; len 0: not asked for */
    uint64_t asked;    /* ms: when the credentials were whole */
    char external[LOGIN_MAX + 1];
    char secret_space[256], in_space[1024], out_space[1024];
    struct session *session;
};

struct session {
    struct stream client, node;
    struct splice up, down; /* client to node, node to client */
    enum session_state state;
    enum session_reason reason;
    bool half_closed; /* one side has ended; `reason` says which */
    bool stopping;    /* the process ends */
    unsigned drained; /* bytes read away in SESSION_DRAIN */
    struct worker *worker;
    struct session *next, *prev;
    struct config *config;
    const struct config_service *service;
    const struct config_listener *listener;
    struct node *target;
    struct node_ticket ticket;
    struct timer timer;
    uint64_t started, active; /* ms */
    uint64_t deadline;        /* ms, of the present state; 0: none */
    struct post post;         /* to be stepped again, or freed, in this round */
    struct login *login;
    char *user;          /* the login, once it is known */
    char id[17];         /* the log's `session` */
    struct addr address; /* the client's */
};

static atomic_uint total;

static void session_step(struct session *s);

/* ---- the log ---- */

static bool log_session(struct log_line *l, const struct session *s, enum log_level level,
                        const char *event)
{
    if (!log_begin(l, level, s->service->log_level, event))
        return false;
    log_str(l, "service", s->service->name);
    log_str(l, "session", s->id);
    log_addr(l, "client", &s->address);
    log_str(l, "login", s->user);
    return true;
}

static void log_connect(const struct session *s)
{
    struct log_line l;
    if (!log_session(&l, s, LOG_LEVEL_INFO, "connect"))
        return;
    log_addr(&l, "listener", &s->listener->bind);
    log_end(&l);
}

/* How the maps came to their answers, where the log is to say so much. */
static void log_maps(const struct session *s)
{
    static const char *const words[] = {[MAP_FOUND] = "found",
                                        [MAP_NOT_FOUND] = "not_found",
                                        [MAP_AMBIGUOUS] = "ambiguous",
                                        [MAP_TEMPORARY] = "temporary"};
    const struct route *r = &s->login->route;
    struct log_line l;
    for (size_t i = 0; i < r->report_count; i++) {
        const struct map_report *report = &r->reports[i];
        if (report->result == MAP_PENDING || !log_session(&l, s, LOG_LEVEL_DEBUG, "map"))
            continue;
        log_str(&l, "map", report->map);
        log_str(&l, "result", words[report->result]);
        log_str(&l, "reason", report->why);
        log_str(&l, "server", report->server);
        log_str(&l, "dn", report->dn);
        log_str(&l, "search", report->search_command);
        log_end(&l);
    }
}

static void log_route(const struct session *s)
{
    const struct route *r = &s->login->route;
    struct log_line l;
    log_maps(s);
    if (!log_session(&l, s, LOG_LEVEL_INFO, "route"))
        return;
    log_str(&l, "map", r->map);
    log_str(&l, "node", s->target ? node_name(s->target) : NULL);
    log_str(&l, "reason", r->why);
    log_end(&l);
}

static void log_login(const struct session *s, bool ok, const char *reason)
{
    struct log_line l;
    if (!log_session(&l, s, LOG_LEVEL_INFO, "login"))
        return;
    log_str(&l, "result", ok ? "ok" : "failed");
    log_str(&l, "mechanism", s->user ? sasl_name(s->login->creds.mech) : NULL);
    log_str(&l, "tls", stream_tls_version(&s->client));
    log_str(&l, "node", s->target ? node_name(s->target) : NULL);
    log_str(&l, "reason", reason);
    log_end(&l);
}

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
    [REASON_RESOURCES] = {"resources", NULL},
};

static void log_close(const struct session *s, const char *detail)
{
    struct log_line l;
    if (!log_session(&l, s, LOG_LEVEL_INFO, "close"))
        return;
    log_str(&l, "node", s->target ? node_name(s->target) : NULL);
    log_num(&l, "bytes_in", s->up.bytes);
    log_num(&l, "bytes_out", s->down.bytes);
    log_seconds(&l, "seconds", s->worker->now - s->started);
    log_str(&l, "reason", reasons[s->reason].word);
    log_str(&l, "detail", detail);
    log_end(&l);
}

/* ---- beginning and end ---- */

static void login_free(struct session *s)
{
    struct login *l = s->login;
    if (!l)
        return;
    route_cancel(&l->route);
    link_free(&l->link);
    front_free(&l->front);
    creds_wipe(&l->creds);
    buf_free(&l->in);
    buf_free(&l->out);
    pool_put(&s->worker->login_pool, l);
    s->login = NULL;
}

static void forget_node(struct session *s)
{
    stream_close(&s->node);
    node_leave(&s->ticket);
    node_unref(s->target);
    s->target = NULL;
}

static void session_free(struct post *post)
{
    struct session *s = OUTER(post, session, post);
    pool_put(&s->worker->session_pool, s);
}

/* Lets go of everything; the memory itself waits for the end of the round. */
static enum session_state end_now(struct session *s)
{
    struct worker *w = s->worker;
    login_free(s);
    splice_free(&s->up);
    splice_free(&s->down);
    stream_close(&s->client);
    forget_node(s);
    worker_timer_clear(w, &s->timer);
    if (s->next)
        s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        w->sessions = s->next;
    w->session_count--;
    atomic_fetch_sub(&total, 1);
    config_unref(s->config);
    free(s->user);
    s->post.run = session_free;
    worker_soon(w, &s->post);
    return SESSION_END;
}

/* THE exit: logs, tells the client what REASON has for him if nothing else would be cut in two by
 * it, and returns the state in which that goes out, or the end. */
static enum session_state session_end(struct session *s, enum session_reason reason,
                                      const char *detail)
{
    char space[256];
    struct buf words;
    bool boundary = s->login ? s->state != SESSION_HEADER && s->state != SESSION_TLS
                             : s->down.at_line_end && !stream_pending(&s->client);
    s->reason = reason;
    log_close(s, detail);
    buf_init(&words, space, sizeof space, sizeof space);
    if (boundary && reasons[reason].words) {
        s->service->protocol->goodbye(&words, reasons[reason].words);
        stream_write(&s->client, buf_str(&words).p, buf_len(&words));
    }
    bool silent = !s->login && buf_len(&words) == 0;
    login_free(s);
    forget_node(s);
    if (silent || s->client.failed || s->client.fd < 0)
        return end_now(s);
    s->deadline = s->worker->now + DRAIN_TIME;
    return SESSION_DRAIN;
}

/* ---- talking with the client ---- */

/* Sends what the front has answered. */
static void say(struct session *s)
{
    struct str out = buf_str(&s->login->out);
    stream_write(&s->client, out.p, out.n);
    buf_clear(&s->login->out);
}

static enum session_state client_gone(struct session *s, ssize_t n)
{
    return session_end(s, n == 0 ? REASON_CLIENT_CLOSED : REASON_CLIENT_LOST, NULL);
}

static bool timed_out(struct session *s)
{
    return s->deadline && s->worker->now >= s->deadline;
}

/* Whether the client, or the load balancer before him, is one of trusted_networks. A socket file
 * has permissions of its own. */
static bool is_trusted(const struct session *s)
{
    const struct config_networks *trusted = &s->config->global.trusted_networks;
    return s->address.sa.sa_family == AF_UNIX ||
           network_match(trusted->list, trusted->count, &s->address);
}

static bool plaintext_allowed(const struct session *s)
{
    switch (s->service->plaintext_auth) {
    case PLAINTEXT_ALWAYS:
        return true;
    case PLAINTEXT_TRUSTED:
        return is_trusted(s);
    default:
        return false;
    }
}

static const char *capabilities(const struct config_service *service)
{
    const char *learned = node_capabilities(service->group);
    return service->capabilities ? service->capabilities
           : learned             ? learned
                                 : service->protocol->capabilities;
}

static enum session_state greet(struct session *s)
{
    struct login *l = s->login;
    const struct front_setup setup = {
        .hostname = s->config->global.hostname,
        .capabilities = capabilities(s->service),
        .mechanisms = s->service->mechanisms,
        .starttls = s->listener->tls_mode == TLS_STARTTLS,
        .tls = s->client.handshaken,
        .plaintext = s->client.handshaken || plaintext_allowed(s),
        .early = s->service->protocol->greeting_first && !s->client.handshaken &&
                 stream_waiting(&s->client),
        .external = l->external[0] ? l->external : NULL,
        .max_errors = s->service->max_errors,
        .max_auth_errors = s->service->max_auth_errors,
    };
    front_init(&l->front, &setup, &l->creds);
    s->service->protocol->greet(&l->front, &l->out);
    say(s);
    return SESSION_TALK;
}

static enum session_state begin(struct session *s)
{
    log_connect(s);
    if (s->listener->tls_mode != TLS_IMPLICIT)
        return greet(s);
    stream_tls_server(&s->client, s->listener->tls_server);
    return SESSION_TLS;
}

/* ---- the states ---- */

static enum session_state do_header(struct session *s)
{
    struct login *l = s->login;
    struct buf in;
    ssize_t n = stream_peek(&s->client, s->worker->scratch, PROXY_HEADER_MAX);
    if (n == STREAM_AGAIN)
        return SESSION_HEADER;
    if (n <= 0)
        return client_gone(s, n);
    buf_init(&in, s->worker->scratch, PROXY_HEADER_MAX, PROXY_HEADER_MAX);
    buf_added(&in, (uint32_t)n);
    struct addr client = s->address;
    enum proxy_header result = proxy_header_read(&in, &client, &l->local);
    if (result == PROXY_HEADER_MORE)
        return n < PROXY_HEADER_MAX ? SESSION_HEADER
                                    : session_end(s, REASON_PROXY_HEADER, "too long");
    if (result == PROXY_HEADER_BAD)
        return session_end(s, REASON_PROXY_HEADER, "no PROXY header");
    stream_skip(&s->client, (size_t)n - buf_len(&in));
    if (result == PROXY_HEADER_OK)
        s->address = client;
    return begin(s);
}

static enum session_state do_tls(struct session *s)
{
    struct login *l = s->login;
    char words[100];
    int rc = stream_handshake(&s->client);
    if (rc == STREAM_AGAIN)
        return SESSION_TLS;
    if (rc == STREAM_FAILED) {
        stream_push(&s->client); /* the alert */
        return session_end(s, REASON_TLS, stream_error_text(&s->client, words, sizeof words));
    }
    if (!stream_peer_name(&s->client, l->external, sizeof l->external))
        l->external[0] = 0;
    if (s->listener->tls_mode == TLS_IMPLICIT)
        return greet(s);
    l->front.setup.tls = l->front.setup.plaintext = true;
    l->front.setup.external = l->external[0] ? l->external : NULL;
    return SESSION_TALK;
}

static enum session_state start_tls(struct session *s)
{
    if (buf_len(&s->login->in))
        return session_end(s, REASON_INJECTION, "bytes behind STARTTLS");
    stream_push(&s->client);
    stream_tls_server(&s->client, s->listener->tls_server);
    return SESSION_TLS;
}

static void routed(struct route *r)
{
    struct login *l = OUTER(r, login, route);
    session_step(l->session);
}

/* A login is whole: where does it belong? */
static enum session_state ask(struct session *s)
{
    struct login *l = s->login;
    free(s->user);
    s->user = xstrdup(l->creds.login);
    route_cancel(&l->route);
    memset(&l->route, 0, sizeof l->route);
    l->route.done = routed;
    l->route.explain = s->service->log_level >= LOG_LEVEL_DEBUG;
    l->asked = s->worker->now;
    route_start(&l->route, s->worker, s->config, s->service, &l->creds);
    return SESSION_ROUTE;
}

static enum session_state do_talk(struct session *s)
{
    struct login *l = s->login;
    for (unsigned reads = 0;; reads++) {
        stream_push(&s->client);
        if (stream_pending(&s->client))
            return SESSION_TALK; /* who does not take answers gets no more of them */
        enum front_want want = s->service->protocol->read(&l->front, &l->in, &l->out);
        say(s);
        switch (want) {
        case FRONT_STARTTLS:
            return start_tls(s);
        case FRONT_LOGIN:
            return ask(s);
        case FRONT_REFUSED:
            log_login(s, false, l->front.reason);
            continue;
        case FRONT_QUIT:
            return session_end(s, REASON_LOGOUT, NULL);
        case FRONT_CLOSE:
            return session_end(s, REASON_TOO_MANY_ERRORS, l->front.reason);
        case FRONT_MORE:
            break;
        }
        if (reads == STREAM_TURN) {
            worker_soon(s->worker, &s->post);
            return SESSION_TALK;
        }
        char *room = buf_room(&l->in, 256);
        if (!room)
            return session_end(s, REASON_TOO_MANY_ERRORS, "too much before the login");
        ssize_t n = stream_read(&s->client, room, l->in.cap - l->in.end);
        if (n == STREAM_AGAIN)
            return SESSION_TALK;
        if (n <= 0)
            return client_gone(s, n);
        buf_added(&l->in, (uint32_t)n);
    }
}

/* Tells the client how the login ended; he may try again. */
static enum session_state refuse(struct session *s, enum verdict verdict, const char *reason)
{
    struct login *l = s->login;
    const struct back *back = verdict == VERDICT_NODE_REFUSED ? &l->link.back : NULL;
    log_login(s, false, reason);
    enum front_want want = s->service->protocol->answer(&l->front, verdict, back, &l->out);
    say(s);
    link_free(&l->link);
    forget_node(s);
    creds_wipe(&l->creds);
    s->deadline = 0;
    if (want == FRONT_CLOSE)
        return session_end(s, REASON_TOO_MANY_ERRORS, l->front.reason);
    return SESSION_TALK;
}

static void place_granted(struct post *post)
{
    session_step(OUTER(post, session, ticket.post));
}

static enum session_state enter(struct session *s)
{
    const struct route *r = &s->login->route;
    s->target = node_get(s->service->group, r->node_name, r->host, r->port);
    log_route(s);
    if (!s->target)
        return refuse(s, VERDICT_BUSY, "too many nodes are in use");
    s->ticket = (struct node_ticket){.post.run = place_granted};
    if (node_enter(s->target, &s->ticket, s->worker) == TICKET_NONE)
        return refuse(s, node_is_up(s->target) ? VERDICT_BUSY : VERDICT_NODE_DOWN,
                      "the queue of the node is full");
    s->deadline = s->login->asked + s->service->backend.queue_timeout;
    return SESSION_WAIT;
}

static enum session_state do_route(struct session *s)
{
    const struct route *r = &s->login->route;
    switch (r->result) {
    case ROUTE_PENDING:
        if (s->client.hung_up)
            return session_end(s, REASON_CLIENT_CLOSED, "while the maps were asked");
        return SESSION_ROUTE;
    case ROUTE_OK:
        return enter(s);
    case ROUTE_HOLD:
        s->deadline = s->worker->now + HOLD_POLL;
        return SESSION_HOLD;
    default:
        log_route(s);
        return refuse(s, r->verdict, r->why);
    }
}

static enum session_state do_hold(struct session *s)
{
    struct login *l = s->login;
    if (s->client.hung_up)
        return session_end(s, REASON_CLIENT_CLOSED, "while the mailbox was on hold");
    if (!timed_out(s))
        return SESSION_HOLD;
    if (s->worker->now - l->asked >= s->service->backend.queue_timeout)
        return refuse(s, VERDICT_BUSY, "the mailbox is on hold");
    s->deadline = 0;
    route_start(&l->route, s->worker, s->config, s->service, &l->creds);
    return SESSION_ROUTE;
}

static void connected(struct watch *watch, uint32_t events)
{
    struct session *s = OUTER(watch, session, node.watch);
    stream_events(&s->node, events);
    session_step(s);
}

static void resolved(struct post *post)
{
    struct link *link = OUTER(post, link, resolve.post);
    struct login *l = OUTER(link, login, link);
    session_step(l->session);
}

/* The client's own end of his connection, where the node is to be told about it. */
static void find_local(struct session *s)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    bool wanted = s->service->backend.client_address != CLIENT_ADDRESS_NONE;
    if (wanted && !s->login->local.len &&
        getsockname(s->client.fd, (struct sockaddr *)&sa, &n) == 0)
        addr_from_sockaddr(&s->login->local, (struct sockaddr *)&sa, n);
}

static enum session_state start_link(struct session *s)
{
    struct login *l = s->login;
    const struct config_backend *backend = &s->service->backend;
    bool master = backend->login == BACKEND_LOGIN_MASTER;
    find_local(s);
    const struct back_setup setup = {
        .creds = &l->creds,
        .login = l->route.login,
        .master_user = master ? backend->master_user : NULL,
        .master_password = master ? backend->master_password : NULL,
        .starttls = backend->tls_mode == TLS_STARTTLS,
        .identify = backend->client_address == CLIENT_ADDRESS_AUTO,
        .verified =
            s->service->authentication == AUTHENTICATION_PROXY || l->creds.mech == SASL_EXTERNAL,
        .helo = front_helo(&l->front),
        .client = &s->address,
        .local = &l->local,
        .session_id = s->id,
    };
    l->link.resolve.post.run = resolved;
    link_start(&l->link, s->worker, s->service, s->target, &s->node, &setup, connected);
    s->deadline = l->link.deadline;
    return SESSION_LOGIN;
}

static enum session_state do_wait(struct session *s)
{
    if (s->ticket.state == TICKET_GRANTED)
        return start_link(s);
    if (s->client.hung_up)
        return session_end(s, REASON_CLIENT_CLOSED, "while waiting for the node");
    if (!timed_out(s))
        return SESSION_WAIT;
    return refuse(s, node_is_up(s->target) ? VERDICT_BUSY : VERDICT_NODE_DOWN,
                  "waited too long for the node");
}

/* The node has let him in: each side gets what the other has said already, and the rest is carried.
 */
static enum session_state logged_in(struct session *s)
{
    struct login *l = s->login;
    struct str from_client = buf_str(&l->in), from_node = buf_str(&l->link.in);
    s->service->protocol->answer(&l->front, VERDICT_OK, &l->link.back, &l->out);
    say(s);
    stream_write(&s->client, from_node.p, from_node.n);
    stream_write(&s->node, from_client.p, from_client.n);
    s->up.bytes = from_client.n;
    s->down.bytes = from_node.n;
    s->down.at_line_end = from_node.n == 0 || from_node.p[from_node.n - 1] == '\n';
    s->active = s->worker->now;
    log_login(s, true, NULL);
    login_free(s);
    return SESSION_CARRY;
}

/* A word of a node that says what kind of refusal it is: a status, a response code ("[LIMIT]",
 * "[REFERRAL"), an enhanced status code. */
static bool is_code(struct str word)
{
    for (size_t i = 0; i < word.n; i++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-./[]", word.p[i]))
            return false;
    return word.n > 0 && word.n <= 40;
}

/* How the node refused, for the log: the codes of its last line. Its text might repeat what it was
 * told, the password in whatever form among it; the client gets that, and the log does not. */
static const char *node_words(const struct login *l, char *text, size_t size)
{
    struct str rest = buf_str(&l->link.back.reply), line = rest;
    size_t used;
    for (struct str next; str_line(rest, &next, &used);) {
        line = next;
        rest = (struct str){rest.p + used, rest.n - used};
    }
    struct str status = str_word(&line), code = str_word(&line);
    if (!is_code(status))
        return "the node refused";
    bool more = is_code(code) && (*code.p == '[' || (*code.p >= '0' && *code.p <= '9'));
    snprintf(text, size, "the node refused: %.*s%s%.*s", (int)status.n, status.p, more ? " " : "",
             more ? (int)code.n : 0, code.p);
    return text;
}

static enum session_state do_login(struct session *s)
{
    struct link *link = &s->login->link;
    char words[200];
    enum link_result result = timed_out(s) ? link_timed_out(link) : link_step(link);
    s->deadline = link->deadline;
    switch (result) {
    case LINK_OK:
        return logged_in(s);
    case LINK_REFUSED:
        return refuse(s, VERDICT_NODE_REFUSED, node_words(s->login, words, sizeof words));
    case LINK_FAILED:
        return refuse(s, VERDICT_NODE_DOWN, link->error);
    default:
        return SESSION_LOGIN;
    }
}

static enum session_reason lost(const struct session *s)
{
    if (s->half_closed)
        return s->reason;
    return s->client.failed ? REASON_CLIENT_LOST : REASON_NODE_LOST;
}

/* ms of silence that are borne: fewer where one side has ended. */
static uint64_t patience(const struct session *s, enum splice_result up, enum splice_result down)
{
    uint64_t idle = s->service->idle_timeout;
    if (down == SPLICE_ENDED)
        return HALF_CLOSED_TIME;
    return up == SPLICE_ENDED && idle > CLIENT_GONE_TIME ? CLIENT_GONE_TIME : idle;
}

static enum session_state do_carry(struct session *s)
{
    uint64_t before = s->up.bytes + s->down.bytes;
    enum splice_result up = splice_pump(&s->up, &s->client, &s->node, s->worker);
    enum splice_result down = splice_pump(&s->down, &s->node, &s->client, s->worker);
    if (s->up.bytes + s->down.bytes != before)
        s->active = s->worker->now;
    if (up == SPLICE_FAILED || down == SPLICE_FAILED)
        return session_end(s, lost(s), NULL);
    if (!s->half_closed && (up == SPLICE_ENDED || down == SPLICE_ENDED)) {
        s->half_closed = true;
        s->reason = up == SPLICE_ENDED ? REASON_CLIENT_CLOSED : REASON_NODE_CLOSED;
    }
    if (up == SPLICE_ENDED && down == SPLICE_ENDED)
        return session_end(s, s->reason, NULL);
    if (down == SPLICE_ENDED)
        node_leave(&s->ticket); /* the node has done with it, whatever the client still does */
    if (up == SPLICE_AGAIN || down == SPLICE_AGAIN)
        worker_soon(s->worker, &s->post);
    s->deadline = s->active + patience(s, up, down);
    return timed_out(s) ? session_end(s, REASON_IDLE_TIMEOUT, NULL) : SESSION_CARRY;
}

/* Closing at once would let unread input destroy our last words on their way (RFC 9112, 9.6 tells
 * the same of HTTP): what still comes is read away for a while. */
static enum session_state do_drain(struct session *s)
{
    ssize_t n = STREAM_AGAIN;
    if (stream_shutdown(&s->client))
        while ((n = stream_read(&s->client, s->worker->scratch, WORKER_SCRATCH)) > 0)
            if ((s->drained += (unsigned)n) > DRAIN_BYTES)
                return end_now(s);
    return n == STREAM_AGAIN && !timed_out(s) ? SESSION_DRAIN : end_now(s);
}

/* ---- the machine ---- */

static bool login_timed_out(const struct session *s)
{
    return s->login && s->worker->now - s->started >= s->service->login_timeout;
}

/* The timer stands at the next deadline or before it: one that only moves on costs nothing. */
static void arm(struct session *s)
{
    uint64_t due = s->deadline, last = s->started + s->service->login_timeout;
    if (s->login && (due == 0 || last < due))
        due = last;
    if (!ring_has(&s->timer.ring) || due < s->timer.due)
        worker_timer(s->worker, &s->timer, due > s->worker->now ? due - s->worker->now : 0);
}

static void session_step(struct session *s)
{
    static enum session_state (*const states[])(struct session *) = {
        [SESSION_HEADER] = do_header, [SESSION_TLS] = do_tls,     [SESSION_TALK] = do_talk,
        [SESSION_ROUTE] = do_route,   [SESSION_HOLD] = do_hold,   [SESSION_WAIT] = do_wait,
        [SESSION_LOGIN] = do_login,   [SESSION_CARRY] = do_carry, [SESSION_DRAIN] = do_drain,
    };
    if (s->stopping && s->state < SESSION_DRAIN)
        s->state = session_end(s, REASON_SHUTDOWN, NULL);
    else if (login_timed_out(s))
        s->state = session_end(s, REASON_LOGIN_TIMEOUT, NULL);
    for (enum session_state last = SESSION_END; s->state != SESSION_END && s->state != last;) {
        last = s->state;
        s->state = states[last](s);
    }
    if (s->state == SESSION_END)
        return;
    stream_push(&s->client);
    stream_push(&s->node);
    arm(s);
}

static void again(struct post *post)
{
    session_step(OUTER(post, session, post));
}

static void fire(struct timer *timer)
{
    session_step(OUTER(timer, session, timer));
}

static void client_ready(struct watch *watch, uint32_t events)
{
    struct session *s = OUTER(watch, session, client.watch);
    stream_events(&s->client, events);
    session_step(s);
}

static struct login *login_new(struct session *s)
{
    struct login *l = pool_get(&s->worker->login_pool);
    l->session = s;
    creds_init(&l->creds, l->secret_space, sizeof l->secret_space);
    buf_init(&l->in, l->in_space, sizeof l->in_space, PROTO_IN_MAX);
    buf_init(&l->out, l->out_space, sizeof l->out_space, PROTO_OUT_MAX);
    return l;
}

static struct session *session_new(struct worker *w)
{
    if (!w->session_pool.block) {
        pool_init(&w->session_pool, sizeof(struct session));
        pool_init(&w->login_pool, sizeof(struct login));
    }
    struct session *s = pool_get(&w->session_pool);
    s->worker = w;
    s->node.fd = -1;
    s->started = w->now;
    s->post.run = again;
    s->timer.fire = fire;
    id_make(s->id);
    s->next = w->sessions;
    if (s->next)
        s->next->prev = s;
    w->sessions = s;
    w->session_count++;
    atomic_fetch_add(&total, 1);
    return s;
}

/* The first state: whoever sends a PROXY header has to be trusted. */
static enum session_state start(struct session *s)
{
    if (!s->listener->proxy_protocol)
        return begin(s);
    if (is_trusted(s))
        return SESSION_HEADER;
    return session_end(s, REASON_PROXY_HEADER, "from an address that is not trusted");
}

void session_start(struct worker *w, struct config *config, const struct config_service *service,
                   const struct config_listener *listener, int fd, const struct addr *client)
{
    struct session *s = session_new(w);
    s->config = config_ref(config);
    s->service = service;
    s->listener = listener;
    s->address = *client;
    s->login = login_new(s);
    int error = stream_open(&s->client, w, fd, client_ready);
    if (error)
        close(fd);
    s->state = error ? session_end(s, REASON_RESOURCES, strerror(error)) : start(s);
    session_step(s);
}

unsigned session_total(void)
{
    return atomic_load(&total);
}

void session_stop_all(struct worker *w)
{
    for (struct session *s = w->sessions, *next; s; s = next) {
        next = s->next;
        s->stopping = true;
        session_step(s);
    }
}
