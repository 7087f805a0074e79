/* SPDX-License-Identifier: ISC
 *
 * Hosts, devices and places: see site.h. */
#include "web/site.h"

#include "web/http_head.h"

static struct str from(struct str text, size_t n)
{
    return (struct str){text.p + n, text.n - n};
}

const char *site_template(const struct config_web *web, struct str host)
{
    const char *found = SITE_DEFAULT;
    size_t longest = 0;
    host = http_host_name(host);
    if (host.n && host.p[host.n - 1] == '.')
        host.n--;
    for (size_t i = 0; i < web->host_count; i++) {
        struct str name = str_of(web->hosts[i].host);
        if (str_eq_nocase(host, name))
            return web->hosts[i].template;
        if (*name.p != '*')
            continue;
        struct str domain = from(name, 1); /* with its dot */
        if (host.n <= domain.n || domain.n <= longest ||
            !str_eq_nocase(from(host, host.n - domain.n), domain))
            continue;
        longest = domain.n;
        found = web->hosts[i].template;
    }
    return found;
}

bool site_is_mobile(struct str client_hint, struct str user_agent)
{
    if (client_hint.n)
        return str_eq(client_hint, str_of("?1"));
    return user_agent.n && memmem(user_agent.p, user_agent.n, "Mobi", 4);
}

static struct str cut(struct str *text, char at)
{
    const char *end = text->n ? memchr(text->p, at, text->n) : NULL;
    struct str head = {text->p, end ? (size_t)(end - text->p) : text->n};
    *text = from(*text, head.n + (end != NULL));
    return head;
}

/* Whether QUERY has the parameter (with its value) WANTED. */
static bool has_parameter(struct str query, struct str wanted)
{
    while (query.n)
        if (str_eq(cut(&query, '&'), wanted))
            return true;
    return false;
}

bool site_target_is(struct str target, const char *pattern)
{
    struct str wanted = str_of(pattern);
    struct str path = cut(&target, '?');
    if (!str_eq(path, cut(&wanted, '?')))
        return false;
    while (wanted.n)
        if (!has_parameter(target, cut(&wanted, '&')))
            return false;
    return true;
}

/* The place behind the host of an absolute URL; others as they are. */
static struct str behind_host(struct str location)
{
    const char *scheme = location.n ? memmem(location.p, location.n, "://", 3) : NULL;
    const char *slash = location.n ? memchr(location.p, '/', location.n) : NULL;
    if (!scheme || slash != scheme + 1)
        return location;
    struct str rest = from(location, (size_t)(scheme - location.p) + 3);
    while (rest.n && *rest.p != '/' && *rest.p != '?')
        rest = from(rest, 1);
    return rest;
}

bool site_location_is(struct str location, const char *pattern)
{
    const char *fragment = location.n ? memchr(location.p, '#', location.n) : NULL;
    if (fragment)
        location.n = (size_t)(fragment - location.p);
    location = behind_host(location);
    if (location.n && *location.p == '/')
        return site_target_is(location, pattern);
    while (location.n > 1 && memcmp(location.p, "./", 2) == 0)
        location = from(location, 2);
    struct str folder = str_of(pattern);
    folder.n = strcspn(pattern, "?");
    while (folder.n && folder.p[folder.n - 1] != '/')
        folder.n--;
    return location.n && site_target_is(location, pattern + folder.n);
}

bool site_leads_to_login(const struct config_web *web, struct str location)
{
    const char *const places[] = {web->login_path, web->node.page, web->node.path};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i] && strcmp(places[i], "/") != 0 && site_location_is(location, places[i]))
            return true;
    return false;
}
