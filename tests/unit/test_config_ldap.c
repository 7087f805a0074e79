/* SPDX-License-Identifier: ISC
 *
 * Connectors and the maps over them in the configuration: what ends up in their settings, what is
 * refused and where, what a reload shares, -T. No directory is there, and none is asked. */
#include "config_case.h"
#include "maps/map_ldap.h"

#define SERVICE                                                                                    \
    "services: {imap: {listeners: [{address: 127.0.0.1:2143}], plaintext_auth: always, maps: "     \
    "[staff]}}\n"
#define MAP  "maps: {staff: {type: ldap_password, connector: corp}}\n"
#define BASE "search_base: \"ou=people,dc=example,dc=org\""

/* One connector and a map over it; MORE stands in the third line, from column 5 on. FLOW: on one
 * line, where MORE begins at column 15. */
#define CONNECTOR(more)                                                                            \
    "ldap:\n  corp:\n    " more "\n    servers: ldaps://ldap1.example.org\n    " BASE              \
    "\n" MAP SERVICE

#define FLOW(more) "ldap: {corp: {" more ", servers: ldapi://, " BASE "}}\n" MAP SERVICE

static int make_folder(void **state)
{
    if (config_make_folder(state))
        return -1;
    write_file("secret", "hunter2\n");
    return 0;
}

/* ---- what is read ---- */

static void has_defaults(void **state)
{
    (void)state;
    struct config *config = good(CONNECTOR("starttls: false"));
    const struct directory_settings *s = directory_settings(config->directories[0]);
    assert_string_equal(s->name, "corp");
    assert_int_equal(s->server_type, DIRECTORY_OPENLDAP);
    assert_int_equal(s->servers.count, 1);
    assert_false(s->starttls);
    assert_null(s->ca_file);
    assert_true(s->verify);
    assert_null(s->bind_dn);
    assert_null(s->bind_password);
    assert_null(s->bind_password_file);
    assert_int_equal(s->search_scope, DIRECTORY_SCOPE_SUB);
    assert_string_equal(s->search_filter, "(mail=%e)");
    assert_int_equal(s->multiple_matches, DIRECTORY_MATCHES_ERROR);
    assert_false(s->referrals);
    assert_string_equal(s->attributes.host, "mailHost");
    assert_string_equal(s->attributes.password, "userPassword");
    assert_null(s->attributes.login);
    assert_null(s->attributes.hold);
    assert_int_equal(s->timeout, 4000);
    assert_int_equal(s->retry_interval, 5000);
    assert_int_equal(s->connections, 4);
    assert_int_equal(s->bind_connections, 16);
    assert_int_equal(s->cache.found, 60000);
    assert_int_equal(s->cache.not_found, 10000);
    assert_int_equal(s->cache.stale, 3600000);
    assert_int_equal(s->cache.entries, 100000);
    config_unref(config);
}

static void reads_all_keys(void **state)
{
    (void)state;
    struct config *config =
        good("ldap:\n  corp:\n    servers: [\"ldap://[::1]:3389\", ldap://localhost]\n"
             "    starttls: true\n    verify: false\n    bind_dn: cn=proxy,dc=example,dc=org\n"
             "    bind_password: \"${file:secret}\"\n    " BASE "\n    search_scope: one\n"
             "    search_filter: (&(objectClass=inetLocalMailRecipient)(mailLocalAddress=%e))\n"
             "    multiple_matches: first\n    referrals: true\n"
             "    attributes: {host: 2.16.840.1.113730.3.1.18, password: x-pw, login: uid, "
             "hold: busy}\n    timeout: 1s\n    retry_interval: 2s\n    connections: 3\n"
             "    bind_connections: 7\n"
             "    cache: {found: 0s, not_found: 1s, stale: 2h, entries: 9}\n" MAP SERVICE);
    const struct directory_settings *s = directory_settings(config->directories[0]);
    assert_string_equal(s->servers.list[1], "ldap://localhost");
    assert_true(s->starttls);
    assert_false(s->verify);
    assert_string_equal(s->bind_dn, "cn=proxy,dc=example,dc=org");
    assert_string_equal(s->bind_password, "hunter2");
    assert_string_equal(s->bind_password_file, "secret");
    assert_int_equal(s->search_scope, DIRECTORY_SCOPE_ONE);
    assert_int_equal(s->multiple_matches, DIRECTORY_MATCHES_FIRST);
    assert_true(s->referrals);
    assert_string_equal(s->attributes.login, "uid");
    assert_string_equal(s->attributes.hold, "busy");
    assert_int_equal(s->timeout, 1000);
    assert_int_equal(s->connections, 3);
    assert_int_equal(s->bind_connections, 7);
    assert_int_equal(s->cache.found, 0);
    assert_int_equal(s->cache.entries, 9);
    config_unref(config);
}

static void the_server_type_sets_the_filter(void **state)
{
    (void)state;
    struct config *config = good(CONNECTOR("server_type: Active_Directory"));
    assert_string_equal(config->ldap[0].search_filter, "(sAMAccountName=%n)");
    config_unref(config);
    config = good(FLOW("server_type: active_directory, search_filter: (uid=%u)"));
    assert_string_equal(config->ldap[0].search_filter, "(uid=%u)");
    config_unref(config);
}

static void maps_are_over_connectors(void **state)
{
    (void)state;
    struct config *config =
        good("ldap:\n  one: {servers: ldapi://, search_base: dc=org}\n"
             "  two: {servers: ldapi://, search_base: dc=org}\n"
             "maps:\n  local: {path: users.map}\n  staff: {type: ldap_bind, connector: two}\n"
             "  more: {type: ldap_password, connector: two}\n" SERVICE);
    assert_string_equal(config->maps[0]->kind->type, "file");
    assert_string_equal(config->maps[1]->kind->type, "ldap_bind");
    assert_string_equal(config->maps[2]->kind->type, "ldap_password");
    assert_string_equal(config->maps[2]->name, "more");
    assert_ptr_equal(map_ldap_directory(config->maps[1]), config->directories[1]);
    assert_ptr_equal(map_ldap_directory(config->maps[2]), config->directories[1]);
    assert_ptr_equal(config->services[0].maps[0], config->maps[1]);
    config_unref(config);
}

/* ---- what is refused ---- */

static void refuses_maps(void **state)
{
    (void)state;
    refused("ldap: {corp: {servers: ldapi://, search_base: dc=org}}\nmaps:\n"
            "  staff: {type: ldap_bind}\n  a: {type: ldap_password, connector: crop}\n"
            "  b: {type: ldap_password, connector: other}\n"
            "  c: {type: ldap_bind, connector: corp, path: users.map}\n"
            "  d: {path: users.map, connector: corp}\n"
            "  e: {type: ldap, connector: corp}\n" SERVICE,
            "t.yaml:3:3: error: a map over a directory needs a connector\n"
            "t.yaml:4:39: error: there is no connector 'crop' in the section ldap; did you mean "
            "'corp'?\n"
            "t.yaml:5:39: error: there is no connector 'other' in the section ldap\n"
            "t.yaml:6:47: error: path is for maps of type file\n"
            "t.yaml:7:35: error: connector is for maps of type ldap_password or ldap_bind\n"
            "t.yaml:8:13: error: type must be one of file, ldap_password, ldap_bind, not 'ldap'\n");
}

static void refuses_half_a_connector(void **state)
{
    (void)state;
    refused(
        "ldap:\n  corp: {timeout: 1s}\n  two: {servers: [], search_base: ~, connection: 3}\n" MAP
            SERVICE,
        "t.yaml:2:3: error: connector 'corp' needs a search_base\n"
        "t.yaml:2:3: error: connector 'corp' needs servers\n"
        "t.yaml:3:3: error: connector 'two' needs a search_base\n"
        "t.yaml:3:9: error: connector 'two' needs servers\n"
        "t.yaml:3:38: error: unknown key 'connection'; did you mean 'connections'?\n");
    refused(FLOW("timeout: 0s, retry_interval: 2h, connections: 0, bind_connections: 1001, "
                 "cache: {entries: 0}, search_scope: subtree"),
            "t.yaml:1:24: error: timeout must be a duration with its unit (500ms, 5s, 10m, 1h) "
            "from 1ms to 1h, not '0s'\n"
            "t.yaml:1:44: error: retry_interval must be a duration with its unit (500ms, 5s, 10m, "
            "1h) from 1ms to 1h, not '2h'\n"
            "t.yaml:1:61: error: connections must be a number from 1 to 1000, not '0'\n"
            "t.yaml:1:82: error: bind_connections must be a number from 1 to 1000, not '1001'\n"
            "t.yaml:1:105: error: entries must be a number from 1 to 10000000, not '0'\n"
            "t.yaml:1:123: error: search_scope must be one of sub, one, base, not 'subtree'\n");
}

/* MESSAGE, or "" for none, for URL as the only server. */
static void server(const char *url, const char *message)
{
    char *text = xasprintf("ldap:\n  corp:\n    " BASE "\n    servers: \"%s\"\n" MAP SERVICE, url);
    char *expected =
        *message ? xasprintf("t.yaml:4:14: error: servers: %s: %s\n", url, message) : xstrdup("");
    refused(text, expected);
    free(text);
    free(expected);
}

static void refuses_servers(void **state)
{
    static const char ignored[] = "a DN, attributes, a scope or a filter would be ignored here: "
                                  "they have keys of their own";
    static const char *const fine[] = {"ldap://h",
                                       "ldap://",
                                       "ldap://ldap1.example.org:3389/",
                                       "ldap://192.0.2.1",
                                       "ldaps://[2001:db8::1]:636",
                                       "ldapi://",
                                       "ldapi://%2frun%2fslapd%2fldapi/"};
    (void)state;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        server(fine[i], "");
    server("http://h", "it must begin with ldap://, ldaps:// or ldapi://");
    server("ldap1.example.org", "it must begin with ldap://, ldaps:// or ldapi://");
    server("cldap://h", "it must begin with ldap://, ldaps:// or ldapi://");
    server("ldap://h/dc=example,dc=org", ignored);
    server("ldap://h/?mail", ignored);
    server("ldap://h/??sub", ignored);
    server("ldap://h?mail", ignored);
    server("ldap://h/dc=org????x", ignored);
    server("ldapi:///run/slapd/ldapi", "the slashes of a socket's path are written as %2f");
    server("ldapi://run", "behind ldapi:// there must be a path (with %2f for /)");
    server("ldap://h:x", "that is no URL");
    server("ldap://::1", "that is no URL");
    server("ldap://a ldap://b", ignored);
    server("ldap://a b", "that is no host");
    server("ldap://proxy@h", "that is no host");
    server("ldap://h:70000", "that is no port");
    refused("ldap:\n  corp:\n    " BASE
            "\n    starttls: yes\n    servers: [ldap://a, ldaps://b, ldapi://, ldap://d, ldap://e, "
            "ldap://f]\n" MAP SERVICE,
            "t.yaml:5:25: error: servers: ldaps://b: starttls needs ldap://\n"
            "t.yaml:5:36: error: servers: ldapi://: starttls needs ldap://\n"
            "t.yaml:5:66: error: servers: there may be 5 at most\n");
}

static void refuses_binds(void **state)
{
    (void)state;
    refused(CONNECTOR("bind_dn: cn=proxy"), "t.yaml:3:14: error: bind_dn needs bind_password\n");
    refused(CONNECTOR("bind_password: s3cret"),
            "t.yaml:3:20: error: bind_password needs bind_dn\n");
    refused(CONNECTOR("bind_dn: cn=proxy\n    bind_password: \"\""),
            "t.yaml:4:20: error: bind_password must be a text that is not empty, or "
            "\"${file:PATH}\"\n");
    refused(CONNECTOR("bind_password: s3cret\n    bind_dn: proxy@example.org"),
            "t.yaml:4:14: error: bind_dn: 'proxy@example.org' is no DN\n");
#define ACTIVE "server_type: active_directory\n    bind_password: s3cret\n    bind_dn: "
    accepted(CONNECTOR(ACTIVE "proxy@example.org"));
    accepted(CONNECTOR(ACTIVE "EXAMPLE\\proxy"));
    accepted(CONNECTOR(ACTIVE "cn=proxy"));
    refused(CONNECTOR(ACTIVE "proxy"), "t.yaml:5:14: error: bind_dn: 'proxy' is no DN, nor "
                                       "user@domain, nor DOMAIN\\user\n");
}

static void warns_of_secrets_in_the_open(void **state)
{
    (void)state;
#define BIND "bind_dn: cn=proxy\n    bind_password: "
    accepted(CONNECTOR(BIND "s3cret"));
    accepted(CONNECTOR(BIND "\"${file:secret}\""));
    write_file("open", "hunter2\n");
    assert_int_equal(chmod("open", 0644), 0);
    refused(CONNECTOR(BIND "\"${file:open}\""),
            "t.yaml:4:20: warning: bind_password: everybody can read open\n");
    write_file("open.yaml", CONNECTOR(BIND "s3cret"));
    assert_int_equal(chmod("open.yaml", 0604), 0);
    config_unref(load_path(
        "open.yaml", "open.yaml:4:20: warning: bind_password: everybody can read open.yaml\n"));
}

static void warns_of_passwords_in_the_clear(void **state)
{
    (void)state;
#define SERVERS(servers, more, map)                                                                \
    "ldap:\n  corp:\n    servers: " servers "\n    " more "\n    " BASE                            \
    "\nmaps: {staff: {type: " map ", connector: corp}}\n" SERVICE
    refused(SERVERS("[ldaps://a, ldap://b, ldap://c]", BIND "s3cret", "ldap_password"),
            "t.yaml:5:20: warning: bind_password goes over the network in the clear to ldap://b: "
            "set starttls, or use ldaps://\n");
    refused(SERVERS("ldap://b", "starttls: off", "ldap_bind"),
            "t.yaml:6:8: warning: users' passwords go over the network in the clear to ldap://b: "
            "set starttls of connector 'corp', or use ldaps://\n");
    accepted(SERVERS("ldap://b", "starttls: on", "ldap_bind"));
    accepted(SERVERS("ldap://b", "starttls: off", "ldap_password"));
    accepted(SERVERS("[ldap://127.0.0.1, \"ldap://[::1]:1\", ldap://localhost, ldapi://, ldap://]",
                     BIND "s3cret", "ldap_bind"));
}

static void refuses_searches(void **state)
{
    (void)state;
#define SEARCH(base, filter)                                                                       \
    "ldap:\n  corp:\n    servers: ldapi://\n    search_base: \"" base                              \
    "\"\n    search_filter: \"" filter "\"\n" MAP SERVICE
    accepted(SEARCH("ou=%d,dc=example,dc=org", "(|(mail=%e)(uid=%u))"));
    accepted(SEARCH("uid=%n,ou=people,dc=example,dc=org", "(objectClass=*)"));
    accepted(SEARCH("dc=org", "mail=%e"));
    accepted(SEARCH("dc=org", "(&(memberOf:1.2.840.113556.1.4.1941:=cn=mail)(uid=%n%%))"));
    refused(SEARCH("people", "(mail=%e)"), "t.yaml:4:18: error: search_base: 'people' is no DN\n");
    refused(SEARCH("%n=x,dc=org", "(mail=%e)"),
            "t.yaml:4:18: error: search_base: '%n=x,dc=org' is no DN\n");
    refused(SEARCH("ou=%x,dc=org", "(mail=%)"),
            "t.yaml:4:18: error: search_base: unknown placeholder '%x'; there are %e %u %n %d %s "
            "and %% for %\n"
            "t.yaml:5:20: error: search_filter: unknown placeholder '%)'; there are %e %u %n %d "
            "%s and %% for %\n");
    refused(SEARCH("dc=org", "(objectClass=%%)"),
            "t.yaml:5:20: error: search_filter needs a placeholder, as %e: else it finds the same "
            "for everybody\n");
    static const char *const none[] = {
        "(mail=%e", "(mail=%e))", "(mail=%e)(uid=%n)", "%e",      "(&(mail=%e)uid)", "(%n=x)",
        "()",       "(=%e)",      "(mail=%e\\zz)",     "(a b=%e)"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char *text = xasprintf("ldap:\n  corp:\n    servers: ldapi://\n    " BASE
                               "\n    search_filter: '%s'\n" MAP SERVICE,
                               none[i]);
        char *expected =
            xasprintf("t.yaml:5:20: error: search_filter: '%s' is no filter (RFC 4515)\n", none[i]);
        refused(text, expected);
        free(text);
        free(expected);
    }
}

static void refuses_attributes(void **state)
{
    (void)state;
    refused(CONNECTOR("attributes: {host: mail host, password: a_b, login: 1.2.x, hold: a;x-b}"),
            "t.yaml:3:24: error: attributes.host: 'mail host' is no attribute's name\n"
            "t.yaml:3:45: error: attributes.password: 'a_b' is no attribute's name\n"
            "t.yaml:3:57: error: attributes.login: '1.2.x' is no attribute's name\n"
            "t.yaml:3:70: error: attributes.hold: 'a;x-b' is no attribute's name\n");
    static const char *const none[] = {"1", "1.", ".1", "1..2", "-a", "1.2.", "9a"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char *text =
            xasprintf("ldap:\n  corp:\n    attributes: {host: %s}\n    servers: ldapi://\n    " BASE
                      "\n" MAP SERVICE,
                      none[i]);
        char *expected = xasprintf(
            "t.yaml:3:24: error: attributes.host: '%s' is no attribute's name\n", none[i]);
        refused(text, expected);
        free(text);
        free(expected);
    }
}

static void refuses_a_bad_ca(void **state)
{
    (void)state;
    refused(CONNECTOR("ca_file: users.map"),
            "t.yaml:3:14: error: ca_file: cannot use users.map: no certificate or crl found\n");
    refused(CONNECTOR("ca_file: nowhere"),
            "t.yaml:3:14: error: ca_file: cannot read nowhere: No such file or directory\n");
}

static void survives_wrong_forms(void **state)
{
    static const char *const forms[] = {"1", "[]", "[x]", "{}", "{x: }", "{x: 1}", "~"};
    static const char *const keys[] = {"attributes", "cache", "servers", "bind_password",
                                       "search_filter"};
    (void)state;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            char *text = xasprintf("ldap: {corp: {%s: %s}}\n" MAP SERVICE, keys[k], forms[i]);
            struct problems problems = problems_of(text);
            problems_free(&problems);
            free(text);
            text = xasprintf("ldap: {corp: %s}\n" MAP SERVICE, forms[i]);
            problems = problems_of(text);
            problems_free(&problems);
            free(text);
        }
}

/* ---- reload ---- */

#define TWO(timeout)                                                                               \
    "ldap:\n  corp: {servers: ldapi://, search_base: dc=org}\n"                                    \
    "  other: {servers: ldapi://, search_base: dc=org, timeout: " timeout "}\n"                    \
    "maps:\n  staff: {type: ldap_password, connector: corp}\n"                                     \
    "  more: {type: ldap_bind, connector: other}\n" SERVICE

static void a_reload_keeps_connectors(void **state)
{
    (void)state;
    struct config *old = good(TWO("1s")), *new = good(TWO("2s"));
    struct directory *kept = old->directories[0], *made = new->directories[1];
    config_share_maps(new, old);
    config_unref(old);
    assert_ptr_equal(new->directories[0], kept);
    assert_ptr_equal(new->directories[1], made);
    assert_ptr_equal(map_ldap_directory(new->maps[0]), kept);
    assert_ptr_equal(map_ldap_directory(new->maps[1]), made);
    assert_string_equal(new->maps[0]->kind->type, "ldap_password");
    assert_string_equal(new->maps[1]->kind->type, "ldap_bind");
    assert_ptr_equal(new->services[0].maps[0], new->maps[0]);
    config_unref(new);
}

static void a_reload_takes_a_new_password(void **state)
{
    (void)state;
    struct config *old = good(CONNECTOR(BIND "\"${file:secret}\""));
    write_file("secret", "hunter3\n");
    struct config *new = good(CONNECTOR(BIND "\"${file:secret}\""));
    config_share_maps(new, old);
    assert_ptr_not_equal(new->directories[0], old->directories[0]);
    config_unref(old);
    config_unref(new);
}

/* ---- -T ---- */

static void prints_what_it_reads_back(void **state)
{
    (void)state;
    write_file("t.yaml", CONNECTOR(ACTIVE "EXAMPLE\\proxy\n    attributes: {hold: busy}"));
    char *text = print("t.yaml");
    assert_non_null(strstr(text, "    server_type: active_directory  # t.yaml:3\n"));
    assert_non_null(strstr(text, "    servers: \"ldaps://ldap1.example.org\"  # t.yaml:7\n"));
    assert_non_null(strstr(text, "    bind_dn: \"EXAMPLE\\\\proxy\"  # t.yaml:5\n"));
    assert_non_null(strstr(text, "    bind_password: \"********\"  # t.yaml:4\n"));
    assert_non_null(strstr(text, "    search_filter: \"(sAMAccountName=%n)\"  # default\n"));
    assert_non_null(strstr(text, "      host: mailHost  # default\n"));
    assert_non_null(strstr(text, "      hold: busy  # t.yaml:6\n"));
    assert_non_null(strstr(text, "      found: 60s  # default\n"));
    assert_non_null(strstr(text, "    connector: corp  # t.yaml:9\n"));
    assert_null(strstr(text, "s3cret"));
    reads_back(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_defaults),
        cmocka_unit_test(reads_all_keys),
        cmocka_unit_test(the_server_type_sets_the_filter),
        cmocka_unit_test(maps_are_over_connectors),
        cmocka_unit_test(refuses_maps),
        cmocka_unit_test(refuses_half_a_connector),
        cmocka_unit_test(refuses_servers),
        cmocka_unit_test(refuses_binds),
        cmocka_unit_test(warns_of_secrets_in_the_open),
        cmocka_unit_test(warns_of_passwords_in_the_clear),
        cmocka_unit_test(refuses_searches),
        cmocka_unit_test(refuses_attributes),
        cmocka_unit_test(refuses_a_bad_ca),
        cmocka_unit_test(survives_wrong_forms),
        cmocka_unit_test(a_reload_keeps_connectors),
        cmocka_unit_test(a_reload_takes_a_new_password),
        cmocka_unit_test(prints_what_it_reads_back),
    };
    return cmocka_run_group_tests(tests, make_folder, folder_remove);
}
