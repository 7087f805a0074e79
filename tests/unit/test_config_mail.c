/* SPDX-License-Identifier: ISC
 *
 * Services of port 25 and LMTP in the configuration: what ends up in struct config, which options
 * they have, and that nobody becomes an open relay by a slip. */
#include "config_case.h"

/* A service with MORE in it, in line 4. */
#define SERVICE(protocol, more)                                                                    \
    "maps: {local: {type: file, path: users.map}}\n"                                               \
    "services:\n  " protocol ": {listeners: [{address: 127.0.0.1:2525}],\n"                        \
    "    maps: [local], domains: [example.org], " more "}\n"

static void test_what_is_read(void **state)
{
    (void)state;
    struct config *config =
        good(SERVICE("smtp", "unknown_user: discard, relay: 192.0.2.25, "
                             "relay_networks: [192.0.2.0/24], max_message_size: 10M, "
                             "backend: {protocol: lmtp}"));
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
    struct config *config = good(SERVICE("lmtp", ""));
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
    struct config *config = good(SERVICE("smtp", "max_recipients: 1"));
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
        good("nodes: {n: {address: 127.0.0.1, ports: {smtp: 2501, lmtp: 2502}}, "
             "m: {address: 127.0.0.1, ports: {smtp: 2503}}}\n" SERVICE(
                 "smtp", "backend: {protocol: lmtp}"));
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
        refused(text, "t.yaml:5:5: error: relay_networks must not be everybody: this "
                      "would be an open relay\n");
        free(text);
    }
    refused(SERVICE("smtp", "\n    relay: 192.0.2.25"),
            "t.yaml:5:5: warning: the relay is used by nobody: relay_networks is "
            "empty\n");
}

static void test_logins_have_other_options(void **state)
{
    (void)state;
    refused(SERVICE("smtp", "\n    failover: 192.0.2.1"),
            "t.yaml:5:5: warning: 'failover' is not used by services of this protocol\n");
    refused("services:\n  imap: {failover: 127.0.0.1, plaintext_auth: always,\n"
            "    listeners: [{address: 127.0.0.1:2143}],\n    domains: [example.org]}\n",
            "t.yaml:4:5: error: unknown key 'domains'\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_read),   cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_hosted_domains), cmocka_unit_test(test_ports_by_what_the_nodes_speak),
        cmocka_unit_test(test_no_open_relay),  cmocka_unit_test(test_logins_have_other_options),
    };
    return cmocka_run_group_tests(tests, config_make_folder, folder_remove);
}
