/* SPDX-License-Identifier: ISC
 *
 * What a directory answered, kept for a while: by question, bounded in entries, the least recently
 * used goes first. Made for a hundred thousand of them in little memory: an entry is one block. For
 * every thread (one mutex, held for a lookup). It knows nothing of LDAP: a question and an answer
 * are bytes. Called by directory.c. */
#ifndef AUTH_DIRECTORY_CACHE_H
#define AUTH_DIRECTORY_CACHE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct directory_cache;

/* An empty cache for at most MAX (1 to 16,777,216) entries. directory_cache_free wipes what was in
 * it. */
struct directory_cache *directory_cache_new(unsigned max);
void directory_cache_free(struct directory_cache *cache);

/* Keeps VALUE (at most 65,535 bytes) as the answer to KEY (likewise), in the place of an earlier
 * one: fresh until NOW + FRESH ms, and worth something until NOW + STALE ms (0, or less than FRESH:
 * until FRESH). Nothing is kept, and an earlier answer is dropped, when both are 0. NOW: ms of any
 * clock that does not go back. */
void directory_cache_put(struct directory_cache *cache, struct str key, struct str value,
                         uint64_t now, uint64_t fresh, uint64_t stale);

enum directory_cache_result { DIRECTORY_CACHE_NONE, DIRECTORY_CACHE_STALE, DIRECTORY_CACHE_FRESH };

/* The answer to KEY, copied to OUT (SIZE bytes), *N bytes. An answer that does not fit, or whose
 * time is over altogether, counts as none. */
enum directory_cache_result directory_cache_get(struct directory_cache *cache, struct str key,
                                                uint64_t now, char *out, size_t size, size_t *n);

/* Forgets the answer to KEY, or all of them. What is forgotten is wiped. */
void directory_cache_drop(struct directory_cache *cache, struct str key);
void directory_cache_clear(struct directory_cache *cache);

/* Entries in it. */
size_t directory_cache_count(struct directory_cache *cache);

#endif
