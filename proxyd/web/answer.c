/* SPDX-License-Identifier: ISC
 *
 * Answers of our own, and the log's line about every request: see exchange.h. */
#include "recent.h"
#include "stats.h"
#include "trace.h"
#include "web/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    PIECE = 64 * 1024, /* bytes of a body written at once */
    SMALL = 1024,      /* with its head, where it is no larger */
    TALK = 256 * 1024  /* bytes that are worth telling recent.h */
};

/* ---- the log ---- */

void answer_log(const struct exchange *x)
{
    const struct client *c = &x->web->client;
    uint64_t in = x->up.total + x->splice_up.bytes, out = x->result.bytes + x->splice_down.bytes;
    struct str path = buf_str(&x->line), method = str_word(&path);
    struct log_line l;
    if (x->result.status)
        stats_http(x->result.status);
    stats_bytes(c->service->stats, in, out);
    x->web->bytes_in += in;
    x->web->bytes_out += out;
    answer_talker(x->web, false);
    trace_event(&x->web->client, "request %s: %u, %llu bytes of an answer%s%s", x->request.id,
                x->result.status, (unsigned long long)out, x->result.error ? ", " : "",
                x->result.error ? x->result.error : "");
    if (!client_log(&l, c, LOG_LEVEL_INFO, "http"))
        return;
    log_str(&l, "node", c->node ? node_name(c->node) : NULL);
    log_str(&l, "request", x->request.id);
    log_slice(&l, "method", method);
    log_slice(&l, "path", str_word(&path));
    if (x->result.status)
        log_num(&l, "status", x->result.status);
    log_num(&l, "bytes", out);
    log_seconds(&l, "seconds", c->worker->now - x->started);
    log_str(&l, "reason", x->result.error);
    log_end(&l);
}

void answer_talker(struct web *w, bool end)
{
    uint64_t bytes = w->bytes_in + w->bytes_out - w->told;
    if (!w->client.user || (bytes < TALK && !(end && bytes)))
        return;
    w->told += bytes;
    recent_bytes(w->client.user, bytes);
}

/* ---- answering ---- */

/* RFC 9110, 5.6.7; made once a second. */
static const char *date(void)
{
    static _Thread_local char text[32];
    static _Thread_local time_t made;
    time_t now = time(NULL);
    struct tm tm;
    if (now == made)
        return text;
    made = now;
    gmtime_r(&now, &tm);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return text;
}

enum web_state answer_own(struct exchange *x, unsigned status, struct str fields, struct str body)
{
    struct stream *client = &x->web->client.stream;
    x->keep = x->keep && http_body_done(&x->up);
    x->result.status = status;
    buf_clear(&x->out);
    http_forward_own(&x->out, status, fields, body.n, date(), x->old, x->keep);
    trace_head(&x->web->client, TRACE_TO_CLIENT, buf_str(&x->out));
    size_t now = x->is_head ? 0 : body.n < PIECE ? body.n : PIECE;
    bool together = now <= SMALL && buf_add(&x->out, body.p, now);
    stream_write(client, buf_str(&x->out).p, buf_len(&x->out));
    if (!together)
        stream_write(client, body.p, now);
    if (x->is_head)
        return WEB_ANSWER;
    x->result.bytes = body.n;
    x->rest_size = body.n - now;
    if (x->rest_size) {
        x->rest = xmalloc(x->rest_size);
        memcpy(x->rest, body.p + now, x->rest_size);
    }
    return WEB_ANSWER;
}

enum web_state answer_refuse(struct exchange *x, unsigned status, const char *error)
{
    char page[512], fields[300];
    const char *words = http_status_words(status);
    int n = snprintf(page, sizeof page,
                     "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<title>%u %s</title></head>\n<body><h1>%s</h1></body></html>\n",
                     status, words, words);
    snprintf(fields, sizeof fields,
             "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n%s%s%s%s",
             status == 503 ? "Retry-After: 5\r\n" : "",
             status == 401 ? "WWW-Authenticate: Basic realm=\"" : "",
             status == 401 ? x->web->client.config->global.hostname : "",
             status == 401 ? "\", charset=\"UTF-8\"\r\n" : "");
    x->result.error = error;
    bool lost = status < 500 && status != 401; /* nobody knows where the next request begins */
    x->keep = x->keep && !lost && status != 501 && status != 505;
    return answer_own(x, status, str_of(fields), (struct str){page, (size_t)n});
}

enum web_state answer_step(struct exchange *x)
{
    struct web *w = x->web;
    struct client *c = &w->client;
    while (x->rest_at < x->rest_size) {
        stream_push(&c->stream);
        if (c->stream.failed)
            return web_gone(w);
        if (stream_pending(&c->stream)) {
            c->deadline = x->active + c->service->web.http.request_timeout;
            return client_timed_out(c) ? web_end(w, REASON_IDLE_TIMEOUT, NULL) : WEB_ANSWER;
        }
        size_t left = x->rest_size - x->rest_at, n = left < PIECE ? left : PIECE;
        stream_write(&c->stream, x->rest + x->rest_at, n);
        x->rest_at += n;
        x->active = c->worker->now;
    }
    return exchange_over(x);
}

/* ---- for the login ---- */

/* The answer was given while web_login_serve runs, or later. */
static void served(struct exchange *x, enum web_state next)
{
    x->served = true;
    x->next = next;
    worker_soon(x->web->client.worker, &x->web->client.post);
}

void web_answer(struct web_request *r, unsigned status, struct str fields, struct str body)
{
    struct exchange *x = OUTER(r, exchange, request);
    served(x, answer_own(x, status, fields, body));
}

void web_refuse(struct web_request *r, unsigned status)
{
    struct exchange *x = OUTER(r, exchange, request);
    served(x, answer_refuse(x, status, NULL));
}
