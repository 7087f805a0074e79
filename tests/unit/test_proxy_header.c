/* SPDX-License-Identifier: ISC
 *
 * proxy_header.c: both versions, read byte by byte and whole, and read again as written. */
#include "proto/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static struct addr client, local;
static uint16_t rest;

static enum proxy_header read_bytes(struct buf *in, const char *bytes, size_t n)
{
    buf_clear(in);
    assert_true(buf_add(in, bytes, n));
    return proxy_header_read(in, &client, &local, &rest);
}

/* The N bytes are a header, NEEDED of them all that matters: every part of these says MORE, all
 * others are taken as they come; then bytes behind it stay. */
static void assert_header_with_rest(const char *bytes, size_t n, size_t needed,
                                    enum proxy_header expected)
{
    struct buf in;
    buf_init(&in, NULL, 0, 2 * PROXY_HEADER_MAX);
    for (size_t part = 0; part < needed; part++) {
        assert_int_equal(read_bytes(&in, bytes, part), PROXY_HEADER_MORE);
        assert_int_equal(buf_len(&in), part);
    }
    for (size_t part = needed; part <= n && part <= PROXY_HEADER_MAX; part++) {
        assert_int_equal(read_bytes(&in, bytes, part), expected);
        assert_int_equal(buf_len(&in), 0);
        assert_int_equal(rest, n - part);
    }
    if (n > PROXY_HEADER_MAX) {
        buf_free(&in);
        return;
    }
    assert_true(buf_add(&in, bytes, n) && buf_adds(&in, "a NOOP"));
    assert_int_equal(proxy_header_read(&in, &client, &local, &rest), expected);
    assert_int_equal(rest, 0);
    assert_true(str_eq(buf_str(&in), str_of("a NOOP")));
    buf_free(&in);
}

static void assert_header(const char *bytes, size_t n, enum proxy_header expected)
{
    assert_header_with_rest(bytes, n, n, expected);
}

static void assert_addresses(const char *from, const char *to)
{
    char text[ADDR_TEXT];
    assert_string_equal(addr_format(&client, text), from);
    assert_string_equal(addr_format(&local, text), to);
}

/* The last byte of TEXT is the first wrong one. */
static void assert_wrong_at_end(const char *text, size_t n)
{
    struct buf in;
    buf_init(&in, NULL, 0, 8192);
    if (read_bytes(&in, text, n) != PROXY_HEADER_BAD)
        fail_msg("taken: %s", text);
    for (size_t part = 0; part < n; part++)
        if (read_bytes(&in, text, part) != PROXY_HEADER_MORE)
            fail_msg("refused too early, at %zu: %s", part, text);
    buf_free(&in);
}

#define HEADER(text, expected) assert_header(text, sizeof(text) - 1, expected)

static void test_v1(void **state)
{
    (void)state;
    HEADER("PROXY TCP4 192.0.2.1 198.51.100.20 4711 143\r\n", PROXY_HEADER_OK);
    assert_addresses("192.0.2.1:4711", "198.51.100.20:143");
    HEADER("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", PROXY_HEADER_OK);
    assert_addresses("0.0.0.0:0", "255.255.255.255:65535");
    HEADER("PROXY TCP6 2001:db8::1 ::1 4711 993\r\n", PROXY_HEADER_OK);
    assert_addresses("[2001:db8::1]:4711", "[::1]:993");
    HEADER("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
           PROXY_HEADER_OK);
    HEADER("PROXY TCP6 ::ffff:192.0.2.1 1:2:3:4:5:6:7:: 1 2\r\n", PROXY_HEADER_OK);
    assert_addresses("192.0.2.1:1", "[1:2:3:4:5:6:7:0]:2");
}

static void test_v1_unknown(void **state)
{
    (void)state;
    memset(&client, 0x55, sizeof client);
    HEADER("PROXY UNKNOWN\r\n", PROXY_HEADER_LOCAL);
    HEADER("PROXY UNKNOWN ffff:f...f:ffff whatever\r\n", PROXY_HEADER_LOCAL);
    assert_int_equal(client.len, 0x55555555);
}

static void test_v1_wrong(void **state)
{
    static const char *const wrong[] = {
        "p",
        "PROXY\r",
        "PROXY  ",
        "PROXY TCP5",
        "PROXY t",
        "PROXY UNKNOWNS",
        "PROXY UNKNOWN x\n",
        "PROXY UNKNOWN\rx",
        "PROXY TCP4 x",
        "PROXY TCP4  ",
        "PROXY TCP4 256",
        "PROXY TCP4 1.2.3 ",
        "PROXY TCP4 1.2.3.4.",
        "PROXY TCP4 01",
        "PROXY TCP4 1..",
        "PROXY TCP4 1.2.3.4\r",
        "PROXY TCP4 :",
        "PROXY TCP6 1.",
        "PROXY TCP6 1:::",
        "PROXY TCP6 1::2::",
        "PROXY TCP6 12345",
        "PROXY TCP6 1:2:3:4:5:6:7:8:",
        "PROXY TCP6 g",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +",
        "PROXY TCP4 1.2.3.4 5.6.7.8  ",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 ",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rx",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_wrong_at_end(wrong[i], strlen(wrong[i]));
    assert_wrong_at_end("PROXY TCP4 1\0", 13);
}

static void test_v1_length(void **state)
{
    char line[108];
    struct buf in;
    (void)state;
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_wrong_at_end(line, 107);
    memcpy(line + 105, "\r\n", 2);
    assert_header(line, 107, PROXY_HEADER_LOCAL);
    memcpy(line + 105, "x\r\n", 3);
    buf_init(&in, NULL, 0, 200);
    assert_int_equal(read_bytes(&in, line, 108), PROXY_HEADER_BAD);
    buf_free(&in);
}

static void test_v2(void **state)
{
    (void)state;
    HEADER(SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x14\x12\x67\0\x8f", PROXY_HEADER_OK);
    assert_addresses("192.0.2.1:4711", "198.51.100.20:143");
    assert_header_with_rest(SIGNATURE "\x21\x11\0\x10\xc0\0\x02\x02\xc6\x33\x64\x14\x12\x67\0\x8f"
                                      "\x04\0\x01x",
                            32, 28, PROXY_HEADER_OK);
    assert_addresses("192.0.2.2:4711", "198.51.100.20:143");
    HEADER(SIGNATURE "\x21\x21\0\x24 \x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                     "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x67\x03\xe1",
           PROXY_HEADER_OK);
    assert_addresses("[2001:db8::1]:4711", "[::1]:993");
}

static void test_v2_local(void **state)
{
    (void)state;
    memset(&client, 0x55, sizeof client);
    HEADER(SIGNATURE "\x20\0\0\0", PROXY_HEADER_LOCAL);
    assert_header_with_rest(SIGNATURE "\x20\x11\0\x03xyz", 19, 16, PROXY_HEADER_LOCAL);
    assert_header_with_rest(SIGNATURE "\x21\x12\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x14\x12\x67\0\x8f",
                            28, 16, PROXY_HEADER_LOCAL);
    HEADER(SIGNATURE "\x21\0\0\0", PROXY_HEADER_LOCAL);
    assert_int_equal(client.len, 0x55555555);
}

static void test_v2_wrong(void **state)
{
    (void)state;
    assert_wrong_at_end("\n", 1);
    assert_wrong_at_end("\r\n\r\n\r", 5);
    assert_wrong_at_end(SIGNATURE "\x11", 13);
    assert_wrong_at_end(SIGNATURE "\x22", 13);
    assert_wrong_at_end(SIGNATURE "\x21\x11\0\x0b", 16);
    assert_wrong_at_end(SIGNATURE "\x21\x21\0\x23", 16);
}

static void test_v2_largest(void **state)
{
    static char header[16 + 65535] =
        SIGNATURE "\x21\x11\xff\xff\xc0\0\x02\x03\xc6\x33\x64\x14\x12\x67\0\x8f";
    (void)state;
    assert_header_with_rest(header, sizeof header, 28, PROXY_HEADER_OK);
    assert_addresses("192.0.2.3:4711", "198.51.100.20:143");
}

static void write_and_read(int version, const char *from, const char *to,
                           enum proxy_header expected)
{
    struct addr a = {0}, b = {0};
    struct str host;
    uint16_t port;
    struct buf buf;
    buf_init(&buf, NULL, 0, 1000);
    assert_true(addr_split(str_of(from), &host, &port) && addr_numeric(&a, host, port));
    assert_true(addr_split(str_of(to), &host, &port) && addr_numeric(&b, host, port));
    proxy_header_write(&buf, version, &a, &b);
    assert_int_equal(proxy_header_read(&buf, &client, &local, &rest), expected);
    assert_int_equal(buf_len(&buf) + rest, 0);
    if (expected == PROXY_HEADER_OK)
        assert_addresses(from, to);
    buf_free(&buf);
}

static void test_write(void **state)
{
    (void)state;
    for (int version = 1; version <= 2; version++) {
        write_and_read(version, "192.0.2.1:4711", "192.0.2.2:143", PROXY_HEADER_OK);
        write_and_read(version, "[2001:db8::1]:65535", "[2001:db8::2]:1", PROXY_HEADER_OK);
        write_and_read(version, "192.0.2.1:4711", "[2001:db8::2]:1", PROXY_HEADER_LOCAL);
        write_and_read(version, "unix:/run/x", "unix:/run/x", PROXY_HEADER_LOCAL);
    }
}

static void test_write_bytes(void **state)
{
    struct addr a, b, none = {0};
    struct buf buf;
    (void)state;
    buf_init(&buf, NULL, 0, 1000);
    addr_numeric(&a, str_of("192.0.2.1"), 4711);
    addr_numeric(&b, str_of("198.51.100.20"), 143);
    proxy_header_write(&buf, 1, &a, &b);
    proxy_header_write(&buf, 1, &a, &none);
    assert_true(str_eq(buf_str(&buf), str_of("PROXY TCP4 192.0.2.1 198.51.100.20 4711 143\r\n"
                                             "PROXY UNKNOWN\r\n")));
    buf_clear(&buf);
    proxy_header_write(&buf, 2, &a, &b);
    proxy_header_write(&buf, 2, &none, &b);
    static const char two[] =
        SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x14\x12\x67\0\x8f" SIGNATURE "\x20\0\0";
    assert_true(str_eq(buf_str(&buf), (struct str){two, sizeof two}));
    buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v1),       cmocka_unit_test(test_v1_unknown),
        cmocka_unit_test(test_v1_wrong), cmocka_unit_test(test_v1_length),
        cmocka_unit_test(test_v2),       cmocka_unit_test(test_v2_local),
        cmocka_unit_test(test_v2_wrong), cmocka_unit_test(test_v2_largest),
        cmocka_unit_test(test_write),    cmocka_unit_test(test_write_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
