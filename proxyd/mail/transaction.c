/* SPDX-License-Identifier: ISC
 *
 * A transaction: the sender, the recipients, and what the client is told about them. Answers leave
 * in the order in which they are owed, though nodes give them in any. */
#include "mail/parts.h"

#include <stdlib.h>
#include <string.h>

static struct recipient *recipient_of(struct ring *ring)
{
    return OUTER(ring, recipient, ring);
}

/* The recipient behind R, or NULL. */
static struct recipient *next_of(struct transaction *t, const struct recipient *r)
{
    return r->ring.next == &t->recipients ? NULL : recipient_of(r->ring.next);
}

/* The arguments of MAIL, and behind them the sender's address. */
static void keep_sender(struct transaction *t, const struct smtp_server *s)
{
    size_t n = s->args.n + 1;
    t->args = xmalloc(n + SMTP_MAILBOX_MAX + 1);
    memcpy(t->args, s->args.p, s->args.n);
    t->args[s->args.n] = 0;
    smtp_path_mailbox(&s->path, t->args + n);
    t->sender = t->args + n;
}

void transaction_begin(struct mail *m)
{
    struct transaction *t = &m->transaction;
    ring_init(&t->recipients);
    t->count = t->again = 0;
    t->first = NULL;
    t->courier = NULL;
    keep_sender(t, &m->server);
    t->started = t->told = false;
    t->refusal = NULL;
    t->chunk = t->held = 0;
}

struct recipient *transaction_add(struct mail *m)
{
    struct transaction *t = &m->transaction;
    struct str args = m->server.args;
    struct recipient *r = xmalloc(sizeof *r + args.n + 1);
    memset(r, 0, sizeof *r);
    memcpy(r->args, args.p, args.n);
    r->args[args.n] = 0;
    r->since = m->client.worker->now;
    smtp_path_mailbox(&m->server.path, r->mailbox);
    ring_add_last(&t->recipients, &r->ring);
    if (!t->first)
        t->first = r;
    t->count++;
    m->server.owed++;
    return r;
}

void transaction_place_again(struct mail *m, struct recipient *r)
{
    m->transaction.again += !r->again;
    r->again = true;
}

struct recipient *transaction_next_again(struct mail *m)
{
    struct transaction *t = &m->transaction;
    struct recipient *r = t->again ? t->first : NULL;
    while (r && !r->again)
        r = next_of(t, r);
    if (r) {
        r->again = false;
        t->again--;
    }
    return r;
}

/* ---- answers ---- */

static void forget(struct mail *m, struct recipient *r)
{
    ring_remove(&r->ring);
    m->transaction.count--;
    m->transaction.again -= r->again;
    free(r->answer);
    free(r);
}

static void told(struct mail *m, struct recipient *r)
{
    m->transaction.first = next_of(&m->transaction, r);
    m->server.owed--;
    m->active = m->client.worker->now; /* it is the client's turn */
    free(r->answer);
    r->answer = NULL;
    if (r->state == RECIPIENT_REFUSED)
        forget(m, r);
}

void transaction_answer(struct mail *m, struct recipient *r, struct str text)
{
    struct transaction *t = &m->transaction;
    if (t->first != r) {
        r->answer = xstrndup(text.p, text.n);
        return;
    }
    mail_say(m, text);
    told(m, r);
    while (t->first && t->first->answer) {
        mail_say(m, str_of(t->first->answer));
        told(m, t->first);
    }
}

void transaction_refuse(struct mail *m, struct recipient *r, const char *text)
{
    char line[128];
    int n = snprintf(line, sizeof line, "%s\r\n", text);
    r->state = RECIPIENT_REFUSED;
    mail_log_recipient(m, r, "refused", str_of(text));
    transaction_answer(m, r, (struct str){line, (size_t)n});
}

/* ---- the end ---- */

/* Of a message that was read for nobody. */
static struct str discarded(void)
{
    return str_of("250 2.0.0 Ok, discarded\r\n");
}

/* What becomes of the message for R; empty while its node has not said it. */
static struct str outcome(const struct mail *m, const struct recipient *r)
{
    const struct courier *courier = r->courier;
    if (m->transaction.refusal)
        return str_of(m->transaction.refusal);
    if (r->state == RECIPIENT_DISCARDED)
        return discarded();
    const char *text = r->answer ? r->answer : courier->reply ? courier->reply : courier->refusal;
    return text ? str_of(text) : (struct str){NULL, 0};
}

/* One answer for all: the node's, for SMTP has only one that got the message. LMTP: each its own.
 */
static void answer_all(struct mail *m, bool each)
{
    struct str all = {NULL, 0};
    bool taken = false;
    RING_EACH (ring, &m->transaction.recipients) {
        const struct recipient *r = recipient_of(ring);
        bool gone = r->state == RECIPIENT_DISCARDED;
        if (r->state != RECIPIENT_ACCEPTED && !gone)
            continue;
        struct str text = outcome(m, r);
        bool good = text.n && *text.p == '2';
        taken |= good;
        mail_log_recipient(m, r, good ? gone ? "discarded" : "delivered" : "failed", text);
        if (each)
            mail_say(m, text);
        else if (all.n == 0 || r->courier)
            all = text;
    }
    mail_say(m, all);
    m->messages += taken;
    if (taken)
        m->server.errors = 0;
}

static void free_recipients(struct mail *m, const char *reason)
{
    struct transaction *t = &m->transaction;
    RING_EACH (ring, &t->recipients) {
        struct recipient *r = recipient_of(ring);
        if (reason && r->state == RECIPIENT_ACCEPTED)
            mail_log_recipient(m, r, reason, (struct str){NULL, 0});
        forget(m, r);
    }
}

void transaction_conclude(struct mail *m)
{
    answer_all(m, m->lmtp);
    transaction_end(m, NULL);
}

void transaction_refuse_message(struct mail *m, bool last)
{
    answer_all(m, m->lmtp && last);
    transaction_end(m, NULL);
}

void transaction_end(struct mail *m, const char *reason)
{
    struct transaction *t = &m->transaction;
    if (!t->args)
        return;
    placement_end(m);
    free_recipients(m, reason);
    free(t->args);
    t->args = NULL;
    t->first = NULL;
    m->server.owed = 0;
    smtp_server_end(&m->server);
    RING_EACH (ring, &m->couriers)
        courier_end_transaction(OUTER(ring, courier, ring));
}
