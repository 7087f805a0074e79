/* SPDX-License-Identifier: ISC
 *
 * The cache of answers: see directory_cache.h. An answer is a block with its question, and a slot
 * that holds what is looked at without it. Slots are named by number, which is half of a pointer's
 * size; 0 is none, and stands for the list's ends.
 *
 * The index grows by linear hashing (Litwin, 1980): one bucket more for each slot that is used for
 * the first time, whose entries come from one other bucket. So nobody ever waits for a whole index
 * to be built anew. */
#include "auth/directory_cache.h"

#include "base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* A question, and behind it the answer. */
struct block {
    uint16_t key_size, value_size;
    char bytes[];
};

struct slot {
    struct block *block;
    uint64_t fresh;        /* until then, ms */
    uint32_t stale;        /* ms more that it is worth something: 49 days at most */
    uint32_t next;         /* in its bucket, or of those that are free */
    uint32_t newer, older; /* by last use, in a ring: 0 stands between the newest and the oldest */
};

struct table {
    struct slot *slots;
    uint32_t *buckets; /* the first slot of each */
    uint32_t used;     /* slots 1 to this have been used, and so are buckets 0 to this */
    uint32_t free;     /* the first used slot without an entry */
    uint32_t count;    /* entries */
};

struct directory_cache {
    pthread_mutex_t lock;
    unsigned max;
    uint64_t seed;
    struct table table;
};

/* ---- blocks ---- */

static void copy(char *to, struct str from)
{
    if (from.n)
        memcpy(to, from.p, from.n);
}

static struct block *block_new(struct str key, struct str value)
{
    assert(key.n <= UINT16_MAX && value.n <= UINT16_MAX);
    struct block *block = xmalloc(sizeof *block + key.n + value.n);
    block->key_size = (uint16_t)key.n;
    block->value_size = (uint16_t)value.n;
    copy(block->bytes, key);
    copy(block->bytes + key.n, value);
    return block;
}

static void block_free(struct block *block)
{
    mem_wipe(block->bytes, (size_t)block->key_size + block->value_size);
    free(block);
}

static struct str key_of(const struct block *block)
{
    return (struct str){block->bytes, block->key_size};
}

static struct str value_of(const struct block *block)
{
    return (struct str){block->bytes + block->key_size, block->value_size};
}

/* ---- the ring by last use ---- */

static void ring_add(struct slot *slots, uint32_t i)
{
    slots[i].newer = 0;
    slots[i].older = slots[0].older;
    slots[slots[0].older].newer = i;
    slots[0].older = i;
}

static void ring_remove(struct slot *slots, uint32_t i)
{
    slots[slots[i].newer].older = slots[i].older;
    slots[slots[i].older].newer = slots[i].newer;
}

/* ---- the index ---- */

static uint32_t *bucket_of(const struct directory_cache *cache, struct str key)
{
    const struct table *t = &cache->table;
    uint32_t hash = (uint32_t)XXH3_64bits_withSeed(key.p, key.n, cache->seed);
    uint32_t mask = UINT32_MAX >> __builtin_clz(t->used | 1);
    uint32_t at = hash & mask;
    return &t->buckets[at <= t->used ? at : at & mask >> 1];
}

/* What names KEY's slot: its bucket, or the slot before it. Without one: what would, a 0. */
static uint32_t *find(const struct directory_cache *cache, struct str key)
{
    struct slot *slots = cache->table.slots;
    uint32_t *link = bucket_of(cache, key);
    while (*link && !str_eq(key_of(slots[*link].block), key))
        link = &slots[*link].next;
    return link;
}

/* Fills the last bucket from the one that has been in its place until now. */
static void split(struct directory_cache *cache)
{
    struct table *t = &cache->table;
    uint32_t before = t->used & UINT32_MAX >> __builtin_clz(t->used) >> 1;
    uint32_t *link = &t->buckets[before], *last = &t->buckets[t->used];
    while (*link) {
        uint32_t i = *link;
        struct slot *slot = &t->slots[i];
        if (bucket_of(cache, key_of(slot->block)) == last) {
            *link = slot->next;
            slot->next = *last;
            *last = i;
        } else {
            link = &slot->next;
        }
    }
}

/* ---- entries ---- */

static uint32_t take_slot(struct directory_cache *cache)
{
    struct table *t = &cache->table;
    uint32_t i = t->free;
    if (i) {
        t->free = t->slots[i].next;
        return i;
    }
    t->used++;
    split(cache);
    return t->used;
}

static void add(struct directory_cache *cache, struct block *block, uint64_t fresh, uint32_t stale)
{
    struct table *t = &cache->table;
    uint32_t i = take_slot(cache), *bucket = bucket_of(cache, key_of(block));
    t->slots[i] = (struct slot){.block = block, .fresh = fresh, .stale = stale, .next = *bucket};
    *bucket = i;
    ring_add(t->slots, i);
    t->count++;
}

/* Removes the entry that find() gave the link of. */
static void drop(struct directory_cache *cache, uint32_t *link)
{
    struct table *t = &cache->table;
    uint32_t i = *link;
    struct slot *slot = &t->slots[i];
    *link = slot->next;
    ring_remove(t->slots, i);
    block_free(slot->block);
    *slot = (struct slot){.next = t->free};
    t->free = i;
    t->count--;
}

static void drop_key(struct directory_cache *cache, struct str key)
{
    uint32_t *link = find(cache, key);
    if (*link)
        drop(cache, link);
}

static void drop_oldest(struct directory_cache *cache)
{
    const struct slot *slots = cache->table.slots;
    drop_key(cache, key_of(slots[slots[0].newer].block));
}

/* ---- tables ---- */

/* Memory for all slots there may be; the system finds it when they are used. */
static struct table table_new(unsigned max)
{
    return (struct table){.slots = xcalloc((size_t)max + 1, sizeof(struct slot)),
                          .buckets = xcalloc((size_t)max + 1, sizeof(uint32_t))};
}

static void table_free(struct table *t)
{
    for (uint32_t i = 1; i <= t->used; i++)
        if (t->slots[i].block)
            block_free(t->slots[i].block);
    free(t->slots);
    free(t->buckets);
}

/* ---- the cache ---- */

struct directory_cache *directory_cache_new(unsigned max)
{
    struct directory_cache *cache = xcalloc(1, sizeof *cache);
    pthread_mutex_init(&cache->lock, NULL);
    cache->max = max;
    cache->table = table_new(max);
    ssize_t got = getrandom(&cache->seed, sizeof cache->seed, 0);
    assert(got == sizeof cache->seed);
    return cache;
}

void directory_cache_free(struct directory_cache *cache)
{
    table_free(&cache->table);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

void directory_cache_put(struct directory_cache *cache, struct str key, struct str value,
                         uint64_t now, uint64_t fresh, uint64_t stale)
{
    uint64_t more = stale > fresh ? stale - fresh : 0;
    struct block *block = fresh || more ? block_new(key, value) : NULL;
    pthread_mutex_lock(&cache->lock);
    drop_key(cache, key);
    if (block) {
        if (cache->table.count == cache->max)
            drop_oldest(cache);
        add(cache, block, now + fresh, more < UINT32_MAX ? (uint32_t)more : UINT32_MAX);
    }
    pthread_mutex_unlock(&cache->lock);
}

/* Copies the answer in slot I to OUT, and makes it the newest. */
static bool use(struct directory_cache *cache, uint32_t i, char *out, size_t size, size_t *n)
{
    struct slot *slots = cache->table.slots;
    struct str value = value_of(slots[i].block);
    if (value.n > size)
        return false;
    copy(out, value);
    *n = value.n;
    ring_remove(slots, i);
    ring_add(slots, i);
    return true;
}

enum directory_cache_result directory_cache_get(struct directory_cache *cache, struct str key,
                                                uint64_t now, char *out, size_t size, size_t *n)
{
    enum directory_cache_result result = DIRECTORY_CACHE_NONE;
    pthread_mutex_lock(&cache->lock);
    uint32_t *link = find(cache, key);
    const struct slot *slot = &cache->table.slots[*link];
    if (*link && now >= slot->fresh + slot->stale)
        drop(cache, link);
    else if (*link && use(cache, *link, out, size, n))
        result = now < slot->fresh ? DIRECTORY_CACHE_FRESH : DIRECTORY_CACHE_STALE;
    pthread_mutex_unlock(&cache->lock);
    return result;
}

void directory_cache_drop(struct directory_cache *cache, struct str key)
{
    pthread_mutex_lock(&cache->lock);
    drop_key(cache, key);
    pthread_mutex_unlock(&cache->lock);
}

void directory_cache_clear(struct directory_cache *cache)
{
    struct table table = table_new(cache->max);
    pthread_mutex_lock(&cache->lock);
    struct table old = cache->table;
    cache->table = table;
    pthread_mutex_unlock(&cache->lock);
    table_free(&old); /* wiping it all takes time: nobody waits for that */
}

size_t directory_cache_count(struct directory_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    size_t count = cache->table.count;
    pthread_mutex_unlock(&cache->lock);
    return count;
}
