/* SPDX-License-Identifier: ISC
 *
 * The bytes of one request, both ways: its head and body to the node (`send_up`), the answer's to
 * the client (`bring_down`). Nothing is read from one side while the other has not taken what came
 * before; everything is framed anew on its way. An answer's head and the first of its body leave
 * with one write. */
#include "trace.h"
#include "web/exchange.h"
#include "web/login.h"

enum {
    BEFORE = 8 * 1024,    /* bytes of room before what is read from the node: for the head */
    AFTER = 64,           /* behind it: the end of a chunk, the last chunk */
    READ_MIN = 16 * 1024, /* of the node's: less from turn to turn while the client is slow */
    READ_MAX = 128 * 1024,
    NODE_HEAD_MAX = 64 * 1024, /* bytes of an answer's head */
    INTERIM_MAX = 16           /* answers 1xx before the one that counts */
};

static struct stream *client_of(const struct exchange *x)
{
    return &x->web->client.stream;
}

static struct worker *worker_of(const struct exchange *x)
{
    return x->web->client.worker;
}

static void progress(struct exchange *x)
{
    x->active = worker_of(x)->now;
}

/* The request cannot go on: the client is told so, or is cut off where its answer has begun. */
static enum web_state give_up(struct exchange *x, unsigned status, const char *error)
{
    if (!x->down_begun)
        return answer_refuse(x, status, error);
    x->result.error = error;
    return web_end(x->web, status < 500 ? REASON_TOO_MANY_ERRORS : REASON_NODE_LOST, error);
}

/* ---- the request ---- */

/* The end of a chunked body, with its trailers. */
static bool send_end(struct exchange *x, struct stream *node)
{
    struct buf end;
    buf_init(&end, NULL, 0, 2 * HTTP_TRAILERS_MAX);
    bool good = buf_adds(&end, "0\r\n") && http_forward_trailers(&end, buf_str(&x->up.trailers));
    if (good)
        stream_write(node, buf_str(&end).p, buf_len(&end));
    buf_free(&end);
    return good;
}

/* N bytes of the body at P, with room before and behind, to the node. WEB_PUMP: go on. */
static enum web_state send_piece(struct exchange *x, struct stream *node, char *p, size_t n)
{
    bool chunked = x->up.framing == HTTP_CHUNKED;
    if (x->up.state == HTTP_BODY_BAD)
        return give_up(x, 400, "the body is not as it has to be");
    if (x->up.total > x->body_max)
        return give_up(x, 413, "the body is too large");
    if (n && chunked) {
        char *begin = http_chunk_begin(p, n);
        memcpy(p + n, "\r\n", 2);
        n += (size_t)(p - begin) + 2;
        p = begin;
    }
    stream_write(node, p, n);
    if (chunked && http_body_done(&x->up) && !send_end(x, node))
        return give_up(x, 400, "the trailers are not as they have to be");
    progress(x);
    return WEB_PUMP;
}

static enum web_state send_up(struct exchange *x)
{
    struct stream *node = leg_stream(&x->leg);
    char *p = worker_of(x)->scratch + HTTP_CHUNK_BEFORE;
    if (!x->head_sent)
        stream_write(node, buf_str(&x->head).p, buf_len(&x->head));
    x->head_sent = true;
    stream_push(node);
    for (unsigned turns = 0; !http_body_done(&x->up) && !stream_pending(node); turns++) {
        size_t data;
        if (node->failed || (x->down_begun && x->awaits))
            return WEB_PUMP; /* its answer may be there; or says that no body is wanted */
        if (turns == STREAM_TURN) {
            worker_soon(worker_of(x), &x->web->client.post);
            return WEB_PUMP;
        }
        ssize_t n = exchange_read(x, p, &data);
        if (n == STREAM_AGAIN)
            return WEB_PUMP;
        if (n <= 0)
            return web_gone(x->web);
        enum web_state next = send_piece(x, node, p, data);
        if (next != WEB_PUMP)
            return next;
        stream_push(node);
    }
    return WEB_PUMP;
}

/* ---- the answer ---- */

/* Writes the N bytes of data at P, which have room before and behind, framed for the client; in
 * front of them what is in `out`. */
static enum web_state bring(struct exchange *x, char *p, size_t n)
{
    struct str head = buf_str(&x->out);
    char *begin = p, *end = p + n;
    bool chunked = x->down_framing == HTTP_CHUNKED, done = http_body_done(&x->down);
    x->result.bytes += n;
    if (chunked && n) {
        begin = http_chunk_begin(p, n);
        memcpy(end, "\r\n", 2);
        end += 2;
    }
    if (chunked && done) {
        memcpy(end, "0\r\n\r\n", 5);
        end += buf_len(&x->down.trailers) ? 3 : 5;
    }
    if (head.n <= BEFORE - HTTP_CHUNK_BEFORE) {
        begin -= head.n;
        memcpy(begin, head.p, head.n);
    } else {
        stream_write(client_of(x), head.p, head.n);
    }
    stream_write(client_of(x), begin, (size_t)(end - begin));
    buf_clear(&x->out);
    if (chunked && done && buf_len(&x->down.trailers)) {
        if (!http_forward_trailers(&x->out, buf_str(&x->down.trailers)))
            return give_up(x, 502, "the node's trailers are not as they have to be");
        stream_write(client_of(x), buf_str(&x->out).p, buf_len(&x->out));
        buf_clear(&x->out);
    }
    return WEB_PUMP;
}

/* Decodes N bytes of the answer's body at P and brings them. */
static enum web_state bring_body(struct exchange *x, char *p, size_t n)
{
    size_t data, used = http_body_read(&x->down, p, n, &data);
    if (x->down.state == HTTP_BODY_BAD)
        return give_up(x, 502, "the node's body is not as it has to be");
    if (used < n)
        x->node_keep = false; /* it says more than it was asked for */
    if (data == 0 && buf_len(&x->out) == 0 && !http_body_done(&x->down))
        return WEB_PUMP;
    return bring(x, p, data);
}

/* What else the answer's head says to us. */
static void note_answer(struct exchange *x, const struct http_head *h)
{
    const struct http_field *type = http_head_find(h, HTTP_FIELD_CONTENT_TYPE);
    for (size_t i = 0; i < h->field_count; i++)
        if (h->fields[i].id == HTTP_FIELD_WWW_AUTHENTICATE && http_is_bound(h->fields[i].value))
            x->bound = true;
    x->long_lived = type && str_starts(type->value, "text/event-stream");
    x->node_keep = h->keep;
    x->result.status = h->status;
    x->down_begun = true;
    x->can_retry = false;
    basic_told(x, h->status);
    web_login_answered(&x->request, h);
}

/* How the body is framed on its way to the client. */
static enum http_framing framing_down(const struct exchange *x, const struct http_head *h)
{
    if (h->framing == HTTP_NO_BODY || h->framing == HTTP_COUNTED)
        return h->framing;
    return x->old ? HTTP_UNTIL_CLOSE : HTTP_CHUNKED;
}

static bool write_head(struct exchange *x, const struct http_head *h)
{
    const struct http_answer_setup setup = {
        .outside = x->outside,
        .node_host = str_of(node_host(x->leg.node)),
        .node_port = node_port(x->leg.node),
        .cookie = x->web->client.service->web.session.cookie,
        .fields = buf_str(&x->request.fields),
        .old = x->old,
        .keep = x->keep,
        .framing = x->down_framing,
    };
    bool good = http_forward_answer(&x->out, h, &setup);
    trace_head(&x->web->client, TRACE_TO_CLIENT, buf_str(&x->out));
    return good;
}

/* The head H of the answer that counts has come; REST, N bytes in the scratch buffer, behind it. */
static enum web_state begin_answer(struct exchange *x, const struct http_head *h, char *rest,
                                   size_t n)
{
    struct worker *w = worker_of(x);
    http_body_start(&x->down, h);
    x->down_framing = framing_down(x, h);
    x->keep = x->keep && http_body_done(&x->up) && x->down_framing != HTTP_UNTIL_CLOSE &&
              !x->web->client.stopping && !w->leaving;
    note_answer(x, h);
    if (!write_head(x, h)) {
        x->down_begun = false;
        return give_up(x, 502, "the node's head is too large");
    }
    return bring_body(x, rest, n);
}

/* The node agrees: from here on bytes are carried, those that came already among them. */
static enum web_state upgrade(struct exchange *x, const struct http_head *h, struct str rest)
{
    struct str early = buf_str(&x->in);
    x->result.status = 101;
    x->down_begun = true;
    x->down_framing = HTTP_NO_BODY;
    if (!x->upgrades || !str_is(h->upgrade, "websocket") || !write_head(x, h)) {
        x->down_begun = false;
        return give_up(x, 502, "the node changes to a protocol that nobody asked for");
    }
    stream_write(client_of(x), buf_str(&x->out).p, buf_len(&x->out));
    stream_write(client_of(x), rest.p, rest.n);
    stream_write(leg_stream(&x->leg), early.p, early.n);
    x->splice_down.bytes = rest.n;
    x->splice_up.bytes = early.n;
    buf_free(&x->in);
    buf_free(&x->out);
    buf_free(&x->head);
    leg_upgraded(&x->leg);
    progress(x);
    return WEB_CARRY;
}

/* An answer before the answer (RFC 9110, 15.2): hints go on to who can take them. */
static enum web_state interim(struct exchange *x, const struct http_head *h)
{
    if (++x->interims > INTERIM_MAX)
        return give_up(x, 502, "too many answers before the answer");
    if (h->status == 100 || x->old)
        return WEB_PUMP; /* whoever waits for 100 gets it from us */
    x->down_framing = HTTP_NO_BODY;
    if (!write_head(x, h))
        return give_up(x, 502, "the node's head is too large");
    stream_write(client_of(x), buf_str(&x->out).p, buf_len(&x->out));
    buf_clear(&x->out);
    return WEB_PUMP;
}

/* Parses the head at P that ends at END, as http_head_end said; NULL, or what is wrong with it. */
static const char *read_head(const struct exchange *x, struct http_head *h, const char *p,
                             ssize_t end)
{
    if (end < 0)
        return "a line of the node's does not end as it has to";
    if (end > NODE_HEAD_MAX)
        return "the node's head is too large";
    return http_head_answer(h, (struct str){p, (size_t)end}, x->is_head);
}

/* N bytes of the node's at P, in the scratch buffer: all that it has said since the last head. */
static enum web_state bring_head(struct exchange *x, char *p, size_t n)
{
    struct http_head h;
    while (n) {
        ssize_t end = http_head_end((struct str){p, n}, &x->node_seen);
        if (end == 0)
            break;
        const char *error = read_head(x, &h, p, end);
        trace_head(&x->web->client, TRACE_FROM_NODE, (struct str){p, end > 0 ? (size_t)end : 0});
        if (error)
            return give_up(x, 502, error);
        p += end;
        n -= (size_t)end;
        x->node_seen = 0;
        if (h.status == 101)
            return upgrade(x, &h, (struct str){p, n});
        if (h.status >= 200)
            return begin_answer(x, &h, p, n);
        enum web_state next = interim(x, &h);
        if (next != WEB_PUMP)
            return next;
    }
    if (n > NODE_HEAD_MAX)
        return give_up(x, 502, "the node's head is too large");
    buf_add(&x->node_in, p, n);
    return WEB_PUMP;
}

static enum web_state over(struct exchange *x)
{
    leg_done(&x->leg, x->node_keep && http_body_done(&x->up), x->bound);
    return exchange_over(x);
}

/* The node has ended: N is what reading said. */
static enum web_state ended(struct exchange *x, ssize_t n)
{
    if (x->can_retry && x->leg.reused) {
        x->head_sent = false;
        return exchange_way(x, leg_again(&x->leg));
    }
    if (!x->down_begun)
        return give_up(x, 502,
                       n == 0 ? "the node closed the connection" : "the connection to it broke");
    if (n < 0 || !http_body_ended(&x->down))
        return give_up(x, 502, "the node left in the middle of its answer");
    enum web_state next = bring(x, worker_of(x)->scratch + BEFORE, 0);
    return next == WEB_PUMP ? over(x) : next;
}

static enum web_state bring_down(struct exchange *x)
{
    struct stream *node = leg_stream(&x->leg), *client = client_of(x);
    char *p = worker_of(x)->scratch + BEFORE;
    for (unsigned turns = 0;; turns++) {
        stream_push(client);
        if (client->failed)
            return web_gone(x->web);
        if (stream_pending(client)) {
            x->read = x->read / 2 < READ_MIN ? READ_MIN : x->read / 2;
            return WEB_PUMP;
        }
        if (turns == STREAM_TURN) {
            worker_soon(worker_of(x), &x->web->client.post);
            return WEB_PUMP;
        }
        if (!x->read)
            x->read = READ_MAX;
        size_t before = buf_len(&x->node_in);
        ssize_t n = stream_read(node, p + before, x->read);
        if (n == STREAM_AGAIN)
            return WEB_PUMP;
        if (n <= 0)
            return ended(x, n);
        if (before) {
            memcpy(p, buf_str(&x->node_in).p, before);
            buf_clear(&x->node_in);
        }
        progress(x);
        x->can_retry = false;
        if ((size_t)n == x->read && x->read < READ_MAX)
            x->read *= 2;
        enum web_state next =
            x->down_begun ? bring_body(x, p, (size_t)n) : bring_head(x, p, before + (size_t)n);
        if (next != WEB_PUMP)
            return next;
        if (x->down_begun && http_body_done(&x->down))
            return over(x);
    }
}

/* ---- time ---- */

/* The request's body is still awaited, and the node would take it. */
static bool awaits_client(struct exchange *x)
{
    return !http_body_done(&x->up) && !x->down_begun && !stream_pending(leg_stream(&x->leg));
}

/* ms: until when whoever is to do something has to do it. */
static uint64_t due(struct exchange *x)
{
    const struct config_service *service = x->web->client.service;
    if (x->pending)
        return x->active + service->web.http.request_timeout;
    if (awaits_client(x))
        return x->started + service->web.http.request_timeout;
    return x->active + (x->long_lived ? service->idle_timeout : service->backend.response_timeout);
}

static enum web_state too_late(struct exchange *x)
{
    if (x->pending)
        return web_end(x->web, REASON_IDLE_TIMEOUT, "it does not take its answer");
    if (awaits_client(x))
        return give_up(x, 408, "its body did not come in time");
    return give_up(x, 504, "the node does not answer in time");
}

enum web_state pump_step(struct exchange *x)
{
    struct client *c = &x->web->client;
    enum web_state next = WEB_PUMP;
    if (x->head_sent && !http_body_done(&x->up)) /* before its refusal is lost in sending on */
        next = bring_down(x);
    if (next == WEB_PUMP)
        next = send_up(x);
    if (next == WEB_PUMP)
        next = bring_down(x);
    if (next != WEB_PUMP)
        return next;
    if (c->stream.hung_up && http_body_done(&x->up))
        return web_gone(x->web);
    size_t pending = stream_pending(&c->stream);
    if (pending < x->pending)
        progress(x);
    x->pending = pending;
    c->deadline = due(x);
    return client_timed_out(c) ? too_late(x) : WEB_PUMP;
}
