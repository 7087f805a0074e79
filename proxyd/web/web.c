/* SPDX-License-Identifier: ISC
 *
 * One client's connection that speaks HTTP, from accept to close, request by request. The states
 * stand below in the order in which a request passes through them: do_arrive, do_idle, do_head,
 * do_route, do_hold, do_body, do_serve, do_answer, do_way, do_pump, do_carry, do_leave. Each does
 * what its streams allow and returns the next state, or its own to wait; web_step loops until
 * nothing changes, and nothing else sets the state. Requests that came in one piece wait for
 * their turn. */
#include "base/id.h"
#include "trace.h"
#include "web/engine.h"
#include "web/exchange.h"
#include "web/login.h"

#include <stdlib.h>

enum {
    HEAD_READ = 16 * 1024,       /* bytes read at once while a head is awaited */
    FORM_MAX = 64 * 1024,        /* of a body that is answered here, whatever others may have */
    SLACK = 8 * 1024,            /* bytes by which a head may grow on its way to the node */
    ANSWER_HEAD_MAX = 64 * 1024, /* bytes of a node's head */
    TURNS = 64,                  /* changes of state until others have their turn */
    STOP_TIME = 5000             /* ms that a request under way has when we are to stop */
};

static enum web_state end_now(struct web *w)
{
    if (w->exchange)
        exchange_free(w->exchange);
    leg_close_own(&w->own);
    free(w->local);
    client_close(&w->client);
    return WEB_END;
}

static void log_close(struct web *w, const char *detail)
{
    struct log_line l;
    trace_event(&w->client, "closed: %s", client_reason_word(w->client.reason));
    if (!client_log_close(&l, &w->client))
        return;
    client_log_end(&l, &w->client, w->bytes_in, w->bytes_out, detail);
}

enum web_state web_end(struct web *w, enum client_reason reason, const char *detail)
{
    bool silent = w->state == WEB_IDLE && !stream_pending(&w->client.stream);
    w->client.reason = reason;
    if (w->exchange)
        exchange_free(w->exchange);
    answer_talker(w, true);
    log_close(w, detail);
    if (w->client.stream.failed || (silent && !w->client.stream.ssl))
        return end_now(w);
    client_leave(&w->client);
    return WEB_LEAVE;
}

enum web_state web_gone(struct web *w)
{
    struct stream *st = &w->client.stream;
    if (w->exchange && !w->exchange->result.error)
        w->exchange->result.error = "the client left";
    return web_end(w, st->failed || st->broken ? REASON_CLIENT_LOST : REASON_CLIENT_CLOSED, NULL);
}

/* Sets the deadline of what is waited for, MS after SINCE. */
static void wait_until(struct web *w, uint64_t since, uint64_t ms)
{
    w->client.deadline = since + ms;
}

/* ---- a request begins ---- */

static void leg_ready(struct leg *leg)
{
    struct exchange *x = OUTER(leg, exchange, leg);
    web_step(x->web);
}

struct exchange *exchange_begin(struct web *w)
{
    struct pool *pool = &w->client.worker->exchange_pool;
    const struct config_web *conf = &w->client.service->web;
    if (!pool->block)
        pool_init(pool, sizeof(struct exchange));
    struct exchange *x = pool_get(pool);
    uint32_t head_max = (uint32_t)conf->http.header_size;
    x->web = w;
    x->started = x->active = w->client.worker->now;
    x->request.client = &w->client;
    x->leg.ready = leg_ready;
    buf_init(&x->in, NULL, 0, (head_max > WEB_READ ? head_max : WEB_READ) + HEAD_READ);
    buf_init(&x->line, x->line_space, sizeof x->line_space, 1024);
    buf_init(&x->head, x->head_space, sizeof x->head_space, 2 * head_max + SLACK);
    buf_init(&x->out, x->out_space, sizeof x->out_space, 2 * head_max + SLACK);
    buf_init(&x->node_in, NULL, 0, ANSWER_HEAD_MAX);
    buf_init(&x->request.fields, NULL, 0, SLACK);
    w->exchange = x;
    return x;
}

void exchange_free(struct exchange *x)
{
    struct web *w = x->web;
    if (x->asked && !x->served)
        web_login_cancel(&x->request);
    if (x->leg.node)
        w->client.node = x->leg.node;
    answer_log(x);
    w->client.node = NULL;
    leg_end(&x->leg);
    basic_free(x);
    splice_free(&x->splice_up);
    splice_free(&x->splice_down);
    http_body_free(&x->up);
    http_body_free(&x->down);
    buf_free(&x->in);
    buf_free(&x->line);
    buf_free(&x->raw);
    buf_free(&x->body);
    buf_free(&x->head);
    buf_free(&x->node_in);
    buf_free(&x->out);
    buf_free(&x->request.fields);
    free(x->parsed);
    free(x->rest);
    w->exchange = NULL;
    pool_put_clean(&w->client.worker->exchange_pool, x, offsetof(struct exchange, line_space));
}

enum web_state exchange_over(struct exchange *x)
{
    struct web *w = x->web;
    struct client *c = &w->client;
    bool keep = x->keep && !c->stopping && !c->worker->leaving;
    struct buf in = x->in;
    if (!keep)
        return web_end(w, c->stopping ? c->reason : REASON_LOGOUT, x->result.error);
    x->in = (struct buf){0};
    exchange_free(x);
    wait_until(w, c->worker->now, c->service->web.http.keepalive_timeout);
    if (buf_len(&in) == 0) {
        buf_free(&in);
        return WEB_IDLE;
    }
    exchange_begin(w)->in = in;
    return WEB_HEAD;
}

ssize_t exchange_read(struct exchange *x, char *p, size_t *data)
{
    struct stream *client = &x->web->client.stream;
    size_t kept = buf_len(&x->in);
    ssize_t n = kept < WEB_READ ? (ssize_t)kept : WEB_READ;
    if (kept) {
        memcpy(p, buf_str(&x->in).p, (size_t)n);
    } else {
        if (x->awaits)
            stream_write(client, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        x->awaits = false;
        n = stream_read(client, p, WEB_READ);
        if (n <= 0)
            return n;
    }
    size_t used = http_body_read(&x->up, p, (size_t)n, data);
    if (kept)
        buf_take(&x->in, (uint32_t)used);
    else
        buf_add(&x->in, p + used, (size_t)n - used);
    return n;
}

/* What is not taken as it stands in H, each time that it is parsed. Nothing but a websocket is
 * carried (h2c above all is not). Who names no host (HTTP/1.0) may have done so in TLS; otherwise
 * Host counts and nothing else, for what stands before us may have one name in TLS for all. */
static void put_right(const struct exchange *x, struct http_head *h)
{
    const char *name = h->host.n ? NULL : stream_tls_name(&x->web->client.stream);
    if (!h->is_get || h->framing != HTTP_NO_BODY || !str_is(h->upgrade, "websocket"))
        h->upgrade = (struct str){NULL, 0};
    if (name && http_is_host(str_of(name)))
        h->host = str_of(name);
}

/* Keeps the head at the start of ALL, N bytes, for the request does not go on at once. */
static void retain(struct exchange *x, const char *head, size_t n)
{
    buf_init(&x->raw, NULL, 0, (uint32_t)n);
    buf_add(&x->raw, head, n);
    x->parsed = xmalloc(sizeof *x->parsed);
    http_head_request(x->parsed, buf_str(&x->raw));
    put_right(x, x->parsed);
    x->request.head = x->parsed;
}

/* ---- where it goes ---- */

static bool is_upload(const struct http_head *h)
{
    const struct http_field *type = http_head_find(h, HTTP_FIELD_CONTENT_TYPE);
    return str_is(h->method, "PUT") || (type && str_starts(type->value, "multipart/form-data"));
}

/* An id that a load balancer gave it, or one of our own. */
static void set_id(struct exchange *x, const struct http_head *h)
{
    const struct http_field *id =
        x->request.trusted ? http_head_find(h, HTTP_FIELD_REQUEST_ID) : NULL;
    if (id && id->value.n < sizeof x->request.id && http_is_token(id->value))
        memcpy(x->request.id, id->value.p, id->value.n);
    else
        id_make(x->request.id);
}

/* "METHOD /path", without the query, for that may have a token in it. */
static void set_line(struct exchange *x, const struct http_head *h)
{
    struct str target = h->target;
    const char *query = target.n ? memchr(target.p, '?', target.n) : NULL;
    if (x->web->client.service->log_level < LOG_LEVEL_INFO || !target.p)
        return;
    if (query)
        target.n = (size_t)(query - target.p);
    if (target.n > 800)
        target.n = 800;
    buf_add(&x->line, h->method.p, h->method.n);
    buf_add(&x->line, " ", 1);
    buf_add(&x->line, target.p, target.n);
}

static void note(struct exchange *x, struct http_head *h)
{
    const struct config_web *conf = &x->web->client.service->web;
    const struct http_field *credentials = http_head_find(h, HTTP_FIELD_AUTHORIZATION);
    put_right(x, h);
    x->is_head = h->is_head;
    x->old = h->minor == 0;
    x->keep = h->keep && conf->http.keepalive_timeout > 0;
    x->awaits = h->expects && h->framing != HTTP_NO_BODY;
    x->upgrades = h->upgrade.n > 0;
    x->can_retry = h->is_idempotent && h->framing == HTTP_NO_BODY;
    x->body_max = is_upload(h) ? conf->http.upload_size : conf->http.body_size;
    x->bound = credentials && http_is_bound(credentials->value);
    x->request.tls = x->web->client.stream.handshaken;
    x->request.trusted = client_is_trusted(&x->web->client);
    set_id(x, h);
    http_body_start(&x->up, h);
}

enum web_state exchange_way(struct exchange *x, enum leg_result result)
{
    struct web *w = x->web;
    w->client.node = x->leg.node;
    w->client.deadline = x->leg.deadline;
    if (result == LEG_FAILED)
        return answer_refuse(x, x->leg.status, x->leg.error);
    x->active = w->client.worker->now;
    return result == LEG_READY ? WEB_PUMP : WEB_WAY;
}

/* The route is known: the head is written anew, and the request goes to the node. */
static enum web_state to_node(struct exchange *x)
{
    struct web *w = x->web;
    struct http_head *h = x->request.head;
    char address[ADDR_TEXT];
    struct buf credentials;
    buf_init(&credentials, NULL, 0, SLACK);
    const struct http_request_setup setup = {
        .client = w->client.address.sa.sa_family == AF_UNIX
                      ? NULL
                      : addr_host(&w->client.address, address),
        .tls = x->request.tls,
        .trusted = x->request.trusted,
        .id = x->request.id,
        .host = x->request.route.host,
        .cookie = w->client.service->web.session.cookie,
        .credentials = basic_credentials(x, &credentials),
        .template_name = x->request.template_name,
        .device = x->request.device,
    };
    client_set_user(&w->client, x->request.route.login);
    bool good = http_forward_request(&x->head, h, &setup, &x->outside);
    trace_head(&w->client, TRACE_TO_NODE, buf_str(&x->head));
    buf_free(&credentials);
    if (!good)
        return answer_refuse(x, 431, "too large with what is added to it");
    x->leg.local = w->local;
    x->leg.runs = !x->basic;
    return exchange_way(x,
                        leg_start(&x->leg, &w->client, &x->request.route, &w->own, x->can_retry));
}

/* HEAD is its first N bytes. */
static enum web_state decide(struct exchange *x, const char *head, size_t n)
{
    struct http_head *h = x->request.head;
    enum web_state next;
    if (h->framing == HTTP_COUNTED && h->length > x->body_max)
        return answer_refuse(x, 413, "the body is too large");
    if (basic_begin(x, h)) {
        web_login_describe(&x->request);
        next = basic_ask(x);
        if (next == WEB_WAY)
            return to_node(x);
    } else {
        if (web_login_decide(&x->request) == WEB_NODE)
            return to_node(x);
        next = WEB_BODY;
    }
    if (next != WEB_ANSWER)
        retain(x, head, n);
    return next;
}

/* ---- the head ---- */

/* A head that is larger than MAX: is it its first line alone? */
static enum web_state refuse_head(struct exchange *x, struct str all, size_t max)
{
    const char *line = memchr(all.p, '\n', all.n);
    bool target = !line || (size_t)(line - all.p) >= max;
    return answer_refuse(x, target ? 414 : 431, "the head is too large");
}

/* Takes the head at the start of ALL, which is in x->in where BORROWED does not say otherwise: what
 * is behind it is in x->in afterwards in any case. WEB_HEAD: it is not whole yet. */
static enum web_state take_head(struct exchange *x, struct str all, bool borrowed)
{
    size_t max = x->web->client.service->web.http.header_size;
    ssize_t end = http_head_end(all, &x->in_seen);
    struct http_head h;
    enum web_state next = WEB_HEAD;
    if (end < 0) {
        next = answer_refuse(x, 400, "a line that does not end as it has to");
    } else if ((size_t)end > max || (end == 0 && all.n >= max)) {
        next = refuse_head(x, all, max);
    } else if (end > 0) {
        unsigned refused = http_head_request(&h, (struct str){all.p, (size_t)end});
        set_line(x, &h);
        trace_head(&x->web->client, TRACE_FROM_CLIENT, (struct str){all.p, (size_t)end});
        if (refused) {
            next = answer_refuse(x, refused, "the head is not as it has to be");
        } else {
            x->request.head = &h;
            note(x, &h);
            next = decide(x, all.p, (size_t)end);
            x->request.head = x->parsed;
        }
    }
    if (end < 0)
        end = (ssize_t)all.n;
    if (borrowed)
        buf_add(&x->in, all.p + end, all.n - (size_t)end);
    else
        buf_take(&x->in, (uint32_t)end);
    return next;
}

/* ---- the states ---- */

static enum web_state do_arrive(struct web *w)
{
    struct addr local = {0};
    char text[CLIENT_TEXT];
    enum client_arrival arrival = client_arrive(&w->client, &local, text);
    if (local.len) {
        w->local = xmalloc(sizeof *w->local);
        *w->local = local;
    }
    wait_until(w, w->client.started, w->client.service->web.http.request_timeout);
    if (arrival == CLIENT_GONE)
        return web_end(w, w->client.reason, text);
    if (arrival == CLIENT_ARRIVED)
        return WEB_IDLE;
    return client_timed_out(&w->client) ? web_end(w, REASON_IDLE_TIMEOUT, NULL) : WEB_ARRIVE;
}

static enum web_state do_idle(struct web *w)
{
    struct client *c = &w->client;
    stream_push(&c->stream);
    if (stream_pending(&c->stream) && !client_timed_out(c))
        return WEB_IDLE; /* it has not taken the last answer yet */
    ssize_t n = c->stopping ? STREAM_AGAIN : stream_read(&c->stream, c->worker->scratch, HEAD_READ);
    if (n > 0) {
        struct str all = {c->worker->scratch, (size_t)n};
        enum web_state next = take_head(exchange_begin(w), all, true);
        mem_wipe(c->worker->scratch, all.n); /* there may be a password in it */
        return next;
    }
    if (n != STREAM_AGAIN)
        return web_end(w, client_left(n), NULL);
    if (c->stopping || c->worker->leaving)
        return web_end(w, c->stopping ? c->reason : REASON_SHUTDOWN, NULL);
    return client_timed_out(c) ? web_end(w, REASON_IDLE_TIMEOUT, NULL) : WEB_IDLE;
}

static enum web_state do_head(struct web *w)
{
    struct exchange *x = w->exchange;
    struct client *c = &w->client;
    wait_until(w, x->started, c->service->web.http.request_timeout);
    for (unsigned reads = 0;; reads++) {
        if (buf_len(&x->in)) {
            enum web_state next = take_head(x, buf_str(&x->in), false);
            if (next != WEB_HEAD)
                return next;
        }
        if (reads == STREAM_TURN) {
            worker_soon(c->worker, &c->post);
            return WEB_HEAD;
        }
        char *room = buf_room(&x->in, HEAD_READ);
        ssize_t n = stream_read(&c->stream, room, HEAD_READ);
        if (n == STREAM_AGAIN)
            return client_timed_out(c) ? answer_refuse(x, 408, "its head did not come in time")
                                       : WEB_HEAD;
        if (n <= 0)
            return web_gone(w);
        buf_added(&x->in, (uint32_t)n);
    }
}

static enum web_state do_route(struct web *w)
{
    enum web_state next = basic_answered(w->exchange);
    if (next == WEB_ROUTE && w->client.stream.hung_up)
        return web_gone(w);
    return next == WEB_WAY ? to_node(w->exchange) : next;
}

static enum web_state do_hold(struct web *w)
{
    enum web_state next = basic_hold(w->exchange);
    if (next == WEB_HOLD && w->client.stream.hung_up)
        return web_gone(w);
    return next == WEB_WAY ? to_node(w->exchange) : next;
}

static enum web_state do_body(struct web *w)
{
    struct exchange *x = w->exchange;
    struct client *c = &w->client;
    uint64_t max = c->service->web.http.body_size;
    wait_until(w, x->started, c->service->web.http.request_timeout);
    if (!x->body.max)
        buf_init(&x->body, NULL, 0, max < FORM_MAX ? (uint32_t)max : FORM_MAX);
    while (!http_body_done(&x->up)) {
        size_t data;
        ssize_t n = exchange_read(x, c->worker->scratch, &data);
        if (n == STREAM_AGAIN)
            return client_timed_out(c) ? answer_refuse(x, 408, "its body did not come in time")
                                       : WEB_BODY;
        if (n <= 0)
            return web_gone(w);
        buf_add(&x->body, c->worker->scratch, data);
        mem_wipe(c->worker->scratch, (size_t)n);
        if (x->up.state == HTTP_BODY_BAD)
            return answer_refuse(x, 400, "the body is not as it has to be");
        if (x->body.full)
            return answer_refuse(x, 413, "the body is too large");
    }
    x->request.body = buf_str(&x->body);
    return WEB_SERVE;
}

static enum web_state do_serve(struct web *w)
{
    struct exchange *x = w->exchange;
    w->client.deadline = 0; /* the login's own hold */
    if (!x->asked) {
        x->asked = true;
        web_login_serve(&x->request);
    }
    if (!x->served)
        return w->client.stream.hung_up ? web_gone(w) : WEB_SERVE;
    return x->next;
}

static enum web_state do_answer(struct web *w)
{
    return answer_step(w->exchange);
}

static enum web_state do_way(struct web *w)
{
    enum web_state next = exchange_way(w->exchange, leg_step(&w->exchange->leg));
    return next == WEB_WAY && w->client.stream.hung_up ? web_gone(w) : next;
}

static enum web_state do_pump(struct web *w)
{
    return pump_step(w->exchange);
}

/* What was upgraded: see session.c's do_carry. */
static enum web_state do_carry(struct web *w)
{
    struct exchange *x = w->exchange;
    struct client *c = &w->client;
    struct stream *node = leg_stream(&x->leg);
    uint64_t before = x->splice_up.bytes + x->splice_down.bytes;
    enum splice_result up = splice_pump(&x->splice_up, &c->stream, node, c->worker);
    enum splice_result down = splice_pump(&x->splice_down, node, &c->stream, c->worker);
    if (x->splice_up.bytes + x->splice_down.bytes != before)
        x->active = c->worker->now;
    if (up == SPLICE_FAILED || down == SPLICE_FAILED)
        return web_end(w, c->stream.failed ? REASON_CLIENT_LOST : REASON_NODE_LOST, NULL);
    if (up == SPLICE_ENDED || down == SPLICE_ENDED) /* nobody talks on to who has left */
        return web_end(w, up == SPLICE_ENDED ? REASON_CLIENT_CLOSED : REASON_NODE_CLOSED, NULL);
    if (up == SPLICE_AGAIN || down == SPLICE_AGAIN)
        worker_soon(c->worker, &c->post);
    wait_until(w, x->active, c->service->idle_timeout);
    stream_push(node);
    return client_timed_out(c) ? web_end(w, REASON_IDLE_TIMEOUT, NULL) : WEB_CARRY;
}

static enum web_state do_leave(struct web *w)
{
    return client_drain(&w->client) ? end_now(w) : WEB_LEAVE;
}

/* ---- the machine ---- */

/* To stop: at once where no request is under way, else after its answer, if that takes no long. */
static enum web_state stop(struct web *w)
{
    struct client *c = &w->client;
    if (w->exchange)
        w->exchange->keep = false;
    if (!c->stop_by)
        c->stop_by = c->worker->now + STOP_TIME;
    if (w->state == WEB_ARRIVE || w->state == WEB_HEAD || w->state == WEB_CARRY ||
        !client_may_go_on(c))
        return web_end(w, c->reason, NULL);
    return w->state;
}

void web_step(struct web *w)
{
    static enum web_state (*const states[])(struct web *) = {
        [WEB_ARRIVE] = do_arrive, [WEB_IDLE] = do_idle,     [WEB_HEAD] = do_head,
        [WEB_ROUTE] = do_route,   [WEB_HOLD] = do_hold,     [WEB_BODY] = do_body,
        [WEB_SERVE] = do_serve,   [WEB_ANSWER] = do_answer, [WEB_WAY] = do_way,
        [WEB_PUMP] = do_pump,     [WEB_CARRY] = do_carry,   [WEB_LEAVE] = do_leave,
    };
    if (w->client.stopping && w->state < WEB_LEAVE)
        w->state = stop(w);
    unsigned turns = 0;
    for (enum web_state last = WEB_END; w->state != WEB_END && w->state != last;) {
        if (++turns > TURNS) {
            worker_soon(w->client.worker, &w->client.post);
            break;
        }
        last = w->state;
        w->state = states[last](w);
    }
    if (w->state == WEB_END)
        return;
    stream_push(&w->client.stream);
    client_arm(&w->client, 0);
}

static void start(struct client *c)
{
    web_step(OUTER(c, web, client));
}

static void step(struct client *c)
{
    web_step(OUTER(c, web, client));
}

static void tell(const struct client *c, struct client_told *told)
{
    static const char *const words[] = {
        [WEB_ARRIVE] = "arriving", [WEB_IDLE] = "idle",        [WEB_HEAD] = "reading",
        [WEB_ROUTE] = "routing",   [WEB_HOLD] = "held",        [WEB_BODY] = "reading",
        [WEB_SERVE] = "login",     [WEB_ANSWER] = "answering", [WEB_WAY] = "queued",
        [WEB_PUMP] = "exchange",   [WEB_CARRY] = "carrying",   [WEB_LEAVE] = "leaving",
        [WEB_END] = "ended"};
    const struct web *w = OUTER(c, web, client);
    told->phase = w->state == WEB_ROUTE || w->state == WEB_HOLD ? CLIENT_ASKS
                  : w->state >= WEB_LEAVE                       ? CLIENT_LEAVES
                  : w->state >= WEB_WAY                         ? CLIENT_SERVED
                                                                : CLIENT_TALKS;
    told->state = words[w->state];
    told->bytes_in = w->bytes_in;
    told->bytes_out = w->bytes_out;
}

const struct engine web_engine = {
    .pool = ENGINE_WEB, .size = sizeof(struct web), .start = start, .step = step, .tell = tell};
