/* SPDX-License-Identifier: ISC
 *
 * Fuzzes a client's request: whatever is taken has to be read the same way again once it was
 * written anew, with one Host and one framing, and the body has to end at the same place however it
 * is cut. */
#include "web/http_body.h"
#include "web/http_forward.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

static size_t count(const struct http_head *h, enum http_field_id id)
{
    size_t n = 0;
    for (size_t i = 0; i < h->field_count; i++)
        n += h->fields[i].id == id;
    return n;
}

/* What the node gets is what was understood. */
static void check_forwarded(const struct http_head *h, bool trusted)
{
    static const struct http_request_setup setup = {
        .client = "2001:db8::1", .id = "0123456789abcdef", .host = "node", .cookie = "route"};
    struct http_request_setup with = setup;
    struct http_outside outside;
    struct http_head again;
    struct buf out;
    size_t seen = 0;
    with.trusted = trusted;
    buf_init(&out, NULL, 0, 1 << 20);
    if (http_forward_request(&out, h, &with, &outside)) {
        ssize_t end = http_head_end(buf_str(&out), &seen);
        assert(end == buf_len(&out));
        unsigned refused = http_head_request(&again, buf_str(&out));
        assert(refused == 0 || refused == 431); /* the fields that are added may be too many */
        if (refused == 0) {
            assert(str_eq(again.method, h->method) && str_eq(again.target, h->target));
            assert(count(&again, HTTP_FIELD_HOST) == 1);
            assert(again.framing == h->framing && again.length == h->length);
            assert(count(&again, HTTP_FIELD_HOP) == 0 && count(&again, HTTP_FIELD_EXPECT) == 0);
            assert(!http_head_cookie(&again, "route").p);
            assert(trusted || count(&again, HTTP_FIELD_X_FORWARDED) == 0);
        }
    }
    buf_free(&out);
}

/* Reads the body of H from TEXT in pieces of at most PIECE bytes; returns its data's size, and in
 * *USED what it took. */
static size_t read_body(const struct http_head *h, struct str text, size_t piece, size_t *used,
                        enum http_body_state *state)
{
    struct http_body b;
    size_t total = 0, data;
    http_body_start(&b, h);
    *used = 0;
    while (*used < text.n && b.state < HTTP_BODY_DONE) {
        size_t n = text.n - *used < piece ? text.n - *used : piece;
        char *space = malloc(n);
        memcpy(space, text.p + *used, n);
        *used += http_body_read(&b, space, n, &data);
        total += data;
        assert(data <= n);
        free(space);
    }
    assert(b.total == total);
    *state = b.state;
    http_body_free(&b);
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head h;
    size_t seen = 0, piecewise = 0, used[2];
    enum http_body_state state[2];
    char *text = malloc(size ? size : 1);
    memcpy(text, data, size);
    ssize_t end = http_head_end((struct str){text, size}, &seen), same = 0;
    for (size_t n = 0; n <= size && same == 0; n++)
        same = http_head_end((struct str){text, n}, &piecewise);
    assert(same == end);
    if (end > 0 && http_head_request(&h, (struct str){text, (size_t)end}) == 0) {
        struct str rest = {text + end, size - (size_t)end};
        check_forwarded(&h, false);
        check_forwarded(&h, true);
        size_t whole = read_body(&h, rest, SIZE_MAX, &used[0], &state[0]);
        assert(read_body(&h, rest, 1, &used[1], &state[1]) == whole);
        assert(state[0] == state[1] && (state[0] != HTTP_BODY_DONE || used[0] == used[1]));
    }
    free(text);
    return 0;
}
