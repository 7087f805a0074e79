/* SPDX-License-Identifier: ISC
 *
 * Counters: see stats.h. What is counted together (a service's, a map's) is an array of cells, once
 * for each shard, laid out as the struct that the sums are read into. */
#include "stats.h"

#include "base/mem.h"
#include "config.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARDS = 16, /* threads with cells of their own; more of them share */
    LINE = 64    /* bytes of a line of the CPU's cache, which no two shards may share */
};

struct cells {
    size_t count;
    _Atomic uint64_t *shards[SHARDS];
};

struct stats_service {
    struct stats_service *next;
    char *name;
    struct cells cells;
};

struct stats_map {
    struct stats_map *next;
    char *name;
    struct cells cells;
};

/* Both lists only grow, and only the main thread looks at them. */
static struct {
    struct stats_service *services;
    struct stats_map *maps;
    struct cells http;
} stats;

#define MS 1000000ull
const uint64_t stats_bounds[STATS_BUCKETS - 1] = {
    MS / 10,  MS / 4,   MS / 2,   1 * MS,    5 * MS / 2, 5 * MS,    10 * MS,    25 * MS,   50 * MS,
    100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS,  5000 * MS, 10000 * MS, 30000 * MS};

/* ---- cells ---- */

static void cells_init(struct cells *cells, size_t size)
{
    size_t whole = (size + LINE - 1) / LINE * LINE;
    cells->count = size / sizeof(uint64_t);
    for (size_t i = 0; i < SHARDS; i++) {
        cells->shards[i] = aligned_alloc(LINE, whole);
        assert(cells->shards[i]);
        memset(cells->shards[i], 0, whole);
    }
}

static unsigned shard(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned mine; /* and 1 more; 0: not known yet */
    if (!mine)
        mine = atomic_fetch_add(&threads, 1) % SHARDS + 1;
    return mine - 1;
}

/* Adds N to the cell at OFFSET bytes of this thread's shard. */
static void add(struct cells *cells, size_t offset, uint64_t n)
{
    atomic_fetch_add_explicit(&cells->shards[shard()][offset / sizeof(uint64_t)], n,
                              memory_order_relaxed);
}

static void add_time(struct cells *cells, size_t offset, uint64_t ns)
{
    size_t bucket = 0;
    while (bucket < STATS_BUCKETS - 1 && ns > stats_bounds[bucket])
        bucket++;
    add(cells, offset + offsetof(struct stats_times, buckets) + bucket * sizeof(uint64_t), 1);
    add(cells, offset + offsetof(struct stats_times, sum), ns);
}

static void sum_up(const struct cells *cells, void *sum)
{
    uint64_t *to = sum;
    memset(to, 0, cells->count * sizeof *to);
    for (size_t i = 0; i < SHARDS; i++)
        for (size_t k = 0; k < cells->count; k++)
            to[k] += atomic_load_explicit(&cells->shards[i][k], memory_order_relaxed);
}

/* ---- whose ---- */

static struct stats_service *service_of(const char *name)
{
    struct stats_service *s = stats.services;
    while (s && strcmp(s->name, name) != 0)
        s = s->next;
    if (s)
        return s;
    s = xcalloc(1, sizeof *s);
    s->name = xstrdup(name);
    cells_init(&s->cells, sizeof(struct stats_service_counts));
    s->next = stats.services;
    return stats.services = s;
}

static struct stats_map *map_of(const char *name)
{
    struct stats_map *m = stats.maps;
    while (m && strcmp(m->name, name) != 0)
        m = m->next;
    if (m)
        return m;
    m = xcalloc(1, sizeof *m);
    m->name = xstrdup(name);
    cells_init(&m->cells, sizeof(struct stats_map_counts));
    m->next = stats.maps;
    return stats.maps = m;
}

void stats_configure(struct config *config)
{
    if (!stats.http.count)
        cells_init(&stats.http, STATS_HTTP_CODES * sizeof(uint64_t));
    for (size_t i = 0; i < config->service_count; i++)
        config->services[i].stats = service_of(config->services[i].name);
    for (size_t i = 0; i < config->map_count; i++)
        if (!config->maps[i]->stats) /* else one that an older configuration uses too */
            config->maps[i]->stats = map_of(config->maps[i]->name);
}

/* ---- counting ---- */

#define OF_SERVICE(member) offsetof(struct stats_service_counts, member)

static void count(struct stats_service *s, size_t first, size_t index, uint64_t n)
{
    if (s)
        add(&s->cells, first + index * sizeof(uint64_t), n);
}

void stats_connection(struct stats_service *s, enum stats_connection result)
{
    count(s, OF_SERVICE(connections), result, 1);
}

void stats_session_begins(struct stats_service *s)
{
    count(s, OF_SERVICE(sessions), 0, 1);
}

void stats_session_ends(struct stats_service *s, unsigned reason)
{
    assert(reason < STATS_CLOSED);
    count(s, OF_SERVICE(sessions), 0, (uint64_t)-1);
    count(s, OF_SERVICE(closed), reason, 1);
}

void stats_login(struct stats_service *s, enum stats_login result, uint64_t ns)
{
    count(s, OF_SERVICE(logins), result, 1);
    if (s && result == STATS_LOGIN_OK)
        add_time(&s->cells, OF_SERVICE(login), ns);
}

void stats_limited(struct stats_service *s)
{
    count(s, OF_SERVICE(limited), 0, 1);
}

void stats_mail(struct stats_service *s, enum stats_mail result)
{
    count(s, OF_SERVICE(mails), result, 1);
}

void stats_bytes(struct stats_service *s, uint64_t from_client, uint64_t to_client)
{
    if (from_client)
        count(s, OF_SERVICE(bytes), STATS_FROM_CLIENT, from_client);
    if (to_client)
        count(s, OF_SERVICE(bytes), STATS_TO_CLIENT, to_client);
}

void stats_connected(struct stats_service *s, uint64_t ns)
{
    if (s)
        add_time(&s->cells, OF_SERVICE(connect), ns);
}

void stats_queued(struct stats_service *s, uint64_t ns)
{
    if (s)
        add_time(&s->cells, OF_SERVICE(queue), ns);
}

void stats_lookup(struct stats_map *m, unsigned result, uint64_t ns)
{
    if (!m)
        return;
    assert(result < STATS_MAP_RESULTS);
    add(&m->cells, offsetof(struct stats_map_counts, lookups) + result * sizeof(uint64_t), 1);
    add_time(&m->cells, offsetof(struct stats_map_counts, took), ns);
}

void stats_http(unsigned code)
{
    if (stats.http.count && code - STATS_HTTP_CODE_MIN < STATS_HTTP_CODES)
        add(&stats.http, (code - STATS_HTTP_CODE_MIN) * sizeof(uint64_t), 1);
}

/* ---- reading ---- */

void stats_service_sum(const struct stats_service *s, struct stats_service_counts *sum)
{
    sum_up(&s->cells, sum);
}

void stats_map_sum(const struct stats_map *m, struct stats_map_counts *sum)
{
    sum_up(&m->cells, sum);
}

void stats_http_sum(uint64_t codes[STATS_HTTP_CODES])
{
    if (stats.http.count)
        sum_up(&stats.http, codes);
    else
        memset(codes, 0, STATS_HTTP_CODES * sizeof *codes);
}

uint64_t stats_times_count(const struct stats_times *t)
{
    uint64_t all = 0;
    for (size_t i = 0; i < STATS_BUCKETS; i++)
        all += t->buckets[i];
    return all;
}

uint64_t stats_times_quantile(const struct stats_times *t, double q)
{
    double rank = q * (double)stats_times_count(t);
    uint64_t below = 0;
    for (size_t i = 0; i < STATS_BUCKETS; i++) {
        uint64_t n = t->buckets[i], from = i ? stats_bounds[i - 1] : 0;
        if (n == 0 || (double)(below + n) < rank) {
            below += n;
            continue;
        }
        if (i == STATS_BUCKETS - 1)
            return from;
        double part = (rank - (double)below) / (double)n;
        return from + (uint64_t)(part * (double)(stats_bounds[i] - from));
    }
    return 0;
}

const char *stats_connection_word(enum stats_connection result)
{
    static const char *const words[] = {[STATS_ACCEPTED] = "accepted",
                                        [STATS_DENIED] = "denied",
                                        [STATS_OVER_LIMIT] = "over_limit",
                                        [STATS_OVER_RATE] = "over_rate"};
    return words[result];
}

const char *stats_login_word(enum stats_login result)
{
    static const char *const words[] = {[STATS_LOGIN_OK] = "ok",
                                        [STATS_LOGIN_FAILED] = "failed",
                                        [STATS_LOGIN_TEMPORARY] = "temporary",
                                        [STATS_LOGIN_NODE_DOWN] = "node_down",
                                        [STATS_LOGIN_BUSY] = "busy"};
    return words[result];
}

const char *stats_mail_word(enum stats_mail result)
{
    static const char *const words[] = {[STATS_MAIL_DELIVERED] = "delivered",
                                        [STATS_MAIL_DISCARDED] = "discarded",
                                        [STATS_MAIL_REFUSED] = "refused",
                                        [STATS_MAIL_FAILED] = "failed",
                                        [STATS_MAIL_CUT] = "cut_off"};
    return words[result];
}
