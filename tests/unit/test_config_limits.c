/* SPDX-License-Identifier: ISC
 *
 * `access` and `limits` in the configuration: what ends up in struct config, what is refused, and
 * what is told to be of no use. */
#include "config_case.h"

/* A service with MORE in it and EACH in its listener; MORE is in line 3, EACH in line 5. */
#define SERVICE(more, each)                                                                        \
    "services:\n  imap:\n    {failover: 127.0.0.1, plaintext_auth: always, " more ",\n"            \
    "    listeners: [{address: 127.0.0.1:2143,\n      " each "}]}\n"
#define GOOD SERVICE("maps: []", "tls: none")

static bool lets_in(const struct config_access *access, const char *address)
{
    struct network n;
    assert_true(network_parse(&n, str_of(address)));
    const struct access_rule *rule = access_find(access->compiled, &n);
    assert_non_null(rule);
    return rule->allow;
}

static void reads_three_levels(void **state)
{
    (void)state;
    struct config *config = good(
        "global: {access: [{allow: 10.0.0.0/8}, {deny: all}], limits: {connections: 3}}\n" SERVICE(
            "access: [{deny: \"2001:db8::/32\"}], limits: {rate: 4, interval: 1h}",
            "access: [{allow: 192.0.2.1}], limits: {rate_per_ip: 5, auth_failures_per_ip: 6}"));
    const struct config_service *service = &config->services[0];
    assert_true(lets_in(&config->global.access, "10.1.1.1"));
    assert_false(lets_in(&config->global.access, "192.0.2.1"));
    assert_false(lets_in(&config->global.access, "2001:db8::1"));
    assert_false(lets_in(&service->access, "2001:db8::1"));
    assert_true(lets_in(&service->listeners[0].access, "192.0.2.1"));
    assert_int_equal(config->global.limits.connections, 3);
    assert_int_equal(config->global.limits.interval, 60000);
    assert_int_equal(service->limits.rate, 4);
    assert_int_equal(service->limits.interval, 3600000);
    assert_int_equal(service->listeners[0].limits.rate_per_ip, 5);
    assert_int_equal(service->listeners[0].limits.auth_failures_per_ip, 6);
    config_unref(config);
}

static void refuses_what_is_no_rule(void **state)
{
    (void)state;
    refused("global:\n  access:\n    - {alow: 10.0.0.1}\n    - {allow: 10.0.0.1/8}\n    - deny\n"
            "    - {allow: 10.0.0.1, deny: 10.0.0.2}\n    - {deny: [10.0.0.1]}\n    - {}\n" GOOD,
            "t.yaml:3:7: error: unknown key 'alow'; did you mean 'allow'?\n"
            "t.yaml:4:15: error: allow must be a network (192.0.2.0/24, \"2001:db8::/32\"; no bits "
            "set behind the prefix) or all, not '10.0.0.1/8'\n"
            "t.yaml:5:7: error: a rule must be {allow: NETWORK} or {deny: NETWORK}\n"
            "t.yaml:6:7: error: a rule must be {allow: NETWORK} or {deny: NETWORK}\n"
            "t.yaml:7:8: error: deny must be a network (192.0.2.0/24, \"2001:db8::/32\"; no bits "
            "set behind the prefix) or all\n"
            "t.yaml:8:7: error: a rule must be {allow: NETWORK} or {deny: NETWORK}\n");
    refused("global: {access: {allow: 10.0.0.1}, limits: {rate: -1, interval: 5}}\n" GOOD,
            "t.yaml:1:10: error: access must be a list of {allow: NETWORK} and {deny: NETWORK}\n"
            "t.yaml:1:52: error: rate must be a number from 0 to 10000000, not '-1'\n"
            "t.yaml:1:66: error: interval must be a duration with its unit (500ms, 5s, 10m, 1h) "
            "from 1ms to 168h, not '5'\n");
    refused(SERVICE("limits: []", "limits: 5, access: ~"),
            "t.yaml:3:51: error: limits must be a mapping (key: value)\n"
            "t.yaml:5:15: error: limits must be a mapping (key: value)\n");
}

static void tells_what_is_never_reached(void **state)
{
    (void)state;
    refused("global:\n  access:\n    - {deny: 10.0.0.0/8}\n    - {allow: 10.1.0.0/16}\n"
            "    - {allow: 10.0.0.0/7}\n    - {deny: 10.0.0.0/8}\n" GOOD,
            "t.yaml:4:7: warning: never reached: the rule at line 3 has all of this network\n"
            "t.yaml:6:7: warning: never reached: the rule at line 3 has all of this network\n");
    refused(
        "global:\n  access:\n    - {deny: 0.0.0.0/0}\n    - {deny: all}\n    - {allow: all}\n" GOOD,
        "t.yaml:5:7: warning: never reached: the rule at line 3 has all of this network\n");
    refused("global: {limits: {connections: 5, rate: 5}}\n" SERVICE(
                "limits: {connections: 6, rate: 6, interval: 1s, rate_per_ip: 7}",
                "limits: {connections: 5, connections_per_ip: 6, rate_per_ip: 8, interval: 1s}"),
            "t.yaml:4:73: warning: connections is never reached: that of global is 5\n"
            "t.yaml:4:112: warning: rate_per_ip is never reached: rate is 6\n"
            "t.yaml:6:52: warning: connections_per_ip is never reached: connections is 5\n"
            "t.yaml:6:68: warning: rate_per_ip is never reached: that of imap is 7\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_three_levels),
        cmocka_unit_test(refuses_what_is_no_rule),
        cmocka_unit_test(tells_what_is_never_reached),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
