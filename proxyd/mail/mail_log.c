/* SPDX-License-Identifier: ISC
 *
 * What the log says of mail: where each recipient was routed, what became of it, and how the
 * connection ended. */
#include "mail/parts.h"

#include "map_log.h"
#include "stats.h"

#include <string.h>

static bool begin(struct log_line *l, const struct mail *m, const struct recipient *r,
                  const char *event, const char *node)
{
    if (!client_log(l, &m->client, LOG_LEVEL_INFO, event))
        return false;
    log_str(l, "node", node);
    log_str(l, "sender", m->transaction.sender[0] ? m->transaction.sender : "<>");
    log_str(l, "recipient", r->mailbox);
    return true;
}

void mail_log_route(struct mail *m, const struct recipient *r, const char *reason)
{
    const struct placement *p = m->placement;
    struct log_line l;
    map_log(&m->client, r->mailbox, &p->route);
    trace_concerns(&m->client, r->mailbox);
    trace_event(&m->client, "recipient %s: map %s, node %s: %s", r->mailbox,
                p->route.map ? p->route.map : "-", p->node ? node_name(p->node) : "-", reason);
    if (!begin(&l, m, r, "route", p->node ? node_name(p->node) : NULL))
        return;
    log_str(&l, "map", p->route.map);
    log_str(&l, "reason", reason);
    log_end(&l);
}

/* The lines of ANSWER but for the end of the last one. */
static struct str without_end(struct str answer)
{
    while (answer.n && (answer.p[answer.n - 1] == '\n' || answer.p[answer.n - 1] == '\r'))
        answer.n--;
    return answer;
}

/* RESULT is one of the words there, or why the connection ended. */
static void count(const struct mail *m, const char *result)
{
    enum stats_mail mail = STATS_MAIL_DELIVERED;
    while (mail < STATS_MAIL_CUT && strcmp(stats_mail_word(mail), result) != 0)
        mail++;
    stats_mail(m->client.service->stats, mail);
}

void mail_log_recipient(struct mail *m, const struct recipient *r, const char *result,
                        struct str answer)
{
    struct log_line l;
    count(m, result);
    trace_event(&m->client, "recipient %s: %s", r->mailbox, result);
    if (!begin(&l, m, r, "message", r->node))
        return;
    log_str(&l, "result", result);
    if (m->transaction.started)
        log_num(&l, "size", m->transaction.data.size);
    log_slice(&l, "answer", without_end(answer));
    log_end(&l);
}

void mail_log_close(struct mail *m, const char *detail)
{
    struct log_line l;
    trace_event(&m->client, "closed: %s, %u messages", client_reason_word(m->client.reason),
                m->messages);
    if (!client_log_close(&l, &m->client))
        return;
    log_num(&l, "messages", m->messages);
    client_log_end(&l, &m->client, m->in_bytes, m->out_bytes, detail);
}
