/* SPDX-License-Identifier: ISC
 *
 * web/http_forward.c: what goes on to the node, and what comes back, word by word. */
#include "web/http_forward.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka.h needs those before it */
#include <cmocka.h>
#include <stdlib.h>

#define GET "GET / HTTP/1.1\r\nHost: a.example\r\n"

/* What a node gets first of a request for a.example from 192.0.2.1, and last. */
#define FIRST "GET / HTTP/1.1\r\nHost: a.example\r\n"
#define LAST                                                                                       \
    "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n"     \
    "Forwarded: for=192.0.2.1;proto=http;host=\"a.example\"\r\nX-Request-ID: id\r\n"

static const struct http_request_setup usual = {
    .client = "192.0.2.1", .id = "id", .host = "node1", .cookie = "route"};

static void expect_request(const char *text, const struct http_request_setup *setup,
                           const char *wanted)
{
    struct http_head h;
    struct http_outside outside;
    struct buf out;
    buf_init(&out, NULL, 0, 8192);
    assert_int_equal(http_head_request(&h, str_of(text)), 0);
    assert_true(http_forward_request(&out, &h, setup, &outside));
    buf_add(&out, "", 1);
    assert_string_equal(buf_str(&out).p, wanted);
    buf_free(&out);
}

static void test_requests(void **state)
{
    (void)state;
    expect_request(GET "\r\n", &usual, FIRST LAST "\r\n");
    expect_request(GET "A:  b \r\na: c\r\n\r\n", &usual, FIRST "A: b\r\na: c\r\n" LAST "\r\n");
    expect_request("POST / HTTP/1.1\r\nContent-Length: 007\r\nHost: a.example\r\n\r\n", &usual,
                   "POST / HTTP/1.1\r\nHost: a.example\r\n" LAST "Content-Length: 7\r\n\r\n");
    expect_request(GET "Transfer-Encoding: CHUNKED\r\n\r\n", &usual,
                   FIRST LAST "Transfer-Encoding: chunked\r\n\r\n");
    expect_request("GET http://A.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n", &usual,
                   "GET /x?y HTTP/1.1\r\nHost: a.example\r\n" LAST "\r\n");
    expect_request("GET / HTTP/1.0\r\n\r\n", &usual,
                   "GET / HTTP/1.1\r\nHost: node1\r\nX-Forwarded-For: 192.0.2.1\r\n"
                   "X-Forwarded-Proto: http\r\nForwarded: for=192.0.2.1;proto=http\r\n"
                   "X-Request-ID: id\r\n\r\n");
}

static void test_what_stays_behind(void **state)
{
    (void)state;
    expect_request(GET
                   "Connection: close, B\r\nB: 1\r\nKeep-Alive: 1\r\nTE: x\r\nExpect: "
                   "100-continue\r\nProxy-Authorization: x\r\nProxy: x\r\nX-Webmail-Device: x\r\n"
                   "X_Forwarded_For: x\r\nX-Request-ID: x\r\n\r\n",
                   &usual, FIRST LAST "\r\n");
    expect_request(GET
                   "Connection: Cookie, Authorization\r\nCookie: a=1\r\nAuthorization: x\r\n\r\n",
                   &usual, FIRST LAST "\r\n");
    expect_request(GET "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nClient-IP: "
                       "10.0.0.1\r\nX-Forwarded-Port: 1\r\nRemote-User: root\r\n\r\n",
                   &usual, FIRST LAST "\r\n");
}

static void test_cookies(void **state)
{
    (void)state;
    expect_request(GET "Cookie: route=x\r\n\r\n", &usual, FIRST LAST "\r\n");
    expect_request(GET "Cookie: a=1;route=x; b=2\r\nCookie: route=y; route2=z\r\n\r\n", &usual,
                   FIRST "Cookie: a=1; b=2\r\nCookie: route2=z\r\n" LAST "\r\n");
    expect_request(GET "Cookie: a=1; route =x; b=2\r\n\r\n", &usual,
                   FIRST "Cookie: a=1; b=2\r\n" LAST "\r\n");
}

static void test_trusted_clients(void **state)
{
    struct http_request_setup setup = usual;
    (void)state;
    setup.trusted = true;
    setup.client = "2001:db8::1";
    expect_request(GET "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n"
                       "X-Forwarded-Proto: https\r\nX-Forwarded-Host: b.example\r\nX-Real-IP: "
                       "10.0.0.1\r\n\r\n",
                   &setup,
                   FIRST "X-Real-IP: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.1, 2001:db8::1\r\n"
                         "X-Forwarded-Proto: https\r\nX-Forwarded-Host: b.example\r\nForwarded: "
                         "for=10.0.0.1, for=\"[2001:db8::1]\";proto=http;host=\"a.example\"\r\n"
                         "X-Request-ID: id\r\n\r\n");
}

static void test_other_credentials_and_an_upgrade(void **state)
{
    struct http_request_setup setup = usual;
    (void)state;
    setup.credentials = str_of("Basic eA==");
    setup.template_name = "plain";
    setup.device = "mobile";
    expect_request(GET "Authorization: Basic eQ==\r\nUpgrade: websocket\r\nConnection: "
                       "upgrade\r\n\r\n",
                   &setup,
                   FIRST "Authorization: Basic eA==\r\n" LAST
                         "X-Webmail-Template: plain\r\nX-Webmail-Device: mobile\r\n"
                         "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

/* ---- answers ---- */

static void expect_answer(const char *text, const struct http_answer_setup *setup,
                          const char *wanted)
{
    struct http_head h;
    struct buf out;
    buf_init(&out, NULL, 0, 8192);
    assert_null(http_head_answer(&h, str_of(text), false));
    assert_true(http_forward_answer(&out, &h, setup));
    buf_add(&out, "", 1);
    assert_string_equal(buf_str(&out).p, wanted);
    buf_free(&out);
}

static struct http_answer_setup answers(void)
{
    return (struct http_answer_setup){.outside = {STR("a.example:8443"), true},
                                      .node_host = STR("10.0.0.11"),
                                      .node_port = 8080,
                                      .cookie = "route",
                                      .keep = true,
                                      .framing = HTTP_COUNTED};
}

#define OK "HTTP/1.1 200 OK\r\n"

static void test_answers(void **state)
{
    struct http_answer_setup setup = answers();
    (void)state;
    expect_answer(OK "A: b\r\nContent-Length: 3\r\n\r\n", &setup,
                  OK "A: b\r\nContent-Length: 3\r\n\r\n");
    expect_answer(OK
                  "Connection: A, keep-alive\r\nA: b\r\nKeep-Alive: x\r\nContent-Length: 3\r\n\r\n",
                  &setup, OK "Content-Length: 3\r\n\r\n");
    setup.fields = str_of("X: y\r\n");
    setup.keep = false;
    setup.framing = HTTP_CHUNKED;
    expect_answer(OK "\r\n", &setup,
                  OK "X: y\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    setup.framing = HTTP_NO_BODY;
    expect_answer("HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n", &setup,
                  "HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n");
    expect_answer("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", &setup,
                  "HTTP/1.1 204 No\r\nX: y\r\nConnection: close\r\n\r\n");
    expect_answer("HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n", &setup,
                  "HTTP/1.1 304 No\r\nX: y\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
}

static void expect_place(const char *inside, const char *outside)
{
    struct http_answer_setup setup = answers();
    char text[200], wanted[200];
    snprintf(text, sizeof text, OK "Location: %s\r\nContent-Length: 0\r\n\r\n", inside);
    snprintf(wanted, sizeof wanted, OK "Location: %s\r\nContent-Length: 0\r\n\r\n", outside);
    expect_answer(text, &setup, wanted);
}

static void test_places(void **state)
{
    (void)state;
    expect_place("/a", "/a");
    expect_place("http://10.0.0.11:8080/a", "https://a.example:8443/a");
    expect_place("//10.0.0.11:8080/a", "//a.example:8443/a");
    expect_place("http://10.0.0.11:8080", "https://a.example:8443");
    expect_place("http://10.0.0.11:8080?a", "https://a.example:8443?a");
    expect_place("http://10.0.0.11:80801/a", "http://10.0.0.11:80801/a");
    expect_place("http://10.0.0.11/a", "http://10.0.0.11/a");
    expect_place("http://10.0.0.11:8080@evil.example/", "http://10.0.0.11:8080@evil.example/");
    expect_place("http://a.example:8443/a", "https://a.example:8443/a");
    expect_place("ftp://10.0.0.11:8080/a", "ftp://10.0.0.11:8080/a");
    expect_place("//evil.example/a", "//evil.example/a");
}

static void expect_cookie(const char *inside, const char *outside)
{
    struct http_answer_setup setup = answers();
    char text[200], wanted[200];
    snprintf(text, sizeof text, OK "Set-Cookie: %s\r\nContent-Length: 0\r\n\r\n", inside);
    snprintf(wanted, sizeof wanted, OK "%s%s%sContent-Length: 0\r\n\r\n",
             outside ? "Set-Cookie: " : "", outside ? outside : "", outside ? "\r\n" : "");
    expect_answer(text, &setup, wanted);
}

static void test_set_cookies(void **state)
{
    (void)state;
    expect_cookie("a=1;path=/", "a=1; path=/");
    expect_cookie("a=1; Domain=10.0.0.11; Secure", "a=1; Secure");
    expect_cookie("a=1; domain=.example", "a=1; domain=.example");
    expect_cookie("a=1; domain=xample", "a=1");
    expect_cookie("a=1; domain = node1.internal", "a=1");
    expect_cookie("route=1", NULL);
    expect_cookie("route =1", NULL);
    expect_cookie(" route=1; Path=/", NULL);
    expect_cookie("route2=1", "route2=1");
}

static void test_nothing_is_half_written(void **state)
{
    struct http_head h;
    struct http_outside outside;
    struct buf out;
    (void)state;
    buf_init(&out, NULL, 0, 100);
    assert_int_equal(http_head_request(&h, str_of(GET "\r\n")), 0);
    assert_false(http_forward_request(&out, &h, &usual, &outside));
    assert_int_equal(buf_len(&out), 0);
    buf_free(&out);
}

static void test_trailers(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, NULL, 0, 4096);
    assert_true(
        http_forward_trailers(&out, str_of("A: b\r\nContent-Length: 3\r\nHost: x\r\nCookie: "
                                           "x\r\nX_Y: z\r\nX-Forwarded-For: x\r\n\r\n")));
    buf_add(&out, "", 1);
    assert_string_equal(buf_str(&out).p, "A: b\r\n\r\n");
    buf_free(&out);
    assert_false(http_forward_trailers(&out, str_of("A : b\r\n\r\n")));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_what_stays_behind),
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_trusted_clients),
        cmocka_unit_test(test_other_credentials_and_an_upgrade),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_set_cookies),
        cmocka_unit_test(test_nothing_is_half_written),
        cmocka_unit_test(test_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
