/* SPDX-License-Identifier: ISC
 *
 * What only webmail services have, as a whole: see config_check_parts.h. */
#include "config_check_parts.h"
#include "option.h"

#include <string.h>

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

void config_check_web(struct config_checking *c, struct config_service *service,
                      struct yaml_node *node)
{
    const struct web_check w = {c, service, node};
    check_tls(&w);
    check_paths(&w);
    check_hosts(&w);
}
