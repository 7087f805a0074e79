/* SPDX-License-Identifier: ISC
 *
 * A bounded byte buffer: bytes are added at its end and taken from its start. It begins in
 * storage that its owner lends it and moves to the heap only when that is too small. What does
 * not fit below its bound sets `full`, which stays: a writer adds piece by piece and looks once. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct buf {
    char *data;
    uint32_t start, end; /* the bytes held are data[start..end) */
    uint32_t cap, max;   /* bytes at data; what it may grow to */
    char *lent;          /* the owner's storage, or NULL */
    uint32_t lent_size;
    bool full; /* something was refused */
};

/* An empty buffer of at most MAX bytes. LENT (SIZE bytes, or NULL and 0) must outlive it. */
void buf_init(struct buf *b, char *lent, uint32_t size, uint32_t max);

/* Wipes the content and gives the heap memory back. The buffer is empty and usable again. */
void buf_free(struct buf *b);

/* Bytes held. */
static inline uint32_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

/* The bytes held; valid until the next call that changes B. */
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->data + b->start, buf_len(b)};
}

/* Where at least N more bytes can be written (then say buf_added), or NULL and `full`. */
char *buf_room(struct buf *b, uint32_t n);

/* Counts N bytes written at buf_room as held. */
static inline void buf_added(struct buf *b, uint32_t n)
{
    b->end += n;
}

/* Adds bytes, or text as printf makes it; false and `full` (with nothing added) when too long. */
bool buf_add(struct buf *b, const void *bytes, size_t n);
bool buf_adds(struct buf *b, const char *text);
bool buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds texts one after the other, at a fraction of the cost of buf_addf with "%s%s". LIST is ended
 * by NULL. */
void buf_add_list(struct buf *b, const char *const *list);
#define buf_add_texts(b, ...) buf_add_list((b), (const char *const[]){__VA_ARGS__, NULL})

/* Drops the first N bytes (N <= buf_len). The memory they stood in is wiped when B is emptied or
 * its bytes are moved. */
void buf_take(struct buf *b, uint32_t n);

/* Drops and wipes everything; keeps the memory. Clears `full`. */
void buf_clear(struct buf *b);

#endif
