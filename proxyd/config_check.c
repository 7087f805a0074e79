/* SPDX-License-Identifier: ISC
 *
 * The configuration as a whole: see config_check.h. A value that was refused by its type is not
 * spoken of again (`bad` in its node); what depends on it is checked with its default. */
#include "config_check.h"

#include "base/mem.h"
#include "config_check_parts.h"
#include "maps/map_file.h"
#include "maps/map_line.h"
#include "option.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PASSWD_MAX = 64 * 1024 }; /* bytes of an entry of the user database */

struct yaml_node *config_check_at(struct yaml_node *section, const char *path)
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

struct yaml_node *config_check_item(struct yaml_node *list, size_t index)
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

static bool group_exists(const char *name)
{
    struct group entry, *found = NULL;
    char *room = xmalloc(PASSWD_MAX);
    getgrnam_r(name, &entry, room, PASSWD_MAX, &found);
    free(room);
    return found;
}

/* The default need not exist: then nobody is become, which is how -T shows it. */
static void check_user(struct config_checking *c)
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

static void check_control(struct config_checking *c)
{
    struct yaml_node *global = yaml_tree_get(c->tree, "global"),
                     *path = yaml_tree_get(global, "control_socket"),
                     *group = yaml_tree_get(global, "control_group");
    const char *path_text = c->config->global.control_socket;
    const char *group_text = c->config->global.control_group;
    if (path)
        c->config->global.control_socket_place = path->place;
    if (path_text && strlen(path_text) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        option_error(path, c->problems, "is too long for the path of a socket");
    if (group_text && !group_exists(group_text))
        option_error(group, c->problems, "there is no group '%.60s'", group_text);
}

static void check_workers(struct config_checking *c)
{
    struct yaml_node *node = config_check_at(c->tree, "global.workers.max");
    unsigned min = c->config->global.workers_min, *max = &c->config->global.workers_max;
    bool is_auto = node->kind != YAML_TREE_SCALAR || strcmp(node->text, "auto") == 0;
    if (*max < min && is_auto)
        *max = min;
    if (*max < min)
        option_error(node, c->problems, "max must not be less than min, which is %u", min);
}

static void check_log_target(struct config_checking *c)
{
    const char *target = c->config->log.target;
    struct yaml_node *node = config_check_at(c->tree, "log.target");
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

static void check_log_events(struct config_checking *c)
{
    static const char *const modules[] = {"config", "ldap", "listener", "node", "worker", NULL};
    struct yaml_node *events = yaml_tree_get(yaml_tree_get(c->tree, "log"), "events");
    if (!events || events->bad)
        return;
    for (struct yaml_node *event = events->first; event; event = event->next) {
        struct option_near near = option_near_to(event->key);
        bool known = find_service(c->config, event->key) || protocol_find(event->key);
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

static struct map *load_map_file(struct config_checking *c, const struct config_map *setting,
                                 struct yaml_node *node)
{
    struct yaml_node *path = config_check_at(node, "path");
    if (setting->connector)
        option_error(config_check_at(node, "connector"), c->problems,
                     "connector is for maps of type ldap_password or ldap_bind");
    if (!setting->path && !path->bad)
        problem_error(c->problems, node->place, "a map of type file needs a path");
    if (!setting->path || path->bad)
        return NULL;
    struct map_table *table = map_table_load(setting->path, path->value, c->problems);
    return table ? map_file_new(setting->name, setting->path, table) : NULL;
}

static void check_maps(struct config_checking *c)
{
    struct config *config = c->config;
    config->maps = xcalloc(config->map_setting_count + 1, sizeof *config->maps);
    config->map_count = config->map_setting_count;
    for (size_t i = 0; i < config->map_count; i++) {
        const struct config_map *setting = &config->map_settings[i];
        struct yaml_node *node = yaml_tree_get(yaml_tree_get(c->tree, "maps"), setting->name);
        if (config_check_at(node, "type")->bad)
            continue;
        config->maps[i] = setting->type == CONFIG_MAP_FILE
                              ? load_map_file(c, setting, node)
                              : config_check_ldap_map(c, setting, node);
    }
}

/* A port's name is that of a service or of a protocol. */
static void check_node_port(struct config_checking *c, struct config_port *port,
                            struct yaml_node *ports)
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

static void check_nodes(struct config_checking *c)
{
    const struct config *config = c->config;
    for (size_t i = 0; i < config->node_count; i++) {
        const struct config_node *entry = &config->nodes[i];
        struct yaml_node *node = yaml_tree_get(yaml_tree_get(c->tree, "nodes"), entry->name);
        if (!entry->address.host && !config_check_at(node, "address")->bad)
            problem_error(c->problems, node->place, "node '%.60s' needs an address", entry->name);
        if (config_node_find(config, str_of(entry->name)) != entry)
            problem_error(c->problems, node->place,
                          "there is a node '%.60s' already: upper and "
                          "lower case are the same here",
                          entry->name);
        for (size_t k = 0; k < entry->port_count; k++)
            check_node_port(c, &entry->ports[k], config_check_at(node, "ports"));
    }
}

/* ---- admin ---- */

static const struct place *listener_at(const struct config *config, const struct addr *bind)
{
    for (size_t i = 0; i < config->service_count; i++)
        for (size_t k = 0; k < config->services[i].listener_count; k++)
            if (addr_equal(&config->services[i].listeners[k].bind, bind))
                return &config->services[i].listeners[k].place;
    for (size_t i = 0; i < config->admin.listener_count; i++)
        if (addr_equal(&config->admin.listeners[i].bind, bind))
            return &config->admin.listeners[i].place;
    return NULL;
}

/* Who can reach it sees logins and addresses. */
static void warn_of_open_admin(struct config_checking *c, struct yaml_node *node,
                               const struct addr *bind)
{
    if (bind->len && !addr_is_local(bind))
        problem_warning(
            c->problems, node->value,
            "whoever can reach this address sees who logs in: keep others away from it");
}

static void check_admin_listener(struct config_checking *c, struct yaml_node *node,
                                 const char *text)
{
    struct config *config = c->config;
    struct config_admin_listener *l = &config->admin.listeners[config->admin.listener_count];
    struct str host;
    uint16_t port;
    addr_split(str_of(text), &host, &port);
    config_check_bind(c, node, host, port, &l->bind);
    const struct place *other = l->bind.len ? listener_at(config, &l->bind) : NULL;
    if (other)
        option_error(node, c->problems, "a listener given twice: first at %.200s:%u", other->file,
                     other->line);
    warn_of_open_admin(c, node, &l->bind);
    l->place = node->value;
    config->admin.listener_count++;
}

static void check_admin(struct config_checking *c)
{
    const struct strings *listen = &c->config->admin.listen;
    struct yaml_node *list = config_check_at(c->tree, "admin.listen");
    c->config->admin.listeners = xcalloc(listen->count + 1, sizeof *c->config->admin.listeners);
    for (size_t item = 0, i = 0; i < listen->count; item++) {
        struct yaml_node *node = config_check_item(list, item);
        if (!node->bad) /* what is bad is not in the list */
            check_admin_listener(c, node, listen->list[i++]);
    }
}

void config_check(struct config *config, struct yaml_node *tree, struct problems *problems)
{
    struct config_checking c = {config, tree, problems};
    check_user(&c);
    check_control(&c);
    check_workers(&c);
    check_log_target(&c);
    check_log_events(&c);
    tls_server_free(config_check_tls_server(&c, config_check_at(tree, "tls"), &config->tls, ""));
    config_check_ldap(&c);
    check_maps(&c);
    check_nodes(&c);
    config_check_global_limits(&c);
    config_check_services(&c);
    check_admin(&c);
}
