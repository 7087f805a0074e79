/* SPDX-License-Identifier: ISC
 *
 * Orders against route cookies: see revoke.h. */
#include "revoke.h"

#include "base/mem.h"
#include "node.h"

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct order {
    char *key;
    uint64_t since, over; /* ms since 1970, ms */
};

/* Sorted by key. */
struct orders {
    struct order *list;
    size_t count;
};

static struct {
    pthread_mutex_t lock;
    struct orders logins, nodes;
    atomic_size_t count;
} revoked = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint64_t revoke_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- a list of orders; all under the lock ---- */

/* Where KEY is, or would be. */
static size_t place_of(const struct orders *o, const char *key, bool *found)
{
    size_t low = 0, high = o->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(o->list[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < o->count && strcmp(o->list[low].key, key) == 0;
    return low;
}

static void drop(struct orders *o, size_t at)
{
    free(o->list[at].key);
    memmove(o->list + at, o->list + at + 1, (--o->count - at) * sizeof *o->list);
}

static void drop_oldest(struct orders *o)
{
    size_t oldest = 0;
    for (size_t i = 1; i < o->count; i++)
        if (o->list[i].since < o->list[oldest].since)
            oldest = i;
    drop(o, oldest);
}

static void put(struct orders *o, const char *key, uint64_t since, uint64_t over)
{
    bool found;
    if (o->count == REVOKED_MAX)
        drop_oldest(o);
    size_t at = place_of(o, key, &found);
    if (!found) {
        o->list = xrealloc(o->list, (o->count + 1) * sizeof *o->list);
        memmove(o->list + at + 1, o->list + at, (o->count++ - at) * sizeof *o->list);
        o->list[at].key = xstrdup(key);
    }
    o->list[at].since = since;
    o->list[at].over = over;
}

/* ---- orders ---- */

static void add(struct orders *o, const char *key, uint64_t since, uint64_t over)
{
    pthread_mutex_lock(&revoked.lock);
    put(o, key, since, over);
    atomic_store(&revoked.count, revoked.logins.count + revoked.nodes.count);
    pthread_mutex_unlock(&revoked.lock);
}

void revoke_login(const char *email)
{
    add(&revoked.logins, email, revoke_now(), 0);
}

void revoke_node(const char *key, uint64_t over)
{
    char *low = xstrdup(key);
    for (char *c = low; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    add(&revoked.nodes, low, revoke_now(), over);
    free(low);
}

void revoke_node_end(const char *key)
{
    pthread_mutex_lock(&revoked.lock);
    for (size_t i = revoked.nodes.count; i-- > 0;)
        if (strcasecmp(revoked.nodes.list[i].key, key) == 0)
            drop(&revoked.nodes, i);
    atomic_store(&revoked.count, revoked.logins.count + revoked.nodes.count);
    pthread_mutex_unlock(&revoked.lock);
}

bool revoke_any(void)
{
    return atomic_load(&revoked.count) > 0;
}

static bool login_is(const char *email, uint64_t made)
{
    bool found;
    size_t at = place_of(&revoked.logins, email, &found);
    return found && made <= revoked.logins.list[at].since;
}

/* A login's moment is the same on all front ends that were told at once. */
static bool node_is(const char *email, const struct node *node, uint64_t made)
{
    uint64_t fraction = XXH3_64bits(email, strlen(email)) >> 32, now = revoke_now();
    for (size_t i = 0; i < revoked.nodes.count; i++) {
        const struct order *o = &revoked.nodes.list[i];
        if (made <= o->since && now >= o->since + (o->over * fraction >> 32) &&
            node_is_called(node, o->key))
            return true;
    }
    return false;
}

bool revoke_has(const char *email, const struct node *node, uint64_t made)
{
    pthread_mutex_lock(&revoked.lock);
    bool has = login_is(email, made) || node_is(email, node, made);
    pthread_mutex_unlock(&revoked.lock);
    return has;
}

/* ---- from one process to the next ---- */

static void save(struct buf *out, const char *word, char kind, const struct orders *o)
{
    for (size_t i = 0; i < o->count; i++)
        if (!str_has_control(str_of(o->list[i].key)))
            buf_addf(out, "%s %c %llu %llu %s\n", word, kind, (unsigned long long)o->list[i].since,
                     (unsigned long long)o->list[i].over, o->list[i].key);
}

void revoke_save(struct buf *out, const char *word)
{
    pthread_mutex_lock(&revoked.lock);
    save(out, word, 'l', &revoked.logins);
    save(out, word, 'n', &revoked.nodes);
    pthread_mutex_unlock(&revoked.lock);
}

void revoke_take(const char *line)
{
    unsigned long long since, over;
    int key = 0;
    char kind;
    if (sscanf(line, "%c %llu %llu %n", &kind, &since, &over, &key) == 3 && key && line[key])
        add(kind == 'l' ? &revoked.logins : &revoked.nodes, line + key, since, over);
}
