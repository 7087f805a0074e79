/* SPDX-License-Identifier: ISC
 *
 * Bodies of HTTP/1 messages: see http_body.h. */
#include "web/http_body.h"

void http_body_start(struct http_body *b, const struct http_head *h)
{
    *b = (struct http_body){.framing = h->framing, .state = HTTP_BODY_DATA};
    buf_init(&b->trailers, NULL, 0, HTTP_TRAILERS_MAX);
    if (h->framing == HTTP_CHUNKED)
        b->state = HTTP_BODY_SIZE;
    else if (h->framing == HTTP_NO_BODY || (h->framing == HTTP_COUNTED && h->length == 0))
        b->state = HTTP_BODY_DONE;
    b->left = h->framing == HTTP_COUNTED ? h->length : UINT64_MAX;
    if (h->framing == HTTP_CHUNKED)
        b->left = 0;
}

void http_body_free(struct http_body *b)
{
    buf_free(&b->trailers);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum http_body_state line_over(struct http_body *b)
{
    bool good = b->digits;
    b->digits = b->extension = b->cr = false;
    b->line = 0;
    if (!good)
        return HTTP_BODY_BAD;
    return b->left ? HTTP_BODY_DATA : HTTP_BODY_TRAILERS;
}

/* One more character of a chunk's first line: 1*HEXDIG [";" extension] CR LF. */
static enum http_body_state size_char(struct http_body *b, char c)
{
    int digit = hex_digit(c);
    if (++b->line > HTTP_CHUNK_LINE_MAX)
        return HTTP_BODY_BAD;
    if (b->cr)
        return c == '\n' ? line_over(b) : HTTP_BODY_BAD;
    if (c == '\r') {
        b->cr = true;
    } else if (b->extension) {
        if ((unsigned char)c < 0x20 && c != '\t')
            return HTTP_BODY_BAD;
    } else if (c == ';') {
        b->extension = true;
    } else if (digit >= 0 && b->left <= (uint64_t)INT64_MAX >> 4) {
        b->left = b->left << 4 | (unsigned)digit;
        b->digits = true;
    } else {
        return HTTP_BODY_BAD;
    }
    return HTTP_BODY_SIZE;
}

/* The line end behind a chunk's data. */
static enum http_body_state after_char(struct http_body *b, char c)
{
    if (c != (b->cr ? '\n' : '\r'))
        return HTTP_BODY_BAD;
    b->cr = !b->cr;
    return b->cr ? HTTP_BODY_AFTER : HTTP_BODY_SIZE;
}

/* Takes trailers from N bytes at P; returns how many. */
static size_t read_trailers(struct http_body *b, const char *p, size_t n)
{
    size_t old = buf_len(&b->trailers);
    size_t take = n < HTTP_TRAILERS_MAX - old ? n : HTTP_TRAILERS_MAX - old;
    buf_add(&b->trailers, p, take);
    struct str all = buf_str(&b->trailers);
    bool none = all.n >= 2 && memcmp(all.p, "\r\n", 2) == 0;
    ssize_t end = none ? 2 : http_head_end(all, &b->seen);
    if (end < 0 || (end == 0 && all.n == HTTP_TRAILERS_MAX))
        b->state = HTTP_BODY_BAD;
    if (end <= 0)
        return take;
    b->state = HTTP_BODY_DONE;
    b->trailers.end = b->trailers.start + (uint32_t)end;
    if (none)
        buf_free(&b->trailers);
    return (size_t)end - old;
}

static size_t read_data(struct http_body *b, size_t n)
{
    size_t take = n < b->left ? n : (size_t)b->left;
    b->total += take;
    if (b->framing != HTTP_UNTIL_CLOSE)
        b->left -= take;
    if (b->left == 0)
        b->state = b->framing == HTTP_CHUNKED ? HTTP_BODY_AFTER : HTTP_BODY_DONE;
    return take;
}

size_t http_body_read(struct http_body *b, char *p, size_t n, size_t *data)
{
    size_t used = 0, out = 0, take;
    while (used < n && b->state < HTTP_BODY_DONE)
        switch (b->state) {
        case HTTP_BODY_DATA:
            take = read_data(b, n - used);
            if (out != used)
                memmove(p + out, p + used, take);
            out += take;
            used += take;
            break;
        case HTTP_BODY_SIZE:
            b->state = size_char(b, p[used++]);
            break;
        case HTTP_BODY_AFTER:
            b->state = after_char(b, p[used++]);
            break;
        default:
            used += read_trailers(b, p + used, n - used);
            break;
        }
    *data = out;
    return used;
}

bool http_body_ended(struct http_body *b)
{
    if (b->framing == HTTP_UNTIL_CLOSE && b->state == HTTP_BODY_DATA)
        b->state = HTTP_BODY_DONE;
    return b->state == HTTP_BODY_DONE;
}

char *http_chunk_begin(char *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    *--p = '\n';
    *--p = '\r';
    do {
        *--p = digits[n & 15];
        n >>= 4;
    } while (n);
    return p;
}
