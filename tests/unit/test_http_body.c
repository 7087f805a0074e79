/* SPDX-License-Identifier: ISC
 *
 * web/http_body.c: bodies with every framing, cut at every byte. */
#include "web/http_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka.h needs those before it */
#include <cmocka.h>
#include <stdlib.h>

/* Reads TEXT in two pieces, cut at CUT; the data goes to OUT. Returns how much was used. */
static size_t read_cut(struct http_body *b, const char *text, size_t n, size_t cut, struct buf *out)
{
    size_t used = 0, data;
    for (int piece = 0; piece < 2 && b->state < HTTP_BODY_DONE; piece++) {
        size_t size = piece ? n - used : cut;
        char *space = malloc(size ? size : 1);
        assert_non_null(space);
        memcpy(space, text + used, size);
        used += http_body_read(b, space, size, &data);
        assert_true(buf_add(out, space, data));
        free(space);
    }
    return used;
}

/* TEXT ends a body that is DATA, with REST bytes behind it, whichever way it is cut. */
static void expect(enum http_framing framing, uint64_t length, const char *text, const char *data,
                   const char *trailers, size_t rest)
{
    struct http_head h = {.framing = framing, .length = length};
    size_t n = strlen(text);
    for (size_t cut = 0; cut <= n; cut++) {
        struct http_body b;
        struct buf out;
        buf_init(&out, NULL, 0, 1000);
        http_body_start(&b, &h);
        assert_int_equal(read_cut(&b, text, n, cut, &out), n - rest);
        assert_true(http_body_done(&b));
        assert_int_equal(buf_len(&out), strlen(data));
        assert_memory_equal(buf_str(&out).p, data, strlen(data));
        assert_int_equal(b.total, strlen(data));
        assert_int_equal(buf_len(&b.trailers), strlen(trailers));
        if (*trailers)
            assert_memory_equal(buf_str(&b.trailers).p, trailers, strlen(trailers));
        http_body_free(&b);
        buf_free(&out);
    }
}

static void test_good(void **state)
{
    (void)state;
    expect(HTTP_NO_BODY, 0, "GET", "", "", 3);
    expect(HTTP_COUNTED, 0, "GET", "", "", 3);
    expect(HTTP_COUNTED, 5, "helloGET", "hello", "", 3);
    expect(HTTP_CHUNKED, 0, "0\r\n\r\nGET", "", "", 3);
    expect(HTTP_CHUNKED, 0, "5\r\nhello\r\n0\r\n\r\n", "hello", "", 0);
    expect(HTTP_CHUNKED, 0, "1\r\nh\r\n00A;a=\"b\"\r\nello world\r\n0000\r\n\r\nGET", "hello world",
           "", 3);
    expect(HTTP_CHUNKED, 0, "1\r\nh\r\n0;last\r\na: b\r\nc: d\r\n\r\nGET", "h",
           "a: b\r\nc: d\r\n\r\n", 3);
}

static void test_bad(void **state)
{
    static const char *const all[] = {
        "\r\n",
        ";a\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\rhello\r\n",
        "5\r\nhelloX",
        "5\r\nhello\n",
        "5\r\nhello\r0",
        "5\r\nhello0\r\n",
        "5;a\nb\r\nhello",
        "5;a\rb\r\nhello",
        "g\r\n",
        "8000000000000000\r\n",
        "10000000000000000\r\n",
        "0\r\n\n",
        "0\r\na: b\n\r\n",
        "0\r\na: b\r\n c\r\n\r\n",
    };
    struct http_head h = {.framing = HTTP_CHUNKED};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t n = strlen(all[i]), cut = 0; cut <= n; cut++) {
            struct http_body b;
            struct buf out;
            buf_init(&out, NULL, 0, 1000);
            http_body_start(&b, &h);
            read_cut(&b, all[i], n, cut, &out);
            if (b.state != HTTP_BODY_BAD)
                print_message("taken: %s\n", all[i]);
            assert_int_equal(b.state, HTTP_BODY_BAD);
            http_body_free(&b);
            buf_free(&out);
        }
}

/* What never ends is refused in time. */
static void test_bounds(void **state)
{
    struct http_head h = {.framing = HTTP_CHUNKED};
    struct http_body b;
    char space[HTTP_TRAILERS_MAX + 10];
    size_t data;
    (void)state;
    http_body_start(&b, &h);
    memset(space, '0', sizeof space);
    assert_true(http_body_read(&b, space, sizeof space, &data) <= HTTP_CHUNK_LINE_MAX + 1);
    assert_int_equal(b.state, HTTP_BODY_BAD);
    http_body_free(&b);
    http_body_start(&b, &h);
    memset(space, 'a', sizeof space);
    memcpy(space, "0\r\n", 3);
    http_body_read(&b, space, sizeof space, &data);
    assert_int_equal(b.state, HTTP_BODY_BAD);
    http_body_free(&b);
}

static void test_end(void **state)
{
    static const struct {
        enum http_framing framing;
        bool whole;
    } all[] = {{HTTP_UNTIL_CLOSE, true}, {HTTP_COUNTED, false}, {HTTP_CHUNKED, false}};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct http_head h = {.framing = all[i].framing, .length = 1000};
        struct http_body b;
        char space[] = "5\r\nhello\r\n";
        size_t data;
        http_body_start(&b, &h);
        assert_int_equal(http_body_read(&b, space, 10, &data), 10);
        assert_int_equal(http_body_ended(&b), all[i].whole);
        http_body_free(&b);
    }
}

static void test_chunk_begin(void **state)
{
    static const struct {
        size_t n;
        const char *line;
    } all[] = {{0, "0\r\n"}, {1, "1\r\n"}, {255, "ff\r\n"}, {0x10000, "10000\r\n"}};
    char space[HTTP_CHUNK_BEFORE + 1] = {0};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_string_equal(http_chunk_begin(space + HTTP_CHUNK_BEFORE, all[i].n), all[i].line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_bounds),      cmocka_unit_test(test_end),
        cmocka_unit_test(test_chunk_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
