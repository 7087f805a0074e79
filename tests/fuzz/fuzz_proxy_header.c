/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the PROXY header: what is said of a whole input has to be what is said when
 * it comes byte by byte, and a header that was taken is read again as it is written. */
#include "base/mem.h"
#include "proto/proxy_header.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct header {
    struct buf in;
    struct addr client, local;
    uint16_t rest;
};

/* Feeds PIECE bytes at a time until something is decided. */
static enum proxy_header feed(struct header *h, const uint8_t *data, size_t size, size_t piece)
{
    enum proxy_header r = PROXY_HEADER_MORE;
    *h = (struct header){0};
    buf_init(&h->in, NULL, 0, 2 * PROXY_HEADER_MAX);
    for (size_t at = 0; at < size && r == PROXY_HEADER_MORE; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        assert(buf_add(&h->in, data + at, n));
        uint32_t before = buf_len(&h->in);
        r = proxy_header_read(&h->in, &h->client, &h->local, &h->rest);
        if (r == PROXY_HEADER_MORE || r == PROXY_HEADER_BAD)
            assert(buf_len(&h->in) == before);
        else
            assert(h->rest == 0 || buf_len(&h->in) == 0);
        assert(r != PROXY_HEADER_MORE || before < PROXY_HEADER_MAX);
    }
    return r;
}

static void assert_written_again(const struct header *h, int version)
{
    struct header again = {0};
    buf_init(&again.in, NULL, 0, PROXY_HEADER_MAX);
    proxy_header_write(&again.in, version, &h->client, &h->local);
    enum proxy_header r = proxy_header_read(&again.in, &again.client, &again.local, &again.rest);
    if (h->client.sa.sa_family == h->local.sa.sa_family) {
        assert(r == PROXY_HEADER_OK);
        assert(addr_equal(&h->client, &again.client) && addr_equal(&h->local, &again.local));
    } else {
        assert(r == PROXY_HEADER_LOCAL);
    }
    assert(buf_len(&again.in) == 0);
    buf_free(&again.in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct header whole, bytes;
    if (size > PROXY_HEADER_MAX)
        return 0;
    enum proxy_header r = feed(&whole, data, size, PROXY_HEADER_MAX);
    assert(feed(&bytes, data, size, 1) == r);
    if (r == PROXY_HEADER_OK) {
        assert(addr_equal(&whole.client, &bytes.client) && addr_equal(&whole.local, &bytes.local));
        assert_written_again(&whole, 1);
        assert_written_again(&whole, 2);
    }
    buf_free(&whole.in);
    buf_free(&bytes.in);
    return 0;
}
