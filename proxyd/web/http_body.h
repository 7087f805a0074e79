/* SPDX-License-Identifier: ISC
 *
 * The body of an HTTP/1 message (RFC 9112, 6 and 7): where it ends, and what is in it without its
 * framing. Strict: a chunk's size is hexadecimal digits, lines end in CR LF, extensions are
 * dropped, trailers are fields as any. And the framing of our own, which is always the plainest.
 * Sans-I/O. */
#ifndef WEB_HTTP_BODY_H
#define WEB_HTTP_BODY_H

#include "base/buf.h"
#include "web/http_head.h"

enum {
    HTTP_CHUNK_LINE_MAX = 256,    /* bytes of a chunk's first line, its extensions among them */
    HTTP_TRAILERS_MAX = 8 * 1024, /* bytes of a trailer section */
    HTTP_CHUNK_BEFORE = 10,       /* bytes that http_chunk_begin may need */
    HTTP_CHUNK_AFTER = 2          /* and http_chunk_end */
};

enum http_body_state {
    HTTP_BODY_SIZE,  /* in a chunk's first line */
    HTTP_BODY_DATA,  /* `left` bytes of data follow (of one without a framing: all that comes) */
    HTTP_BODY_AFTER, /* the line end behind a chunk's data */
    HTTP_BODY_TRAILERS,
    HTTP_BODY_DONE,
    HTTP_BODY_BAD
};

struct http_body {
    enum http_framing framing;
    enum http_body_state state;
    uint64_t left;              /* of the chunk, or of the whole */
    uint64_t total;             /* bytes of data so far */
    unsigned line;              /* bytes of the present line so far */
    bool digits, extension, cr; /* of a chunk's first line: what has been seen */
    struct buf trailers;        /* the section as it came, to its empty line; empty: none */
    size_t seen;
};

/* The body of a message with the head H. */
void http_body_start(struct http_body *b, const struct http_head *h);
void http_body_free(struct http_body *b);

/* Takes up to N bytes at P, which are the next of the message; what is data is moved together to
 * the start of P, *DATA bytes of it. Returns how many bytes were used: all of them, but at the end
 * of the message or where something is wrong (HTTP_BODY_BAD). */
size_t http_body_read(struct http_body *b, char *p, size_t n, size_t *data);

/* The connection has ended: whether the body is whole. */
bool http_body_ended(struct http_body *b);

static inline bool http_body_done(const struct http_body *b)
{
    return b->state == HTTP_BODY_DONE;
}

/* Puts a chunk's first line for N bytes of data in front of P, which has HTTP_CHUNK_BEFORE bytes of
 * room before it: where it begins now. Behind the data come CR LF. */
char *http_chunk_begin(char *p, size_t n);

#endif
