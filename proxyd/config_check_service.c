/* SPDX-License-Identifier: ISC
 *
 * Services as a whole: listeners with their certificates, how clients log in, where they go. See
 * config_check_parts.h. */
#include "base/mem.h"
#include "config_check_parts.h"
#include "option.h"

#include <netdb.h>
#include <string.h>

/* A service and where it is written. */
struct service_check {
    struct config_checking *c;
    struct config_service *service;
    struct yaml_node *node;
};

static bool is_of(const struct config_service *service, enum protocol_engine engine)
{
    return service->protocol && service->protocol->engine == engine;
}

/* ---- listeners ---- */

void config_check_bind(struct config_checking *c, struct yaml_node *node, struct str host,
                       uint16_t port, struct addr *bind)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    bool numeric = addr_numeric(bind, host, port);
    if (!port && (!numeric || bind->sa.sa_family != AF_UNIX)) {
        option_error(node, c->problems, "a listener's address needs a port: %.*s:PORT", (int)host.n,
                     host.p);
        return;
    }
    if (numeric)
        return;
    char name[NI_MAXHOST];
    snprintf(name, sizeof name, "%.*s", (int)host.n, host.p);
    int rc = getaddrinfo(name, NULL, &hints, &found);
    if (rc) {
        option_error(node, c->problems, "cannot resolve %s: %s", name, gai_strerror(rc));
        return;
    }
    char text[ADDR_TEXT];
    struct addr any;
    addr_from_sockaddr(&any, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    addr_numeric(bind, str_of(addr_host(&any, text)), port);
}

/* Who may speak for others, somebody has to have decided. */
static bool trust_is_chosen(const struct config_checking *c)
{
    const struct yaml_node *networks =
        yaml_tree_get(yaml_tree_get(c->tree, "global"), "trusted_networks");
    return networks && networks->place.file && c->config->global.trusted_networks.count > 0;
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

/* Makes the context of a listener with TLS. */
static void make_server(struct service_check *s, struct config_listener *listener,
                        struct yaml_node *node)
{
    const struct protocol *protocol = s->service->protocol;
    if (listener->tls.certificate.count + listener->tls.key.count == 0)
        option_error(config_check_at(node, "tls"), s->c->problems,
                     "TLS needs a certificate and its key, here or in the section tls");
    listener->tls_server =
        config_check_tls_server(s->c, node, &listener->tls, protocol ? protocol->alpn : "");
}

static void check_listener(struct service_check *s, struct config_listener *listener,
                           struct yaml_node *node)
{
    struct config_checking *c = s->c;
    struct yaml_node *address = config_check_at(node, "address");
    listener->place = address->value;
    if (listener->address.host)
        config_check_bind(c, address, str_of(listener->address.host), listener->address.port,
                          &listener->bind);
    else
        option_error(address, c->problems, "a listener needs an address");
    const struct config_listener *other = twin(c->config, listener);
    if (other)
        option_error(address, c->problems, "a listener given twice: first at %.200s:%u",
                     other->place.file, other->place.line);
    if (listener->proxy_protocol && !trust_is_chosen(c))
        option_error(
            config_check_at(node, "proxy_protocol"), c->problems,
            "proxy_protocol needs global.trusted_networks to be set: from nobody else is a "
            "PROXY header believed");
    if (listener->tls_mode != TLS_NONE)
        make_server(s, listener, node);
}

static void check_listeners(struct service_check *s)
{
    struct yaml_node *list = config_check_at(s->node, "listeners");
    if (s->service->listener_count == 0 && !list->bad)
        problem_error(s->c->problems, s->node->place, "service '%.60s' needs listeners",
                      s->service->name);
    for (size_t i = 0; i < s->service->listener_count; i++)
        check_listener(s, &s->service->listeners[i], config_check_item(list, i));
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
    struct yaml_node *node = config_check_at(s->node, "mechanisms");
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
        problem_warning(s->c->problems, config_check_at(s->node, "plaintext_auth")->place,
                        "nobody can log in to service '%.60s': it has no TLS, and plaintext_auth "
                        "lets nobody in without",
                        service->name);
}

/* What is announced must not break the answer it stands in. */
static void check_capabilities(struct service_check *s)
{
    const char *text = s->service->capabilities;
    const struct protocol *protocol = s->service->protocol;
    struct yaml_node *node = config_check_at(s->node, "capabilities");
    if (!text || !protocol)
        return;
    char separator = strchr(text, ',') ? protocol->separator : ' ';
    if (strlen(text) >= PROTO_CAPABILITIES_MAX)
        option_error(node, s->c->problems, "capabilities must be shorter than %d bytes",
                     PROTO_CAPABILITIES_MAX);
    struct str rest = str_of(text);
    for (struct str entry; (entry = proto_entry(&rest, separator)).n;)
        if (!proto_is_capability(entry, protocol->separator))
            option_error(node, s->c->problems, "capabilities: '%.*s' is none",
                         (int)(entry.n < 60 ? entry.n : 60), entry.p);
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
    struct yaml_node *node = config_check_at(s->node, "maps");
    service->maps = xcalloc(service->map_names.count + 1, sizeof *service->maps);
    for (size_t i = 0; i < service->map_names.count; i++) {
        const char *name = service->map_names.list[i];
        struct option_near near = option_near_to(name);
        size_t found = find_map(config, name, &near);
        if (found < config->map_count)
            service->maps[service->map_count++] = config->maps[found];
        else
            option_error(config_check_item(node, i), s->c->problems,
                         "there is no map '%.60s'" OPTION_NEAR_FORMAT, name, OPTION_NEAR(near));
    }
    if (is_of(service, ENGINE_MAIL))
        return;
    if (service->map_names.count == 0 && !service->failover.host && !node->bad &&
        !config_check_at(s->node, "failover")->bad)
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
    struct yaml_node *node = config_check_at(s->node, "backend.login");
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
    struct yaml_node *node = config_check_at(s->node, "backend.login");
    struct yaml_node *password = config_check_at(s->node, "backend.master_password");
    if (backend->login == BACKEND_LOGIN_FORWARD) {
        if (backend->master_user || backend->master_password)
            problem_warning(s->c->problems,
                            config_check_at(s->node, backend->master_user
                                                         ? "backend.master_user"
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
    if (backend->tls_mode != TLS_NONE)
        backend->tls_client = config_check_tls_client(s->c, config_check_at(s->node, "backend"),
                                                      backend->ca_file, backend->verify);
}

/* ---- services ---- */

static void check_protocol(struct service_check *s)
{
    struct option_near near = option_near_to(s->service->name);
    if (s->service->protocol || config_check_at(s->node, "protocol")->bad)
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

void config_check_services(struct config_checking *c)
{
    c->config->global.balancers_known = trust_is_chosen(c);
    struct yaml_node *services = yaml_tree_get(c->tree, "services");
    if (c->config->service_count == 0 && services && !services->bad)
        problem_error(c->problems, config_check_at(c->tree, "services")->place,
                      "no service is configured: nothing would listen");
    for (size_t i = 0; i < c->config->service_count; i++) {
        struct config_service *service = &c->config->services[i];
        struct service_check s = {c, service, yaml_tree_get(services, service->name)};
        if (s.node->bad)
            continue;
        set_log_level(&s);
        check_protocol(&s);
        check_listeners(&s);
        config_check_limits(c, service, s.node);
        check_service_maps(&s);
        if (is_of(service, ENGINE_SESSION)) {
            check_mechanisms(&s);
            check_plaintext(&s);
            check_capabilities(&s);
            check_master(&s);
        }
        if (is_of(service, ENGINE_WEB))
            config_check_web(c, service, s.node);
        if (is_of(service, ENGINE_MAIL))
            config_check_mail(c, service, s.node);
        make_client(&s);
    }
}
