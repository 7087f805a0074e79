/* SPDX-License-Identifier: ISC
 *
 * What is told of a session: the log, proxyctl's trace, the counters and what happened of late.
 * Called by session.c alone; see session_parts.h. */
#include "map_log.h"
#include "recent.h"
#include "session_parts.h"
#include "trace.h"
#include "trace_line.h"

enum { TALK = 256 * 1024 }; /* bytes that are worth telling recent.h */

void session_log_route(struct session *s)
{
    const struct route *r = &s->login->route;
    struct log_line l;
    map_log(&s->client, NULL, r);
    trace_event(&s->client, "route: map %s, node %s: %s", r->map ? r->map : "-",
                s->client.node ? node_name(s->client.node) : "-", r->why);
    if (!client_log(&l, &s->client, LOG_LEVEL_INFO, "route"))
        return;
    log_str(&l, "node", s->client.node ? node_name(s->client.node) : NULL);
    log_str(&l, "map", r->map);
    log_str(&l, "reason", r->why);
    log_end(&l);
}

void session_log_login(struct session *s, bool ok, const char *reason)
{
    struct log_line l;
    if (!ok)
        recent_failure(s->client.service->name, s->client.user, &s->client.address, s->client.id,
                       reason);
    trace_event(&s->client, "login %s%s%s", ok ? "ok" : "failed", reason ? ": " : "",
                reason ? reason : "");
    if (!client_log(&l, &s->client, LOG_LEVEL_INFO, "login"))
        return;
    log_str(&l, "node", s->client.node ? node_name(s->client.node) : NULL);
    log_str(&l, "result", ok ? "ok" : "failed");
    log_str(&l, "mechanism", s->client.user ? sasl_name(s->login->creds.mech) : NULL);
    log_str(&l, "tls", stream_tls_version(&s->client.stream));
    log_str(&l, "reason", reason);
    log_end(&l);
}

void session_log_close(struct session *s, const char *detail)
{
    struct log_line l;
    trace_event(&s->client, "closed: %s, %llu bytes in, %llu out",
                client_reason_word(s->client.reason), (unsigned long long)s->up.bytes,
                (unsigned long long)s->down.bytes);
    if (!client_log_close(&l, &s->client))
        return;
    log_str(&l, "node", s->client.node ? node_name(s->client.node) : NULL);
    client_log_end(&l, &s->client, s->up.bytes, s->down.bytes, detail);
}

/* Tells who moves much: from time to time, and at the end. */
void session_count_talker(struct session *s, bool end)
{
    uint64_t bytes = s->up.bytes + s->down.bytes - s->told;
    if (bytes < TALK && !(end && bytes))
        return;
    s->told += bytes;
    recent_bytes(s->client.user, bytes);
}

const char *session_node_words(const struct login *l, char *text, size_t size)
{
    char space[100];
    struct buf out;
    buf_init(&out, space, sizeof space, sizeof space);
    trace_line_codes(back_answer(&l->link.back), &out);
    struct str codes = buf_str(&out);
    snprintf(text, size, "the node refused%s%.*s", codes.n ? ": " : "", (int)codes.n, codes.p);
    return text;
}
