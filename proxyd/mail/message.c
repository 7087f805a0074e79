/* SPDX-License-Identifier: ISC
 *
 * The message on its way: read from the client, looked at (proto/smtp_data.h), passed on to every
 * node that takes it, and kept nowhere. Nothing is read while a node has not taken what came
 * before. What is wrong with a message ends its way to the nodes, without an end of it; the rest is
 * read away, and the client is told behind it. */
#include "mail/parts.h"

#include "stats.h"

#include <string.h>

enum {
    HOPS_MAX = 100,     /* Received fields: a message that has so many goes round in circles */
    RECEIVED_MAX = 2048 /* bytes of our own */
};

/* How the worker's scratch is used: what was read, with room before it for what is sent in the same
 * piece; and the same in the other form, for nodes that take that. */
enum { SPACE = COURIER_HEAD + RECEIVED_MAX, OTHER = SPACE + MAIL_READ + SPACE };
_Static_assert(OTHER + MAIL_READ / 3 * 4 + SMTP_DATA_STUFF_END < WORKER_SCRATCH, "room for dots");

/* ---- what is wrong with it ---- */

static const char *judge(const struct mail *m)
{
    static const char *const faults[] = {
        [SMTP_DATA_BARE_CR] = "550 5.6.0 Bare CR in the message\r\n",
        [SMTP_DATA_BARE_LF] = "550 5.6.0 Bare LF in the message\r\n",
        [SMTP_DATA_NUL] = "550 5.6.0 NUL in the message\r\n",
    };
    const struct smtp_data *d = &m->transaction.data;
    uint64_t max = m->client.service->mail.max_message_size;
    if (d->fault != SMTP_DATA_GOOD)
        return faults[d->fault];
    if (max && d->size > max)
        return "552 5.3.4 The message is too big\r\n";
    return d->received >= HOPS_MAX ? "554 5.4.6 Too many hops\r\n" : NULL;
}

/* A node that has begun to take it can be stopped only so. */
static void stop_couriers(struct mail *m)
{
    RING_EACH (ring, &m->couriers) {
        struct courier *courier = OUTER(ring, courier, ring);
        if (courier->state == COURIER_BODY)
            courier_lose(courier, "451 4.3.0 Not sent", NULL);
    }
}

/* ---- to the nodes ---- */

static bool may_go_on(struct mail *m)
{
    RING_EACH (ring, &m->couriers) {
        struct courier *courier = OUTER(ring, courier, ring);
        if (courier->state != COURIER_BODY)
            continue;
        stream_push(&courier->stream);
        if (stream_pending(&courier->stream) ||
            (courier->chunks && !smtp_client_may_send(&courier->client)))
            return false;
    }
    return true;
}

/* To a node that takes no chunks what came as chunks. */
static void write_stuffed(struct courier *courier, struct str trace, struct str bytes, bool last)
{
    char *to = courier->mail->client.worker->scratch + OTHER, *end = to;
    size_t room = MAIL_READ / 3 * 4;
    memcpy(to - trace.n, trace.p, trace.n);
    end += smtp_data_stuff(&courier->dots, &bytes, end, room);
    if (last)
        end += smtp_data_stuff_end(&courier->dots, end);
    courier_write(courier, to - trace.n, trace.n + (size_t)(end - to), last);
}

/* Passes N bytes at P on, where they are the LAST with the end of DATA behind them. */
static void pass_on(struct mail *m, char *p, size_t n, bool last)
{
    struct transaction *t = &m->transaction;
    char space[RECEIVED_MAX];
    struct buf trace;
    buf_init(&trace, space, sizeof space, sizeof space);
    if (!t->told)
        received_write(m, &trace);
    t->told = true;
    struct str field = buf_str(&trace);
    RING_EACH (ring, &m->couriers) {
        struct courier *courier = OUTER(ring, courier, ring);
        bool dots = t->data.mode == SMTP_DATA_DOTS;
        if (courier->state != COURIER_BODY)
            continue;
        if (!dots && !courier->chunks) {
            write_stuffed(courier, field, (struct str){p, n}, last);
            continue;
        }
        memcpy(p - field.n, field.p, field.n);
        courier_write(courier, p - field.n, field.n + n + (dots && last ? SMTP_DATA_END : 0), last);
    }
}

/* ---- from the client ---- */

/* Puts the next bytes, at most LIMIT, at P: those of the input, and where these are only what may
 * be the end's, what can be read behind them. Their number, or as stream_read. */
static ssize_t fetch(struct mail *m, char *p, size_t limit)
{
    size_t have = buf_len(&m->in) < limit ? buf_len(&m->in) : limit;
    memcpy(p, buf_str(&m->in).p, have);
    if (have > m->transaction.held)
        return (ssize_t)have;
    ssize_t n = stream_read(&m->client.stream, p + have, limit - have);
    if (n <= 0)
        return n;
    m->active = m->client.worker->now;
    m->in_bytes += (size_t)n;
    stats_bytes(m->client.service->stats, (uint64_t)n, 0);
    return (ssize_t)have + n;
}

/* Of N bytes at P, which fetch has put there, USED are done with. */
static void keep_rest(struct mail *m, const char *p, size_t n, size_t used)
{
    uint32_t had = buf_len(&m->in);
    if (n <= had) {
        buf_take(&m->in, (uint32_t)used);
        return;
    }
    buf_take(&m->in, had);
    buf_add(&m->in, p + used, n - used);
}

/* Looks at N bytes at P and passes them on. */
static void take(struct mail *m, char *p, size_t n)
{
    struct transaction *t = &m->transaction;
    struct smtp_data *d = &t->data;
    bool dots = d->mode == SMTP_DATA_DOTS;
    size_t taken = smtp_data_scan(d, (struct str){p, n});
    t->chunk -= dots ? 0 : n;
    bool last = dots ? d->ended : t->chunk == 0 && m->server.last;
    if (last && !dots)
        smtp_data_finish(d);
    if (!t->refusal && (t->refusal = judge(m)))
        stop_couriers(m);
    if (!t->refusal && (taken || last))
        pass_on(m, p, taken, last);
    t->held = dots && !last ? n - taken : 0;
    keep_rest(m, p, n, taken + (dots && last ? SMTP_DATA_END : 0));
}

static enum message_result whole(const struct mail *m)
{
    const struct transaction *t = &m->transaction;
    if (t->data.mode == SMTP_DATA_DOTS)
        return t->data.ended ? MESSAGE_END : MESSAGE_MORE;
    if (t->chunk > 0)
        return MESSAGE_MORE;
    return m->server.last ? MESSAGE_END : MESSAGE_CHUNK;
}

enum message_result message_step(struct mail *m)
{
    struct transaction *t = &m->transaction;
    char *p = m->client.worker->scratch + SPACE;
    bool dots = t->data.mode == SMTP_DATA_DOTS;
    if (!dots && t->chunk == 0)
        take(m, p, 0);
    for (unsigned reads = 0; whole(m) == MESSAGE_MORE; reads++) {
        if (!may_go_on(m))
            return MESSAGE_MORE;
        if (reads == STREAM_TURN)
            return MESSAGE_AGAIN;
        ssize_t n = fetch(m, p, dots || t->chunk > MAIL_READ ? MAIL_READ : t->chunk);
        if (n == STREAM_AGAIN)
            return MESSAGE_MORE;
        if (n <= 0)
            return MESSAGE_GONE;
        take(m, p, (size_t)n);
    }
    return whole(m);
}
