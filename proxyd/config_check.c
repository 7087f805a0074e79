/* SPDX-License-Identifier: ISC
 *
 * The configuration as a whole: see config_check.h. A value that was refused by its type is not
 * spoken of again (`bad` in its node); what depends on it is checked with its default. */
#include "config_check.h"

#include "base/mem.h"
#include "maps/map_file.h"
#include "maps/map_line.h"
#include "option.h"

#include <netdb.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PASSWD_MAX = 64 * 1024 }; /* bytes of an entry of the user database */

struct checking {
    struct config *config;
    struct yaml_node *tree;
    struct problems *problems;
};

/* A service and where it is written. */
struct service_check {
    struct checking *c;
    struct config_service *service;
    struct yaml_node *node;
};

/* Where a problem of SECTION's option at PATH (keys with dots between) is shown: at the option, or
 * where it was not written, at the section that it would be in. */
static struct yaml_node *at(struct yaml_node *section, const char *path)
{
    char key[64];
    while (*path) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        struct yaml_node *child = yaml_tree_get(section, key);
        if (!child || !child->place.file)
            break;
        section = child;
        path += n + (path[n] == '.');
    }
    return section;
}

static struct yaml_node *item_at(struct yaml_node *list, size_t index)
{
    struct yaml_node *item = list->kind == YAML_TREE_LIST ? list->first : NULL;
    while (item && index-- > 0)
        item = item->next;
    return item ? item : list;
}

/* ---- global, log ---- */

static bool user_exists(const char *name)
{
    struct passwd entry, *found = NULL;
    char *room = xmalloc(PASSWD_MAX);
    getpwnam_r(name, &entry, room, PASSWD_MAX, &found);
    free(room);
    return found;
}

/* The default need not exist: then nobody is become, which is how -T shows it. */
static void check_user(struct checking *c)
{
    struct yaml_node *node = yaml_tree_get(yaml_tree_get(c->tree, "global"), "user");
    const char *user = c->config->global.user;
    c->config->global.user_is_default = node && !node->place.file;
    if (!user || user_exists(user))
        return;
    if (c->config->global.user_is_default)
        node->kind = YAML_TREE_NULL;
    else
        option_error(node, c->problems, "there is no user '%.60s'", user);
}

static void check_workers(struct checking *c)
{
    struct yaml_node *node = at(c->tree, "global.workers.max");
    unsigned min = c->config->global.workers_min, *max = &c->config->global.workers_max;
    bool is_auto = node->kind != YAML_TREE_SCALAR || strcmp(node->text, "auto") == 0;
    if (*max < min && is_auto)
        *max = min;
    if (*max < min)
        option_error(node, c->problems, "max must not be less than min, which is %u", min);
}

static void check_log_target(struct checking *c)
{
    const char *target = c->config->log.target;
    struct yaml_node *node = at(c->tree, "log.target");
    struct stat st;
    if (!target || strcmp(target, "stderr") == 0 || strcmp(target, "syslog") == 0)
        return;
    if (target[0] != '/') {
        option_error(node, c->problems,
                     "target must be stderr, syslog or the path of a file, beginning with /");
        return;
    }
    const char *slash = strrchr(target, '/');
    char *folder = xstrndup(target, slash > target ? (size_t)(slash - target) : 1);
    if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))
        option_error(node, c->problems, "target: there is no folder %.200s", folder);
    else if (stat(target, &st) == 0 && S_ISDIR(st.st_mode))
        option_error(node, c->problems, "target: %.200s is a folder", target);
    free(folder);
}

static const struct config_service *find_service(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->service_count; i++)
        if (strcmp(config->services[i].name, name) == 0)
            return &config->services[i];
    return NULL;
}

static void offer_services(const struct config *config, struct option_near *near)
{
    for (size_t i = 0; i < config->service_count; i++)
        option_near_offer(near, config->services[i].name);
}

static void check_log_events(struct checking *c)
{
    static const char *const modules[] = {"config", "ldap", "listener", "node", "worker", NULL};
    struct yaml_node *events = yaml_tree_get(yaml_tree_get(c->tree, "log"), "events");
    if (!events || events->bad)
        return;
    for (struct yaml_node *event = events->first; event; event = event->next) {
        struct option_near near = option_near_to(event->key);
        bool known = find_service(c->config, event->key);
        for (const char *const *m = modules; *m; m++) {
            known |= strcmp(*m, event->key) == 0;
            option_near_offer(&near, *m);
        }
        offer_services(c->config, &near);
        if (!known)
            problem_error(c->problems, event->place,
                          "'%.60s' is neither a service nor a module" OPTION_NEAR_FORMAT,
                          event->key, OPTION_NEAR(near));
    }
}

/* ---- maps and nodes ---- */

static void check_maps(struct checking *c)
{
    struct config *config = c->config;
    config->maps = xcalloc(config->map_setting_count + 1, sizeof *config->maps);
    config->map_count = config->map_setting_count;
    for (size_t i = 0; i < config->map_count; i++) {
        const struct config_map *setting = &config->map_settings[i];
        struct yaml_node *node = yaml_tree_get(yaml_tree_get(c->tree, "maps"), setting->name);
        struct yaml_node *path = at(node, "path");
        size_t errors = c->problems->errors;
        if (!setting->path && !path->bad)
            problem_error(c->problems, node->place, "a map of type file needs a path");
        if (!setting->path || path->bad)
            continue;
        struct map_table *table = map_table_load(setting->path, c->problems);
        if (table)
            config->maps[i] = map_file_new(setting->name, setting->path, table);
        else if (c->problems->errors == errors)
            option_error(path, c->problems, "path: %.200s cannot be loaded", setting->path);
    }
}

/* A port's name is that of a service or of a protocol. */
static void check_node_port(struct checking *c, struct config_port *port, struct yaml_node *ports)
{
    struct option_near near = option_near_to(port->name);
    port->protocol = protocol_find(port->name);
    if (port->protocol || map_line_protocol(str_of(port->name)) ||
        find_service(c->config, port->name))
        return;
    for (const struct protocol *const *p = protocol_all(); *p; p++)
        option_near_offer(&near, (*p)->name);
    offer_services(c->config, &near);
    problem_error(c->problems, yaml_tree_get(ports, port->name)->place,
                  "'%.60s' is neither a service nor a protocol" OPTION_NEAR_FORMAT, port->name,
                  OPTION_NEAR(near));
}

static void check_nodes(struct checking *c)
{
    const struct config *config = c->config;
    for (size_t i = 0; i < config->node_count; i++) {
        const struct config_node *entry = &config->nodes[i];
        struct yaml_node *node = yaml_tree_get(yaml_tree_get(c->tree, "nodes"), entry->name);
        if (!entry->address.host && !at(node, "address")->bad)
            problem_error(c->problems, node->place, "node '%.60s' needs an address", entry->name);
        if (config_node_find(config, str_of(entry->name)) != entry)
            problem_error(c->problems, node->place,
                          "there is a node '%.60s' already: upper and "
                          "lower case are the same here",
                          entry->name);
        for (size_t k = 0; k < entry->port_count; k++)
            check_node_port(c, &entry->ports[k], at(node, "ports"));
    }
}

/* ---- listeners ---- */

/* The address to bind, of a name the first one. */
static void resolve(struct checking *c, struct config_listener *listener, struct yaml_node *node)
{
    struct str host = str_of(listener->address.host);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    bool numeric = addr_numeric(&listener->bind, host, listener->address.port);
    if (!listener->address.port && (!numeric || listener->bind.sa.sa_family != AF_UNIX)) {
        option_error(node, c->problems, "a listener's address needs a port: %.200s:PORT", host.p);
        return;
    }
    if (numeric)
        return;
    int rc = getaddrinfo(host.p, NULL, &hints, &found);
    if (rc) {
        option_error(node, c->problems, "cannot resolve %.200s: %s", host.p, gai_strerror(rc));
        return;
    }
    char text[ADDR_TEXT];
    struct addr any;
    addr_from_sockaddr(&any, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    addr_numeric(&listener->bind, str_of(addr_host(&any, text)), listener->address.port);
}

/* Who may speak for others, somebody has to have decided. */
static bool trust_is_chosen(const struct checking *c)
{
    const struct yaml_node *networks =
        yaml_tree_get(yaml_tree_get(c->tree, "global"), "trusted_networks");
    return networks->place.file && c->config->global.trusted_networks.count > 0;
}

/* The listener before LISTENER that binds the same address, or NULL. */
static const struct config_listener *twin(const struct config *config,
                                          const struct config_listener *listener)
{
    for (size_t i = 0; i < config->service_count; i++)
        for (size_t k = 0; k < config->services[i].listener_count; k++) {
            const struct config_listener *other = &config->services[i].listeners[k];
            if (other == listener)
                return NULL;
            if (listener->bind.len && addr_equal(&other->bind, &listener->bind))
                return other;
        }
    return NULL;
}

static void check_pair(struct checking *c, struct yaml_node *node,
                       const struct strings *certificate, const struct strings *key)
{
    if (certificate->count != key->count)
        option_error(at(node, certificate->count > key->count ? "certificate" : "key"), c->problems,
                     "certificate and key must be pairs: there are %zu and %zu", certificate->count,
                     key->count);
}

static void check_sni(struct checking *c, struct yaml_node *list,
                      const struct tls_settings *settings)
{
    for (size_t i = 0; i < settings->sni_count; i++) {
        const struct tls_sni *sni = &settings->sni[i];
        struct yaml_node *node = item_at(list, i);
        if (sni->names.count == 0 || sni->certificate.count == 0)
            option_error(node, c->problems, "sni needs names, certificate and key");
        check_pair(c, node, &sni->certificate, &sni->key);
    }
}

/* Makes the context of a listener with TLS. */
static void make_server(struct service_check *s, struct config_listener *listener,
                        struct yaml_node *node)
{
    struct tls_error error = {0};
    struct checking *c = s->c;
    size_t errors = c->problems->errors;
    check_pair(c, node, &listener->tls.certificate, &listener->tls.key);
    check_sni(c, at(node, "sni"), &listener->tls);
    if (listener->tls.certificate.count + listener->tls.key.count == 0)
        option_error(at(node, "tls"), c->problems,
                     "TLS needs a certificate and its key, here or in the section tls");
    if (c->problems->errors > errors || !s->service->protocol)
        return;
    listener->tls_server = tls_server_new(&listener->tls, s->service->protocol->alpn, &error);
    if (!listener->tls_server)
        option_error(item_at(at(node, error.option), error.index), c->problems, "%s: %s",
                     error.option, error.message);
}

static void check_listener(struct service_check *s, struct config_listener *listener,
                           struct yaml_node *node)
{
    struct checking *c = s->c;
    struct yaml_node *address = at(node, "address");
    listener->place = address->value;
    if (listener->address.host)
        resolve(c, listener, address);
    else
        option_error(address, c->problems, "a listener needs an address");
    const struct config_listener *other = twin(c->config, listener);
    if (other)
        option_error(address, c->problems, "a listener given twice: first at %.200s:%u",
                     other->place.file, other->place.line);
    if (listener->proxy_protocol && !trust_is_chosen(c))
        option_error(
            at(node, "proxy_protocol"), c->problems,
            "proxy_protocol needs global.trusted_networks to be set: from nobody else is a "
            "PROXY header believed");
    if (listener->tls_mode != TLS_NONE)
        make_server(s, listener, node);
}

static void check_listeners(struct service_check *s)
{
    struct yaml_node *list = at(s->node, "listeners");
    if (s->service->listener_count == 0 && !list->bad)
        problem_error(s->c->problems, s->node->place, "service '%.60s' needs listeners",
                      s->service->name);
    for (size_t i = 0; i < s->service->listener_count; i++)
        check_listener(s, &s->service->listeners[i], item_at(list, i));
}

/* ---- how clients log in ---- */

static bool any_tls(const struct config_service *service, bool with_client_ca)
{
    for (size_t i = 0; i < service->listener_count; i++)
        if (service->listeners[i].tls_mode != TLS_NONE &&
            (!with_client_ca || service->listeners[i].tls.client_ca))
            return true;
    return false;
}

static void check_mechanisms(struct service_check *s)
{
    const struct config_service *service = s->service;
    struct yaml_node *node = at(s->node, "mechanisms");
    unsigned tokens = 1u << SASL_XOAUTH2 | 1u << SASL_OAUTHBEARER;
    if (service->mechanisms == 0)
        option_error(node, s->c->problems, "mechanisms must name one at least");
    if (service->mechanisms & tokens && service->authentication == AUTHENTICATION_PROXY)
        option_error(node, s->c->problems,
                     "xoauth2 and oauthbearer need authentication: backend, "
                     "for a token can be checked by the node only");
    if (!(service->mechanisms & 1u << SASL_EXTERNAL))
        return;
    if (service->backend.login != BACKEND_LOGIN_MASTER)
        option_error(node, s->c->problems,
                     "external needs backend.login: master, for there is no "
                     "password to pass on");
    else if (!any_tls(service, true))
        option_error(node, s->c->problems, "external needs a listener with TLS and client_ca");
}

static void check_plaintext(struct service_check *s)
{
    const struct config_service *service = s->service;
    bool nobody = service->plaintext_auth == PLAINTEXT_NEVER ||
                  (service->plaintext_auth == PLAINTEXT_TRUSTED &&
                   s->c->config->global.trusted_networks.count == 0);
    if (nobody && service->listener_count && !any_tls(service, false))
        problem_warning(s->c->problems, at(s->node, "plaintext_auth")->place,
                        "nobody can log in to service '%.60s': it has no TLS, and plaintext_auth "
                        "lets nobody in without",
                        service->name);
}

/* ---- where they go ---- */

static size_t find_map(const struct config *config, const char *name, struct option_near *near)
{
    size_t i = 0;
    for (; i < config->map_setting_count; i++) {
        if (strcmp(config->map_settings[i].name, name) == 0)
            break;
        option_near_offer(near, config->map_settings[i].name);
    }
    return i;
}

static void check_service_maps(struct service_check *s)
{
    const struct config *config = s->c->config;
    struct config_service *service = s->service;
    struct yaml_node *node = at(s->node, "maps");
    service->maps = xcalloc(service->map_names.count + 1, sizeof *service->maps);
    for (size_t i = 0; i < service->map_names.count; i++) {
        const char *name = service->map_names.list[i];
        struct option_near near = option_near_to(name);
        size_t found = find_map(config, name, &near);
        if (found < config->map_count)
            service->maps[service->map_count++] = config->maps[found];
        else
            option_error(item_at(node, i), s->c->problems,
                         "there is no map '%.60s'" OPTION_NEAR_FORMAT, name, OPTION_NEAR(near));
    }
    if (service->map_names.count == 0 && !service->failover.host && !node->bad &&
        !at(s->node, "failover")->bad)
        problem_warning(s->c->problems, s->node->place,
                        "service '%.60s' has neither maps nor failover: nobody will be let in",
                        service->name);
}

static bool is_on_this_machine(const struct config_address *address)
{
    struct addr numeric;
    struct str host = str_of(address->host);
    return addr_numeric(&numeric, host, 0) ? addr_is_local(&numeric) : str_is(host, "localhost");
}

/* A master password must not cross a network in the clear. */
static void check_master_line(struct service_check *s)
{
    const struct config *config = s->c->config;
    struct config_service *service = s->service;
    struct yaml_node *node = at(s->node, "backend.login");
    static const char advice[] = "set backend.tls to starttls or implicit";
    const struct config_address *failover = &service->failover;
    const struct config_node *named =
        failover->host ? config_node_find(config, str_of(failover->host)) : NULL;
    for (size_t i = 0; i < config->node_count; i++) {
        const struct config_address *address = &config->nodes[i].address;
        bool used = service->map_names.count || named == &config->nodes[i];
        if (used && address->host && !is_on_this_machine(address))
            option_error(node, s->c->problems,
                         "a master login over plain TCP to another machine, node '%.60s': %s",
                         config->nodes[i].name, advice);
    }
    if (failover->host && !named && !is_on_this_machine(failover))
        option_error(node, s->c->problems,
                     "a master login over plain TCP to another machine, failover: %s", advice);
    if (service->map_names.count && !node->bad)
        problem_warning(s->c->problems, node->value,
                        "a master login over plain TCP, and a map may name another machine: %s",
                        advice);
}

static void check_master(struct service_check *s)
{
    const struct config_service *service = s->service;
    const struct config_backend *backend = &service->backend;
    struct yaml_node *node = at(s->node, "backend.login");
    struct yaml_node *password = at(s->node, "backend.master_password");
    if (backend->login == BACKEND_LOGIN_FORWARD) {
        if (backend->master_user || backend->master_password)
            problem_warning(s->c->problems,
                            at(s->node, backend->master_user ? "backend.master_user"
                                                             : "backend.master_password")
                                ->place,
                            "the master user is not used: login is not master");
        return;
    }
    if (!backend->master_user || (!backend->master_password && !password->bad))
        option_error(node, s->c->problems, "login: master needs master_user and master_password");
    if (service->authentication == AUTHENTICATION_BACKEND &&
        service->mechanisms & ~(1u << SASL_EXTERNAL))
        option_error(node, s->c->problems,
                     "login: master needs authentication: proxy (or external as the only "
                     "mechanism): else nobody would check the users' passwords");
    if (backend->tls_mode == TLS_NONE)
        check_master_line(s);
}

static void make_client(struct service_check *s)
{
    struct config_backend *backend = &s->service->backend;
    struct tls_error error = {0};
    if (backend->tls_mode == TLS_NONE)
        return;
    backend->tls_client = tls_client_new(backend->ca_file, backend->verify, &error);
    if (!backend->tls_client)
        option_error(at(s->node, "backend.ca_file"), s->c->problems, "%s: %s", error.option,
                     error.message);
}

/* ---- services ---- */

static void check_protocol(struct service_check *s)
{
    struct option_near near = option_near_to(s->service->name);
    if (s->service->protocol || at(s->node, "protocol")->bad)
        return;
    for (const struct protocol *const *p = protocol_all(); *p; p++)
        option_near_offer(&near, (*p)->name);
    problem_error(
        s->c->problems, s->node->place,
        "service '%.60s' needs `protocol:`, for it is not called like one" OPTION_NEAR_FORMAT,
        s->service->name, OPTION_NEAR(near));
}

static void set_log_level(struct service_check *s)
{
    const struct config *config = s->c->config;
    s->service->log_level = config->log.level;
    for (size_t i = 0; i < config->log.event_count; i++)
        if (strcmp(config->log.events[i].name, s->service->name) == 0)
            s->service->log_level = config->log.events[i].level;
}

static void check_services(struct checking *c)
{
    struct yaml_node *services = yaml_tree_get(c->tree, "services");
    if (c->config->service_count == 0 && services && !services->bad)
        problem_error(c->problems, at(c->tree, "services")->place,
                      "no service is configured: nothing would listen");
    for (size_t i = 0; i < c->config->service_count; i++) {
        struct config_service *service = &c->config->services[i];
        struct service_check s = {c, service, yaml_tree_get(services, service->name)};
        if (s.node->bad)
            continue;
        set_log_level(&s);
        check_protocol(&s);
        check_listeners(&s);
        check_service_maps(&s);
        check_mechanisms(&s);
        check_plaintext(&s);
        check_master(&s);
        make_client(&s);
    }
}

void config_check(struct config *config, struct yaml_node *tree, struct problems *problems)
{
    struct checking c = {config, tree, problems};
    check_user(&c);
    check_workers(&c);
    check_log_target(&c);
    check_log_events(&c);
    check_pair(&c, at(tree, "tls"), &config->tls.certificate, &config->tls.key);
    check_sni(&c, at(tree, "tls.sni"), &config->tls);
    check_maps(&c);
    check_nodes(&c);
    check_services(&c);
}
