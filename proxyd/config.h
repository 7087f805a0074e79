/* SPDX-License-Identifier: ISC
 *
 * The configuration: read from YAML, checked, and from then on an immutable snapshot. HUP makes a
 * new one; a session keeps the one it began with until it ends. The names are those of the
 * operator's contract, section 2; options.c has the table that says which option fills which field.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "access.h"
#include "auth/directory.h"
#include "base/addr.h"
#include "base/log.h"
#include "base/problem.h"
#include "maps/map.h"
#include "net/tls.h"
#include "proto/proto.h"

#include <stdatomic.h>

struct node_group;
struct cookie_keys;
struct limit_level;
struct stats_service;

enum config_authentication { AUTHENTICATION_BACKEND, AUTHENTICATION_PROXY };
enum config_plaintext { PLAINTEXT_NEVER, PLAINTEXT_TRUSTED, PLAINTEXT_ALWAYS };
enum config_backend_login { BACKEND_LOGIN_FORWARD, BACKEND_LOGIN_MASTER };
enum config_client_address {
    CLIENT_ADDRESS_NONE,
    CLIENT_ADDRESS_PROXY_V1,
    CLIENT_ADDRESS_PROXY_V2,
    CLIENT_ADDRESS_AUTO
};

/* An address as written: "host:port", "[::1]:port", "unix:/path". */
struct config_address {
    char *host;    /* NULL: not set */
    uint16_t port; /* 0: none given */
};

struct config_networks {
    struct network *list;
    size_t count;
};

struct config_port {
    char *name;                      /* a service, or a protocol: */
    const struct protocol *protocol; /* NULL where only a service is called so */
    uint16_t port;
};

enum config_map_type { CONFIG_MAP_FILE, CONFIG_MAP_LDAP_PASSWORD, CONFIG_MAP_LDAP_BIND };

/* One of `maps`, as written. */
struct config_map {
    char *name;
    enum config_map_type type;
    char *path;      /* of a file, else NULL */
    char *connector; /* the name of one of `ldap`, for the others */
};

/* One of `nodes`. */
struct config_node {
    char *name;
    struct config_address address;
    struct config_port *ports;
    size_t port_count;
};

struct config_access {
    struct access_rule *rules;
    size_t count;
    struct access *compiled; /* NULL where there are no rules */
};

/* Of a level: the process, a service, a listener. 0: no limit. */
struct config_limits {
    unsigned connections, connections_per_ip;
    unsigned rate, rate_per_ip; /* new connections in an interval */
    unsigned auth_failures_per_ip;
    uint64_t interval; /* ms */
};

struct config_listener {
    struct config_address address;
    struct addr bind;   /* resolved */
    struct place place; /* where it was set, for messages; file owned by the configuration */
    enum tls_mode tls_mode;
    bool proxy_protocol;
    struct config_access access;
    struct config_limits limits;
    struct limit_level *level;     /* what is counted there, outliving configurations (limit.c) */
    struct tls_settings tls;       /* its own where given, else the global ones */
    struct tls_server *tls_server; /* NULL with tls: none */
};

/* Where the admin listener is. */
struct config_admin_listener {
    struct addr bind;
    struct place place;
};

struct config_check {
    uint64_t interval; /* ms; 0: no checks */
    unsigned fall, rise;
};

/* ---- of webmail services only ---- */

enum config_form { CONFIG_FORM_FORM, CONFIG_FORM_JSON };

/* A field that is sent along, as it is. */
struct config_field {
    char *name, *value;
};

enum { CONFIG_STATUSES_MAX = 16 };

struct config_statuses {
    uint16_t list[CONFIG_STATUSES_MAX];
    size_t count;
};

/* How a node is logged in to. Paths here and below are targets (RFC 9112, 3.2.1): they begin with
 * a slash and may have a query. */
struct config_web_node_login {
    char *page; /* fetched first, or NULL */
    char *path, *user_field, *password_field;
    struct config_field *fields;
    size_t field_count;
    enum config_form format;
    struct config_statuses statuses; /* of a success */
    char *cookie;                    /* that a success sets, or NULL */
};

struct config_virtual_host {
    char *host; /* as written: a name, or "*." and a domain */
    char *template;
};

struct config_web {
    char *login_path, *user_field, *password_field; /* of our own page; the path has no query */
    struct config_web_node_login node;
    char *logout_path; /* or NULL */
    char *start;
    char *templates; /* the folder, or NULL */
    struct config_virtual_host *hosts;
    size_t host_count;
    struct {
        bool detect;
        char *template;
        bool no_template; /* there is none of that name, and none was asked for */
        char *start;      /* or NULL: as everybody's */
    } mobile;
    bool secure_login;
    struct {
        char *cookie;
        char *keys;        /* as written, or NULL */
        uint64_t lifetime; /* ms */
    } session;
    struct {
        uint64_t header_size, body_size, upload_size; /* bytes */
        uint64_t request_timeout, keepalive_timeout;  /* ms */
    } http;
    struct cookie_keys *cookie_keys; /* of session.keys, or the process's own (web/cookie.h) */
};

enum config_backend_protocol { BACKEND_PROTOCOL_SMTP, BACKEND_PROTOCOL_LMTP };

enum config_unknown_user { UNKNOWN_USER_REJECT, UNKNOWN_USER_DISCARD };

/* What only port 25 and LMTP have. */
struct config_mail {
    struct strings domains; /* hosted here: names, or "*." and a domain */
    enum config_unknown_user unknown_user;
    struct config_address relay; /* host NULL: nobody's */
    struct config_networks relay_networks;
    uint64_t max_message_size; /* bytes; 0: no limit */
    unsigned max_recipients;
};

struct config_backend {
    enum config_backend_protocol protocol; /* of smtp and lmtp services */
    uint16_t port;
    enum tls_mode tls_mode;
    char *ca_file;
    bool verify;
    struct tls_client *tls_client; /* NULL with tls: none */
    struct addr source_address;    /* len 0: any */
    uint64_t connect_timeout;      /* ms */
    unsigned max_connections;      /* 0: no limit */
    unsigned queue_size;
    uint64_t queue_timeout; /* ms */
    struct config_check check;
    enum config_backend_login login;
    char *master_user, *master_password;
    enum config_client_address client_address;
    unsigned max_requests;     /* webmail: at a time */
    uint64_t response_timeout; /* ms: to a login, or of webmail to each request; 0: none of ours */
};

struct config_service {
    char *name;
    const struct protocol *protocol;
    struct config_listener *listeners;
    size_t listener_count;
    struct strings map_names;
    struct map **maps; /* in the order in which they are tried; owned by the configuration */
    size_t map_count;
    enum config_authentication authentication;
    enum config_plaintext plaintext_auth;
    unsigned mechanisms; /* bits 1u << SASL_* */
    struct config_address failover;
    char *capabilities;     /* NULL: as learned */
    uint64_t login_timeout; /* ms */
    uint64_t idle_timeout;  /* ms */
    unsigned max_errors, max_auth_errors;
    struct config_access access;
    struct config_limits limits;
    struct limit_level *level; /* as a listener's */
    struct config_web web;
    struct config_mail mail;
    struct config_backend backend;
    enum log_level log_level;       /* log.events, or log.level */
    struct node_group *group;       /* its nodes' state, which outlives configurations (node.c) */
    struct node_group *relay_group; /* the same for mail.relay, which is no node; or NULL */
    struct stats_service *stats;    /* its counters, likewise (stats.c); NULL: not counted */
};

struct config {
    atomic_uint references;
    struct strings files; /* that were read, in this order: `place.file` points here */
    struct {
        char *hostname;
        unsigned workers_min, workers_max; /* max: CPUs put in for auto */
        char *user;
        bool user_is_default;
        bool sandbox;
        char *control_socket;
        struct place control_socket_place; /* no file: the default */
        char *control_group;               /* or NULL */
        uint64_t shutdown_grace;           /* ms */
        char *default_domain;              /* or NULL */
        struct config_networks trusted_networks;
        bool balancers_known; /* somebody has said who is trusted: load balancers are among them */
        struct config_access access;
        struct config_limits limits;
        struct limit_level *level; /* as a listener's */
    } global;
    struct {
        char *target;
        enum log_format format;
        enum log_level level;
        struct log_event_level *events;
        size_t event_count;
    } log;
    struct tls_settings tls;
    struct {
        struct strings listen;                   /* as written */
        struct config_admin_listener *listeners; /* of these, in the same order */
        size_t listener_count;
    } admin;
    struct directory_settings *ldap;
    size_t ldap_count;
    struct directory **directories; /* of these, in the same order */
    struct config_map *map_settings;
    size_t map_setting_count;
    struct map **maps; /* of these, in the same order */
    size_t map_count;
    struct config_node *nodes;
    size_t node_count;
    struct config_service *services;
    size_t service_count;
};

/* Reads the file or folder PATH with everything that it names: certificates, secrets, map files.
 * NULL when PROBLEMS holds an error afterwards; there may be warnings besides. The caller holds one
 * reference. It takes long where a map file is large: at start, or in the thread pool. Touches
 * nothing global, so that a running configuration is not harmed by one that fails. */
struct config *config_load(const char *path, struct problems *problems);

/* As config_load, but prints the effective configuration (-T) to OUT when there is no error: YAML
 * that config_load reads back, each value with a comment that says where it was set, secrets as
 * ********. Returns whether there was no error. */
bool config_print(const char *path, struct problems *problems, FILE *out);

/* Has CONFIG, which nobody uses yet, share with OLD what both have: the maps of the same name and
 * path, with the content that CONFIG has read, for a session keeps OLD for hours, and must not keep
 * another ten million lines with it; and connectors of the same settings, with their connections
 * and caches. */
void config_share_maps(struct config *config, struct config *old);

/* One reference more (returns CONFIG), one less (the last one frees). From any thread. */
struct config *config_ref(struct config *config);
void config_unref(struct config *config);

/* Whether DOMAIN is one of mail.domains of SERVICE. */
bool config_is_hosted(const struct config_service *service, const char *domain);

/* What SERVICE speaks with its nodes. */
const struct protocol *config_backend_protocol(const struct config_service *service);

/* A place to go to. */
struct config_target {
    const char *name; /* of the configured node, or NULL */
    const char *host;
    uint16_t port;
};

/* What HOST (a configured node's name, a host or an address) and PORT (0: none was said) mean for
 * SERVICE. A port that was not said is, of a configured node, the one for the service's name or for
 * what it speaks with nodes (first that, where the name is a protocol's), or that of its address;
 * else the service's backend.port. The strings are CONFIG's, or HOST. */
struct config_target config_target(const struct config *config,
                                   const struct config_service *service, const char *host,
                                   uint16_t port);

/* The configured node called NAME (any case), or NULL. */
const struct config_node *config_node_find(const struct config *config, struct str name);

#endif
