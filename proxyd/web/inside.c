/* SPDX-License-Identifier: ISC
 *
 * Requests of our own to nodes, and their answers: see inside.h. */
#include "web/inside.h"

#include "trace.h"
#include "web/http_forward.h"
#include "web/page.h"

#include <stdlib.h>

/* ---- asking ---- */

bool inside_ask(struct call *call, const struct web_request *r, const struct web_route *route,
                const struct http_head *h, struct str body)
{
    const struct client *c = r->client;
    struct http_outside outside;
    struct str head, start;
    struct buf out;
    char address[ADDR_TEXT];
    bool local = c->address.sa.sa_family == AF_UNIX;
    const struct http_request_setup setup = {
        .client = local ? NULL : addr_host(&c->address, address),
        .tls = r->tls,
        .trusted = r->trusted,
        .id = r->id,
        .host = route->host,
        .cookie = c->service->web.session.cookie,
        .template_name = r->template_name,
        .device = r->device,
    };
    size_t used;
    buf_init(&out, NULL, 0, INSIDE_MAX);
    bool good = http_forward_request(&out, h, &setup, &outside);
    head = buf_str(&out);
    trace_head(r->client, TRACE_TO_NODE, head);
    if (good && str_line(head, &start, &used)) {
        struct str fields = {head.p + used, head.n - used - 2}; /* without the empty line */
        call_start(call, r->client, route, start, fields, body);
    }
    buf_free(&out);
    return good;
}

struct str inside_host(const struct web_request *r)
{
    struct str host = page_header(r, "X-Forwarded-Host");
    return host.n && r->trusted ? host : r->head->host;
}

/* ---- cookies ---- */

struct str inside_cookie(const struct http_head *h, size_t *i)
{
    while (*i < h->field_count) {
        const struct http_field *f = &h->fields[(*i)++];
        if (f->id == HTTP_FIELD_SET_COOKIE)
            return f->value;
    }
    return (struct str){NULL, 0};
}

struct str inside_pair(struct str cookie)
{
    const char *end = cookie.n ? memchr(cookie.p, ';', cookie.n) : NULL;
    if (end)
        cookie.n = (size_t)(end - cookie.p);
    return cookie;
}

struct str inside_cookie_name(struct str cookie)
{
    struct str pair = inside_pair(cookie);
    const char *equals = pair.n ? memchr(pair.p, '=', pair.n) : NULL;
    pair.n = equals ? (size_t)(equals - pair.p) : 0;
    return pair;
}

/* Whether a browser has nothing of COOKIE afterwards. */
static bool takes_away(struct str cookie)
{
    struct str pair = inside_pair(cookie), rest = {cookie.p + pair.n, cookie.n - pair.n};
    if (pair.n <= inside_cookie_name(cookie).n + 1)
        return true;
    for (; rest.n; rest = (struct str){rest.p + 1, rest.n - 1})
        if (str_starts(rest, "max-age=0") || str_starts(rest, "max-age=-"))
            return true;
    return false;
}

bool inside_sets(const struct http_head *h, struct str name, bool in_use)
{
    struct str cookie;
    bool set = false;
    for (size_t i = 0; (cookie = inside_cookie(h, &i)).p;)
        if (str_eq(inside_cookie_name(cookie), name))
            set = !in_use || !takes_away(cookie); /* the last one counts */
    return set;
}

/* ---- places ---- */

char *inside_place(const char *target, struct str location)
{
    size_t folder = strcspn(target, "?");
    bool query = location.n && *location.p == '?';
    if (location.n && (*location.p == '/' || memmem(location.p, location.n, "://", 3)))
        return xstrndup(location.p, location.n);
    while (!query && folder && target[folder - 1] != '/')
        folder--;
    while (location.n > 1 && memcmp(location.p, "./", 2) == 0)
        location = (struct str){location.p + 2, location.n - 2};
    return xasprintf("%.*s%.*s", (int)folder, target, (int)location.n, location.p);
}

/* ---- answering ---- */

static void add(struct http_head *h, enum http_field_id id, const char *name, struct str value)
{
    if (h->field_count < HTTP_FIELDS_MAX)
        http_head_add(h, id, str_of(name), value);
}

void inside_fields(struct buf *fields, const struct web_request *r, const struct web_route *route,
                   const struct http_head *before, const struct http_head *answer,
                   const char *place)
{
    struct http_head h = {.status = 303};
    struct str cookie, head, line;
    struct buf out;
    size_t used;
    add(&h, HTTP_FIELD_LOCATION, "Location", str_of(place));
    for (size_t i = 0; before && (cookie = inside_cookie(before, &i)).p;)
        if (!inside_sets(answer, inside_cookie_name(cookie), false))
            add(&h, HTTP_FIELD_SET_COOKIE, "Set-Cookie", cookie);
    for (size_t i = 0; (cookie = inside_cookie(answer, &i)).p;)
        add(&h, HTTP_FIELD_SET_COOKIE, "Set-Cookie", cookie);
    const struct http_answer_setup setup = {
        .outside = {inside_host(r), r->https},
        .node_host = str_of(route->host),
        .node_port = route->port,
        .cookie = r->client->service->web.session.cookie,
        .keep = true,
        .framing = HTTP_NO_BODY,
    };
    buf_init(&out, NULL, 0, INSIDE_MAX);
    if (!http_forward_answer(&out, &h, &setup))
        fields->full = true;
    head = buf_str(&out);
    if (str_line(head, &line, &used))
        buf_add(fields, head.p + used, head.n - used - 2);
    buf_free(&out);
}
