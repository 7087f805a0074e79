/* SPDX-License-Identifier: ISC
 *
 * web/http_head.c: what is a head, and above all what is none. */
#include "web/http_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka.h needs those before it */
#include <cmocka.h>
#include <stdlib.h>

/* A copy of its own size, so that the sanitizers see who reads behind the end. */
static char *copy(const char *text, size_t n)
{
    char *p = malloc(n ? n : 1);
    assert_non_null(p);
    memcpy(p, text, n);
    return p;
}

/* The status for a head that comes byte by byte; 0: it is good, 1: it is not whole. */
static unsigned judge(const char *text, size_t n, struct http_head *h)
{
    size_t seen = 0;
    static char *space;
    free(space);
    space = copy(text, n);
    for (size_t i = 1; i <= n; i++) {
        ssize_t end = http_head_end((struct str){space, i}, &seen);
        if (end < 0)
            return 400;
        if (end > 0)
            return http_head_request(h, (struct str){space, (size_t)end});
    }
    return 1;
}

static void expect(unsigned status, const char *text, size_t n)
{
    struct http_head h;
    unsigned got = judge(text, n, &h);
    if (got != status)
        print_message("%u, not %u: %s\n", got, status, text);
    assert_int_equal(got, status);
}

#define GET                  "GET / HTTP/1.1\r\n"
#define HOST                 "Host: a.example\r\n"
#define POST                 "POST / HTTP/1.1\r\n" HOST
#define EXPECT(status, text) expect(status, text, sizeof(text) - 1)

static void test_good(void **state)
{
    (void)state;
    EXPECT(0, GET HOST "\r\n");
    EXPECT(0, "\r\n" GET HOST "\r\n");
    EXPECT(0, "GET /a?b=c&d=%20|{}^[] HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(0, "GET / HTTP/1.0\r\n\r\n");
    EXPECT(0, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(0, "GET http://A.example/x HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(0, GET "Host: a.example:8080\r\n\r\n");
    EXPECT(0, GET "Host: [::1]:80\r\n\r\n");
    EXPECT(0, GET HOST "X:\r\nY: \t \r\n\r\n");
    EXPECT(0, POST "Content-Length: 0\r\n\r\n");
    EXPECT(0, POST "Transfer-Encoding: Chunked\r\n\r\n");
    EXPECT(0, POST "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n");
    EXPECT(0, "PROPFIND / HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(0, "MKCALENDAR / HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(1, GET HOST "\r");
    EXPECT(1, GET HOST);
}

static void test_line_ends(void **state)
{
    (void)state;
    EXPECT(400, "GET / HTTP/1.1\n");
    EXPECT(400, GET "Host: a\nb: c\r\n\r\n");
    EXPECT(400, GET HOST "\n");
    EXPECT(400, GET "Host: a\rb: c\r\n\r\n");
    EXPECT(400, GET HOST "a: b\r\r\n\r\n");
    EXPECT(400, GET HOST "\rb: c\r\n\r\n");
    EXPECT(400, GET HOST "a: b\0c\r\n\r\n");
    EXPECT(400, GET HOST "a\0: b\r\n\r\n");
    EXPECT(400, "GET /\0 HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, GET HOST "a: b\x01\r\n\r\n");
    EXPECT(400, GET HOST "a: b\x7f\r\n\r\n");
    EXPECT(400, GET HOST "a: b\r\n c\r\n\r\n");
    EXPECT(400, GET HOST "a: b\r\n\tc\r\n\r\n");
    EXPECT(400, GET " " HOST "\r\n");
    EXPECT(400, "\r\n\r\n" GET HOST "\r\n");
}

static void test_names(void **state)
{
    (void)state;
    EXPECT(400, GET "Host : a\r\n\r\n");
    EXPECT(400, GET HOST "a : b\r\n\r\n");
    EXPECT(400, GET HOST "a\t: b\r\n\r\n");
    EXPECT(400, GET HOST "a b: c\r\n\r\n");
    EXPECT(400, GET HOST ": b\r\n\r\n");
    EXPECT(400, GET HOST "ab\r\n\r\n");
    EXPECT(400, GET HOST "a\xc3\xa4: b\r\n\r\n");
    EXPECT(400, GET HOST "(a): b\r\n\r\n");
    for (int c = 0; c < 256; c++) {
        char text[] = GET HOST "a_b: c\r\n\r\n", name[] = {(char)c};
        text[sizeof(GET HOST "a") - 1] = (char)c;
        bool good = c == ':' || http_is_token((struct str){name, 1});
        expect(good ? 0 : 400, text, sizeof text - 1);
    }
}

static void test_request_lines(void **state)
{
    (void)state;
    EXPECT(400, "GET  / HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET /  HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET / HTTP/1.1 \r\n" HOST "\r\n");
    EXPECT(400, " GET / HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET /a b HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET /#a HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET a HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET * HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET /\r\n\r\n");
    EXPECT(400, "GET / http/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET / HTTP/1\r\n" HOST "\r\n");
    EXPECT(400, "GET / HTTP/1.11\r\n" HOST "\r\n");
    EXPECT(400, "GE(T / HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "\x16\x03\x01\r\n\r\n");
    EXPECT(501, "BREW / HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(501, "get / HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(501, "CONNECT a.example:443 HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(501, "TRACE / HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(505, "GET / HTTP/2.0\r\n" HOST "\r\n");
    EXPECT(505, "GET / HTTP/1.2\r\n" HOST "\r\n");
    EXPECT(505, "GET / HTTP/0.9\r\n" HOST "\r\n");
    EXPECT(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

static void test_hosts(void **state)
{
    (void)state;
    EXPECT(400, GET "\r\n");
    EXPECT(400, GET "Host:\r\n\r\n");
    EXPECT(400, GET HOST HOST "\r\n");
    EXPECT(400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n");
    EXPECT(400, GET "Host: a,b\r\n\r\n");
    EXPECT(400, GET "Host: a b\r\n\r\n");
    EXPECT(400, GET "Host: a/b\r\n\r\n");
    EXPECT(400, GET "Host: u@a\r\n\r\n");
    EXPECT(400, GET "Host: a:\r\n\r\n");
    EXPECT(400, GET "Host: a:b\r\n\r\n");
    EXPECT(400, GET "Host: a:80:80\r\n\r\n");
    EXPECT(400, GET "Host: a:65536\r\n\r\n");
    EXPECT(400, GET "Host: :80\r\n\r\n");
    EXPECT(400, GET "Host: a]\r\n\r\n");
    EXPECT(400, GET "Host: [::1\r\n\r\n");
    EXPECT(400, GET "Host: [::1]a\r\n\r\n");
    EXPECT(400, GET "Host: []\r\n\r\n");
    EXPECT(400, GET "Host: ::1\r\n\r\n");
    EXPECT(400, "GET http://b.example/ HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET http://a.example@b/ HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET http:///x HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET ftp://a.example/ HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(400, "GET http://a.example/ HTTP/1.0\r\n\r\n");
}

static void test_framing(void **state)
{
    (void)state;
    EXPECT(400, POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n");
    EXPECT(400, POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n");
    EXPECT(400, POST "Content-Length: 1, 1\r\n\r\n");
    EXPECT(400, POST "Content-Length: +1\r\n\r\n");
    EXPECT(400, POST "Content-Length: -1\r\n\r\n");
    EXPECT(400, POST "Content-Length: 0x1\r\n\r\n");
    EXPECT(400, POST "Content-Length: 1 2\r\n\r\n");
    EXPECT(400, POST "Content-Length:\r\n\r\n");
    EXPECT(400, POST "Content-Length: 9223372036854775808\r\n\r\n");
    EXPECT(400, POST "Content-Length: 18446744073709551617\r\n\r\n");
    EXPECT(400, POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding: chunked, chunked\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding: chunked, identity\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding: identity\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding: xchunked\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding: chunked;a=b\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding: \"chunked\"\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding: \vchunked\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding:\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding : chunked\r\n\r\n");
    EXPECT(400, POST "Transfer-Encoding: gzip\r\n\r\n");
    EXPECT(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    EXPECT(501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n");
    EXPECT(417, POST "Expect: a-miracle\r\n\r\n");
}

static void test_too_many_fields(void **state)
{
    char text[4096] = GET HOST;
    struct http_head h;
    (void)state;
    for (int i = 1; i < HTTP_FIELDS_MAX; i++)
        strcat(text, "a: b\r\n");
    strcat(text, "\r\n");
    assert_int_equal(judge(text, strlen(text), &h), 0);
    assert_int_equal(h.field_count, HTTP_FIELDS_MAX);
    strcpy(text + strlen(text) - 2, "a: b\r\n\r\n");
    assert_int_equal(judge(text, strlen(text), &h), 431);
}

static void assert_str(struct str a, const char *text)
{
    assert_int_equal(a.n, strlen(text));
    assert_memory_equal(a.p, text, a.n);
}

static void test_what_it_says(void **state)
{
    static const char text[] =
        "POST http://a.example:8080/b?c HTTP/1.1\r\nHOST: A.example:8080\r\n"
        "Cookie: x=1; sid = 3;  route=\"a=b\" ;route=2\r\nConnection: Keep-Alive, X-Mine\r\n"
        "X-Mine:  my  value \r\nX_Forwarded_For: 1.2.3.4\r\nX-Forwarded-Port: 1\r\n"
        "Content-Length: 12\r\nCookie: late=4\r\n\r\n";
    struct http_head h;
    (void)state;
    assert_int_equal(judge(text, sizeof text - 1, &h), 0);
    assert_str(h.method, "POST");
    assert_str(h.target, "/b?c");
    assert_str(h.host, "A.example:8080");
    assert_str(http_head_named(&h, "x-mine")->value, "my  value");
    assert_true(http_head_named(&h, "x-mine")->nominated);
    assert_false(http_head_named(&h, "cookie")->nominated);
    assert_int_equal(http_head_named(&h, "x_forwarded_for")->id, HTTP_FIELD_OURS);
    assert_int_equal(http_head_named(&h, "x-forwarded-port")->id, HTTP_FIELD_X_FORWARDED);
    assert_str(http_head_cookie(&h, "route"), "\"a=b\"");
    assert_str(http_head_cookie(&h, "late"), "4");
    assert_null(http_head_cookie(&h, "lat").p);
    assert_null(http_head_cookie(&h, "sid").p); /* a blank is no part of a name */
    assert_int_equal(h.framing, HTTP_COUNTED);
    assert_int_equal(h.length, 12);
    assert_true(h.keep);
    assert_false(h.is_idempotent);
}

/* Every name that means something is known, in any case. */
static void test_field_names(void **state)
{
    static const struct {
        const char *name;
        enum http_field_id id;
    } all[] = {
        {"Te", HTTP_FIELD_HOP},
        {"Host", HTTP_FIELD_HOST},
        {"Proxy", HTTP_FIELD_OURS},
        {"Accept", HTTP_FIELD_ACCEPT},
        {"Cookie", HTTP_FIELD_COOKIE},
        {"Expect", HTTP_FIELD_EXPECT},
        {"Upgrade", HTTP_FIELD_UPGRADE},
        {"Location", HTTP_FIELD_LOCATION},
        {"Forwarded", HTTP_FIELD_FORWARDED},
        {"X-Real-Ip", HTTP_FIELD_X_FORWARDED},
        {"Connection", HTTP_FIELD_CONNECTION},
        {"Keep-Alive", HTTP_FIELD_HOP},
        {"Set-Cookie", HTTP_FIELD_SET_COOKIE},
        {"User-Agent", HTTP_FIELD_USER_AGENT},
        {"Remote-User", HTTP_FIELD_X_FORWARDED},
        {"Content-Type", HTTP_FIELD_CONTENT_TYPE},
        {"X-Request-Id", HTTP_FIELD_REQUEST_ID},
        {"Authorization", HTTP_FIELD_AUTHORIZATION},
        {"If-None-Match", HTTP_FIELD_IF_NONE_MATCH},
        {"X-Remote-User", HTTP_FIELD_X_FORWARDED},
        {"Content-Length", HTTP_FIELD_CONTENT_LENGTH},
        {"Http2-Settings", HTTP_FIELD_HOP},
        {"X-Forwarded-For", HTTP_FIELD_X_FORWARDED_FOR},
        {"Proxy-Connection", HTTP_FIELD_HOP},
        {"Www-Authenticate", HTTP_FIELD_WWW_AUTHENTICATE},
        {"X-Forwarded-Host", HTTP_FIELD_X_FORWARDED_HOST},
        {"If-Modified-Since", HTTP_FIELD_IF_MODIFIED_SINCE},
        {"Transfer-Encoding", HTTP_FIELD_TRANSFER_ENCODING},
        {"X-Forwarded-Proto", HTTP_FIELD_X_FORWARDED_PROTO},
        {"Proxy-Authenticate", HTTP_FIELD_HOP},
        {"Proxy-Authorization", HTTP_FIELD_HOP},
        {"X-Forwarded-Port", HTTP_FIELD_X_FORWARDED},
        {"Client-IP", HTTP_FIELD_X_FORWARDED},
        {"X-Client-IP", HTTP_FIELD_X_FORWARDED},
        {"X-Forwarded", HTTP_FIELD_X_FORWARDED},
        {"True-Client-IP", HTTP_FIELD_X_FORWARDED},
        {"X-Cluster-Client-IP", HTTP_FIELD_X_FORWARDED},
        {"X-WebObjects-Remote-User", HTTP_FIELD_X_FORWARDED},
        {"X-Webmail-Device", HTTP_FIELD_OURS},
        {"Accepts", HTTP_FIELD_OTHER},
        {"Xookie", HTTP_FIELD_OTHER},
        {"A-name-that-is-longer-than-any-of-those", HTTP_FIELD_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char text[100];
        struct http_head h;
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n%s:\r\n\r\n", all[i].name);
        http_head_answer(&h, str_of(text), false);
        assert_int_equal(h.field_count, 1);
        if (h.fields[0].id != all[i].id)
            print_message("%s\n", all[i].name);
        assert_int_equal(h.fields[0].id, all[i].id);
    }
}

static void test_keeping(void **state)
{
    static const struct {
        const char *text;
        bool keep;
    } all[] = {
        {GET HOST "\r\n", true},
        {GET HOST "Connection: close\r\n\r\n", false},
        {GET HOST "Connection: keep-alive, CLOSE\r\n\r\n", false},
        {GET HOST "Connection: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
    };
    struct http_head h;
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_int_equal(judge(all[i].text, strlen(all[i].text), &h), 0);
        assert_int_equal(h.keep, all[i].keep);
    }
}

static void test_upgrade(void **state)
{
    static const char text[] = GET HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    static const char not [] = GET HOST "Upgrade: websocket\r\n\r\n";
    struct http_head h;
    (void)state;
    assert_int_equal(judge(text, sizeof text - 1, &h), 0);
    assert_str(h.upgrade, "websocket");
    assert_int_equal(judge(not, sizeof not -1, &h), 0);
    assert_int_equal(h.upgrade.n, 0);
}

/* ---- answers ---- */

static const char *answer(struct http_head *h, const char *text, bool is_head)
{
    static char *space;
    size_t seen = 0, n = strlen(text);
    free(space);
    space = copy(text, n);
    ssize_t end = http_head_end((struct str){space, n}, &seen);
    return end <= 0 ? "no end" : http_head_answer(h, (struct str){space, (size_t)end}, is_head);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void test_answers(void **state)
{
    static const struct {
        const char *text;
        bool is_head;
        enum http_framing framing;
        bool keep;
    } good[] = {
        {OK "Content-Length: 3\r\n\r\n", false, HTTP_COUNTED, true},
        {OK "Content-Length: 3\r\n\r\n", true, HTTP_NO_BODY, true},
        {OK "Transfer-Encoding: chunked\r\n\r\n", false, HTTP_CHUNKED, true},
        {OK "\r\n", false, HTTP_UNTIL_CLOSE, false},
        {OK "Connection: close\r\nContent-Length: 3\r\n\r\n", false, HTTP_COUNTED, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", false, HTTP_COUNTED, false},
        {"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", false, HTTP_NO_BODY, true},
        {"HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n", false, HTTP_NO_BODY, true},
        {"HTTP/1.1 100 Continue\r\n\r\n", false, HTTP_NO_BODY, true},
        {"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\n", false, HTTP_COUNTED, true},
        {"HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n", false, HTTP_COUNTED, true},
    };
    static const char *const bad[] = {
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP 200 OK\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        OK "Content-Length: 3\r\nContent-Length: 3\r\n\r\n",
        OK "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK "Content-Length: 3x\r\n\r\n",
        OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK "Transfer-Encoding: identity\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK "a : b\r\n\r\n",
        OK "a: b\r\n c\r\n\r\n",
        OK "a: b\n\r\n",
        OK "a: b\rc: d\r\n\r\n",
    };
    struct http_head h;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const char *error = answer(&h, good[i].text, good[i].is_head);
        if (error)
            print_message("%s: %s\n", error, good[i].text);
        assert_null(error);
        assert_int_equal(h.framing, good[i].framing);
        assert_int_equal(h.keep, good[i].keep);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *error = answer(&h, bad[i], false);
        if (!error)
            print_message("taken: %s\n", bad[i]);
        assert_non_null(error);
    }
}

static void test_trailers(void **state)
{
    struct http_head h;
    (void)state;
    assert_true(http_head_trailers(&h, str_of("\r\n")));
    assert_int_equal(h.field_count, 0);
    assert_true(http_head_trailers(&h, str_of("Checksum: 1\r\nb:\r\n\r\n")));
    assert_int_equal(h.field_count, 2);
    assert_str(h.fields[0].value, "1");
    assert_false(http_head_trailers(&h, str_of("a b: c\r\n\r\n")));
    assert_false(http_head_trailers(&h, str_of("GET / HTTP/1.1\r\n\r\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_line_ends),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_request_lines),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_too_many_fields),
        cmocka_unit_test(test_what_it_says),
        cmocka_unit_test(test_field_names),
        cmocka_unit_test(test_keeping),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
