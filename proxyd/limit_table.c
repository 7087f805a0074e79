/* SPDX-License-Identifier: ISC
 *
 * Records of addresses: see limit_table.h. */
#include "limit_table.h"

#include "base/mem.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARDS = 64,
    SLOTS = 1024, /* of a shard */
    MEMORY = LIMIT_MEMORY / SHARDS,
    TIDY = 2 /* old records that are looked at when a new one comes */
};

struct limit_shard {
    pthread_mutex_t lock;
    struct ring calm,
        refused;          /* records that may be forgotten, the one not touched longest first */
    unsigned forgettable; /* in both */
    unsigned count;       /* of all records */
    struct limit_record *slots[SLOTS];
};

static struct limit_shard shards[SHARDS];
static unsigned char key[crypto_shorthash_KEYBYTES];
static bool key_is_given;

void limit_table_init(void)
{
    if (shards[0].calm.next)
        return;
    if (!key_is_given)
        randombytes_buf(key, sizeof key);
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&shards[i].lock, NULL);
        ring_init(&shards[i].calm);
        ring_init(&shards[i].refused);
    }
}

void limit_table_add_key(struct buf *out)
{
    char *room = buf_room(out, (uint32_t)base64_size(sizeof key));
    if (room)
        buf_added(out, (uint32_t)base64_encode(room, key, sizeof key));
}

void limit_table_set_key(struct str base64)
{
    if (base64.n == base64_size(sizeof key))
        key_is_given = base64_decode(key, base64) == (ssize_t)sizeof key;
}

uint64_t limit_hash(const void *p, size_t n)
{
    uint64_t hash;
    _Static_assert(sizeof hash == crypto_shorthash_BYTES, "SipHash gives 64 bits");
    crypto_shorthash((unsigned char *)&hash, p, n, key);
    return hash;
}

void limit_address_hash(struct limit_address *address)
{
    uint64_t words[2] = {address->bits, address->six};
    address->hash = limit_hash(words, sizeof words);
}

bool limit_address_of(const struct addr *a, struct limit_address *address)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct network n;
    uint64_t bits = 0;
    bool known = network_of(&n, a), six = known && memcmp(n.bytes, mapped, sizeof mapped) != 0;
    for (size_t i = 0; known && i < 8; i++)
        bits = bits << 8 | n.bytes[six ? i : i + 8];
    *address = (struct limit_address){bits, six, 0};
    limit_address_hash(address);
    return known;
}

/* ---- finding ---- */

static struct limit_shard *shard_of(const struct limit_address *address)
{
    return &shards[address->hash % SHARDS];
}

static struct limit_record **slot_of(struct limit_shard *shard, const struct limit_address *address)
{
    return &shard->slots[address->hash / SHARDS % SLOTS];
}

static bool same(const struct limit_address *a, const struct limit_address *b)
{
    return a->bits == b->bits && a->six == b->six;
}

struct limit_shard *limit_lock(const struct limit_address *address)
{
    struct limit_shard *shard = shard_of(address);
    pthread_mutex_lock(&shard->lock);
    return shard;
}

void limit_unlock(struct limit_shard *shard)
{
    pthread_mutex_unlock(&shard->lock);
}

struct limit_record *limit_find(struct limit_shard *shard, const struct limit_address *address,
                                const void *level)
{
    struct limit_record *r = *slot_of(shard, address);
    while (r && (r->level != level || !same(&r->address, address)))
        r = r->next;
    return r;
}

struct limit_record *limit_make(struct limit_shard *shard, const struct limit_address *address,
                                const void *level)
{
    struct limit_record *r = limit_find(shard, address, level), **slot = slot_of(shard, address);
    if (r)
        return r;
    r = xcalloc(1, sizeof *r);
    r->level = level;
    r->address = *address;
    r->next = *slot;
    *slot = r;
    shard->count++;
    return r;
}

/* ---- forgetting ---- */

static void take_out(struct limit_shard *shard, struct limit_record *r)
{
    shard->forgettable -= ring_has(&r->ring);
    ring_remove(&r->ring);
}

static void forget(struct limit_shard *shard, struct limit_record *r)
{
    struct limit_record **p = slot_of(shard, &r->address);
    while (*p != r)
        p = &(*p)->next;
    *p = r->next;
    take_out(shard, r);
    shard->count--;
    free(r->guesses);
    free(r);
}

static struct limit_record *oldest(struct ring *ring)
{
    return ring_is_empty(ring) ? NULL : OUTER(ring->next, limit_record, ring);
}

static void forget_over(struct limit_shard *shard, struct ring *ring, uint64_t now)
{
    struct limit_record *r;
    for (int i = 0; i < TIDY && (r = oldest(ring)) && r->until <= now; i++)
        forget(shard, r);
}

static void tidy(struct limit_shard *shard, uint64_t now)
{
    forget_over(shard, &shard->calm, now);
    forget_over(shard, &shard->refused, now);
    if (shard->forgettable <= MEMORY)
        return;
    struct limit_record *r = oldest(&shard->calm);
    forget(shard, r ? r : oldest(&shard->refused));
}

void limit_settle(struct limit_shard *shard, struct limit_record *r, uint64_t now)
{
    take_out(shard, r);
    if (r->connections)
        return;
    if (r->until <= now) {
        forget(shard, r);
        return;
    }
    bool refusing = r->refused_lately > now || r->refused_until > now;
    ring_add_last(refusing ? &shard->refused : &shard->calm, &r->ring);
    shard->forgettable++;
    tidy(shard, now);
}

/* ---- all of them ---- */

struct walk {
    const struct limit_address *address;
    bool (*each)(struct limit_record *r, void *context);
    void *context;
};

static bool walk_slot(const struct walk *w, const struct limit_shard *shard, size_t slot)
{
    for (struct limit_record *r = shard->slots[slot]; r; r = r->next)
        if ((!w->address || same(&r->address, w->address)) && !w->each(r, w->context))
            return false;
    return true;
}

static bool walk_shard(const struct walk *w, struct limit_shard *shard)
{
    bool on = true;
    pthread_mutex_lock(&shard->lock);
    for (size_t i = 0; on && i < SLOTS; i++)
        on = walk_slot(w, shard, i);
    pthread_mutex_unlock(&shard->lock);
    return on;
}

void limit_each(const struct limit_address *address,
                bool (*each)(struct limit_record *r, void *context), void *context)
{
    const struct walk w = {address, each, context};
    for (size_t i = 0; i < SHARDS; i++)
        if ((!address || &shards[i] == shard_of(address)) && !walk_shard(&w, &shards[i]))
            return;
}

size_t limit_table_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&shards[i].lock);
        count += shards[i].count;
        pthread_mutex_unlock(&shards[i].lock);
    }
    return count;
}
