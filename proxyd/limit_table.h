/* SPDX-License-Identifier: ISC
 *
 * What is remembered of addresses, for all workers together: a record for each address at each
 * level (limit.h) that has a reason to count it. In shards with a lock each; all of an address is
 * in one shard, so that one lock is enough for a connection.
 *
 * The number of records is bounded. One whose connections are counted stays until the last of them
 * has gone (there are no more of these than the process has connections). Of the others, which only
 * remember, LIMIT_MEMORY are kept. When there are more, the one that was not touched for the
 * longest time goes, and before one that is being refused all those that are not. So nobody is
 * kept out because a table is full; and to have his own record forgotten, somebody needs as many
 * other addresses, all of them at their limits too: those would have let him try as often.
 *
 * Called by limit.c alone. */
#ifndef LIMIT_TABLE_H
#define LIMIT_TABLE_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/ring.h"

enum { LIMIT_MEMORY = 128 * 1024, LIMIT_GUESSES = 16 };

/* What is counted together: an IPv4 address, or a /64 of IPv6. */
struct limit_address {
    uint64_t bits;
    bool six;
    uint64_t hash; /* of these */
};

/* A time in which something is counted: begins with the first that is, and then is over. */
struct limit_window {
    uint64_t begun; /* ms */
    unsigned count;
};

/* A login and a password that did not fit, as hashes with a key of this process. */
struct limit_guess {
    uint32_t login, secret;
};

struct limit_record {
    struct ring ring;          /* limit_table.c's: of those that may be forgotten */
    struct limit_record *next; /* limit_table.c's: of the same slot */
    const void *level;
    struct limit_address address;
    unsigned connections;
    struct limit_window rate, failures, refused;
    uint64_t until;              /* ms: nothing in here is of use any more */
    uint64_t refused_until;      /* ms: this is over then; 0: it is not a matter of time */
    uint64_t refused_lately;     /* ms: the interval of the last refusal is over then */
    uint64_t unlogged;           /* refusals since the last line in the log */
    unsigned reason;             /* of the last one: enum limit_reason */
    unsigned guess_count;        /* the last ones, in a ring */
    struct limit_guess *guesses; /* LIMIT_GUESSES of them, or NULL */
};

struct limit_shard;

/* Draws the key of the hashes. Before anything else; does nothing the second time. */
void limit_table_init(void);

/* That key, in base64: appends it to OUT for a process to come; takes that of a process before, in
 * the place of one of our own (anything else is ignored). Before there is a record. */
void limit_table_add_key(struct buf *out);
void limit_table_set_key(struct str base64);

/* What is counted together with A; false where A is no IP address. */
bool limit_address_of(const struct addr *a, struct limit_address *address);

/* SipHash of the N bytes at P. */
uint64_t limit_hash(const void *p, size_t n);

/* Everything below needs the lock of the address's shard. */
struct limit_shard *limit_lock(const struct limit_address *address);
void limit_unlock(struct limit_shard *shard);

/* The record of ADDRESS at LEVEL, or NULL; the same, made where there is none. It is good until
 * the next limit_settle of the shard. */
struct limit_record *limit_find(struct limit_shard *shard, const struct limit_address *address,
                                const void *level);
struct limit_record *limit_make(struct limit_shard *shard, const struct limit_address *address,
                                const void *level);

/* Ends a change of R: it is kept, as one just touched, or forgotten where nothing is left in it. */
void limit_settle(struct limit_shard *shard, struct limit_record *r, uint64_t now);

/* Calls EACH, under the lock of its shard, for every record of ADDRESS (NULL: of all addresses)
 * until it is false. EACH may change counts, and settles nothing. */
void limit_each(const struct limit_address *address,
                bool (*each)(struct limit_record *r, void *context), void *context);

/* Sets the hash of ADDRESS, whose bits are known. */
void limit_address_hash(struct limit_address *address);

/* Records there are, for tests and figures. */
size_t limit_table_count(void);

/* How many were counted at NOW in the present interval of MS. */
static inline unsigned limit_window_count(const struct limit_window *w, uint64_t now, uint64_t ms)
{
    return now < w->begun + ms ? w->count : 0;
}

/* Counts one more; returns how many there are. */
static inline unsigned limit_window_add(struct limit_window *w, uint64_t now, uint64_t ms)
{
    if (limit_window_count(w, now, ms) == 0)
        *w = (struct limit_window){.begun = now};
    return ++w->count;
}

#endif
