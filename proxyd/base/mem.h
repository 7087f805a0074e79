/* SPDX-License-Identifier: ISC
 *
 * Memory: allocation that cannot fail (out of memory ends the process), wiping of secrets, and
 * pools of equal blocks for what comes and goes with every connection. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* As malloc, calloc, realloc and strdup, but never NULL: without memory the process aborts. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t size);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As malloc and realloc, for libraries, which bear a NULL. */
void *mem_try(size_t size);
void *mem_try_more(void *old, size_t size);

/* Has GIVE called, in whatever thread finds no memory, before any of these gives up: true: there is
 * some again. It must neither allocate nor wait. */
void mem_set_reserve(bool (*give)(void));

/* The struct TYPE of which what POINTER points to is the MEMBER. */
#define OUTER(pointer, type, member)                                                               \
    ((struct type *)((char *)(pointer)-offsetof(struct type, member)))

/* Overwrites SIZE bytes at P in a way that the compiler does not leave out. */
void mem_wipe(void *p, size_t size);

enum { POOL_KEPT = 16 /* chunks of a pool, a MiB in all, that stay without any block in use */ };

/* Blocks of one size, for one thread. They come from chunks of pages of their own, so that a
 * burst leaves no holes between longer-lived memory; chunks whose blocks are all free go back to
 * the system, all but POOL_KEPT: to map pages again and again, for logins that come and go by the
 * dozen, took a fifth of a login's time. */
struct pool {
    size_t block;         /* bytes of one block, set once */
    struct chunk *partly; /* chunks that have a free block */
    unsigned idle_chunks; /* of these: without any block in use */
};

/* An empty pool of blocks of SIZE bytes (at most 16,000). */
void pool_init(struct pool *pool, size_t size);

/* A zeroed block. */
void *pool_get(struct pool *pool);

/* Wipes BLOCK, which came from POOL, and takes it back; or only its first SIZE bytes, the others
 * being zero again. */
void pool_put(struct pool *pool, void *block);
void pool_put_clean(struct pool *pool, void *block, size_t size);

/* Gives the kept chunks back. Every block must have been returned. */
void pool_free(struct pool *pool);

#endif
