/* SPDX-License-Identifier: ISC
 *
 * Services of port 25 and LMTP in the configuration: what ends up in struct config, which options
 * they have, and that nobody becomes an open relay by a slip. */
#include "config.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A service with MORE in it, in line 4. */
#define SERVICE(protocol, more)                                                                    \
    "maps: {local: {type: file, path: users.map}}\n"                                               \
    "services:\n  " protocol ": {listeners: [{address: 127.0.0.1:2525}],\n"                        \
    "    maps: [local], domains: [example.org], " more "}\n"

static char folder[] = "/tmp/proxyd-test-XXXXXX";

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || chdir(folder) < 0)
        return -1;
    write_file("users.map", "bob@example.org 127.0.0.1\n");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink("t.yaml");
    unlink("users.map");
    return chdir("/") < 0 || rmdir(folder);
}

/* Loads TEXT, whose problems must be EXPECTED, a line each. */
static struct config *load(const char *text, const char *expected)
{
    struct problems problems = {0};
    char *told = NULL;
    size_t n;
    write_file("t.yaml", text);
    struct config *config = config_load("t.yaml", &problems);
    FILE *out = open_memstream(&told, &n);
    problems_print(&problems, out);
    fclose(out);
    assert_string_equal(told, expected);
    problems_free(&problems);
    free(told);
    return config;
}

static void test_what_is_read(void **state)
{
    (void)state;
    struct config *config =
        load(SERVICE("smtp", "unknown_user: discard, relay: 192.0.2.25, "
                             "relay_networks: [192.0.2.0/24], max_message_size: 10M, "
                             "backend: {protocol: lmtp}"),
             "");
    const struct config_service *s = &config->services[0];
    assert_int_equal(s->mail.unknown_user, UNKNOWN_USER_DISCARD);
    assert_string_equal(s->mail.relay.host, "192.0.2.25");
    assert_int_equal(s->mail.max_message_size, 10 << 20);
    assert_int_equal(s->mail.max_recipients, 100);
    assert_string_equal(config_backend_protocol(s)->name, "lmtp");
    assert_int_equal(s->backend.port, 24);
    config_unref(config);
}

static void test_defaults(void **state)
{
    (void)state;
    struct config *config = load(SERVICE("lmtp", ""), "");
    const struct config_service *s = &config->services[0];
    assert_string_equal(config_backend_protocol(s)->name, "lmtp");
    assert_int_equal(s->backend.port, 24);
    assert_null(s->mail.relay.host);
    assert_int_equal(s->mail.max_message_size, 50 << 20);
    config_unref(config);
}

static void test_hosted_domains(void **state)
{
    static const char *const hosted[] = {"example.org", "EXAMPLE.org", "a.example.net",
                                         "a.b.example.net"};
    static const char *const others[] = {
        "example.net", "", "xexample.org", "a.example.org", "example.org.evil.test", "xexample.net",
        ".example.net"};
    (void)state;
    struct config *config = load(SERVICE("smtp", "max_recipients: 1"), "");
    struct config_service *s = &config->services[0];
    char *list[] = {"example.org", "*.example.net"};
    struct strings domains = s->mail.domains;
    s->mail.domains = (struct strings){list, 2};
    for (size_t i = 0; i < sizeof hosted / sizeof *hosted; i++)
        assert_true(config_is_hosted(s, hosted[i]));
    for (size_t i = 0; i + 1 < sizeof others / sizeof *others; i++)
        assert_false(config_is_hosted(s, others[i]));
    s->mail.domains = domains;
    config_unref(config);
}

static void test_ports_by_what_the_nodes_speak(void **state)
{
    (void)state;
    struct config *config =
        load("nodes: {n: {address: 127.0.0.1, ports: {smtp: 2501, lmtp: 2502}}, "
             "m: {address: 127.0.0.1, ports: {smtp: 2503}}}\n" SERVICE("smtp",
                                                                       "backend: {protocol: lmtp}"),
             "");
    const struct config_service *s = &config->services[0];
    assert_int_equal(config_target(config, s, "n", 0).port, 2502);
    assert_int_equal(config_target(config, s, "m", 0).port, 2503);
    assert_int_equal(config_target(config, s, "other", 0).port, 24);
    config_unref(config);
}

static void test_no_open_relay(void **state)
{
    static const char *const everybody[] = {"0.0.0.0/0", "'::/0'"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char *text = xasprintf(SERVICE("smtp", "relay: 192.0.2.25,\n    relay_networks: [%s]"),
                               everybody[i]);
        assert_null(load(text, "t.yaml:5:5: error: relay_networks must not be everybody: this "
                               "would be an open relay\n"));
        free(text);
    }
    config_unref(load(SERVICE("smtp", "\n    relay: 192.0.2.25"),
                      "t.yaml:5:5: warning: the relay is used by nobody: relay_networks is "
                      "empty\n"));
}

static void test_logins_have_other_options(void **state)
{
    (void)state;
    assert_null(load(SERVICE("smtp", "\n    mechanisms: [plain]"),
                     "t.yaml:5:5: error: unknown key 'mechanisms'\n"));
    assert_null(load("services:\n  imap: {failover: 127.0.0.1, plaintext_auth: always,\n"
                     "    listeners: [{address: 127.0.0.1:2143}],\n    domains: [example.org]}\n",
                     "t.yaml:4:5: error: unknown key 'domains'\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_read),   cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_hosted_domains), cmocka_unit_test(test_ports_by_what_the_nodes_speak),
        cmocka_unit_test(test_no_open_relay),  cmocka_unit_test(test_logins_have_other_options),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
