/* SPDX-License-Identifier: ISC
 *
 * Letting connections in, or not: see admit.h. */
#include "admit.h"

#include "stats.h"

static const struct {
    enum stats_connection counted;
    const char *words; /* for the client */
} refusals[LIMIT_REASONS] = {
    [LIMIT_ACCESS] = {STATS_DENIED, "Access denied"},
    [LIMIT_CONNECTIONS] = {STATS_OVER_LIMIT, "Too many connections, try again later"},
    [LIMIT_CONNECTIONS_PER_IP] = {STATS_OVER_LIMIT, "Too many connections from your address"},
    [LIMIT_RATE] = {STATS_OVER_RATE, "Too many new connections, try again later"},
    [LIMIT_RATE_PER_IP] = {STATS_OVER_RATE, "Too many new connections from your address"},
};

static void log_refusal(const struct limit_place *place, const char *session,
                        const struct addr *client, const struct limit_refusal *refusal)
{
    struct log_line l;
    if (!refusal->due || !log_begin(&l, LOG_LEVEL_INFO, place->service->log_level, "close"))
        return;
    log_str(&l, "service", place->service->name);
    log_str(&l, "session", session);
    log_addr(&l, "client", client);
    log_addr(&l, "listener", &place->listener->bind);
    log_num(&l, "bytes_in", 0);
    log_num(&l, "bytes_out", 0);
    log_seconds(&l, "seconds", 0);
    log_str(&l, "reason", "refused");
    log_str(&l, "detail", limit_reason_word(refusal->reason));
    log_str(&l, "by", refusal->level);
    if (refusal->unlogged)
        log_num(&l, "unlogged", refusal->unlogged);
    log_end(&l);
}

static void say_refusal(const struct limit_place *place, const struct limit_refusal *refusal,
                        struct buf *out)
{
    const struct protocol *p = place->service->protocol;
    const char *words = refusals[refusal->reason].words;
    if (place->listener->tls_mode == TLS_IMPLICIT)
        return;
    if (p->turn_away)
        p->turn_away(out, words, refusals[refusal->reason].counted == STATS_OVER_RATE);
    else
        p->goodbye(out, words);
}

bool admit_announced(const struct limit_place *place, const char *session,
                     const struct addr *client, uint64_t now, struct limit_ticket *t,
                     struct buf *out)
{
    struct limit_refusal refusal;
    if (limit_enter(place, client, now, t, &refusal))
        return true;
    stats_connection(place->service->stats, refusals[refusal.reason].counted);
    log_refusal(place, session, client, &refusal);
    say_refusal(place, &refusal, out);
    return false;
}

/* What the client has sent already is read away: unread, it would make the kernel take our words
 * back when the connection is closed. */
bool admit_socket(const struct limit_place *place, int fd, const struct addr *client, uint64_t now,
                  struct limit_ticket *t)
{
    char space[ADMIT_WORDS], unread[4096];
    struct buf out;
    buf_init(&out, space, sizeof space, sizeof space);
    if (admit_announced(place, NULL, client, now, t, &out))
        return true;
    struct str words = buf_str(&out);
    if (!words.n)
        return false;
    recv(fd, unread, sizeof unread, MSG_DONTWAIT);
    send(fd, words.p, words.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    return false;
}
