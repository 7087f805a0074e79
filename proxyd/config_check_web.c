/* SPDX-License-Identifier: ISC
 *
 * What only webmail services have, as a whole: see config_check_parts.h. */
#include "base/file.h"
#include "base/mem.h"
#include "config_check_parts.h"
#include "option.h"
#include "web/cookie.h"
#include "web/site.h"
#include "web/template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Where static files are served: nothing else can be there. */
#define STATIC_FILES "/_proxyd/"

/* A service and where it is written. */
struct web_check {
    struct config_checking *c;
    struct config_service *service;
    struct yaml_node *node;
};

/* ---- TLS ---- */

/* HTTP has no STARTTLS that browsers speak. */
static void check_tls(const struct web_check *w)
{
    struct yaml_node *list = config_check_at(w->node, "listeners");
    bool any = false;
    for (size_t i = 0; i < w->service->listener_count; i++) {
        const struct config_listener *listener = &w->service->listeners[i];
        any |= listener->tls_mode == TLS_IMPLICIT;
        if (listener->tls_mode == TLS_STARTTLS)
            option_error(config_check_at(config_check_item(list, i), "tls"), w->c->problems,
                         "tls: webmail has no starttls: it must be none or implicit");
    }
    if (w->service->backend.tls_mode == TLS_STARTTLS)
        option_error(config_check_at(w->node, "backend.tls"), w->c->problems,
                     "tls: webmail has no starttls: it must be none or implicit");
    if (w->service->web.secure_login && !any)
        option_error(config_check_at(w->node, "secure_login"), w->c->problems,
                     "secure_login needs a listener with tls: implicit to redirect to");
}

/* ---- paths ---- */

static void check_ours(const struct web_check *w, const char *key, const char *path)
{
    if (path && strncmp(path, STATIC_FILES, strlen(STATIC_FILES)) == 0)
        option_error(config_check_at(w->node, key), w->c->problems,
                     "%s must not be below %s, where static files are", key, STATIC_FILES);
}

static void check_paths(const struct web_check *w)
{
    const struct config_web *web = &w->service->web;
    if (web->login_path && strchr(web->login_path, '?'))
        option_error(config_check_at(w->node, "login.path"), w->c->problems,
                     "path: a login page's path has no query");
    if (web->login_path && web->logout_path && strcmp(web->login_path, web->logout_path) == 0)
        option_error(config_check_at(w->node, "logout_path"), w->c->problems,
                     "logout_path must not be the path of the login page");
    check_ours(w, "login.path", web->login_path);
    check_ours(w, "logout_path", web->logout_path);
    if (web->user_field && web->password_field && strcmp(web->user_field, web->password_field) == 0)
        option_error(config_check_at(w->node, "login.password_field"), w->c->problems,
                     "password_field must not be the user_field");
}

/* ---- templates ---- */

static void check_hosts(const struct web_check *w)
{
    const struct config_web *web = &w->service->web;
    struct yaml_node *hosts = config_check_at(w->node, "virtual_hosts");
    for (size_t i = 0; i < web->host_count; i++) {
        const char *host = web->hosts[i].host;
        const char *name = strncmp(host, "*.", 2) == 0 ? host + 2 : host;
        if (!addr_is_hostname(str_of(name)))
            problem_error(w->c->problems, yaml_tree_get(hosts, host)->place,
                          "virtual_hosts: '%.80s' is neither a host name nor \"*.DOMAIN\"", host);
        for (size_t k = 0; k < i; k++)
            if (str_is(str_of(host), web->hosts[k].host))
                problem_error(w->c->problems, yaml_tree_get(hosts, host)->place,
                              "virtual_hosts: there is '%.80s' already: upper and lower case are "
                              "the same here",
                              host);
    }
}

/* The page of the template NAME, which is named at NODE. */
static void check_template(const struct web_check *w, const char *name, struct yaml_node *node)
{
    const char *folder = w->service->web.templates;
    if (!folder || strchr(name, '/') || name[0] == '.') {
        option_error(node, w->c->problems,
                     folder ? "'%.60s' is not the name of a template"
                            : "template '%.60s': templates, their folder, is not set",
                     name);
        return;
    }
    char *path = xasprintf("%s/%s/login.html", folder, name);
    size_t n;
    char *text = file_read(path, TEMPLATE_MAX, &n);
    if (text)
        template_check((struct str){text, n}, path, w->c->problems);
    else
        option_error(node, w->c->problems, "template '%.60s': cannot read %.200s: %s", name, path,
                     strerror(errno));
    free(text);
    free(path);
}

/* Whether there is a folder for the template NAME. */
static bool has_folder(const struct config_web *web, const char *name)
{
    char *path = xasprintf("%s/%s", web->templates ? web->templates : "", name);
    struct stat st;
    bool is = web->templates && stat(path, &st) == 0;
    free(path);
    return is;
}

/* The default one, and that of phones where nobody asked for one, need not be there. */
static void check_templates(const struct web_check *w)
{
    struct config_web *web = &w->service->web;
    struct yaml_node *hosts = config_check_at(w->node, "virtual_hosts");
    struct yaml_node *phones = config_check_at(w->node, "mobile.template");
    struct yaml_node *folder = config_check_at(w->node, "templates");
    if (folder->bad)
        return;
    for (size_t i = 0; i < web->host_count; i++)
        if (strcmp(web->hosts[i].template, SITE_DEFAULT) != 0 || has_folder(web, SITE_DEFAULT))
            check_template(w, web->hosts[i].template, yaml_tree_get(hosts, web->hosts[i].host));
    if (has_folder(web, SITE_DEFAULT))
        check_template(w, SITE_DEFAULT, folder);
    if (!web->mobile.detect || !web->mobile.template)
        return;
    bool chosen = phones->kind == YAML_TREE_SCALAR;
    if (chosen || has_folder(web, web->mobile.template))
        check_template(w, web->mobile.template, phones);
    else
        web->mobile.no_template = true;
}

/* ---- the session ---- */

static void check_keys(const struct web_check *w)
{
    struct config_web *web = &w->service->web;
    struct yaml_node *node = config_check_at(w->node, "session.keys");
    char *path = option_secret_path(node);
    const char *wrong, *file = path ? path : node->value.file;
    struct stat st;
    unsigned line;
    if (web->session.keys) {
        web->cookie_keys = cookie_keys_new(web->session.keys, &wrong, &line);
        if (!web->cookie_keys)
            option_error(node, w->c->problems, "keys: line %u: %s", line, wrong);
        else if (stat(file, &st) == 0 && st.st_mode & S_IROTH)
            problem_warning(w->c->problems, node->value, "keys: everybody can read %.200s", file);
    } else if (!node->bad) {
        web->cookie_keys = cookie_keys_own();
        problem_warning(w->c->problems, node->place,
                        "session.keys of service '%.60s' is not set: a key is made when proxyd "
                        "starts, so that no other front end knows its users, nor it itself after a "
                        "restart",
                        w->service->name);
    }
    free(path);
}

void config_check_web(struct config_checking *c, struct config_service *service,
                      struct yaml_node *node)
{
    const struct web_check w = {c, service, node};
    check_tls(&w);
    check_paths(&w);
    check_hosts(&w);
    check_templates(&w);
    check_keys(&w);
}
