/* SPDX-License-Identifier: ISC
 *
 * Memory: see mem.h. A pool's chunk is CHUNK bytes, aligned to CHUNK, so that a block finds its
 * chunk by masking its own address. */
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CHUNK = 64 * 1024 };

struct chunk {
    struct chunk *next, *prev; /* in pool->partly */
    void *free;                /* blocks given back, linked by their first word */
    unsigned used;             /* blocks in use */
    unsigned fresh;            /* blocks never handed out yet start here */
    unsigned count;            /* blocks that fit */
};

static void *check(void *p)
{
    if (!p) {
        static const char words[] = "proxyd: out of memory\n";
        fputs(words, stderr);
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return check(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
    return check(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *old, size_t size)
{
    return check(realloc(old, size ? size : 1));
}

char *xstrdup(const char *text)
{
    return check(strdup(text));
}

char *xstrndup(const char *text, size_t size)
{
    return check(strndup(text, size));
}

char *xasprintf(const char *format, ...)
{
    va_list args;
    char *text;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    return check(n < 0 ? NULL : text);
}

void mem_wipe(void *p, size_t size)
{
    explicit_bzero(p, size);
}

static size_t header_size(void)
{
    return (sizeof(struct chunk) + 63) & ~(size_t)63;
}

void pool_init(struct pool *pool, size_t size)
{
    assert(size <= 16000);
    *pool = (struct pool){.block = (size + 15) & ~(size_t)15, .keep = 1};
}

static struct chunk *chunk_map(struct pool *pool)
{
    /* Twice the size, then the ends cut off: mmap aligns to pages only. */
    char *p = mmap(NULL, 2 * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(p == MAP_FAILED ? NULL : p);
    char *start = (char *)(((uintptr_t)p + CHUNK - 1) & ~(uintptr_t)(CHUNK - 1));
    if (start > p)
        munmap(p, (size_t)(start - p));
    if (start + CHUNK < p + 2 * CHUNK)
        munmap(start + CHUNK, (size_t)(p + 2 * CHUNK - start - CHUNK));
    struct chunk *c = (struct chunk *)start;
    c->count = (unsigned)((CHUNK - header_size()) / pool->block);
    return c;
}

static void partly_add(struct pool *pool, struct chunk *c)
{
    c->prev = NULL;
    c->next = pool->partly;
    if (c->next)
        c->next->prev = c;
    pool->partly = c;
}

static void partly_remove(struct pool *pool, struct chunk *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        pool->partly = c->next;
    if (c->next)
        c->next->prev = c->prev;
}

void *pool_get(struct pool *pool)
{
    if (!pool->partly) {
        partly_add(pool, chunk_map(pool));
        pool->idle_chunks++;
    }
    struct chunk *c = pool->partly;
    void *block = c->free;
    if (block)
        memcpy(&c->free, block, sizeof c->free);
    else
        block = (char *)c + header_size() + pool->block * c->fresh++;
    if (c->used++ == 0)
        pool->idle_chunks--;
    if (c->used == c->count)
        partly_remove(pool, c);
    memset(block, 0, sizeof c->free); /* the rest was wiped when it came back */
    return block;
}

void pool_put(struct pool *pool, void *block)
{
    struct chunk *c = (struct chunk *)((uintptr_t)block & ~(uintptr_t)(CHUNK - 1));
    assert(c->used > 0);
    mem_wipe(block, pool->block);
    memcpy(block, &c->free, sizeof c->free);
    c->free = block;
    if (c->used-- == c->count)
        partly_add(pool, c);
    if (c->used > 0)
        return;
    if (pool->idle_chunks >= pool->keep) {
        partly_remove(pool, c);
        munmap(c, CHUNK);
    } else {
        pool->idle_chunks++;
    }
}

void pool_free(struct pool *pool)
{
    while (pool->partly) {
        struct chunk *c = pool->partly;
        assert(c->used == 0);
        partly_remove(pool, c);
        munmap(c, CHUNK);
    }
    pool->idle_chunks = 0;
}
