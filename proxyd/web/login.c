/* SPDX-License-Identifier: ISC
 *
 * Whose request it is: see login.h. Nothing is kept here from one request to the next: the route
 * cookie says who is logged in and where his node is. */
#include "web/login.h"

#include "node.h"
#include "revoke.h"
#include "route.h"
#include "web/cookie.h"
#include "web/page.h"
#include "web/signin.h"
#include "web/signout.h"
#include "web/site.h"

#include <stdlib.h>
#include <time.h>

static const struct config_web *web_of(const struct web_request *r)
{
    return &r->client->service->web;
}

/* ---- who and where ---- */

void web_login_describe(struct web_request *r)
{
    const struct config_web *web = web_of(r);
    r->template_name = site_template(web, r->head->host);
    r->https = r->tls || (r->trusted && str_is(page_header(r, "X-Forwarded-Proto"), "https"));
    if (web->mobile.detect)
        r->device = site_is_mobile(page_header(r, "Sec-CH-UA-Mobile"), page_header(r, "User-Agent"))
                        ? "mobile"
                        : "desktop";
}

static void copy(char *to, size_t size, struct str part)
{
    size_t n = part.n < size ? part.n : size - 1;
    if (n)
        memcpy(to, part.p, n);
    to[n] = 0;
}

/* Whether an order of the administrator's has ended what R's route stands for, made at MADE. */
static bool is_revoked(const struct web_request *r, uint64_t made)
{
    const struct web_route *to = &r->route;
    const struct client *c = r->client;
    char email[ROUTE_EMAIL];
    struct node *node = revoke_any() ? node_get(c->service->group, to->name[0] ? to->name : NULL,
                                                to->host, to->port)
                                     : NULL;
    if (!node)
        return false;
    route_email(c->config, to->login, email);
    bool revoked = revoke_has(email, node, made);
    node_unref(node);
    return revoked;
}

/* Fills in R's route from the cookie. A node that is not in `nodes` any more is none. */
static bool find_route(struct web_request *r)
{
    const struct config_web *web = web_of(r);
    struct str text = http_head_cookie(r->head, web->session.cookie);
    struct cookie_route route;
    char room[COOKIE_ROOM];
    if (!text.p || !cookie_open(web->cookie_keys, r->client->service->name, text,
                                (uint64_t)time(NULL), web->session.lifetime / 1000, room, &route))
        return false;
    const struct config_node *node = config_node_find(r->client->config, route.name);
    if (route.name.n && !node)
        return false;
    copy(r->route.name, sizeof r->route.name, route.name);
    copy(r->route.host, sizeof r->route.host, node ? str_of(node->address.host) : route.host);
    copy(r->route.login, sizeof r->route.login, route.login);
    r->route.port = route.port;
    return !is_revoked(r, route.time);
}

static struct str path_of(const struct web_request *r)
{
    struct str path = r->head->target;
    const char *query = memchr(path.p, '?', path.n);
    path.n = query ? (size_t)(query - path.p) : path.n;
    return path;
}

static bool is_static(const struct web_request *r)
{
    return str_starts(path_of(r), PAGE_STATIC);
}

static bool is_login(const struct web_request *r)
{
    return str_eq(path_of(r), str_of(web_of(r)->login_path));
}

static bool is_logout(const struct web_request *r)
{
    const char *logout = web_of(r)->logout_path;
    return logout && site_target_is(r->head->target, logout);
}

static void forget(struct web_request *r)
{
    r->forget = true;
    page_set_cookie(&r->fields, r, web_of(r)->session.cookie, NULL);
}

enum web_way web_login_decide(struct web_request *r)
{
    web_login_describe(r);
    if (is_static(r) || is_login(r) || !find_route(r))
        return WEB_HERE;
    if (!is_logout(r))
        return WEB_NODE;
    forget(r);
    return r->head->is_get ? WEB_HERE : WEB_NODE;
}

/* ---- the node's answers ---- */

void web_login_answered(struct web_request *r, const struct http_head *answer)
{
    const struct http_field *location = http_head_find(answer, HTTP_FIELD_LOCATION);
    bool redirects = answer->status >= 300 && answer->status < 400 && location;
    if (redirects && !r->forget && r->route.host[0] &&
        site_leads_to_login(web_of(r), location->value))
        forget(r);
}

/* ---- what is served here ---- */

static bool accepts(const struct web_request *r, const char *type)
{
    struct str accept = page_header(r, "Accept");
    return memmem(accept.p, accept.n, type, strlen(type)) != NULL;
}

/* Whether a person sits there, who can do something with a page: not where a script asks, nor a
 * program that speaks for itself. Who posts has to say that he takes HTML. */
static bool takes_page(const struct web_request *r)
{
    struct str mode = page_header(r, "Sec-Fetch-Mode");
    bool reads = r->head->is_get || r->head->is_head;
    if ((mode.n && !str_is(mode, "navigate")) || page_header(r, "X-Requested-With").n)
        return false;
    return accepts(r, "text/html") ||
           (reads && (accepts(r, "text/*") || accepts(r, "*/*") || !page_header(r, "Accept").n));
}

/* Who is not logged in and takes no page: a browser's own dialogue would help no script. */
static void refuse_stranger(struct web_request *r)
{
    bool script = page_header(r, "Sec-Fetch-Mode").n || page_header(r, "X-Requested-With").n;
    static const char fields[] =
        "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n";
    if (script)
        web_answer(r, 401, str_of(fields), str_of("Not logged in.\n"));
    else
        web_refuse(r, 401);
}

/* The place of R over TLS, or of the login page, where R must not be asked again as it was. */
static void redirect_to_tls(struct web_request *r)
{
    const struct config_service *service = r->client->service;
    struct str host = r->head->host, name = http_host_name(host);
    struct str target =
        r->head->is_get || r->head->is_head ? r->head->target : str_of(service->web.login_path);
    size_t i = 0;
    while (service->listeners[i].tls_mode != TLS_IMPLICIT)
        i++;
    unsigned port = name.n < host.n ? addr_port(&service->listeners[i].bind) : 443;
    char number[8] = "";
    if (!name.n)
        name = str_of(r->client->config->global.hostname);
    if (port != 443)
        snprintf(number, sizeof number, ":%u", port);
    char *place =
        xasprintf("https://%.*s%s%.*s", (int)name.n, name.p, number, (int)target.n, target.p);
    page_redirect(r, place, (struct str){"", 0});
    free(place);
}

static void refuse_method(struct web_request *r, const char *allow)
{
    char fields[64];
    snprintf(fields, sizeof fields, "Allow: %s\r\n", allow);
    web_answer(r, 405, str_of(fields), (struct str){"", 0});
}

void web_login_serve(struct web_request *r)
{
    bool reads = r->head->is_get || r->head->is_head;
    bool posts = is_login(r) && str_eq(r->head->method, str_of("POST"));
    if (is_static(r) && reads)
        page_file(r);
    else if (is_static(r))
        refuse_method(r, "GET, HEAD");
    else if (is_login(r) && !reads && !posts)
        refuse_method(r, "GET, HEAD, POST");
    else if (is_logout(r) && r->forget)
        signout_start(r);
    else if (is_logout(r))
        signout_answer(r, (struct str){"", 0});
    else if (!posts && !is_login(r) && !takes_page(r))
        refuse_stranger(r);
    else if (web_of(r)->secure_login && !r->https)
        redirect_to_tls(r);
    else if (posts)
        signin_start(r);
    else if (!reads)
        page_redirect(r, web_of(r)->login_path, (struct str){"", 0});
    else
        page_show(r, 200, NULL, (struct str){"", 0});
}

void web_login_cancel(struct web_request *r)
{
    struct web_job *job = r->login;
    r->login = NULL;
    if (job)
        job->cancel(job);
}
