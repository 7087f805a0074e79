/* SPDX-License-Identifier: ISC
 *
 * Heads written anew: see http_forward.h. */
#include "web/http_forward.h"

#include "base/mem.h"

enum { EXTRA = 1024 }; /* bytes of a head that are neither the peer's nor the caller's, at most */

/* Where a head is being written: memory that was reserved for all of it. */
struct out {
    char *start, *p, *end;
    bool full;
};

static inline void put(struct out *out, const char *p, size_t n)
{
    if (n == 0)
        return;
    if ((size_t)(out->end - out->p) < n) {
        out->full = true;
        return;
    }
    memcpy(out->p, p, n);
    out->p += n;
}

#define ADD(out, literal) put(out, literal, sizeof(literal) - 1)

static void add(struct out *out, struct str a)
{
    put(out, a.p, a.n);
}

/* Twice what the fields of H take, and EXTRA bytes, are enough for all that is made of it. */
static struct out begin(struct buf *buf, const struct http_head *h, size_t extra)
{
    size_t n = extra + 2 * (h->method.n + h->target.n + h->host.n + h->reason.n);
    for (size_t i = 0; i < h->field_count; i++)
        n += 2 * (h->fields[i].name.n + h->fields[i].value.n + 4);
    char *p = buf_room(buf, (uint32_t)n);
    return (struct out){p, p, p ? p + n : p, p == NULL};
}

static bool end(struct buf *buf, const struct out *out)
{
    if (!out->full)
        buf_added(buf, (uint32_t)(out->p - out->start));
    else if (out->p)
        mem_wipe(out->start, (size_t)(out->p - out->start));
    return !out->full;
}

static void add_field(struct out *out, struct str name, struct str value)
{
    add(out, name);
    ADD(out, ": ");
    add(out, value);
    ADD(out, "\r\n");
}

/* The field that LITERAL is the beginning of ("Name: "). */
#define ADD_FIELD(out, literal, value)                                                             \
    do {                                                                                           \
        ADD(out, literal);                                                                         \
        add(out, value);                                                                           \
        ADD(out, "\r\n");                                                                          \
    } while (0)

static void add_number(struct out *out, uint64_t n)
{
    char text[20], *p = text + sizeof text;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    put(out, p, (size_t)(text + sizeof text - p));
}

static void add_length(struct out *out, uint64_t length)
{
    ADD(out, "Content-Length: ");
    add_number(out, length);
    ADD(out, "\r\n");
}

/* As browsers read it (RFC 6265, 5.2): blanks around the name do not count. */
static bool is_cookie(struct str pair, struct str name)
{
    size_t i = name.n;
    if (pair.n <= i || memcmp(pair.p, name.p, i) != 0)
        return false;
    while (i < pair.n && (pair.p[i] == ' ' || pair.p[i] == '\t'))
        i++;
    return i < pair.n && pair.p[i] == '=';
}

/* ---- requests ---- */

/* The client's cookies without the one called NAME. */
static void add_cookies(struct out *out, struct str pairs, struct str name)
{
    bool any = false;
    while (pairs.n) {
        struct str pair = http_piece(&pairs, ';');
        if (pair.n == 0 || is_cookie(pair, name))
            continue;
        if (any)
            ADD(out, "; ");
        else
            ADD(out, "Cookie: ");
        add(out, pair);
        any = true;
    }
    if (any)
        ADD(out, "\r\n");
}

/* The elements of all fields of that kind, a comma behind each, where they are believed. */
static void add_before(struct out *out, const struct http_head *h, enum http_field_id id)
{
    for (size_t i = 0; i < h->field_count && http_head_may_have(h, id); i++)
        if (h->fields[i].id == id && h->fields[i].value.n && !h->fields[i].nominated) {
            add(out, h->fields[i].value);
            ADD(out, ", ");
        }
}

/* What a trusted client says there, or ELSE. */
static struct str believed(const struct http_head *h, bool trusted, enum http_field_id id,
                           struct str or)
{
    const struct http_field *f = trusted ? http_head_find(h, id) : NULL;
    return f && f->value.n && !f->nominated ? f->value : or ;
}

/* X-Forwarded-* and Forwarded (RFC 7239). */
static void add_forwarded(struct out *out, const struct http_head *h,
                          const struct http_request_setup *setup, struct http_outside *outside)
{
    struct str own = str_of(setup->tls ? "https" : "http");
    struct str client = str_of(setup->client ? setup->client : "unknown");
    struct str proto = believed(h, setup->trusted, HTTP_FIELD_X_FORWARDED_PROTO, own);
    struct str host = believed(h, setup->trusted, HTTP_FIELD_X_FORWARDED_HOST, h->host);
    bool quoted = memchr(client.p, ':', client.n) != NULL;
    ADD(out, "X-Forwarded-For: ");
    if (setup->trusted)
        add_before(out, h, HTTP_FIELD_X_FORWARDED_FOR);
    add(out, client);
    ADD_FIELD(out, "\r\nX-Forwarded-Proto: ", proto);
    if (host.n)
        ADD_FIELD(out, "X-Forwarded-Host: ", host);
    outside->https = str_is(proto, "https");
    outside->host = out->full ? (struct str){0} : (struct str){out->p - host.n - 2, host.n};
    ADD(out, "Forwarded: ");
    if (setup->trusted)
        add_before(out, h, HTTP_FIELD_FORWARDED);
    put(out, quoted ? "for=\"[" : "for=", quoted ? 6 : 4);
    add(out, client);
    put(out, "]\";proto=", quoted ? 9 : 0);
    if (!quoted)
        ADD(out, ";proto=");
    add(out, own);
    if (h->host.n) {
        ADD(out, ";host=\"");
        add(out, h->host);
        ADD(out, "\"");
    }
    ADD(out, "\r\n");
}

/* The client's fields that the node is to see. */
static void add_request_field(struct out *out, const struct http_field *f,
                              const struct http_request_setup *setup)
{
    switch (f->id) {
    case HTTP_FIELD_HOST:
    case HTTP_FIELD_CONNECTION:
    case HTTP_FIELD_CONTENT_LENGTH:
    case HTTP_FIELD_TRANSFER_ENCODING:
    case HTTP_FIELD_UPGRADE:
    case HTTP_FIELD_EXPECT:
    case HTTP_FIELD_HOP:
    case HTTP_FIELD_OURS:
    case HTTP_FIELD_REQUEST_ID:
    case HTTP_FIELD_FORWARDED:
    case HTTP_FIELD_X_FORWARDED_FOR:
    case HTTP_FIELD_X_FORWARDED_HOST:
    case HTTP_FIELD_X_FORWARDED_PROTO:
        return;
    case HTTP_FIELD_X_FORWARDED:
        if (setup->trusted)
            add_field(out, f->name, f->value);
        return;
    case HTTP_FIELD_COOKIE:
        add_cookies(out, f->value, str_of(setup->cookie));
        return;
    case HTTP_FIELD_AUTHORIZATION:
        add_field(out, f->name, setup->credentials.p ? setup->credentials : f->value);
        return;
    default:
        add_field(out, f->name, f->value);
    }
}

bool http_forward_request(struct buf *buf, const struct http_head *h,
                          const struct http_request_setup *setup, struct http_outside *outside)
{
    struct out space = begin(buf, h, EXTRA + setup->credentials.n), *out = &space;
    add(out, h->method);
    ADD(out, " ");
    add(out, h->target);
    ADD(out, " HTTP/1.1\r\n");
    ADD_FIELD(out, "Host: ", h->host.n ? h->host : str_of(setup->host));
    for (size_t i = 0; i < h->field_count; i++)
        if (!h->fields[i].nominated)
            add_request_field(out, &h->fields[i], setup);
    add_forwarded(out, h, setup, outside);
    if (setup->id)
        ADD_FIELD(out, "X-Request-ID: ", str_of(setup->id));
    if (setup->template_name)
        ADD_FIELD(out, "X-Webmail-Template: ", str_of(setup->template_name));
    if (setup->device)
        ADD_FIELD(out, "X-Webmail-Device: ", str_of(setup->device));
    if (h->upgrade.n)
        ADD_FIELD(out, "Connection: Upgrade\r\nUpgrade: ", h->upgrade);
    if (h->framing == HTTP_COUNTED)
        add_length(out, h->length);
    else if (h->framing == HTTP_CHUNKED)
        ADD(out, "Transfer-Encoding: chunked\r\n");
    ADD(out, "\r\n");
    return end(buf, out);
}

/* ---- answers ---- */

/* Whether AUTHORITY is HOST at PORT; without a port it is there where the scheme says so. */
static bool is_at(struct str authority, struct str host, uint16_t port, bool https)
{
    struct str name = http_host_name(authority);
    uint64_t number = https ? 443 : 80;
    if (name.n < authority.n &&
        !str_number((struct str){name.p + name.n + 1, authority.n - name.n - 1}, 65535, &number))
        return false;
    if (name.n > 2 && name.p[0] == '[')
        name = (struct str){name.p + 1, name.n - 2};
    return str_eq_nocase(name, host) && number == port;
}

/* A place as the node names it, by its own name or with the scheme that it sees, becomes the same
 * place as it is called outside. */
static void add_location(struct out *out, const struct http_field *f,
                         const struct http_answer_setup *setup)
{
    const struct http_outside *outside = &setup->outside;
    bool bare = str_starts(f->value, "//"), https = str_starts(f->value, "https://");
    size_t scheme = bare ? 2 : https ? 8 : str_starts(f->value, "http://") ? 7 : 0, n = 0;
    struct str rest = {f->value.p + scheme, f->value.n - scheme};
    while (n < rest.n && !strchr("/?#", rest.p[n]))
        n++;
    struct str authority = {rest.p, n};
    bool inside = is_at(authority, setup->node_host, setup->node_port, https);
    bool same = !bare && outside->https && str_eq_nocase(authority, outside->host);
    if (!scheme || !outside->host.n || !(inside || same)) {
        add_field(out, f->name, f->value);
        return;
    }
    add(out, f->name);
    add(out, str_of(bare ? ": //" : outside->https ? ": https://" : ": http://"));
    add(out, outside->host);
    put(out, rest.p + n, rest.n - n);
    ADD(out, "\r\n");
}

/* Whether a browser that knows the site as HOST takes a cookie for DOMAIN (RFC 6265, 5.1.3). */
static bool covers(struct str domain, struct str host)
{
    if (domain.n && domain.p[0] == '.')
        domain = (struct str){domain.p + 1, domain.n - 1};
    if (domain.n == 0 || domain.n > host.n)
        return false;
    struct str end = {host.p + host.n - domain.n, domain.n};
    return str_eq_nocase(domain, end) && (end.p == host.p || end.p[-1] == '.');
}

/* The node's cookie, without a domain that is not ours outside. */
static void add_cookie(struct out *out, const struct http_field *f,
                       const struct http_answer_setup *setup)
{
    struct str rest = f->value, host = http_host_name(setup->outside.host);
    struct str pair = http_piece(&rest, ';');
    if (is_cookie(pair, str_of(setup->cookie)))
        return;
    add(out, f->name);
    ADD(out, ": ");
    add(out, pair);
    while (rest.n) {
        struct str piece = http_piece(&rest, ';'), value = piece;
        bool domain = str_is(http_piece(&value, '='), "domain");
        if (domain && !covers(http_piece(&value, ';'), host))
            continue;
        ADD(out, "; ");
        add(out, piece);
    }
    ADD(out, "\r\n");
}

static void add_answer_field(struct out *out, const struct http_field *f,
                             const struct http_answer_setup *setup)
{
    switch (f->id) {
    case HTTP_FIELD_CONNECTION:
    case HTTP_FIELD_CONTENT_LENGTH:
    case HTTP_FIELD_TRANSFER_ENCODING:
    case HTTP_FIELD_UPGRADE:
    case HTTP_FIELD_HOP:
        return;
    case HTTP_FIELD_LOCATION:
        add_location(out, f, setup);
        return;
    case HTTP_FIELD_SET_COOKIE:
        add_cookie(out, f, setup);
        return;
    default:
        add_field(out, f->name, f->value);
    }
}

static void add_connection(struct out *out, bool old, bool keep)
{
    if (!keep)
        ADD(out, "Connection: close\r\n");
    else if (old)
        ADD(out, "Connection: keep-alive\r\n");
}

static void add_status(struct out *out, unsigned status, struct str reason)
{
    ADD(out, "HTTP/1.1 ");
    add_number(out, status);
    ADD(out, " ");
    if (!str_has_control(reason))
        add(out, reason);
    ADD(out, "\r\n");
}

bool http_forward_answer(struct buf *buf, const struct http_head *h,
                         const struct http_answer_setup *setup)
{
    struct out space = begin(buf, h, EXTRA + setup->fields.n + 2 * setup->outside.host.n),
               *out = &space;
    add_status(out, h->status, h->reason);
    for (size_t i = 0; i < h->field_count; i++)
        if (!h->fields[i].nominated)
            add_answer_field(out, &h->fields[i], setup);
    if (h->status >= 200)
        add(out, setup->fields);
    if (setup->framing == HTTP_CHUNKED)
        ADD(out, "Transfer-Encoding: chunked\r\n");
    else if (setup->framing != HTTP_UNTIL_CLOSE && h->has_length && h->status >= 200 &&
             h->status != 204)
        add_length(out, h->length);
    if (h->status == 101)
        ADD_FIELD(out, "Connection: Upgrade\r\nUpgrade: ", h->upgrade);
    else if (h->status >= 200)
        add_connection(out, setup->old, setup->keep);
    ADD(out, "\r\n");
    return end(buf, out);
}

/* ---- the rest ---- */

bool http_forward_trailers(struct buf *buf, struct str section)
{
    struct http_head h;
    h.field_count = 0;
    h.kinds = 0;
    h.method = h.target = h.host = h.reason = (struct str){NULL, 0};
    if (section.n && !http_head_trailers(&h, section))
        return false;
    struct out space = begin(buf, &h, 2), *out = &space;
    for (size_t i = 0; i < h.field_count; i++)
        if (h.fields[i].id == HTTP_FIELD_OTHER &&
            !memchr(h.fields[i].name.p, '_', h.fields[i].name.n))
            add_field(out, h.fields[i].name, h.fields[i].value);
    ADD(out, "\r\n");
    return end(buf, out);
}

bool http_forward_own(struct buf *buf, unsigned status, struct str fields, size_t length,
                      const char *date, bool old, bool keep)
{
    size_t n = EXTRA + fields.n;
    char *p = buf_room(buf, (uint32_t)n);
    struct out space = {p, p, p ? p + n : p, p == NULL}, *out = &space;
    add_status(out, status, str_of(http_status_words(status)));
    ADD_FIELD(out, "Date: ", str_of(date));
    add(out, fields);
    if (status >= 200 && status != 204 && status != 304)
        add_length(out, length);
    add_connection(out, old, keep);
    ADD(out, "\r\n");
    return end(buf, out);
}
