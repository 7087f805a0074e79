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

static bool (*give_reserve)(void);

void mem_set_reserve(bool (*give)(void))
{
    give_reserve = give;
}

/* Whether what has failed is worth another try. */
static bool is_worth_another(void)
{
    return give_reserve && give_reserve();
}

static void *check(void *p)
{
    if (!p) {
        static const char words[] = "proxyd: out of memory\n";
        fputs(words, stderr);
        abort();
    }
    return p;
}

void *mem_try_more(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    return p || !is_worth_another() ? p : realloc(old, size ? size : 1);
}

void *mem_try(size_t size)
{
    return mem_try_more(NULL, size);
}

void *xmalloc(size_t size)
{
    return check(mem_try(size));
}

void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p && is_worth_another())
        p = calloc(count ? count : 1, size ? size : 1);
    return check(p);
}

void *xrealloc(void *old, size_t size)
{
    return check(mem_try_more(old, size));
}

char *xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

char *xstrndup(const char *text, size_t size)
{
    size_t n = strnlen(text, size);
    char *copy = xmalloc(n + 1);
    memcpy(copy, text, n);
    copy[n] = 0;
    return copy;
}

char *xasprintf(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    char *text = n < 0 ? check(NULL) : xmalloc((size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
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
    *pool = (struct pool){.block = (size + 15) & ~(size_t)15};
}

static char *pages(size_t size)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static struct chunk *chunk_map(struct pool *pool)
{
    /* Twice the size, then the ends cut off: mmap aligns to pages only. */
    char *p = pages(2 * CHUNK);
    if (p == MAP_FAILED && is_worth_another())
        p = pages(2 * CHUNK);
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
    pool_put_clean(pool, block, pool->block);
}

void pool_put_clean(struct pool *pool, void *block, size_t size)
{
    struct chunk *c = (struct chunk *)((uintptr_t)block & ~(uintptr_t)(CHUNK - 1));
    assert(c->used > 0);
    mem_wipe(block, size);
    memcpy(block, &c->free, sizeof c->free);
    c->free = block;
    if (c->used-- == c->count)
        partly_add(pool, c);
    if (c->used > 0)
        return;
    if (pool->idle_chunks >= POOL_KEPT) {
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
