/* SPDX-License-Identifier: ISC
 *
 * THE table of options: a row says the key, the type, the field, the bounds, the default and the
 * line of help. The reader, -T, proxyd.yaml(5) and conf.d follow from it. What an option must not
 * be together with another one is in config_check.c. */
#include "options.h"

#include "config.h"

#define AT(type, member) offsetof(struct type, member)

/* An array: where it is, where its length is, what it is of. */
#define ARRAY(type, list, number, element)                                                         \
    .offset = AT(type, list), .count = AT(type, number), .size = sizeof(struct element)

/* Options of services that speak some protocols only. */
#define OF_SESSIONS .engines = 1u << ENGINE_SESSION
#define OF_LOGINS   .engines = 1u << ENGINE_SESSION | 1u << ENGINE_WEB
#define OF_TALKERS  .engines = 1u << ENGINE_SESSION | 1u << ENGINE_MAIL
#define OF_MAIL     .engines = 1u << ENGINE_MAIL
#define OF_WEBMAIL  .engines = 1u << ENGINE_WEB

/* ---- words ---- */

static const struct option_word log_formats[] = {
    {"logfmt", LOG_FORMAT_LOGFMT}, {"json", LOG_FORMAT_JSON}, {0}};

static const struct option_word log_levels[] = {{"error", LOG_LEVEL_ERROR},
                                                {"warning", LOG_LEVEL_WARNING},
                                                {"info", LOG_LEVEL_INFO},
                                                {"debug", LOG_LEVEL_DEBUG},
                                                {0}};

/* As they are on the wire, which is how OpenSSL has them (RFC 5246, E.1; RFC 8446, 4.2.1). */
static const struct option_word tls_versions[] = {{"1.2", 0x0303}, {"1.3", 0x0304}, {0}};

static const struct option_word tls_modes[] = {
    {"none", TLS_NONE}, {"starttls", TLS_STARTTLS}, {"implicit", TLS_IMPLICIT}, {0}};

static const struct option_word server_types[] = {
    {"openldap", DIRECTORY_OPENLDAP}, {"active_directory", DIRECTORY_ACTIVE}, {0}};

static const struct option_word search_scopes[] = {{"sub", DIRECTORY_SCOPE_SUB},
                                                   {"one", DIRECTORY_SCOPE_ONE},
                                                   {"base", DIRECTORY_SCOPE_BASE},
                                                   {0}};

static const struct option_word matches[] = {
    {"error", DIRECTORY_MATCHES_ERROR}, {"first", DIRECTORY_MATCHES_FIRST}, {0}};

static const struct option_word map_types[] = {{"file", CONFIG_MAP_FILE},
                                               {"ldap_password", CONFIG_MAP_LDAP_PASSWORD},
                                               {"ldap_bind", CONFIG_MAP_LDAP_BIND},
                                               {0}};

static const struct option_word authentications[] = {
    {"backend", AUTHENTICATION_BACKEND}, {"proxy", AUTHENTICATION_PROXY}, {0}};

static const struct option_word plaintexts[] = {
    {"never", PLAINTEXT_NEVER}, {"trusted", PLAINTEXT_TRUSTED}, {"always", PLAINTEXT_ALWAYS}, {0}};

static const struct option_word mechanisms[] = {
    {"plain", SASL_PLAIN},       {"login", SASL_LOGIN},
    {"xoauth2", SASL_XOAUTH2},   {"oauthbearer", SASL_OAUTHBEARER},
    {"external", SASL_EXTERNAL}, {0}};

static const struct option_word backend_logins[] = {
    {"forward", BACKEND_LOGIN_FORWARD}, {"master", BACKEND_LOGIN_MASTER}, {0}};

static const struct option_word client_addresses[] = {{"none", CLIENT_ADDRESS_NONE},
                                                      {"proxy_v1", CLIENT_ADDRESS_PROXY_V1},
                                                      {"proxy_v2", CLIENT_ADDRESS_PROXY_V2},
                                                      {"auto", CLIENT_ADDRESS_AUTO},
                                                      {0}};

static const struct option_word forms[] = {
    {"form", CONFIG_FORM_FORM}, {"json", CONFIG_FORM_JSON}, {0}};

/* ---- access and limits, of the process, a service, a listener ---- */

static const struct option limits[] = {
    {"connections", &option_number, AT(config_limits, connections), "0", "10000000", "0",
     .help = "how many at once; 0, here and below: no limit"},
    {"connections_per_ip", &option_number, AT(config_limits, connections_per_ip), "0", "10000000",
     "0", .help = "how many at once from one address; IPv6: from one /64"},
    {"rate", &option_number, AT(config_limits, rate), "0", "10000000", "0",
     .help = "new connections in an interval"},
    {"rate_per_ip", &option_number, AT(config_limits, rate_per_ip), "0", "10000000", "0",
     .help = "new connections in an interval from one address"},
    {"auth_failures_per_ip", &option_number, AT(config_limits, auth_failures_per_ip), "0",
     "10000000", "0",
     .help = "failed logins in an interval from one address; then none is taken from there"},
    {"interval", &option_duration, AT(config_limits, interval), "1ms", "168h", "60s",
     .help = "what rates and failures are counted in; it begins with the first one"},
    {0}};

static const struct option_word backend_protocols[] = {
    {"smtp", BACKEND_PROTOCOL_SMTP}, {"lmtp", BACKEND_PROTOCOL_LMTP}, {0}};

static const struct option_word unknown_users[] = {
    {"reject", UNKNOWN_USER_REJECT}, {"discard", UNKNOWN_USER_DISCARD}, {0}};

/* ---- global, log ---- */

static const struct option workers[] = {
    {"min", &option_number, AT(config, global.workers_min), "1", "256", "1",
     .help = "how many there are at rest"},
    {"max", &option_cpus, AT(config, global.workers_max), "1", "256", "auto",
     .help = "how many there are under load, at most; auto: as many as there are CPUs for us"},
    {0}};

static const struct option global[] = {
    {"hostname", &option_hostname, AT(config, global.hostname), .example = "mail.example.org",
     .help = "the name in greetings; default: the machine's"},
    {"workers", &option_section, .options = workers,
     .help = "threads with an event loop each; one more when all are busy, one fewer when idle"},
    {"user", &option_string, AT(config, global.user), .initial = "proxyd",
     .help = "who we become after binding, when started as root"},
    {"sandbox", &option_boolean, AT(config, global.sandbox), .initial = "true",
     .help =
         "give up, once started, writing files but for the log and sockets, and system calls that "
         "are not needed"},
    {"control_socket", &option_string, AT(config, global.control_socket),
     .initial = "/run/proxyd/control.sock", .help = "the path of the socket for proxyctl"},
    {"control_group", &option_string, AT(config, global.control_group), .example = "adm",
     .help = "whose members may use it too; default: only root and who we become"},
    {"shutdown_grace", &option_duration, AT(config, global.shutdown_grace), "0s", "24h", "30s",
     .help = "how long sessions may go on after TERM"},
    {"default_domain", &option_hostname, AT(config, global.default_domain),
     .example = "example.org", .help = "appended to a login without an @"},
    {"trusted_networks", &option_networks, AT(config, global.trusted_networks),
     .initial = "[127.0.0.0/8, \"::1/128\"]",
     .help = "from where logins without TLS are taken and PROXY headers are believed"},
    {"access", &option_access, AT(config, global.access), .initial = "[]",
     .help = "who may connect: {allow: NETWORK} or {deny: NETWORK}, the first match decides"},
    {"limits", &option_section, AT(config, global.limits), .options = limits,
     .help = "clients beyond these are refused; those of listener, service and global all hold"},
    {0}};

static const struct option event_level[] = {
    {"LEVEL", &option_word, AT(log_event_level, level), .words = log_levels}, {0}};

static const struct option logging[] = {
    {"target", &option_string, AT(config, log.target), .initial = "stderr",
     .help = "stderr, syslog or the path of a file (USR1 opens it anew)"},
    {"format", &option_word, AT(config, log.format), .initial = "logfmt", .words = log_formats,
     .help = "how a line is written"},
    {"level", &option_word, AT(config, log.level), .initial = "info", .words = log_levels,
     .help = "what is logged: this and what is worse"},
    {"events", &option_pairs, ARRAY(config, log.events, log.event_count, log_event_level),
     .initial = "{}", .options = event_level,
     .help = "a level of its own for a service, or for config, ldap, listener, node or worker"},
    {0}};

/* ---- admin ---- */

static const struct option admin[] = {
    {"listen", &option_addresses, AT(config, admin.listen), .example = "\"127.0.0.1:8025\"",
     .help = "HTTP for administrators: /healthz /readyz /metrics /status; default: none"},
    {0}};

/* ---- tls ---- */

static const struct option sni[] = {
    {"names", &option_tls_names, AT(tls_sni, names), .example = "[\"*.example.net\"]",
     .help = "the names that a client may ask for"},
    {"certificate", &option_files, AT(tls_sni, certificate), .example = "/etc/proxyd/tls/net.pem",
     .help = "the certificate for these names, with its chain"},
    {"key", &option_files, AT(tls_sni, key), .example = "/etc/proxyd/tls/net.key",
     .help = "its private key"},
    {0}};

static const struct option tls[] = {
    {"certificate", &option_files, AT(tls_settings, certificate),
     .example = "/etc/proxyd/tls/mail.pem",
     .help = "the certificate with its chain, in PEM; a list: one a kind of key (ECDSA, RSA)"},
    {"key", &option_files, AT(tls_settings, key), .example = "/etc/proxyd/tls/mail.key",
     .help = "its private key, in PEM; a list: in the order of the certificates"},
    {"sni", &option_list, ARRAY(tls_settings, sni, sni_count, tls_sni), .initial = "[]",
     .options = sni, .help = "other certificates for the names that clients ask for (RFC 6066)"},
    {"min_version", &option_word, AT(tls_settings, min_version), .initial = "1.2",
     .words = tls_versions, .help = "the lowest version of TLS that is spoken"},
    {"ciphers", &option_string, AT(tls_settings, ciphers), .example = "\"HIGH:!aNULL:!MD5\"",
     .help = "for TLS 1.2, in OpenSSL's notation; default: OpenSSL's"},
    {"client_ca", &option_file, AT(tls_settings, client_ca), .example = "/etc/proxyd/tls/users.pem",
     .help = "clients are asked for a certificate signed by one of these, in PEM"},
    {"ticket_keys", &option_keys, AT(tls_settings, ticket_keys),
     .example = "/etc/proxyd/tls/tickets.key",
     .help = "session ticket keys, lines of 80 bytes in base64; the first one seals, all open"},
    {0}};

/* ---- ldap ---- */

static const struct option attributes[] = {
    {"host", &option_string, AT(directory_settings, attributes.host), .initial = "mailHost",
     .help = "the node: a name, HOST or HOST:PORT"},
    {"password", &option_string, AT(directory_settings, attributes.password),
     .initial = "userPassword", .help = "of ldap_password: stored passwords, any of which may fit"},
    {"login", &option_string, AT(directory_settings, attributes.login),
     .help = "the login on the node, where it is not the one typed"},
    {"hold", &option_string, AT(directory_settings, attributes.hold),
     .help = "TRUE while new logins have to wait, for the mailbox is being moved"},
    {0}};

static const struct option cache[] = {
    {"found", &option_duration, AT(directory_settings, cache.found), "0s", "168h", "60s",
     .help = "how long an entry is used without asking again; 0s: not at all"},
    {"not_found", &option_duration, AT(directory_settings, cache.not_found), "0s", "168h", "10s",
     .help = "how long it is remembered that there is none"},
    {"stale", &option_duration, AT(directory_settings, cache.stale), "0s", "168h", "1h",
     .help = "how long an old entry still tells the node while no server answers"},
    {"entries", &option_number, AT(directory_settings, cache.entries), "1", "10000000", "100000",
     .help = "how many are kept; those not used for the longest time go first"},
    {0}};

static const struct option connector[] = {
    {"server_type", &option_word, AT(directory_settings, server_type), .initial = "openldap",
     .words = server_types, .help = "what the servers are: sets the default of search_filter"},
    {"servers", &option_strings, AT(directory_settings, servers),
     .example = "[ldap://ldap1.example.org, ldaps://ldap2.example.org]",
     .help = "one to five URLs; the first that works is used"},
    {"starttls", &option_boolean, AT(directory_settings, starttls), .initial = "false",
     .help = "TLS on ldap:// by the StartTLS operation; a server without it is not used"},
    {"ca_file", &option_file, AT(directory_settings, ca_file),
     .example = "/etc/ssl/certs/ca-certificates.crt",
     .help = "who may have signed the servers' certificates, in PEM; default: the system's CAs"},
    {"verify", &option_boolean, AT(directory_settings, verify), .initial = "true",
     .help = "whether a server's certificate must be valid and for its name"},
    {"bind_dn", &option_string, AT(directory_settings, bind_dn),
     .example = "cn=proxy,dc=example,dc=org",
     .help = "who searches; with active_directory user@domain too; default: anonymous"},
    {"bind_password", &option_secret, AT(directory_settings, bind_password),
     .example = "\"${file:/etc/proxyd/secrets/corp}\"", .help = "its password, or where it is"},
    {"search_base", &option_string, AT(directory_settings, search_base),
     .example = "ou=people,dc=example,dc=org",
     .help = "the DN that entries are looked for below; may have placeholders"},
    {"search_scope", &option_word, AT(directory_settings, search_scope), .initial = "sub",
     .words = search_scopes, .help = "how far: all that is below, one level, or the base itself"},
    {"search_filter", &option_string, AT(directory_settings, search_filter), .example = "(mail=%e)",
     .help = "which entry it is; default: (mail=%e), with active_directory (sAMAccountName=%n)"},
    {"multiple_matches", &option_word, AT(directory_settings, multiple_matches), .initial = "error",
     .words = matches, .help = "several entries: nobody is let in, or the first one counts"},
    {"referrals", &option_boolean, AT(directory_settings, referrals), .initial = "false",
     .help = "whether servers that a server names are asked in its place"},
    {"attributes", &option_section, .options = attributes, .help = "what is read of an entry"},
    {"timeout", &option_duration, AT(directory_settings, timeout), "1ms", "1h", "4s",
     .help = "for a lookup as a whole, however many servers are tried"},
    {"retry_interval", &option_duration, AT(directory_settings, retry_interval), "1ms", "1h", "5s",
     .help = "before a server that failed is asked again"},
    {"connections", &option_number, AT(directory_settings, connections), "1", "1000", "4",
     .help = "of each worker, for searches; many at a time on each"},
    {"bind_connections", &option_number, AT(directory_settings, bind_connections), "1", "1000",
     "16", .help = "of each worker, at most, for users' binds; one at a time on each"},
    {"cache", &option_section, .options = cache, .help = "of entries that were found, and not"},
    {0}};

/* ---- maps, nodes ---- */

static const struct option map[] = {
    {"type", &option_word, AT(config_map, type), .initial = "file", .words = map_types,
     .help = "what kind of map it is"},
    {"path", &option_file, AT(config_map, path), .example = "/etc/proxyd/users.map",
     .help = "of type file: the file, read again when it changes"},
    {"connector", &option_string, AT(config_map, connector),
     .help = "of the other types: the directory that is asked, one of the section ldap"},
    {0}};

static const struct option node_port[] = {
    {"PORT", &option_port, AT(config_port, port), .min = "1", .max = "65535"}, {0}};

static const struct option node[] = {
    {"address", &option_address, AT(config_node, address), .example = "10.0.0.11",
     .help = "a host, with a port where all its services have the same"},
    {"ports", &option_pairs, ARRAY(config_node, ports, port_count, config_port), .initial = "{}",
     .options = node_port, .help = "by service or protocol; default: the service's backend.port"},
    {0}};

/* ---- services ---- */

static const struct option listener[] = {
    {"address", &option_address, AT(config_listener, address), .example = "0.0.0.0:$PORT",
     .help = "HOST:PORT, \"[IPv6]:PORT\" or unix:/PATH"},
    {"tls", &option_word, AT(config_listener, tls_mode), .initial = "none", .words = tls_modes,
     .help = "whether TLS is there, is offered, or comes first"},
    {"proxy_protocol", &option_boolean, AT(config_listener, proxy_protocol), .initial = "false",
     .help = "connections begin with a PROXY header (v1 or v2), from trusted_networks only"},
    {"access", &option_access, AT(config_listener, access), .initial = "[]",
     .help = "{allow: NETWORK} or {deny: NETWORK}, asked before the service's"},
    {"limits", &option_section, AT(config_listener, limits), .options = limits,
     .help = "clients beyond these are refused; those of listener, service and global all hold"},
    {NULL, &option_section, AT(config_listener, tls), .options = tls,
     .help = "the keys of the section tls, in the place of those there for this listener"},
    {0}};

static const struct option check[] = {
    {"interval", &option_duration, AT(config_service, backend.check.interval), "0s", "24h", "10s",
     .help = "between two checks of a node; 0s: none are made"},
    {"fall", &option_number, AT(config_service, backend.check.fall), "1", "1000", "3",
     .help = "so many failures in a row: the node is down"},
    {"rise", &option_number, AT(config_service, backend.check.rise), "1", "1000", "2",
     .help = "so many successes in a row: it is up again"},
    {0}};

/* ---- webmail ---- */

static const struct option field[] = {{"VALUE", &option_string, AT(config_field, value)}, {0}};

static const struct option success[] = {
    {"status", &option_statuses, AT(config_service, web.node.statuses), .initial = "[302, 303]",
     .help = "the statuses that a successful login is answered with"},
    {"cookie", &option_token, AT(config_service, web.node.cookie), .example = "sessionid",
     .help = "a cookie that it sets; default: none is asked for"},
    {0}};

static const struct option node_login[] = {
    {"page", &option_target, AT(config_service, web.node.page), .example = "/login",
     .help = "fetched first; its cookies and hidden fields go along with the login"},
    {"path", &option_target, AT(config_service, web.node.path), .initial = "/login",
     .help = "where the login is posted to"},
    {"user_field", &option_string, AT(config_service, web.node.user_field), .initial = "username",
     .help = "the field for the login"},
    {"password_field", &option_string, AT(config_service, web.node.password_field),
     .initial = "password", .help = "the field for the password"},
    {"fields", &option_pairs,
     ARRAY(config_service, web.node.fields, web.node.field_count, config_field), .initial = "{}",
     .options = field, .help = "fields that are sent too, as they are"},
    {"format", &option_word, AT(config_service, web.node.format), .initial = "form", .words = forms,
     .help = "how the fields are sent"},
    {"success", &option_section, .options = success, .help = "how a successful login is told"},
    {0}};

static const struct option login[] = {
    {"path", &option_target, AT(config_service, web.login_path), .initial = "/login",
     .help = "where the login page is, and where it posts to"},
    {"user_field", &option_string, AT(config_service, web.user_field), .initial = "username",
     .help = "the page's field for the login"},
    {"password_field", &option_string, AT(config_service, web.password_field),
     .initial = "password", .help = "the page's field for the password"},
    {"backend", &option_section, .options = node_login, .help = "how a node is logged in to"},
    {0}};

static const struct option virtual_host[] = {
    {"TEMPLATE", &option_string, AT(config_virtual_host, template)}, {0}};

static const struct option mobile[] = {
    {"detect", &option_boolean, AT(config_service, web.mobile.detect), .initial = "false",
     .help = "whether phones are told from other devices, by client hints and User-Agent"},
    {"template", &option_string, AT(config_service, web.mobile.template), .initial = "mobile",
     .help = "the template of their login page, where there is one of that name"},
    {"start", &option_target, AT(config_service, web.mobile.start), .example = "/mobile",
     .help = "where they land after the login; default: as everybody"},
    {0}};

static const struct option session[] = {
    {"cookie", &option_token, AT(config_service, web.session.cookie), .initial = "proxyd_route",
     .help = "the name of the cookie that says, sealed, who it is and on which node he lives"},
    {"keys", &option_secrets, AT(config_service, web.session.keys),
     .example = "\"${file:/etc/proxyd/secrets/cookie}\"",
     .help = "lines of 64 hex digits, the same on all front ends; the first seals, all open"},
    {"lifetime", &option_duration, AT(config_service, web.session.lifetime), "1s", "8760h", "12h",
     .help = "from the login until it has to be repeated"},
    {0}};

static const struct option http[] = {
    {"header_size", &option_size, AT(config_service, web.http.header_size), "1K", "1M", "64K",
     .help = "of a request's or answer's first line and header fields together"},
    {"body_size", &option_size, AT(config_service, web.http.body_size), "0", "1024G", "64K",
     .help = "of a request's body"},
    {"upload_size", &option_size, AT(config_service, web.http.upload_size), "0", "1024G", "16M",
     .help = "of a request's body that is multipart/form-data, or of PUT"},
    {"request_timeout", &option_duration, AT(config_service, web.http.request_timeout), "1ms",
     "24h", "60s", .help = "from the first byte of a request to its last"},
    {"keepalive_timeout", &option_duration, AT(config_service, web.http.keepalive_timeout), "0s",
     "24h", "75s", .help = "how long a connection waits for its next request"},
    {0}};

/* ---- the nodes of a service ---- */

static const struct option backend[] = {
    {"protocol", &option_word, AT(config_service, backend.protocol), .words = backend_protocols,
     OF_MAIL, .help = "what the nodes speak; default: what the service speaks"},
    {"port", &option_port, AT(config_service, backend.port), .min = "1", .max = "65535",
     .example = "$PORT",
     .help = "where neither the map nor the node names one; default: the protocol's"},
    {"tls", &option_word, AT(config_service, backend.tls_mode), .initial = "none",
     .words = tls_modes, .help = "TLS to the node; starttls: a node without it is not used"},
    {"ca_file", &option_file, AT(config_service, backend.ca_file),
     .example = "/etc/proxyd/tls/nodes.pem",
     .help = "who may have signed the nodes' certificates, in PEM; default: the system's CAs"},
    {"verify", &option_boolean, AT(config_service, backend.verify), .initial = "true",
     .help = "whether a node's certificate must be valid and for its name"},
    {"source_address", &option_ip, AT(config_service, backend.source_address),
     .example = "10.0.0.2", .help = "where connections to nodes come from; default: the kernel's"},
    {"connect_timeout", &option_duration, AT(config_service, backend.connect_timeout), "1ms", "1h",
     "5s", .help = "from connecting to a node to its greeting"},
    {"max_connections", &option_number, AT(config_service, backend.max_connections), "0", "1000000",
     "0", OF_TALKERS, .help = "sessions at each node at once; 0: no limit"},
    {"max_requests", &option_number, AT(config_service, backend.max_requests), "1", "1000000", "64",
     OF_WEBMAIL, .help = "requests at each node at once"},
    {"queue_size", &option_number, AT(config_service, backend.queue_size), "0", "1000000", "64",
     .help = "logins or requests that wait for a node while it has as many as it may, or is down"},
    {"queue_timeout", &option_duration, AT(config_service, backend.queue_timeout), "0s", "1h",
     "10s", .help = "how long they wait"},
    {"response_timeout", &option_duration, AT(config_service, backend.response_timeout), "1ms",
     "1h", "30s", OF_SESSIONS, .help = "from a node's greeting to its answer to the login"},
    {"response_timeout", &option_duration, AT(config_service, backend.response_timeout), "1ms",
     "24h", "60s", OF_WEBMAIL, .help = "how long a node may take until it answers a request"},
    {"check", &option_section, .options = check,
     .help = "whether nodes are well: they are greeted and left in the protocol's own words"},
    {"login", &option_word, AT(config_service, backend.login), .initial = "forward",
     .words = backend_logins, OF_SESSIONS,
     .help = "forward: the client's own credentials; master: those of the master user"},
    {"master_user", &option_string, AT(config_service, backend.master_user), OF_SESSIONS,
     .example = "proxyd",
     .help = "the master user's name; the user's own goes along as SASL PLAIN's authzid"},
    {"master_password", &option_secret, AT(config_service, backend.master_password), OF_SESSIONS,
     .example = "\"${file:/etc/proxyd/secrets/master}\"",
     .help = "the master user's password, or where it is"},
    {"client_address", &option_word, AT(config_service, backend.client_address), .initial = "auto",
     .words = client_addresses,
     .help = "how nodes learn the client's address; auto: IMAP ID or XCLIENT, where announced"},
    {0}};

static const struct option service[] = {
    {"protocol", &option_protocol, AT(config_service, protocol), .example = "$PROTOCOL",
     .help = "what is spoken; needed where the service is not called like its protocol"},
    {"listeners", &option_list, ARRAY(config_service, listeners, listener_count, config_listener),
     .initial = "[]", .options = listener, .help = "where clients connect"},
    {"maps", &option_strings, AT(config_service, map_names), .initial = "[]",
     .help = "the maps that know where a login lives, tried in this order"},
    {"authentication", &option_word, AT(config_service, authentication), .initial = "backend",
     .words = authentications, OF_LOGINS,
     .help = "who checks the password: the node, or we ourselves and then the node"},
    {"plaintext_auth", &option_word, AT(config_service, plaintext_auth), .initial = "trusted",
     .words = plaintexts, OF_SESSIONS, .help = "from where passwords are taken without TLS"},
    {"mechanisms", &option_mechanisms, AT(config_service, mechanisms), .initial = "[plain, login]",
     .words = mechanisms, OF_SESSIONS,
     .help = "how clients may log in; external (by certificate) needs backend.login: master"},
    {"failover", &option_address, AT(config_service, failover), OF_LOGINS, .example = "10.0.0.9",
     .help = "where a login goes that no map knows"},
    {"capabilities", &option_string, AT(config_service, capabilities), OF_TALKERS,
     .help = "what is announced before the login; default: what the nodes announce"},
    {"login_timeout", &option_duration, AT(config_service, login_timeout), "1ms", "24h", "60s",
     OF_TALKERS,
     .help = "from accepting a connection to the end of the login, or to the first MAIL"},
    {"idle_timeout", &option_duration, AT(config_service, idle_timeout), "1ms", "168h", "30m",
     .help = "how long neither side may say anything after the login"},
    {"max_errors", &option_number, AT(config_service, max_errors), "1", "1000000", "20", OF_TALKERS,
     .help = "unknown or malformed commands before the login (port 25: and unknown "
             "recipients, up to a message that is taken); then we close"},
    {"max_auth_errors", &option_number, AT(config_service, max_auth_errors), "1", "1000000", "5",
     OF_SESSIONS, .help = "refused logins of one connection; then we close"},
    {"access", &option_access, AT(config_service, access), .initial = "[]",
     .help = "{allow: NETWORK} or {deny: NETWORK}, asked before the global ones"},
    {"limits", &option_section, AT(config_service, limits), .options = limits,
     .help = "clients beyond these are refused; those of listener, service and global all hold"},
    {"login", &option_section, OF_WEBMAIL, .options = login, .help = "the login page"},
    {"logout_path", &option_target, AT(config_service, web.logout_path), OF_WEBMAIL,
     .example = "/logout",
     .help = "a request for it forgets the route; with a query: one that has these parameters"},
    {"start", &option_target, AT(config_service, web.start), .initial = "/", OF_WEBMAIL,
     .help = "where a user lands after the login when the node names no place"},
    {"templates", &option_folder, AT(config_service, web.templates), OF_WEBMAIL,
     .example = "/etc/proxyd/templates",
     .help = "folders with a login.html and its static files; default: a built-in page"},
    {"virtual_hosts", &option_pairs,
     ARRAY(config_service, web.hosts, web.host_count, config_virtual_host), .initial = "{}",
     .options = virtual_host, OF_WEBMAIL,
     .help = "the template for a host name, or \"*.DOMAIN\"; others have the one called default"},
    {"mobile", &option_section, OF_WEBMAIL, .options = mobile, .help = "phones"},
    {"secure_login", &option_boolean, AT(config_service, web.secure_login), .initial = "false",
     OF_WEBMAIL, .help = "whether the login page is on listeners with TLS only: others redirect"},
    {"session", &option_section, OF_WEBMAIL, .options = session,
     .help = "who is logged in, which no front end has to remember"},
    {"http", &option_section, OF_WEBMAIL, .options = http, .help = "bounds of requests"},
    {"domains", &option_tls_names, AT(config_service, mail.domains), .initial = "[]", OF_MAIL,
     .help = "hosted here, names or \"*.NAME\": their unknown recipients are never relayed"},
    {"unknown_user", &option_word, AT(config_service, mail.unknown_user), .initial = "reject",
     .words = unknown_users, OF_MAIL,
     .help = "what becomes of a recipient in these that no map knows"},
    {"relay", &option_address, AT(config_service, mail.relay), OF_MAIL, .example = "10.0.0.25",
     .help = "where other recipients go, by SMTP, for clients in relay_networks; default: refused"},
    {"relay_networks", &option_networks, AT(config_service, mail.relay_networks), .initial = "[]",
     OF_MAIL, .help = "whose mail for other domains is relayed"},
    {"max_message_size", &option_size, AT(config_service, mail.max_message_size), "0", "1024G",
     "50M", OF_MAIL, .help = "of a message; 0: no limit of ours"},
    {"max_recipients", &option_number, AT(config_service, mail.max_recipients), "1", "10000", "100",
     OF_MAIL, .help = "of a message; more are answered 452, for another transaction"},
    {"backend", &option_section, .options = backend, .help = "the nodes of this service"},
    {0}};

const struct option options[] = {
    {"global", &option_section, .options = global, .help = "the process"},
    {"log", &option_section, .options = logging, .help = "where and how much is logged"},
    {"tls", &option_section, AT(config, tls), .options = tls,
     .help = "TLS for all listeners; a listener may have any of these keys for itself"},
    {"admin", &option_section, .options = admin, .help = "health, metrics and a page of status"},
    {"ldap", &option_named, ARRAY(config, ldap, ldap_count, directory_settings), .example = "corp",
     .options = connector, .help = "directories; maps ask them by these names"},
    {"maps", &option_named, ARRAY(config, map_settings, map_setting_count, config_map),
     .example = "local", .options = map,
     .help = "which node a login lives on; services ask maps by these names"},
    {"nodes", &option_named, ARRAY(config, nodes, node_count, config_node), .example = "node1",
     .options = node, .help = "names for back-end hosts; optional"},
    {"services", &option_named, ARRAY(config, services, service_count, config_service),
     .options = service, .help = "what clients connect to; the key names the protocol"},
    {0}};
