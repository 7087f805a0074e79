/* SPDX-License-Identifier: ISC
 *
 * From the files that -c names to a snapshot: read and merged into one tree, completed with the
 * defaults, read into struct config (options.h), checked as a whole (config_check.h). */
#include "config.h"

#include "base/file.h"
#include "base/mem.h"
#include "config_check.h"
#include "maps/map_file.h"
#include "maps/map_ldap.h"
#include "options.h"
#include "web/cookie.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 16 * 1024 * 1024 }; /* bytes of one file */

/* A configuration that is being read. */
struct loading {
    struct config *config;
    struct yaml_node *tree; /* all files so far, or NULL */
    struct problems *problems;
    bool broken; /* a file could not be read as YAML: the rest may seem to lack something */
};

/* ---- files ---- */

static void add_file(struct loading *l, char *path)
{
    struct strings *files = &l->config->files;
    files->list = xrealloc(files->list, (files->count + 1) * sizeof *files->list);
    files->list[files->count++] = path;
}

static struct yaml_node *parse_file(struct loading *l, const char *path)
{
    size_t n, errors = l->problems->errors;
    char *text = file_read(path, FILE_MAX, &n);
    struct place place = {.file = path};
    if (!text) {
        problem_error(l->problems, place, "cannot be read: %s", strerror(errno));
        l->broken = true;
        return NULL;
    }
    struct yaml_node *tree = yaml_tree_parse(path, (struct str){text, n}, l->problems);
    mem_wipe(text, n);
    free(text);
    l->broken |= !tree && l->problems->errors > errors;
    return tree;
}

static void read_file(struct loading *l, const char *path)
{
    struct yaml_node *tree = parse_file(l, path);
    if (tree && tree->kind != YAML_TREE_MAPPING) {
        if (tree->kind != YAML_TREE_NULL)
            problem_error(l->problems, tree->place, "the top must be a mapping (key: value)");
        yaml_tree_free(tree);
    } else if (l->tree && tree) {
        yaml_tree_merge(l->tree, tree);
    } else if (tree) {
        l->tree = tree;
    }
}

static int is_yaml(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return entry->d_name[0] != '.' && n > 5 && strcmp(entry->d_name + n - 5, ".yaml") == 0;
}

/* In the order of bytes, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void list_folder(struct loading *l, const char *path)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, is_yaml, by_name);
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    for (int i = 0; i < n; i++) {
        add_file(l, xasprintf("%.*s%s%s", (int)length, path, path[length - 1] == '/' ? "" : "/",
                              entries[i]->d_name));
        free(entries[i]);
    }
    free(entries);
    if (n <= 0)
        problem_error(l->problems, (struct place){.file = path}, "%s",
                      n < 0 ? strerror(errno) : "there is no *.yaml in this folder");
}

/* All that PATH names, as one tree; NULL where there is nothing. */
static void read_files(struct loading *l, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        list_folder(l, path);
    else
        add_file(l, xstrdup(path));
    for (size_t i = 0; i < l->config->files.count; i++)
        read_file(l, l->config->files.list[i]);
    if (!l->tree && l->problems->errors == 0)
        problem_error(l->problems, (struct place){.file = path}, "nothing is configured here");
}

/* ---- defaults that no table can know ---- */

static void set_default(struct yaml_node *section, const char *key, const char *text)
{
    const struct yaml_node *child = yaml_tree_get(section, key);
    if (child && child->kind == YAML_TREE_NULL)
        yaml_tree_set(section, key, yaml_tree_new(YAML_TREE_SCALAR, text));
}

static void set_machine_name(struct yaml_node *tree)
{
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    set_default(yaml_tree_get(tree, "global"), "hostname",
                addr_is_hostname(str_of(name)) ? name : "localhost");
}

/* A listener takes from the section tls what it does not say itself, but a certificate and its key
 * only together. */
static void inherit_tls(struct yaml_node *listener, const struct yaml_node *tls)
{
    const struct yaml_node *mode = yaml_tree_get(listener, "tls");
    bool own_pair = false;
    if (!mode || mode->kind != YAML_TREE_SCALAR || strcmp(mode->text, "none") == 0)
        return;
    static const char *const pair[] = {"certificate", "key"};
    for (size_t i = 0; i < 2; i++) {
        const struct yaml_node *own = yaml_tree_get(listener, pair[i]);
        own_pair |= own && own->kind != YAML_TREE_NULL;
    }
    for (const struct yaml_node *child = tls->first; child; child = child->next) {
        const struct yaml_node *own = yaml_tree_get(listener, child->key);
        bool paired = strcmp(child->key, pair[0]) == 0 || strcmp(child->key, pair[1]) == 0;
        if ((!own || own->kind == YAML_TREE_NULL) && !(paired && own_pair))
            yaml_tree_set(listener, child->key, yaml_tree_clone(child));
    }
}

/* Each kind of server has users' names in an attribute of its own. */
static void complete_connector(struct yaml_node *connector)
{
    const struct yaml_node *type = yaml_tree_get(connector, "server_type");
    bool active = type && type->text && str_is(str_of(type->text), "active_directory");
    set_default(connector, "search_filter", active ? "(sAMAccountName=%n)" : "(mail=%e)");
}

/* What SERVICE speaks, or NULL where that is not said or not known. */
static const struct protocol *protocol_of(const struct yaml_node *service)
{
    const struct yaml_node *name = yaml_tree_get(service, "protocol");
    return protocol_find(name && name->text ? name->text : service->key);
}

/* Which options a service has depends on what it speaks. */
static void mark_services(struct yaml_node *services)
{
    bool named = services && services->kind == YAML_TREE_MAPPING;
    for (struct yaml_node *child = named ? services->first : NULL; child; child = child->next) {
        const struct protocol *protocol = protocol_of(child);
        child->engines = protocol ? 1u << protocol->engine : 0;
    }
}

/* The same for its nodes, which need not speak the same. */
static const struct protocol *spoken_with_nodes(struct yaml_node *service,
                                                const struct protocol *protocol)
{
    struct yaml_node *backend = yaml_tree_get(service, "backend");
    if (protocol->engine != ENGINE_MAIL || backend->kind != YAML_TREE_MAPPING)
        return protocol;
    set_default(backend, "protocol", protocol->name);
    const struct yaml_node *name = yaml_tree_get(backend, "protocol");
    const struct protocol *other = name->text ? protocol_find(name->text) : NULL;
    return other ? other : protocol;
}

static void complete_service(struct yaml_node *service, const struct yaml_node *tls)
{
    const struct yaml_node *listeners = yaml_tree_get(service, "listeners");
    const struct protocol *protocol = protocol_of(service);
    if (protocol_find(service->key))
        set_default(service, "protocol", service->key);
    if (protocol) {
        char port[8];
        snprintf(port, sizeof port, "%u", spoken_with_nodes(service, protocol)->port);
        set_default(yaml_tree_get(service, "backend"), "port", port);
    }
    for (struct yaml_node *item = listeners ? listeners->first : NULL; item; item = item->next)
        if (item->kind == YAML_TREE_MAPPING && tls && tls->kind == YAML_TREE_MAPPING)
            inherit_tls(item, tls);
}

static void complete(struct yaml_node *tree)
{
    mark_services(yaml_tree_get(tree, "services"));
    options_complete(options, tree);
    set_machine_name(tree);
    const struct yaml_node *ldap = yaml_tree_get(tree, "ldap");
    const struct yaml_node *services = yaml_tree_get(tree, "services");
    if (ldap->kind == YAML_TREE_MAPPING)
        for (struct yaml_node *child = ldap->first; child; child = child->next)
            complete_connector(child);
    if (services->kind == YAML_TREE_MAPPING)
        for (struct yaml_node *child = services->first; child; child = child->next)
            complete_service(child, yaml_tree_get(tree, "tls"));
}

/* ---- the order of problems ---- */

static size_t file_index(const struct strings *files, const char *file)
{
    size_t i = 0;
    while (i < files->count && !(file && strcmp(files->list[i], file) == 0))
        i++;
    return i;
}

/* By file as they were read (others, as map files, behind them), line, column. */
static int compare_problems(const void *left, const void *right, void *files)
{
    const struct problem *a = left, *b = right;
    size_t fa = file_index(files, a->file), fb = file_index(files, b->file);
    int name = strcmp(a->file ? a->file : "", b->file ? b->file : "");
    return fa != fb                 ? (fa > fb) - (fa < fb)
           : name                   ? name
           : a->line != b->line     ? (a->line > b->line) - (a->line < b->line)
           : a->column != b->column ? (a->column > b->column) - (a->column < b->column)
                                    : strcmp(a->message, b->message);
}

/* Sorts P, and drops what is said twice: a value that several listeners inherit is judged anew for
 * each of them. */
static void sort_problems(struct problems *p, struct strings *files)
{
    size_t kept = 0;
    if (p->kept)
        qsort_r(p->list, p->kept, sizeof *p->list, compare_problems, files);
    for (size_t i = 0; i < p->kept; i++) {
        struct problem *this = &p->list[i];
        if (kept == 0 || compare_problems(&p->list[kept - 1], this, files) != 0) {
            p->list[kept++] = *this;
            continue;
        }
        p->count--;
        p->errors -= !this->warning;
        free(this->file);
        free(this->message);
    }
    p->kept = kept;
}

/* ---- the whole ---- */

/* The configuration at PATH, or NULL; *TREE is what it was made from (the caller's, or NULL). */
static struct config *load(const char *path, struct problems *problems, struct yaml_node **tree)
{
    struct config *config = xcalloc(1, sizeof *config);
    struct loading l = {.config = config, .problems = problems};
    atomic_init(&config->references, 1);
    read_files(&l, path);
    if (l.tree) {
        complete(l.tree);
        options_read(options, l.tree, config, problems);
    }
    if (l.tree && !l.broken)
        config_check(config, l.tree, problems);
    sort_problems(problems, &config->files);
    *tree = l.tree;
    if (problems->errors == 0)
        return config;
    config_unref(config);
    return NULL;
}

struct config *config_load(const char *path, struct problems *problems)
{
    struct yaml_node *tree;
    struct config *config = load(path, problems, &tree);
    yaml_tree_free(tree);
    return config;
}

bool config_print(const char *path, struct problems *problems, FILE *out)
{
    struct yaml_node *tree;
    struct config *config = load(path, problems, &tree);
    if (config) {
        options_print(options, tree, out);
        config_unref(config);
    }
    yaml_tree_free(tree);
    return config;
}

static bool same_file(const struct config_map *a, const struct config_map *b)
{
    return a->type == CONFIG_MAP_FILE && b->type == CONFIG_MAP_FILE &&
           strcmp(a->name, b->name) == 0 && strcmp(a->path, b->path) == 0;
}

static void replace_map(struct config *config, size_t at, struct map *by)
{
    for (size_t i = 0; i < config->service_count; i++)
        for (size_t k = 0; k < config->services[i].map_count; k++)
            if (config->services[i].maps[k] == config->maps[at])
                config->services[i].maps[k] = by;
    map_unref(config->maps[at]);
    config->maps[at] = by;
}

/* Puts BY in the place of the connector AT, for the maps over it too. */
static void replace_directory(struct config *config, size_t at, struct directory *by)
{
    for (size_t i = 0; i < config->map_count; i++) {
        const struct config_map *setting = &config->map_settings[i];
        bool binds = setting->type == CONFIG_MAP_LDAP_BIND;
        if (setting->connector && strcmp(setting->connector, config->ldap[at].name) == 0)
            replace_map(config, i,
                        map_ldap_new(setting->name, binds ? MAP_LDAP_BIND : MAP_LDAP_PASSWORD, by));
    }
    directory_unref(config->directories[at]);
    config->directories[at] = directory_ref(by);
}

static void share_directories(struct config *config, const struct config *old)
{
    for (size_t i = 0; i < config->ldap_count; i++)
        for (size_t k = 0; k < old->ldap_count; k++)
            if (directory_is_as(old->directories[k], &config->ldap[i])) {
                replace_directory(config, i, old->directories[k]);
                break;
            }
}

void config_share_maps(struct config *config, struct config *old)
{
    share_directories(config, old);
    for (size_t i = 0; i < config->map_count; i++)
        for (size_t k = 0; k < old->map_count; k++)
            if (same_file(&config->map_settings[i], &old->map_settings[k])) {
                map_file_move(old->maps[k], config->maps[i]);
                replace_map(config, i, map_ref(old->maps[k]));
                break;
            }
}

struct config *config_ref(struct config *config)
{
    atomic_fetch_add(&config->references, 1);
    return config;
}

static void free_service(struct config_service *service)
{
    for (size_t i = 0; i < service->listener_count; i++)
        tls_server_free(service->listeners[i].tls_server);
    tls_client_free(service->backend.tls_client);
    cookie_keys_free(service->web.cookie_keys);
    free(service->maps);
}

static void free_directories(struct config *config)
{
    for (size_t i = 0; i < config->ldap_count; i++) {
        if (config->directories)
            directory_unref(config->directories[i]);
        free(config->ldap[i].bind_password_file);
    }
    free(config->directories);
}

void config_unref(struct config *config)
{
    if (atomic_fetch_sub(&config->references, 1) > 1)
        return;
    for (size_t i = 0; i < config->service_count; i++)
        free_service(&config->services[i]);
    for (size_t i = 0; i < config->map_count; i++)
        map_unref(config->maps[i]);
    free(config->maps);
    free_directories(config);
    free(config->admin.listeners);
    options_free(options, config);
    for (size_t i = 0; i < config->files.count; i++)
        free(config->files.list[i]);
    free(config->files.list);
    free(config);
}

const struct config_node *config_node_find(const struct config *config, struct str name)
{
    for (size_t i = 0; i < config->node_count; i++)
        if (str_is(name, config->nodes[i].name))
            return &config->nodes[i];
    return NULL;
}

bool config_is_hosted(const struct config_service *service, const char *domain)
{
    const struct strings *domains = &service->mail.domains;
    size_t n = strlen(domain);
    for (size_t i = 0; i < domains->count; i++) {
        const char *d = domains->list[i];
        size_t tail = *d == '*' ? strlen(++d) : n; /* ".example.org" */
        if (tail <= n && (*d != '.' || tail < n) && str_is(str_of(domain + n - tail), d))
            return true;
    }
    return false;
}

const struct protocol *config_backend_protocol(const struct config_service *service)
{
    if (!service->protocol || service->protocol->engine != ENGINE_MAIL)
        return service->protocol;
    return protocol_find(service->backend.protocol == BACKEND_PROTOCOL_LMTP ? "lmtp" : "smtp");
}

static uint16_t named_port(const struct config_node *node, const char *name)
{
    for (size_t i = 0; i < node->port_count; i++)
        if (str_is(str_of(node->ports[i].name), name))
            return node->ports[i].port;
    return 0;
}

static uint16_t node_port(const struct config_node *node, const struct config_service *service)
{
    const char *spoken = config_backend_protocol(service)->name;
    bool own_name = !protocol_find(service->name);
    uint16_t port = named_port(node, own_name ? service->name : spoken);
    if (!port)
        port = named_port(node, own_name ? spoken : service->name);
    if (!port)
        port = node->address.port;
    return port ? port : service->backend.port;
}

struct config_target config_target(const struct config *config,
                                   const struct config_service *service, const char *host,
                                   uint16_t port)
{
    const struct config_node *node = config_node_find(config, str_of(host));
    return (struct config_target){
        .name = node ? node->name : NULL,
        .host = node ? node->address.host : host,
        .port = port   ? port
                : node ? node_port(node, service)
                       : service->backend.port,
    };
}
