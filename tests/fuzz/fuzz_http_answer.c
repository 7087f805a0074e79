/* SPDX-License-Identifier: ISC
 *
 * Fuzzes a node's answer: whatever is taken is read the same way again once it was written anew for
 * the client, and says nothing that is only the node's. */
#include "web/http_body.h"
#include "web/http_forward.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

static void check_forwarded(const struct http_head *h)
{
    struct http_answer_setup setup = {
        .outside = {STR("mail.example.org"), true},
        .node_host = STR("10.0.0.1"),
        .node_port = 8080,
        .cookie = "route",
        .keep = true,
        .framing = h->framing == HTTP_UNTIL_CLOSE ? HTTP_CHUNKED : h->framing,
    };
    struct http_head again;
    struct buf out;
    size_t seen = 0;
    buf_init(&out, NULL, 0, 1 << 20);
    if (http_forward_answer(&out, h, &setup)) {
        assert(http_head_end(buf_str(&out), &seen) == buf_len(&out));
        const char *error = http_head_answer(&again, buf_str(&out), h->framing == HTTP_NO_BODY);
        assert(!error || strcmp(error, "too many fields") == 0);
        if (!error) {
            assert(again.status == h->status && again.framing == setup.framing);
            for (size_t i = 0; i < again.field_count; i++)
                assert(again.fields[i].id != HTTP_FIELD_HOP &&
                       (again.fields[i].id != HTTP_FIELD_SET_COOKIE ||
                        memcmp(again.fields[i].value.p, "route=", 6) != 0));
        }
    }
    buf_free(&out);
}

static void check_body(const struct http_head *h, char *rest, size_t n)
{
    struct http_body b;
    struct buf out;
    size_t data, used;
    http_body_start(&b, h);
    buf_init(&out, NULL, 0, 1 << 20);
    used = http_body_read(&b, rest, n, &data);
    assert(used <= n && data <= used);
    assert(used == n || b.state >= HTTP_BODY_DONE);
    if (http_body_done(&b) && buf_len(&b.trailers) &&
        http_forward_trailers(&out, buf_str(&b.trailers))) {
        struct http_head trailers;
        assert(http_head_trailers(&trailers, buf_str(&out)));
        assert(!http_head_find(&trailers, HTTP_FIELD_CONTENT_LENGTH));
    }
    http_body_ended(&b);
    buf_free(&out);
    http_body_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head h;
    size_t seen = 0;
    if (size == 0)
        return 0;
    bool is_head = data[0] & 1;
    char *text = malloc(size);
    memcpy(text, data, size);
    ssize_t end = http_head_end((struct str){text + 1, size - 1}, &seen);
    if (end > 0 && !http_head_answer(&h, (struct str){text + 1, (size_t)end}, is_head)) {
        check_forwarded(&h);
        check_body(&h, text + 1 + end, size - 1 - (size_t)end);
    }
    free(text);
    return 0;
}
