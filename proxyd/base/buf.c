/* SPDX-License-Identifier: ISC
 *
 * A bounded byte buffer: see buf.h. Moved and freed memory is wiped, for a login passes here. */
#include "base/buf.h"

#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, char *lent, uint32_t size, uint32_t max)
{
    static char nothing[1]; /* so that the bytes held, though none, always stand somewhere */
    lent = lent ? lent : nothing;
    size = size < max ? size : max;
    *b = (struct buf){.data = lent, .cap = size, .max = max, .lent = lent, .lent_size = size};
}

static void release(struct buf *b)
{
    if (b->end)
        mem_wipe(b->data, b->end);
    if (b->data != b->lent)
        free(b->data);
}

void buf_free(struct buf *b)
{
    if (b->data != b->lent) {
        release(b);
        b->data = b->lent;
        b->cap = b->lent_size;
        b->start = b->end = 0;
    }
    buf_clear(b);
}

static void grow(struct buf *b, uint32_t need)
{
    uint32_t cap = b->cap ? b->cap : 256;
    while (cap < need)
        cap *= 2;
    if (cap > b->max)
        cap = b->max;
    char *data = xmalloc(cap);
    uint32_t len = buf_len(b);
    if (len)
        memcpy(data, b->data + b->start, len);
    release(b);
    b->data = data;
    b->start = 0;
    b->end = len;
    b->cap = cap;
}

char *buf_room(struct buf *b, uint32_t n)
{
    uint32_t len = buf_len(b);
    if (n > b->max - len || b->full) {
        b->full = true;
        return NULL;
    }
    if (n <= b->cap - b->end)
        return b->data + b->end;
    if (len + n <= b->cap) {
        memmove(b->data, b->data + b->start, len);
        mem_wipe(b->data + len, b->end - len);
        b->start = 0;
        b->end = len;
    } else {
        grow(b, len + n);
    }
    return b->data + b->end;
}

bool buf_add(struct buf *b, const void *bytes, size_t n)
{
    if (n == 0)
        return !b->full;
    char *room = b->data + b->end;
    if (b->full || n > b->cap - b->end)
        room = n <= UINT32_MAX ? buf_room(b, (uint32_t)n) : NULL;
    if (!room) {
        b->full = true;
        return false;
    }
    memcpy(room, bytes, n);
    buf_added(b, (uint32_t)n);
    return true;
}

bool buf_adds(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

void buf_add_list(struct buf *b, const char *const *list)
{
    while (*list)
        buf_adds(b, *list++);
}

/* Most texts fit where the bytes end: they are made there, and only a longer one is made twice. */
bool buf_addf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    uint32_t left = b->full ? 0 : b->cap - b->end;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(b->data + b->end, left, format, args);
    va_end(args);
    bool fits = n >= 0 && (uint32_t)n < left;
    if (!fits) {
        mem_wipe(b->data + b->end, left);
        char *room = n < 0 ? NULL : buf_room(b, (uint32_t)n + 1);
        fits = room && vsnprintf(room, (size_t)n + 1, format, again) == n;
    }
    va_end(again);
    if (fits)
        buf_added(b, (uint32_t)n);
    return fits;
}

void buf_take(struct buf *b, uint32_t n)
{
    assert(n <= buf_len(b));
    b->start += n;
    if (b->start == b->end)
        buf_clear(b);
}

void buf_clear(struct buf *b)
{
    if (b->end)
        mem_wipe(b->data, b->end);
    b->start = b->end = 0;
    b->full = false;
}
