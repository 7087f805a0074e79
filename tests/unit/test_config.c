/* SPDX-License-Identifier: ISC
 *
 * The configuration as a whole: files and their merging, what ends up in struct config, what is
 * refused and where, -T. */
#include "config_case.h"

/* Flow style, so that one line makes a whole and a test adds what it is about. */
#define MAPS  "maps: {local: {type: file, path: users.map}}\n"
#define TLS   "tls: {certificate: ec.pem, key: ec.key}\n"
#define PLAIN "listeners: [{address: 127.0.0.1:2143}], plaintext_auth: always, maps: [local]"
#define GOOD  MAPS "services: {imap: {" PLAIN "}}\n"

/* One service with TLS and client certificates, and MORE in it. */
#define SERVICE(more)                                                                              \
    MAPS TLS "services:\n  imap:\n    listeners: [{address: 127.0.0.1:2143, tls: starttls, "       \
             "client_ca: ec.pem}]\n    maps: [local]\n" more

static int make_pair(const char *name, const char *kind)
{
    char *command = xasprintf("openssl req -x509 -newkey %s -nodes -keyout %s.key -out %s.pem "
                              "-days 9 -subj /CN=mail.example.org >/dev/null 2>&1",
                              kind, name, name);
    int status = system(command);
    free(command);
    return status;
}

static int make_folder(void **state)
{
    if (config_make_folder(state))
        return -1;
    static const char ec[] = "ec -pkeyopt ec_paramgen_curve:P-256";
    return make_pair("ec", ec) || make_pair("other", ec) || make_pair("rsa", "rsa:2048");
}

/* ---- what is read ---- */

static void has_defaults(void **state)
{
    (void)state;
    struct config *config = good(GOOD);
    const struct config_service *imap = &config->services[0];
    assert_non_null(config->global.hostname);
    assert_int_equal(config->global.workers_min, 1);
    assert_true(config->global.workers_max >= 1);
    assert_string_equal(config->global.user, "proxyd");
    assert_true(config->global.user_is_default);
    assert_string_equal(config->global.control_socket, "/run/proxyd/control.sock");
    assert_int_equal(config->global.shutdown_grace, 30000);
    assert_null(config->global.default_domain);
    assert_string_equal(config->log.target, "stderr");
    assert_int_equal(config->log.level, LOG_LEVEL_INFO);
    assert_int_equal(config->tls.min_version, 0x0303);
    assert_string_equal(imap->protocol->name, "imap");
    assert_int_equal(imap->authentication, AUTHENTICATION_BACKEND);
    assert_int_equal(imap->mechanisms, 1u << SASL_PLAIN | 1u << SASL_LOGIN);
    assert_int_equal(imap->login_timeout, 60000);
    assert_int_equal(imap->idle_timeout, 1800000);
    assert_int_equal(imap->max_errors, 20);
    assert_int_equal(imap->max_auth_errors, 5);
    assert_int_equal(imap->backend.port, 143);
    assert_true(imap->backend.verify);
    assert_int_equal(imap->backend.connect_timeout, 5000);
    assert_int_equal(imap->backend.max_connections, 0);
    assert_int_equal(imap->backend.queue_size, 64);
    assert_int_equal(imap->backend.queue_timeout, 10000);
    assert_int_equal(imap->backend.check.interval, 10000);
    assert_int_equal(imap->backend.check.fall, 3);
    assert_int_equal(imap->backend.check.rise, 2);
    assert_int_equal(imap->backend.client_address, CLIENT_ADDRESS_AUTO);
    assert_int_equal(imap->listeners[0].tls_mode, TLS_NONE);
    assert_int_equal(imap->map_count, 1);
    assert_ptr_equal(imap->maps[0], config->maps[0]);
    config_unref(config);
}

static void a_service_may_have_another_name(void **state)
{
    (void)state;
    struct config *config = good(MAPS "log: {level: error, events: {inside: debug}}\n"
                                      "services: {inside: {protocol: pop3, " PLAIN "}}\n");
    assert_string_equal(config->services[0].protocol->name, "pop3");
    assert_int_equal(config->services[0].backend.port, 110);
    assert_int_equal(config->services[0].log_level, LOG_LEVEL_DEBUG);
    config_unref(config);
}

static void expect_target(const struct config *config, size_t service, const char *host,
                          uint16_t port, const char *expected)
{
    struct config_target t = config_target(config, &config->services[service], host, port);
    char *text = xasprintf("%s %s %u", t.name ? t.name : "-", t.host, t.port);
    assert_string_equal(text, expected);
    free(text);
}

static void nodes_have_ports_by_service_or_protocol(void **state)
{
    (void)state;
    struct config *config =
        good(MAPS "nodes:\n  one: {address: 10.0.0.1, ports: {imap: 1, inside: 2}}\n"
                  "  two: {address: \"10.0.0.2:3\"}\n  three: {address: node3.example.org}\n"
                  "services:\n  imap: {" PLAIN "}\n"
                  "  inside: {protocol: imap, failover: one, plaintext_auth: always, "
                  "listeners: [{address: 127.0.0.1:2144}]}\n");
    expect_target(config, 0, "ONE", 0, "one 10.0.0.1 1");
    expect_target(config, 1, "one", 0, "one 10.0.0.1 2");
    expect_target(config, 1, "one", 7, "one 10.0.0.1 7");
    expect_target(config, 0, "two", 0, "two 10.0.0.2 3");
    expect_target(config, 0, "three", 0, "three node3.example.org 143");
    expect_target(config, 0, "four", 0, "- four 143");
    config_unref(config);
}

static void listeners_take_tls_from_above(void **state)
{
    (void)state;
    struct config *config =
        good(MAPS "tls: {certificate: [ec.pem, rsa.pem], key: [ec.key, rsa.key], "
                  "min_version: \"1.3\"}\nservices:\n  imap:\n    maps: [local]\n"
                  "    listeners:\n"
                  "      - {address: localhost:2143, tls: starttls}\n"
                  "      - {address: 127.0.0.1:2993, tls: implicit, "
                  "certificate: rsa.pem, key: rsa.key}\n"
                  "      - {address: 127.0.0.1:2144}\n");
    const struct config_listener *listeners = config->services[0].listeners;
    assert_true(addr_is_local(&listeners[0].bind));
    assert_int_equal(addr_port(&listeners[0].bind), 2143);
    assert_int_equal(listeners[0].tls.certificate.count, 2);
    assert_non_null(listeners[0].tls_server);
    assert_int_equal(listeners[1].tls.certificate.count, 1);
    assert_string_equal(listeners[1].tls.key.list[0], "rsa.key");
    assert_int_equal(listeners[1].tls.min_version, 0x0304);
    assert_null(listeners[2].tls_server);
    assert_string_equal(listeners[2].place.file, "t.yaml");
    assert_int_equal(listeners[2].place.line, 9);
    config_unref(config);
}

static void outlives_its_references(void **state)
{
    (void)state;
    struct config *config = good(GOOD);
    assert_ptr_equal(config_ref(config), config);
    config_unref(config);
    assert_string_equal(config->services[0].name, "imap");
    config_unref(config);
}

/* ---- files ---- */

static void a_folder_is_merged_in_name_order(void **state)
{
    (void)state;
    assert_int_equal(mkdir("conf.d", 0700), 0);
    write_file("conf.d/20.yaml", "services: {imap: {max_errors: 7, maps: [local]}}\nlog:\n");
    write_file("conf.d/10.yaml", MAPS "log: {level: debug}\nservices: {imap: {max_errors: 6, "
                                      "max_auth_errors: 8, maps: [none], plaintext_auth: always, "
                                      "listeners: [{address: 127.0.0.1:2143}]}}\n");
    write_file("conf.d/15.yaml", "# nothing\n");
    write_file("conf.d/.30.yaml", "not: read\n");
    write_file("conf.d/30.yaml~", "not: read\n");
    struct config *config = load_path("conf.d/", "");
    assert_int_equal(config->services[0].max_errors, 7);
    assert_int_equal(config->services[0].max_auth_errors, 8);
    assert_int_equal(config->log.level, LOG_LEVEL_DEBUG);
    config_unref(config);
    write_file("conf.d/30.yaml", "services: {imap: {max_error: 7}}\n");
    write_file("conf.d/10.yaml", MAPS "logs: 1\n");
    assert_null(load_path("conf.d",
                          "conf.d/10.yaml:2:1: error: unknown key 'logs'; did you mean 'log'?\n"
                          "conf.d/20.yaml:1:12: error: service 'imap' needs listeners\n"
                          "conf.d/30.yaml:1:19: error: unknown key 'max_error'; did you mean "
                          "'max_errors'?\n"));
}

static void says_when_there_is_nothing(void **state)
{
    (void)state;
    assert_int_equal(mkdir("empty", 0700), 0);
    assert_null(load_path("empty", "empty: error: there is no *.yaml in this folder\n"));
    assert_null(
        load_path("nowhere", "nowhere: error: cannot be read: No such file or directory\n"));
    refused("", "t.yaml: error: nothing is configured here\n");
    refused("~\n", "t.yaml: error: nothing is configured here\n");
    refused("- a\n", "t.yaml:1:1: error: the top must be a mapping (key: value)\n");
    refused("log: {level: info}\n",
            "t.yaml:1:1: error: no service is configured: nothing would listen\n");
}

/* A file that is no YAML hides what it might have said: nobody complains of that. */
static void goes_on_behind_broken_yaml(void **state)
{
    (void)state;
    assert_int_equal(mkdir("broken", 0700), 0);
    write_file("broken/1.yaml", "maps: {local: {type: file\n");
    write_file("broken/2.yaml", "services: {imap: {maps: [local], max_errors: x}}\n");
    assert_null(load_path("broken",
                          "broken/1.yaml:2:1: error: this is no YAML: while parsing a flow "
                          "mapping, did not find expected ',' or '}'\n"
                          "broken/2.yaml:1:46: error: max_errors must be a number from 1 to "
                          "1000000, not 'x'\n"));
}

/* ---- what is refused ---- */

static void refuses_globals(void **state)
{
    (void)state;
    refused("global: {user: nosuchuser, workers: {min: 3, max: 2}}\n" GOOD,
            "t.yaml:1:16: error: there is no user 'nosuchuser'\n"
            "t.yaml:1:51: error: max must not be less than min, which is 3\n");
    accepted("log: {events: {imap: debug, pop3: warning, ldap: error}}\n" GOOD);
    refused("log: {target: /nowhere/log, events: {impa: info, node: info}}\n" GOOD,
            "t.yaml:1:15: error: target: there is no folder /nowhere\n"
            "t.yaml:1:38: error: 'impa' is neither a service nor a module; did you mean 'imap'?\n");
    refused("log: {target: file}\n" GOOD,
            "t.yaml:1:15: error: target must be stderr, syslog or the "
            "path of a file, beginning with /\n");
    refused("adnim: {}\n" GOOD, "t.yaml:1:1: error: unknown key 'adnim'; did you mean 'admin'?\n");
    refused("admin: {listen: [1 2, 127.0.0.1, 0.0.0.0:8025, 127.0.0.1:9, \"unix:/a\", "
            "127.0.0.1:9]}\n" GOOD,
            "t.yaml:1:18: error: listen must be an address: HOST:PORT, \"[IPv6]:PORT\" or "
            "unix:/PATH, not '1 2'\n"
            "t.yaml:1:23: error: a listener's address needs a port: 127.0.0.1:PORT\n"
            "t.yaml:1:34: warning: whoever can reach this address sees who logs in: keep others "
            "away from it\n"
            "t.yaml:1:72: error: a listener given twice: first at t.yaml:1\n");
    struct config *config = good("global: {workers: {min: 200}}\n" GOOD);
    assert_int_equal(config->global.workers_max, 200);
    config_unref(config);
}

static void refuses_maps_and_nodes(void **state)
{
    (void)state;
    refused("nodes: {a: {address: 10.0.0.1, ports: {impa: 1}}, A: {address: 10.0.0.2}, b: {ports: "
            "{imap: 1}}}\n" GOOD,
            "t.yaml:1:40: error: 'impa' is neither a service nor a protocol; did you mean 'imap'?\n"
            "t.yaml:1:51: error: there is a node 'A' already: upper and lower case are the same "
            "here\n"
            "t.yaml:1:75: error: node 'b' needs an address\n");
    refused(
        "maps: {local: {path: nowhere}, other: {type: file, path: ~}, third: {type: fiel, path: "
        "users.map}, local2: {type: file}}\nservices: {imap: {" PLAIN "}}\n",
        "t.yaml:1:22: error: path: cannot read nowhere: No such file or directory\n"
        "t.yaml:1:32: error: a map of type file needs a path\n"
        "t.yaml:1:76: error: type must be one of file, ldap_password, ldap_bind, not 'fiel'; did "
        "you mean 'file'?\n"
        "t.yaml:1:100: error: a map of type file needs a path\n");
}

static void refuses_a_bad_map_file(void **state)
{
    (void)state;
    write_file("bad.map", "alice@example.org\n");
    struct problems problems =
        problems_of("maps: {local: {type: file, path: bad.map}}\nservices: {imap: {" PLAIN "}}\n");
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.list[0].file, "bad.map");
    assert_int_equal(problems.list[0].line, 1);
    problems_free(&problems);
    refused("maps: {local: {type: file, path: /tmp}}\nservices: {imap: {" PLAIN "}}\n",
            "t.yaml:1:34: error: path: cannot read /tmp: Is a directory\n");
}

static void refuses_listeners(void **state)
{
    (void)state;
    refused(MAPS "services:\n  imap: {maps: [local]}\n  pop3: {" PLAIN "}\n  inside: {" PLAIN
                 ", protocol: imap}\n",
            "t.yaml:3:3: error: service 'imap' needs listeners\n"
            "t.yaml:5:34: error: a listener given twice: first at t.yaml:4\n");
    refused(
        MAPS "services: {imap: {maps: [local], plaintext_auth: always, listeners: [{address: "
             "127.0.0.1}, {tls: none}, {address: 127.0.0.1:1, proxy_protocol: yes}]}}\n",
        "t.yaml:2:80: error: a listener's address needs a port: 127.0.0.1:PORT\n"
        "t.yaml:2:92: error: a listener needs an address\n"
        "t.yaml:2:144: error: proxy_protocol needs global.trusted_networks to be set: from nobody "
        "else is a PROXY header believed\n");
    refused("global: {trusted_networks: []}\n" MAPS
            "services: {imap: {maps: [local], listeners: [{address: 127.0.0.1:1}]}}\n",
            "t.yaml:3:12: warning: nobody can log in to service 'imap': it has no TLS, and "
            "plaintext_auth lets nobody in without\n");
}

static void refuses_certificates(void **state)
{
    (void)state;
#define LISTENERS                                                                                  \
    "services: {imap: {maps: [local], listeners: [{address: 127.0.0.1:1, tls: implicit}, "         \
    "{address: 127.0.0.1:2, tls: implicit}]}}\n"
    refused(MAPS LISTENERS,
            "t.yaml:2:74: error: TLS needs a certificate and its key, here or in the section tls\n"
            "t.yaml:2:113: error: TLS needs a certificate and its key, here or in the section "
            "tls\n");
    refused(MAPS "tls: {certificate: [ec.pem, rsa.pem], key: ec.key}\n" LISTENERS,
            "t.yaml:2:7: error: certificate and key must be pairs: there are 2 and 1\n");
    refused(MAPS "tls: {certificate: nowhere.pem, key: ec.key}\n" LISTENERS,
            "t.yaml:2:20: error: certificate: cannot read nowhere.pem: No such file or "
            "directory\n");
    refused(MAPS
            "tls: {certificate: ec.pem, key: ec.key, sni: [{names: [example.net]}]}\n" LISTENERS,
            "t.yaml:2:47: error: sni needs names, certificate and key\n");
    refused(MAPS TLS "services: {imap: {maps: [local], listeners: [{address: 127.0.0.1:1, tls: "
                     "implicit, certificate: rsa.pem}]}}\n",
            "t.yaml:3:97: error: certificate and key must be pairs: there are 1 and 0\n");
    struct problems problems = problems_of(
        MAPS "tls: {certificate: [rsa.pem, ec.pem], key: [rsa.key, other.key]}\n" LISTENERS);
    assert_int_equal(problems.count, 1); /* and not once a listener */
    assert_int_equal(problems.list[0].column, 54);
    problems_free(&problems);
    refused(MAPS "tls: {certificate: rsa.pem, key: ec.key}\n" LISTENERS,
            "t.yaml:2:34: error: key: ec.key is not the key of rsa.pem: no certificate assigned\n");
}

/* Whoever listens: a section that no listener uses today may be used tomorrow. */
static void refuses_all_faults_of_tls_at_once(void **state)
{
#define FAULTS(listeners)                                                                          \
    MAPS "tls:\n  certificate: [rsa.pem, users.map]\n  key: [ec.key, bad.key]\n"                   \
         "  sni:\n    - {names: [a.example.net], certificate: other.pem, key: ec.key}\n"           \
         "    - {names: [b.example.net], certificate: bad.key, key: ec.key}\n"                     \
         "  ciphers: nosuchcipher\n  client_ca: users.map\n  ticket_keys: users.map\n" listeners
    static const char *const expected =
        "t.yaml:3:26: error: certificate: cannot use certificate users.map: no start line\n"
        "t.yaml:4:9: error: key: ec.key is not the key of rsa.pem: no certificate assigned\n"
        "t.yaml:4:17: error: key: cannot use key bad.key: it needs a password\n"
        "t.yaml:6:61: error: key: ec.key is not the key of other.pem: key values mismatch\n"
        "t.yaml:7:45: error: certificate: cannot use certificate bad.key: no start line\n"
        "t.yaml:8:12: error: ciphers: cannot use cipher list 'nosuchcipher': no cipher match\n"
        "t.yaml:9:14: error: client_ca: cannot use users.map: no start line\n"
        "t.yaml:10:16: error: ticket_keys: ticket keys are 1 to 16 lines of base64, each of 80 "
        "bytes\n";
    (void)state;
    assert_int_equal(
        system("openssl ec -aes256 -passout pass:x -in ec.key -out bad.key 2>/dev/null"), 0);
    refused(FAULTS(LISTENERS), expected);
    refused(FAULTS("services: {imap: {" PLAIN "}}\n"), expected);
}

/* Makes NAME.pem over other.key, for this time ("YYYYMMDDHHMMSSZ"). */
static void make_certificate(const char *name, const char *begin, const char *end)
{
    write_file("ca.cnf",
               "[ca]\ndefault_ca = d\n[d]\ndatabase = ca.index\nnew_certs_dir = .\n"
               "default_md = sha256\npolicy = p\nrand_serial = yes\n[p]\ncommonName = supplied\n");
    write_file("ca.index", "");
    char *command =
        xasprintf("(openssl req -new -key other.key -subj /CN=mail.example.org -out ca.csr && "
                  "openssl ca -config ca.cnf -batch -selfsign -keyfile other.key -in ca.csr "
                  "-out %s.pem -notext -startdate %s -enddate %s) >/dev/null 2>&1",
                  name, begin, end);
    assert_int_equal(system(command), 0);
    free(command);
}

static void warns_of_certificates_out_of_time(void **state)
{
    (void)state;
    make_certificate("old", "20200101000000Z", "20210203040506Z");
    make_certificate("new", "20990101000000Z", "20990203000000Z");
    refused(MAPS "tls: {certificate: old.pem, key: other.key}\n" LISTENERS,
            "t.yaml:2:20: warning: certificate: old.pem has expired on 2021-02-03 04:05:06 UTC\n");
    refused(MAPS "tls: {certificate: [rsa.pem, new.pem], key: [rsa.key, other.key]}\n" LISTENERS,
            "t.yaml:2:30: warning: certificate: new.pem is not valid before 2099-01-01 00:00:00 "
            "UTC\n");
}

/* Whoever opens it would wait for ever. */
static void refuses_fifos(void **state)
{
    (void)state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    refused("maps: {local: {path: fifo}}\nservices: {imap: {" PLAIN
            ", authentication: proxy,\n  backend: {tls: implicit, login: master, master_user: m, "
            "master_password: \"${file:fifo}\"}}}\n",
            "t.yaml:1:22: error: path: cannot read fifo: it is a FIFO\n"
            "t.yaml:3:76: error: master_password: cannot read the file named here: it is a "
            "FIFO\n");
}

static void refuses_services(void **state)
{
    (void)state;
    refused(
        MAPS "services:\n  impa: {" PLAIN "}\n  pop3: {listeners: [{address: 127.0.0.1:1}], "
             "plaintext_auth: always}\n  imap: {listeners: [{address: 127.0.0.1:2}], "
             "plaintext_auth: always, maps: [locla, local]}\n  odd: {protocol: imapp}\n",
        "t.yaml:3:3: error: service 'impa' needs `protocol:`, for it is not called like one; "
        "did you mean 'imap'?\n"
        "t.yaml:4:3: warning: service 'pop3' has neither maps nor failover: nobody will be let in\n"
        "t.yaml:5:78: error: there is no map 'locla'; did you mean 'local'?\n"
        "t.yaml:6:3: warning: service 'odd' has neither maps nor failover: nobody will be let in\n"
        "t.yaml:6:3: error: service 'odd' needs listeners\n"
        "t.yaml:6:19: error: protocol: unknown protocol 'imapp'; did you mean 'imap'?\n");
}

static void refuses_capabilities_that_are_none(void **state)
{
    (void)state;
    refused(SERVICE("    capabilities: IMAP4rev1 X] AUTH=PLAIN IDLE,ID\n"),
            "t.yaml:7:19: error: capabilities: 'IDLE,ID' is none\n"
            "t.yaml:7:19: error: capabilities: 'X]' is none\n");
    refused(MAPS "services: {pop3: {" PLAIN ", capabilities: \"TOP, ., UIDL X\\xe9\"}}\n",
            "t.yaml:2:112: error: capabilities: '.' is none\n"
            "t.yaml:2:112: error: capabilities: 'UIDL X\xc3\xa9' is none\n");
    accepted(MAPS "services: {pop3: {" PLAIN ", capabilities: TOP UIDL}}\n");
    char *text = xasprintf(MAPS "services: {pop3: {" PLAIN ", capabilities: X%04096d}}\n", 1);
    refused(text, "t.yaml:2:112: error: capabilities must be shorter than 4096 bytes\n");
    free(text);
}

#define KEYS "master_user: m, master_password: s3cret"

static void refuses_unsafe_logins(void **state)
{
    (void)state;
    refused(SERVICE("    mechanisms: [plain, xoauth2]\n    authentication: proxy\n"),
            "t.yaml:7:5: error: xoauth2 and oauthbearer need authentication: backend, for a token "
            "can be checked by the node only\n");
    refused(SERVICE("    mechanisms: []\n"),
            "t.yaml:7:5: error: mechanisms must name one at least\n");
    refused(SERVICE("    mechanisms: external\n"),
            "t.yaml:7:17: error: external needs backend.login: master, for there is no password to "
            "pass on\n");
    refused(MAPS TLS
            "services: {imap: {maps: [local], listeners: [{address: 127.0.0.1:1, tls: "
            "implicit}], mechanisms: external, backend: {tls: implicit, login: master, " KEYS
            "}}}\n",
            "t.yaml:3:98: error: external needs a listener with TLS and client_ca\n");
    accepted(SERVICE("    mechanisms: external\n    backend: {tls: implicit, login: "
                     "master, " KEYS "}\n"));
    refused(SERVICE("    backend: {login: master, tls: starttls}\n"),
            "t.yaml:7:22: error: login: master needs authentication: proxy (or external as the "
            "only mechanism): else nobody would check the users' passwords\n"
            "t.yaml:7:22: error: login: master needs master_user and master_password\n");
    refused(SERVICE("    backend: {" KEYS "}\n"),
            "t.yaml:7:15: warning: the master user is not used: login is not master\n");
    refused(SERVICE("    backend: {tls: implicit, ca_file: users.map}\n"),
            "t.yaml:7:39: error: ca_file: cannot use users.map: no certificate or crl found\n");
}

static void refuses_a_master_login_in_the_clear(void **state)
{
    (void)state;
#define MASTER "    authentication: proxy\n    backend: {login: master, " KEYS "}\n"
#define WARNING                                                                                    \
    "warning: a master login over plain TCP, and a map may name another machine: set backend.tls " \
    "to starttls or implicit\n"
    refused(SERVICE(MASTER), "t.yaml:8:22: " WARNING);
    refused(SERVICE(MASTER "    failover: localhost\n"), "t.yaml:8:22: " WARNING);
    refused(SERVICE(MASTER "    failover: 10.0.0.9\n"),
            "t.yaml:8:22: error: a master login over plain TCP to another machine, failover: set "
            "backend.tls to starttls or implicit\n"
            "t.yaml:8:22: " WARNING);
    refused(SERVICE(MASTER "nodes: {n: {address: 10.0.0.1}, l: {address: 127.0.0.1}}\n"),
            "t.yaml:8:22: error: a master login over plain TCP to another machine, node 'n': set "
            "backend.tls to starttls or implicit\n"
            "t.yaml:8:22: " WARNING);
}

/* What has the wrong form has no defaults below it: nothing relies on them. */
static void survives_wrong_forms(void **state)
{
    static const char *const forms[] = {"1", "[]", "[x]", "{}", "{x: }", "{x: 1}", "~"};
    static const char *const keys[] = {"global", "log",      "tls",       "maps",
                                       "nodes",  "services", "listeners", "backend"};
    (void)state;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            char *text = k < 6 ? xasprintf("%s: %s\n", keys[k], forms[i])
                               : xasprintf("services: {imap: {%s: %s}}\n", keys[k], forms[i]);
            struct problems problems = problems_of(text);
            problems_free(&problems);
            free(text);
        }
}

/* ---- -T ---- */

static void prints_what_it_reads_back(void **state)
{
    (void)state;
    write_file("t.yaml",
               "global: {trusted_networks: [127.0.0.0/8, \"::1\"], hostname: no.example.org}\n"
               "nodes: {\"no\": {address: \"[::1]:1\", ports: {imap: 143}}}\n"
               "log: {events: {imap: debug}}\n" SERVICE(
                   "    authentication: proxy\n"
                   "    backend: {login: master, tls: implicit, master_user: "
                   "\"A \\\"B\\\" # c\", master_password: s3cret}\n"));
    char *text = print("t.yaml");
    assert_non_null(strstr(text, "  hostname: no.example.org  # t.yaml:1\n"));
    assert_non_null(strstr(text, "  shutdown_grace: 30s  # default\n"));
    assert_non_null(strstr(text, "  \"no\":\n    address: \"[::1]:1\"  # t.yaml:2\n"));
    assert_non_null(strstr(text, "      - address: \"127.0.0.1:2143\"  # t.yaml:8\n"));
    assert_non_null(strstr(text, "        certificate: ec.pem  # t.yaml:5\n"));
    assert_non_null(strstr(text, "      master_user: \"A \\\"B\\\" # c\"  # t.yaml:11\n"));
    assert_non_null(strstr(text, "      master_password: \"********\"  # t.yaml:11\n"));
    assert_null(strstr(text, "s3cret"));
    reads_back(text);
    refused(GOOD "ldap: {corp: {servers: [ldaps://x], search_base: dc=x, bind_dn: cn=x, "
                 "bind_password: \"********\"}}\n",
            "t.yaml:3:86: warning: bind_password: ******** is what -T shows instead of a secret: "
            "put the secret here, or where it is\n");
}

static void prints_where_each_of_merged_pairs_was_set(void **state)
{
    (void)state;
    assert_int_equal(mkdir("two.d", 0755), 0);
    write_file("two.d/1.yaml", GOOD "log: {events: {imap: info}}\n"
                                    "nodes: {a: {address: 10.0.0.1, ports: {imap: 1143}}, "
                                    "b: {address: 10.0.0.2, ports: {}}}\n");
    write_file("two.d/2.yaml",
               "log: {events: {ldap: warning}}\n"
               "nodes: {a: {ports: {\"no\": 1110, pop3: 1}}}\n"
               "services: {\"no\": {protocol: pop3, failover: a, "
               "listeners: [{address: 127.0.0.1:2110}], plaintext_auth: always}}\n");
    char *text = print("two.d");
    assert_non_null(strstr(text, "  events:\n    imap: info  # two.d/1.yaml:3\n"
                                 "    ldap: warning  # two.d/2.yaml:1\n"));
    assert_non_null(strstr(text, "    ports:\n      imap: 1143  # two.d/1.yaml:4\n"
                                 "      \"no\": 1110  # two.d/2.yaml:2\n"
                                 "      pop3: 1  # two.d/2.yaml:2\n"));
    assert_non_null(strstr(text, "    ports: {}  # two.d/1.yaml:4\n"));
    free(text);
}

static void prints_nothing_of_a_bad_one(void **state)
{
    struct problems problems = {0};
    (void)state;
    write_file("t.yaml", "a: b\n");
    FILE *out = fopen("out", "w");
    assert_false(config_print("t.yaml", &problems, out));
    assert_int_equal(ftell(out), 0);
    fclose(out);
    problems_free(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_defaults),
        cmocka_unit_test(a_service_may_have_another_name),
        cmocka_unit_test(nodes_have_ports_by_service_or_protocol),
        cmocka_unit_test(listeners_take_tls_from_above),
        cmocka_unit_test(outlives_its_references),
        cmocka_unit_test(a_folder_is_merged_in_name_order),
        cmocka_unit_test(says_when_there_is_nothing),
        cmocka_unit_test(goes_on_behind_broken_yaml),
        cmocka_unit_test(refuses_globals),
        cmocka_unit_test(refuses_maps_and_nodes),
        cmocka_unit_test(refuses_a_bad_map_file),
        cmocka_unit_test(refuses_listeners),
        cmocka_unit_test(refuses_certificates),
        cmocka_unit_test(refuses_all_faults_of_tls_at_once),
        cmocka_unit_test(warns_of_certificates_out_of_time),
        cmocka_unit_test(refuses_fifos),
        cmocka_unit_test(refuses_services),
        cmocka_unit_test(refuses_capabilities_that_are_none),
        cmocka_unit_test(refuses_unsafe_logins),
        cmocka_unit_test(refuses_a_master_login_in_the_clear),
        cmocka_unit_test(survives_wrong_forms),
        cmocka_unit_test(prints_what_it_reads_back),
        cmocka_unit_test(prints_where_each_of_merged_pairs_was_set),
        cmocka_unit_test(prints_nothing_of_a_bad_one),
    };
    return cmocka_run_group_tests(tests, make_folder, folder_remove);
}
