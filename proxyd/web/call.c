/* SPDX-License-Identifier: ISC
 *
 * A request of our own to a node: see call.h. */
#include "web/call.h"

#include "trace.h"
#include "web/exchange.h"

#include <stdlib.h>

enum { HEAD_MAX = 64 * 1024, READ = 64 * 1024, FIELDS_MAX = 256 * 1024 };

static void step(struct call *call);

static struct worker *worker_of(const struct call *call)
{
    return call->leg.client->worker;
}

static void tell(struct post *post)
{
    struct call *call = OUTER(post, call, post);
    call->done(call);
}

static void finish(struct call *call, enum call_result result, unsigned status, const char *error)
{
    call->result = result;
    call->status = status;
    snprintf(call->error, sizeof call->error, "%s", error);
    call->answered = true;
    worker_timer_clear(worker_of(call), &call->timer);
    if (result == CALL_FAILED)
        leg_end(&call->leg);
    call->body = buf_str(&call->data);
    worker_soon(worker_of(call), &call->post);
}

static void fail(struct call *call, const char *error)
{
    finish(call, CALL_FAILED, 502, error);
}

/* ---- the answer ---- */

static void over(struct call *call, bool good)
{
    leg_done(&call->leg, good && call->head.keep, false);
    finish(call, CALL_OK, 0, "");
}

static void take_body(struct call *call, char *p, size_t n)
{
    size_t data, used = http_body_read(&call->reader, p, n, &data);
    if (call->reader.state == HTTP_BODY_BAD)
        fail(call, "the node's body is not as it has to be");
    else if (!buf_add(&call->data, p, data))
        fail(call, "the node's answer is too large");
    else if (http_body_done(&call->reader))
        over(call, used == n);
}

/* N more bytes at P; what is behind the head is the body's. */
static void take_head(struct call *call, const char *p, size_t n)
{
    if (!buf_add(&call->in, p, n)) {
        fail(call, "the node's head is too large");
        return;
    }
    for (;;) {
        struct str all = buf_str(&call->in);
        ssize_t end = all.n ? http_head_end(all, &call->seen) : 0;
        if (end == 0)
            return;
        const char *error =
            end < 0
                ? "a line of the node's does not end as it has to"
                : http_head_answer(&call->head, (struct str){all.p, (size_t)end}, call->is_head);
        if (error || call->head.status == 101) {
            fail(call, error ? error : "the node changes to a protocol that nobody asked for");
            return;
        }
        call->seen = 0;
        trace_head(call->leg.client, TRACE_FROM_NODE, (struct str){all.p, (size_t)end});
        if (call->head.status >= 200) {
            call->head_size = (size_t)end;
            http_body_start(&call->reader, &call->head);
            if (http_body_done(&call->reader))
                over(call, all.n == (size_t)end);
            else
                take_body(call, call->in.data + call->in.start + end, all.n - (size_t)end);
            return;
        }
        buf_take(&call->in, (uint32_t)end);
    }
}

static void ended(struct call *call, ssize_t n)
{
    if (call->is_idempotent && call->leg.reused && buf_len(&call->in) == 0) {
        call->sent = false;
        if (leg_again(&call->leg) == LEG_FAILED)
            finish(call, CALL_FAILED, call->leg.status, call->leg.error);
    } else if (call->head_size && n == 0 && http_body_ended(&call->reader)) {
        over(call, false);
    } else {
        fail(call, "the node closed the connection");
    }
}

static void listen_to(struct call *call)
{
    struct stream *node = leg_stream(&call->leg);
    char *p = worker_of(call)->scratch;
    while (!call->answered && call->sent) {
        ssize_t n = stream_read(node, p, READ);
        if (n == STREAM_AGAIN)
            return;
        if (n <= 0)
            ended(call, n);
        else if (call->head_size)
            take_body(call, p, (size_t)n);
        else
            take_head(call, p, (size_t)n);
    }
}

/* ---- the way ---- */

static void arm(struct call *call)
{
    struct worker *w = worker_of(call);
    uint64_t due = call->sent ? call->deadline : call->leg.deadline;
    if (due)
        worker_timer(w, &call->timer, due > w->now ? due - w->now : 0);
}

static void say(struct call *call)
{
    struct stream *node = leg_stream(&call->leg);
    struct worker *w = worker_of(call);
    if (!call->sent) {
        stream_write(node, buf_str(&call->request).p, buf_len(&call->request));
        call->deadline = w->now + call->leg.client->service->backend.response_timeout;
    }
    call->sent = true;
    stream_push(node);
}

static void went(struct call *call, enum leg_result result)
{
    if (result == LEG_FAILED) {
        finish(call, CALL_FAILED, call->leg.status, call->leg.error);
        return;
    }
    if (result == LEG_READY) {
        say(call);
        listen_to(call);
    }
    if (!call->answered)
        arm(call);
}

static void step(struct call *call)
{
    if (call->answered)
        return;
    if (call->sent && worker_of(call)->now >= call->deadline)
        finish(call, CALL_FAILED, 504, "the node does not answer in time");
    else
        went(call, leg_step(&call->leg));
}

static void ready(struct leg *leg)
{
    step(OUTER(leg, call, leg));
}

static void fire(struct timer *timer)
{
    step(OUTER(timer, call, timer));
}

/* ---- what the caller calls ---- */

void call_start(struct call *call, struct client *client, const struct web_route *route,
                struct str start, struct str fields, struct str body)
{
    struct web *w = OUTER(client, web, client);
    bool post = str_starts(start, "POST ");
    call->is_head = str_starts(start, "HEAD ");
    call->is_idempotent = call->is_head || str_starts(start, "GET ");
    call->leg.ready = ready;
    call->leg.local = w->local;
    call->timer.fire = fire;
    call->post.run = tell;
    buf_init(&call->request, NULL, 0, FIELDS_MAX + (uint32_t)body.n);
    buf_init(&call->in, NULL, 0, HEAD_MAX + READ);
    buf_init(&call->data, NULL, 0, CALL_BODY_MAX);
    buf_add(&call->request, start.p, start.n);
    buf_adds(&call->request, "\r\n");
    buf_add(&call->request, fields.p, fields.n);
    if (post || body.n)
        buf_addf(&call->request, "Content-Length: %zu\r\n", body.n);
    buf_adds(&call->request, "\r\n");
    buf_add(&call->request, body.p, body.n);
    went(call, leg_start(&call->leg, client, route, &w->own, call->is_idempotent));
}

void call_end(struct call *call)
{
    if (!call->leg.client)
        return;
    worker_timer_clear(worker_of(call), &call->timer);
    ring_remove(&call->post.ring);
    leg_end(&call->leg);
    http_body_free(&call->reader);
    buf_free(&call->request);
    buf_free(&call->in);
    buf_free(&call->data);
    *call = (struct call){.done = call->done};
}
