/* SPDX-License-Identifier: ISC
 *
 * Histories: see history.h. They belong to a service's counters, which a reload goes on with. */
#include "admin/history.h"

#include "base/mem.h"
#include "stats.h"

#include <string.h>

struct history {
    struct history *next;
    const struct stats_service *stats;
    struct stats_service_counts last;
    struct history_point points[HISTORY_POINTS]; /* a ring */
    unsigned count;                              /* samples so far */
};

static struct history *histories;

static struct history *find(const struct stats_service *stats)
{
    struct history *h = histories;
    while (h && h->stats != stats)
        h = h->next;
    return h;
}

static struct history *begin(const struct stats_service *stats)
{
    struct history *h = xcalloc(1, sizeof *h);
    h->stats = stats;
    stats_service_sum(stats, &h->last);
    h->next = histories;
    return histories = h;
}

static double rate(uint64_t now, uint64_t before)
{
    return (double)(now - before) / (HISTORY_STROKE / 1000.0);
}

static uint64_t failures(const struct stats_service_counts *c)
{
    uint64_t all = 0;
    for (unsigned i = STATS_LOGIN_OK + 1; i < STATS_LOGINS; i++)
        all += c->logins[i];
    return all;
}

static uint64_t bytes(const struct stats_service_counts *c)
{
    return c->bytes[STATS_FROM_CLIENT] + c->bytes[STATS_TO_CLIENT];
}

static void sample(struct history *h)
{
    struct stats_service_counts now;
    stats_service_sum(h->stats, &now);
    h->points[h->count++ % HISTORY_POINTS] = (struct history_point){
        .logins = rate(now.logins[STATS_LOGIN_OK], h->last.logins[STATS_LOGIN_OK]),
        .failures = rate(failures(&now), failures(&h->last)),
        .bytes = rate(bytes(&now), bytes(&h->last)),
        .sessions = (double)now.sessions};
    h->last = now;
}

void history_sample(const struct config *config)
{
    for (size_t i = 0; i < config->service_count; i++) {
        const struct stats_service *stats = config->services[i].stats;
        struct history *h = find(stats);
        if (h)
            sample(h);
        else
            begin(stats);
    }
}

void history_of(const struct config_service *service, struct history_point out[HISTORY_POINTS])
{
    const struct history *h = find(service->stats);
    memset(out, 0, HISTORY_POINTS * sizeof *out);
    for (unsigned i = 0; h && i < HISTORY_POINTS; i++)
        out[i] = h->points[(h->count + i) % HISTORY_POINTS];
}
