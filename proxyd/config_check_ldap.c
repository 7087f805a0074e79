/* SPDX-License-Identifier: ISC
 *
 * Connectors and the maps over them as a whole: see config_check_parts.h. Nothing is connected to:
 * that a directory does not answer is no fault of the configuration. */
#include "auth/directory_syntax.h"
#include "auth/placeholder.h"
#include "base/mem.h"
#include "config_check_parts.h"
#include "maps/map_ldap.h"
#include "option.h"

#include <string.h>
#include <sys/stat.h>

/* A connector and where it is written. */
struct connector {
    struct config_checking *c;
    struct directory_settings *settings;
    struct yaml_node *node;
};

/* ---- servers ---- */

static void check_server(const struct connector *k, const char *text, struct yaml_node *node)
{
    struct directory_url url;
    const char *wrong = directory_syntax_url(text, &url);
    if (wrong)
        option_error(node, k->c->problems, "servers: %.200s: %s", text, wrong);
    else if (k->settings->starttls && url.scheme != DIRECTORY_LDAP)
        option_error(node, k->c->problems, "servers: %.200s: starttls needs ldap://", text);
}

static void check_servers(const struct connector *k)
{
    const struct strings *servers = &k->settings->servers;
    struct yaml_node *list = config_check_at(k->node, "servers");
    if (servers->count == 0)
        option_error(list, k->c->problems, "connector '%.60s' needs servers", k->settings->name);
    if (servers->count > DIRECTORY_SERVERS)
        option_error(config_check_item(list, DIRECTORY_SERVERS), k->c->problems,
                     "servers: there may be %d at most", DIRECTORY_SERVERS);
    for (size_t i = 0; i < servers->count; i++)
        check_server(k, servers->list[i], config_check_item(list, i));
}

/* The first server that is talked to in the clear over a network, or NULL. */
static const char *clear_server(const struct directory_settings *settings)
{
    for (size_t i = 0; i < settings->servers.count && !settings->starttls; i++) {
        struct directory_url url;
        if (!directory_syntax_url(settings->servers.list[i], &url) &&
            url.scheme == DIRECTORY_LDAP && !url.local)
            return settings->servers.list[i];
    }
    return NULL;
}

static void check_ca(const struct connector *k)
{
    const char *file = k->settings->ca_file;
    if (file && !config_check_at(k->node, "ca_file")->bad)
        tls_client_free(config_check_tls_client(k->c, k->node, file, true));
}

/* ---- who we are there ---- */

/* As Active Directory takes it in the place of a DN too: user@domain or DOMAIN\user. */
static bool is_active_directory_name(const char *text)
{
    size_t n = strcspn(text, "@\\");
    return n > 0 && text[n] && text[n + 1] && !strchr(text, '=');
}

static void check_bind_dn(const struct connector *k)
{
    const char *dn = k->settings->bind_dn;
    struct yaml_node *node = config_check_at(k->node, "bind_dn");
    bool active = k->settings->server_type == DIRECTORY_ACTIVE;
    if (!directory_syntax_dn(dn) && !(active && is_active_directory_name(dn)))
        option_error(node, k->c->problems, "bind_dn: '%.200s' is no DN%s", dn,
                     active ? ", nor user@domain, nor DOMAIN\\user" : "");
    if (!k->settings->bind_password && !config_check_at(k->node, "bind_password")->bad)
        option_error(node, k->c->problems, "bind_dn needs bind_password");
}

static void check_bind_password(const struct connector *k)
{
    struct directory_settings *s = k->settings;
    struct yaml_node *node = config_check_at(k->node, "bind_password");
    struct stat st;
    s->bind_password_file = option_secret_path(node);
    const char *path = s->bind_password_file ? s->bind_password_file : node->value.file;
    if (stat(path, &st) == 0 && st.st_mode & S_IROTH)
        problem_warning(k->c->problems, node->value, "bind_password: everybody can read %.200s",
                        path);
    if (!s->bind_dn && !config_check_at(k->node, "bind_dn")->bad)
        option_error(node, k->c->problems, "bind_password needs bind_dn");
    if (clear_server(s))
        problem_warning(k->c->problems, node->value,
                        "bind_password goes over the network in the clear to %.200s: set starttls, "
                        "or use ldaps://",
                        clear_server(s));
}

/* ---- what is asked ---- */

/* For every placeholder something that may only stand where a value may. */
static const struct placeholder_values sample = {
    .login = "*,@*,", .email = "*,@*,", .service = "*,"};

/* Fills the placeholders of TEXT, the option KEY at NODE, into OUT; false with an error. */
static bool fill(const struct connector *k, const char *key, const char *text,
                 enum placeholder_place place, char *out, size_t size)
{
    struct yaml_node *node = config_check_at(k->node, key);
    const char *unknown = placeholder_unknown(text);
    if (unknown)
        option_error(
            node, k->c->problems,
            "%s: unknown placeholder '%.2s'; there are %%e %%u %%n %%d %%s and %%%% for %%", key,
            unknown);
    else if (!placeholder_expand(out, size, text, &sample, place))
        option_error(node, k->c->problems, "%s is too long", key);
    else
        return true;
    return false;
}

static void check_base(const struct connector *k)
{
    char filled[DIRECTORY_DN_MAX + 1];
    const char *base = k->settings->search_base;
    struct yaml_node *node = config_check_at(k->node, "search_base");
    if (!base)
        option_error(node, k->c->problems, "connector '%.60s' needs a search_base",
                     k->settings->name);
    else if (fill(k, "search_base", base, PLACEHOLDER_DN, filled, sizeof filled) &&
             !directory_syntax_dn(filled))
        option_error(node, k->c->problems, "search_base: '%.200s' is no DN", base);
}

static void check_filter(const struct connector *k)
{
    char filled[DIRECTORY_FILTER_MAX + 1];
    const char *filter = k->settings->search_filter, *base = k->settings->search_base;
    struct yaml_node *node = config_check_at(k->node, "search_filter");
    if (!filter || !fill(k, "search_filter", filter, PLACEHOLDER_FILTER, filled, sizeof filled))
        return;
    if (!directory_syntax_filter(filled))
        option_error(node, k->c->problems, "search_filter: '%.200s' is no filter (RFC 4515)",
                     filter);
    else if (!placeholder_any(filter) && !(base && placeholder_any(base)))
        option_error(node, k->c->problems,
                     "search_filter needs a placeholder, as %%e: else it finds the same for "
                     "everybody");
}

static void check_attributes(const struct connector *k)
{
    const struct directory_attributes *a = &k->settings->attributes;
    const char *const names[] = {a->host, a->password, a->login, a->hold};
    static const char *const keys[] = {"attributes.host", "attributes.password", "attributes.login",
                                       "attributes.hold"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i] && !directory_syntax_attribute(names[i]))
            option_error(config_check_at(k->node, keys[i]), k->c->problems,
                         "%s: '%.60s' is no attribute's name", keys[i], names[i]);
}

/* ---- connectors and maps ---- */

static void check_connector(const struct connector *k)
{
    check_servers(k);
    check_ca(k);
    if (k->settings->bind_dn)
        check_bind_dn(k);
    if (k->settings->bind_password)
        check_bind_password(k);
    check_base(k);
    check_filter(k);
    check_attributes(k);
}

void config_check_ldap(struct config_checking *c)
{
    struct config *config = c->config;
    config->directories = xcalloc(config->ldap_count + 1, sizeof *config->directories);
    for (size_t i = 0; i < config->ldap_count; i++) {
        struct directory_settings *settings = &config->ldap[i];
        struct connector k = {c, settings,
                              yaml_tree_get(yaml_tree_get(c->tree, "ldap"), settings->name)};
        if (!k.node->bad)
            check_connector(&k);
        if (c->problems->errors == 0) /* else nobody will need it */
            config->directories[i] = directory_new(settings);
    }
}

static size_t find_connector(const struct config *config, const char *name,
                             struct option_near *near)
{
    size_t i = 0;
    for (; i < config->ldap_count; i++) {
        if (strcmp(config->ldap[i].name, name) == 0)
            break;
        option_near_offer(near, config->ldap[i].name);
    }
    return i;
}

static void check_clear_binds(const struct config_checking *c, const struct yaml_node *node,
                              const struct directory_settings *settings)
{
    const char *server = clear_server(settings);
    if (server)
        problem_warning(c->problems, node->place,
                        "users' passwords go over the network in the clear to %.200s: set "
                        "starttls of connector '%.60s', or use ldaps://",
                        server, settings->name);
}

struct map *config_check_ldap_map(struct config_checking *c, const struct config_map *setting,
                                  struct yaml_node *node)
{
    const struct config *config = c->config;
    struct yaml_node *connector = config_check_at(node, "connector");
    struct option_near near = option_near_to(setting->connector ? setting->connector : "");
    bool binds = setting->type == CONFIG_MAP_LDAP_BIND;
    if (setting->path)
        option_error(config_check_at(node, "path"), c->problems, "path is for maps of type file");
    size_t i = setting->connector ? find_connector(config, setting->connector, &near) : 0;
    if (!setting->connector)
        option_error(connector, c->problems, "a map over a directory needs a connector");
    else if (i == config->ldap_count)
        option_error(connector, c->problems,
                     "there is no connector '%.60s' in the section ldap" OPTION_NEAR_FORMAT,
                     setting->connector, OPTION_NEAR(near));
    else if (binds)
        check_clear_binds(c, node, &config->ldap[i]);
    return c->problems->errors
               ? NULL
               : map_ldap_new(setting->name, binds ? MAP_LDAP_BIND : MAP_LDAP_PASSWORD,
                              config->directories[i]);
}
