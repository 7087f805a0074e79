/* SPDX-License-Identifier: ISC
 *
 * base/addr.c: what operators write as an address, and what they do not. */
#include "base/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_split(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {
        {"192.0.2.1:143", "192.0.2.1", 143},
        {"192.0.2.1", "192.0.2.1", 0},
        {"[::1]:65535", "::1", 65535},
        {"[::1]", "::1", 0},
        {"2001:db8::1", "2001:db8::1", 0},
        {"host.example.org:1", "host.example.org", 1},
        {"host.example.org", "host.example.org", 0},
        {"unix:/run/x:1", "unix:/run/x:1", 0},
    };
    static const char *const bad[] = {
        "",     ":143", "host:",     "host:0",  "host:65536", "host:x", "[::1]143", "[::1]:",
        "[::1", "[]",   "[host]:25", "host:-1", "unix:",      "unix:/", "unix:run", "[::1]:1:2"};
    (void)state;
    struct str host;
    uint16_t port;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(addr_split(str_of(good[i].text), &host, &port));
        assert_true(str_eq(host, str_of(good[i].host)));
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (addr_split(str_of(bad[i]), &host, &port))
            fail_msg("taken: %s", bad[i]);
}

static void assert_format(const char *host, uint16_t port, const char *text, const char *alone)
{
    struct addr a;
    char out[ADDR_TEXT];
    assert_true(addr_numeric(&a, str_of(host), port));
    assert_string_equal(addr_format(&a, out), text);
    assert_string_equal(addr_host(&a, out), alone);
}

static void test_numeric_and_format(void **state)
{
    static const char *const names[] = {"localhost",
                                        "192.0.2.256",
                                        "192.0.2",
                                        "01.2.3.4",
                                        "::g",
                                        "",
                                        "12345:12345:12345:12345:12345:12345:12345:12345"};
    (void)state;
    struct addr a, none = {0};
    char out[ADDR_TEXT];
    assert_format("192.0.2.1", 143, "192.0.2.1:143", "192.0.2.1");
    assert_format("2001:DB8:0::1", 993, "[2001:db8::1]:993", "2001:db8::1");
    assert_format("unix:/run/x", 0, "unix:/run/x", "unix:/run/x");
    assert_string_equal(addr_format(&none, out), "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_false(addr_numeric(&a, str_of(names[i]), 1));
    assert_false(addr_numeric(&a, (struct str){"192.0.2.1\0x", 11}, 1));
}

/* The longest path fits; one more does not. */
static void test_unix_path(void **state)
{
    (void)state;
    char text[5 + 109], out[ADDR_TEXT];
    struct addr a;
    memset(text, 'x', sizeof text);
    memcpy(text, "unix:/", 6);
    assert_true(addr_numeric(&a, (struct str){text, 5 + 107}, 0));
    assert_int_equal(strlen(addr_format(&a, out)), 5 + 107);
    assert_false(addr_numeric(&a, (struct str){text, 5 + 108}, 0));
}

static void test_from_sockaddr(void **state)
{
    (void)state;
    struct addr six, four, a;
    char out[ADDR_TEXT];
    addr_numeric(&six, str_of("::ffff:192.0.2.1"), 143);
    addr_numeric(&four, str_of("192.0.2.1"), 143);
    addr_from_sockaddr(&a, &six.sa, six.len);
    assert_true(addr_equal(&a, &four));
    assert_false(addr_equal(&six, &four));
    addr_numeric(&six, str_of("::fffe:192.0.2.1"), 143);
    addr_from_sockaddr(&a, &six.sa, six.len);
    assert_true(addr_equal(&a, &six));
    assert_int_equal(addr_port(&a), 143);
    struct sockaddr_un peer = {.sun_family = AF_UNIX}; /* what accept says of a nameless one */
    addr_from_sockaddr(&a, (struct sockaddr *)&peer, offsetof(struct sockaddr_un, sun_path));
    assert_string_equal(addr_format(&a, out), "unix");
    assert_int_equal(addr_port(&a), 0);
}

static void test_is_local(void **state)
{
    static const char *const local[] = {"127.0.0.1", "127.9.9.9", "::1", "unix:/x"};
    static const char *const remote[] = {"128.0.0.1", "::2", "0.0.0.0", "10.0.0.1"};
    (void)state;
    struct addr a = {0};
    assert_false(addr_is_local(&a));
    for (size_t i = 0; i < 4; i++) {
        assert_true(addr_numeric(&a, str_of(local[i]), 1) && addr_is_local(&a));
        assert_true(addr_numeric(&a, str_of(remote[i]), 1) && !addr_is_local(&a));
    }
}

static void test_hostname(void **state)
{
    static const char *const good[] = {"localhost", "a.example.org", "1a", "mx-1.example.org",
                                       "example.org."};
    static const char *const bad[] = {"",
                                      ".",
                                      "a..b",
                                      ".a",
                                      "-a.org",
                                      "a-.org",
                                      "a b",
                                      "1.2.3.4",
                                      "a/b",
                                      "b\xc3\xb6"
                                      "b.org"};
    (void)state;
    char label[70];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(addr_is_hostname(str_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(addr_is_hostname(str_of(bad[i])));
    memset(label, 'a', sizeof label);
    assert_true(addr_is_hostname((struct str){label, 63}));
    assert_false(addr_is_hostname((struct str){label, 64}));
}

static bool in_network(const char *network, const char *address)
{
    struct network n;
    struct addr a;
    assert_true(network_parse(&n, str_of(network)));
    assert_true(addr_numeric(&a, str_of(address), 1));
    return network_match(&n, 1, &a);
}

static void test_networks(void **state)
{
    static const char *const bad[] = {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10/8",
                                      "/8",         "::1/64",      "::/129",    "10.0.0.0/x",
                                      "unix:/x",    "host/8"};
    (void)state;
    struct network n;
    assert_true(in_network("10.0.0.0/8", "10.255.0.1"));
    assert_false(in_network("10.0.0.0/8", "11.0.0.1"));
    assert_true(in_network("10.32.0.0/11", "10.63.255.255"));
    assert_false(in_network("10.32.0.0/11", "10.64.0.0"));
    assert_true(in_network("192.0.2.1", "192.0.2.1"));
    assert_false(in_network("192.0.2.1", "192.0.2.0"));
    assert_true(in_network("0.0.0.0/0", "255.255.255.255"));
    assert_false(in_network("0.0.0.0/0", "2001:db8::1"));
    assert_true(in_network("::/0", "10.0.0.1")); /* all there is */
    assert_true(in_network("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(in_network("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(in_network("::1/128", "::1"));
    assert_true(in_network("10.0.0.0/8", "::ffff:10.0.0.1"));
    assert_false(in_network("::/0", "unix:/x"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(network_parse(&n, str_of(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),     cmocka_unit_test(test_numeric_and_format),
        cmocka_unit_test(test_unix_path), cmocka_unit_test(test_from_sockaddr),
        cmocka_unit_test(test_is_local),  cmocka_unit_test(test_hostname),
        cmocka_unit_test(test_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
