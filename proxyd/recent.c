/* SPDX-License-Identifier: ISC
 *
 * Failures and talkers: see recent.h. A login's bytes are in one of several tables, found by its
 * hash, so that those who report at the same time seldom meet. A table that is full gives the
 * place of its least one to the next who comes, with what that had: so nobody who is large is
 * missed, and the small ones are a little too large. */
#include "recent.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    TABLES = 8,
    ENTRIES = 32, /* of a table */
    MEMORY = 12   /* strokes: a minute */
};

static struct {
    pthread_mutex_t lock;
    struct recent_failure ring[RECENT_FAILURES];
    uint64_t count; /* so far */
} failures = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct entry {
    uint64_t hash, bytes;
    char login[RECENT_LOGIN];
};

static struct table {
    pthread_mutex_t lock;
    struct entry entries[ENTRIES];
} tables[TABLES] = {
    [0 ... TABLES - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER},
};

/* ---- failures ---- */

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

void recent_failure(const char *service, const char *login, const struct addr *client,
                    const char *session, const char *reason)
{
    struct recent_failure f = {.when = (uint64_t)time(NULL)};
    copy(f.service, sizeof f.service, service);
    copy(f.login, sizeof f.login, login);
    copy(f.session, sizeof f.session, session);
    copy(f.reason, sizeof f.reason, reason);
    addr_format(client, f.client);
    pthread_mutex_lock(&failures.lock);
    failures.ring[failures.count++ % RECENT_FAILURES] = f;
    pthread_mutex_unlock(&failures.lock);
}

size_t recent_failures(struct recent_failure *list)
{
    pthread_mutex_lock(&failures.lock);
    uint64_t count = failures.count;
    size_t n = count < RECENT_FAILURES ? (size_t)count : RECENT_FAILURES;
    for (size_t i = 0; i < n; i++)
        list[i] = failures.ring[(count - 1 - i) % RECENT_FAILURES];
    pthread_mutex_unlock(&failures.lock);
    return n;
}

/* ---- talkers ---- */

/* The entry with that hash, or the least one. */
static struct entry *find(struct table *t, uint64_t hash)
{
    struct entry *least = t->entries;
    for (struct entry *e = t->entries; e < t->entries + ENTRIES; e++) {
        if (e->hash == hash)
            return e;
        if (e->bytes < least->bytes)
            least = e;
    }
    return least;
}

void recent_bytes(const char *login, uint64_t bytes)
{
    uint64_t hash = XXH3_64bits(login, strlen(login));
    struct table *t = &tables[hash % TABLES];
    pthread_mutex_lock(&t->lock);
    struct entry *e = find(t, hash);
    if (e->hash != hash) {
        e->hash = hash;
        copy(e->login, sizeof e->login, login);
    }
    e->bytes += bytes;
    pthread_mutex_unlock(&t->lock);
}

static int by_bytes(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    return (left->bytes < right->bytes) - (left->bytes > right->bytes);
}

size_t recent_talkers(struct recent_talker *list)
{
    struct entry *all = xmalloc(TABLES * ENTRIES * sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < TABLES; i++) {
        pthread_mutex_lock(&tables[i].lock);
        memcpy(all + i * ENTRIES, tables[i].entries, sizeof tables[i].entries);
        pthread_mutex_unlock(&tables[i].lock);
    }
    qsort(all, TABLES * ENTRIES, sizeof *all, by_bytes);
    for (; n < RECENT_TALKERS && all[n].bytes >= MEMORY * RECENT_STROKE / 1000; n++) {
        memcpy(list[n].login, all[n].login, sizeof list[n].login);
        list[n].bytes = all[n].bytes / (MEMORY * RECENT_STROKE / 1000);
    }
    free(all);
    return n;
}

void recent_age(void)
{
    for (size_t i = 0; i < TABLES; i++) {
        pthread_mutex_lock(&tables[i].lock);
        for (struct entry *e = tables[i].entries; e < tables[i].entries + ENTRIES; e++)
            e->bytes -= e->bytes / MEMORY;
        pthread_mutex_unlock(&tables[i].lock);
    }
}
