/* SPDX-License-Identifier: ISC
 *
 * Heads of HTTP/1 messages: see http_head.h. A head is read in three steps: its start line by what
 * this file says, all of it by llhttp, and then what its fields mean together (`settle`). */
#include "web/http_head.h"

#include <llhttp.h>

enum { HOST_MAX = 260 }; /* bytes of a Host, its port among them */

/* What may stand in a token (RFC 9110, 5.6.2). */
static const bool token_chars[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
    ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1, ['0'] = 1,
    ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,  ['7'] = 1, ['8'] = 1,
    ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,  ['F'] = 1, ['G'] = 1,
    ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1,  ['N'] = 1, ['O'] = 1,
    ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1,
    ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1,  ['d'] = 1, ['e'] = 1,
    ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1,  ['l'] = 1, ['m'] = 1,
    ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,  ['t'] = 1, ['u'] = 1,
    ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

bool http_is_token(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!token_chars[(unsigned char)text.p[i]])
            return false;
    return text.n > 0;
}

/* ---- fields ---- */

/* By length, and where each length begins. */
static const struct {
    struct str name;
    enum http_field_id id;
} names[] = {
    {STR("te"), HTTP_FIELD_HOP},
    {STR("host"), HTTP_FIELD_HOST},
    {STR("proxy"), HTTP_FIELD_OURS}, /* what a CGI would take for the variable HTTP_PROXY */
    {STR("accept"), HTTP_FIELD_ACCEPT},
    {STR("cookie"), HTTP_FIELD_COOKIE},
    {STR("expect"), HTTP_FIELD_EXPECT},
    {STR("upgrade"), HTTP_FIELD_UPGRADE},
    {STR("location"), HTTP_FIELD_LOCATION},
    {STR("client-ip"), HTTP_FIELD_X_FORWARDED}, /* applications take it for X-Forwarded-For */
    {STR("forwarded"), HTTP_FIELD_FORWARDED},
    {STR("x-real-ip"), HTTP_FIELD_X_FORWARDED},
    {STR("connection"), HTTP_FIELD_CONNECTION},
    {STR("keep-alive"), HTTP_FIELD_HOP},
    {STR("set-cookie"), HTTP_FIELD_SET_COOKIE},
    {STR("user-agent"), HTTP_FIELD_USER_AGENT},
    {STR("remote-user"), HTTP_FIELD_X_FORWARDED},
    {STR("x-client-ip"), HTTP_FIELD_X_FORWARDED},
    {STR("x-forwarded"), HTTP_FIELD_X_FORWARDED},
    {STR("content-type"), HTTP_FIELD_CONTENT_TYPE},
    {STR("x-request-id"), HTTP_FIELD_REQUEST_ID},
    {STR("authorization"), HTTP_FIELD_AUTHORIZATION},
    {STR("if-none-match"), HTTP_FIELD_IF_NONE_MATCH},
    {STR("x-remote-user"), HTTP_FIELD_X_FORWARDED},
    {STR("true-client-ip"), HTTP_FIELD_X_FORWARDED},
    {STR("content-length"), HTTP_FIELD_CONTENT_LENGTH},
    {STR("http2-settings"), HTTP_FIELD_HOP},
    {STR("x-forwarded-for"), HTTP_FIELD_X_FORWARDED_FOR},
    {STR("proxy-connection"), HTTP_FIELD_HOP},
    {STR("www-authenticate"), HTTP_FIELD_WWW_AUTHENTICATE},
    {STR("x-forwarded-host"), HTTP_FIELD_X_FORWARDED_HOST},
    {STR("if-modified-since"), HTTP_FIELD_IF_MODIFIED_SINCE},
    {STR("transfer-encoding"), HTTP_FIELD_TRANSFER_ENCODING},
    {STR("x-forwarded-proto"), HTTP_FIELD_X_FORWARDED_PROTO},
    {STR("proxy-authenticate"), HTTP_FIELD_HOP},
    {STR("proxy-authorization"), HTTP_FIELD_HOP},
    {STR("x-cluster-client-ip"), HTTP_FIELD_X_FORWARDED},
};

enum { NAME_MAX_LENGTH = 19 };
static const unsigned char begins[NAME_MAX_LENGTH + 2] = {0,  0,  0,  1,  1,  2,  3,  6,  7,  8, 11,
                                                          15, 18, 20, 23, 26, 27, 30, 33, 34, 36};

/* By the first letters, where the whole name says nothing to us. */
static const struct {
    const char *prefix;
    enum http_field_id id;
} families[] = {
    {"x-forwarded-", HTTP_FIELD_X_FORWARDED},
    {"x-webmail-", HTTP_FIELD_OURS},
    {"x-webobjects-", HTTP_FIELD_X_FORWARDED}, /* SOGo takes a user's name from there */
};

/* Whether the token NAME is LOW, which is as long and has small letters, digits and hyphens: the
 * bit that makes letters small is set in the other two anyway. */
static bool is_named(struct str name, const char *low)
{
    static const uint64_t small = 0x2020202020202020;
    uint64_t a, b;
    size_t i = 0;
    for (; i + sizeof a <= name.n; i += sizeof a) {
        memcpy(&a, name.p + i, sizeof a);
        memcpy(&b, low + i, sizeof b);
        if ((a | small) != b)
            return false;
    }
    while (i < name.n && (name.p[i] | 0x20) == low[i])
        i++;
    return i == name.n;
}

static enum http_field_id field_id(struct str name)
{
    char first = name.p[0] | 0x20;
    size_t at = name.n <= NAME_MAX_LENGTH ? begins[name.n] : 0;
    size_t stop = name.n <= NAME_MAX_LENGTH ? begins[name.n + 1] : 0;
    for (; at < stop; at++)
        if (names[at].name.p[0] == first && is_named(name, names[at].name.p))
            return names[at].id;
    for (size_t i = 0; first == 'x' && i < sizeof families / sizeof *families; i++)
        if (str_starts(name, families[i].prefix))
            return families[i].id;
    return HTTP_FIELD_OTHER;
}

const struct http_field *http_head_find(const struct http_head *h, enum http_field_id id)
{
    for (size_t i = 0; i < h->field_count && http_head_may_have(h, id); i++)
        if (h->fields[i].id == id)
            return &h->fields[i];
    return NULL;
}

const struct http_field *http_head_named(const struct http_head *h, const char *name)
{
    for (size_t i = 0; i < h->field_count; i++)
        if (str_is(h->fields[i].name, name))
            return &h->fields[i];
    return NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct str trimmed(struct str a)
{
    while (a.n && is_blank(a.p[0]))
        a = (struct str){a.p + 1, a.n - 1};
    while (a.n && is_blank(a.p[a.n - 1]))
        a.n--;
    return a;
}

/* Cuts off what stands before the next C; all of it where there is none. */
static struct str cut(struct str *rest, char c)
{
    const char *at = rest->n ? memchr(rest->p, c, rest->n) : NULL;
    struct str piece = {rest->p, at ? (size_t)(at - rest->p) : rest->n};
    size_t used = piece.n + (at != NULL);
    *rest = (struct str){rest->p + used, rest->n - used};
    return piece;
}

struct str http_piece(struct str *rest, char c)
{
    return trimmed(cut(rest, c));
}

struct str http_list_next(struct str *list)
{
    struct str element = {NULL, 0};
    while (list->n && element.n == 0)
        element = http_piece(list, ',');
    return element;
}

static struct str cookie_in(struct str pairs, struct str name)
{
    while (pairs.n) {
        struct str pair = http_piece(&pairs, ';');
        if (pair.n > name.n && pair.p[name.n] == '=' && memcmp(pair.p, name.p, name.n) == 0)
            return (struct str){pair.p + name.n + 1, pair.n - name.n - 1};
    }
    return (struct str){NULL, 0};
}

struct str http_head_cookie(const struct http_head *h, const char *name)
{
    struct str value = {NULL, 0};
    if (!http_head_may_have(h, HTTP_FIELD_COOKIE))
        return value;
    for (size_t i = 0; i < h->field_count && !value.p; i++)
        if (h->fields[i].id == HTTP_FIELD_COOKIE)
            value = cookie_in(h->fields[i].value, str_of(name));
    return value;
}

bool http_is_bound(struct str credentials)
{
    return str_starts(credentials, "NTLM") || str_starts(credentials, "Negotiate");
}

/* ---- the end of a head ---- */

ssize_t http_head_end(struct str all, size_t *seen)
{
    const char *end = all.p + all.n, *line = all.p + *seen, *feed;
    for (; line < end && (feed = memchr(line, '\n', (size_t)(end - line))); line = feed + 1) {
        size_t n = (size_t)(feed - line);
        if (is_blank(*line) || n == 0 || feed[-1] != '\r' || memchr(line, '\r', n - 1))
            return -1;
        if (n == 1 && line != all.p) /* one empty line may come first (RFC 9112, 2.2) */
            return feed + 1 - all.p;
    }
    *seen = (size_t)(line - all.p);
    const char *cr = line < end ? memchr(line, '\r', (size_t)(end - line)) : NULL;
    return (line < end && is_blank(*line)) || (cr && cr + 1 < end) ? -1 : 0;
}

/* ---- llhttp ---- */

struct reading {
    llhttp_t parser;
    struct http_head *head;
    struct str target;
    bool too_many;
};

static int on_url(llhttp_t *parser, const char *p, size_t n)
{
    struct reading *r = parser->data;
    r->target = (struct str){p, n};
    return 0;
}

static int on_status(llhttp_t *parser, const char *p, size_t n)
{
    struct reading *r = parser->data;
    r->head->reason = (struct str){p, n};
    return 0;
}

static int on_field(llhttp_t *parser, const char *p, size_t n)
{
    struct reading *r = parser->data;
    struct http_head *h = r->head;
    struct str name = {p, n};
    if (h->field_count == HTTP_FIELDS_MAX) {
        r->too_many = true;
        return -1;
    }
    if (n == 0)
        return -1; /* that other letters are none of a token, llhttp sees to */
    http_head_add(h, field_id(name), name, (struct str){NULL, 0});
    return 0;
}

static int on_value(llhttp_t *parser, const char *p, size_t n)
{
    struct reading *r = parser->data;
    struct http_field *f = &r->head->fields[r->head->field_count - 1];
    if (f->value.p)
        f->value.n = (size_t)(p + n - f->value.p);
    else
        f->value = (struct str){p, n};
    return 0;
}

static int on_end(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED; /* the body is not llhttp's */
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_status = on_status,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_end,
};

/* Whether llhttp finds a whole head, no less and no more, in TEXT. */
static bool parse(struct reading *r, llhttp_type_t type, struct http_head *h, struct str before,
                  struct str text)
{
    h->field_count = 0;
    h->kinds = 0;
    r->head = h;
    r->too_many = false;
    llhttp_init(&r->parser, type, &settings);
    r->parser.data = r;
    if (before.n && llhttp_execute(&r->parser, before.p, before.n) != HPE_OK)
        return false;
    if (llhttp_execute(&r->parser, text.p, text.n) != HPE_PAUSED)
        return false;
    for (size_t i = 0; i < h->field_count; i++) /* llhttp leaves out blanks in front only */
        while (h->fields[i].value.n && is_blank(h->fields[i].value.p[h->fields[i].value.n - 1]))
            h->fields[i].value.n--;
    return true;
}

/* ---- what the fields mean together ---- */

static size_t count(const struct http_head *h, enum http_field_id id, const struct http_field **f)
{
    size_t n = 0;
    for (size_t i = 0; i < h->field_count && http_head_may_have(h, id); i++)
        if (h->fields[i].id == id && n++ == 0)
            *f = &h->fields[i];
    return n;
}

static void nominate(struct http_head *h, struct str name)
{
    for (size_t i = 0; i < h->field_count; i++)
        if (str_eq_nocase(h->fields[i].name, name))
            h->fields[i].nominated = true;
}

/* Connection (RFC 9110, 7.6.1): whether it stays, what it becomes, which fields are its own. */
static void read_connection(struct http_head *h)
{
    bool close = false, keep = h->minor == 1, upgrade = false;
    for (size_t i = 0; i < h->field_count && http_head_may_have(h, HTTP_FIELD_CONNECTION); i++) {
        if (h->fields[i].id != HTTP_FIELD_CONNECTION)
            continue;
        struct str list = h->fields[i].value;
        for (struct str option; (option = http_list_next(&list)).n;)
            if (str_is(option, "close"))
                close = true;
            else if (str_is(option, "keep-alive"))
                keep = true;
            else if (str_is(option, "upgrade"))
                upgrade = true;
            else
                nominate(h, option);
    }
    const struct http_field *to = http_head_find(h, HTTP_FIELD_UPGRADE);
    h->keep = keep && !close;
    h->upgrade = upgrade && to && h->minor == 1 ? to->value : (struct str){NULL, 0};
}

/* A list of codings that somebody could have meant, `chunked` the last and only once. */
static bool is_known_coding(struct str list)
{
    static const char *const known[] = {"gzip", "x-gzip", "deflate", "compress", "x-compress"};
    bool good = false, last = false;
    for (struct str coding; (coding = http_list_next(&list)).n;) {
        if (last)
            return false;
        last = str_is(coding, "chunked");
        good = last;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            good = good || str_is(coding, known[i]);
        if (!good)
            return false;
    }
    return last;
}

/* Where the body ends, by the fields alone. 0, or the status for it. */
static unsigned read_framing(struct http_head *h)
{
    const struct http_field *length = NULL, *coding = NULL;
    size_t lengths = count(h, HTTP_FIELD_CONTENT_LENGTH, &length);
    size_t codings = count(h, HTTP_FIELD_TRANSFER_ENCODING, &coding);
    h->framing = HTTP_NO_BODY;
    h->length = 0;
    h->has_length = lengths > 0;
    if (lengths + codings > 1 || (codings && h->minor == 0))
        return 400;
    if (codings && !str_is(coding->value, "chunked"))
        return is_known_coding(coding->value) ? 501 : 400;
    if (codings)
        h->framing = HTTP_CHUNKED;
    if (lengths && !str_number(length->value, INT64_MAX, &h->length))
        return 400;
    if (lengths)
        h->framing = HTTP_COUNTED;
    return 0;
}

/* ---- requests ---- */

/* What may stand in a name, or between the brackets of an address. */
static bool is_host_name(struct str text, bool address)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool plain = (unsigned)(c | 0x20) - 'a' < 26 || (unsigned)c - '0' < 10 || c == '.';
        if (!plain && !(address ? c == ':' : c == '-' || c == '_'))
            return false;
    }
    return text.n > 0;
}

/* host[:port], an IPv6 address in brackets (RFC 9110, 7.2); what a registered name may not have
 * has no meaning that all would agree on. */
bool http_is_host(struct str host)
{
    bool address = host.n && *host.p == '[';
    const char *end = host.n ? memchr(host.p, address ? ']' : ':', host.n) : NULL;
    if (host.n > HOST_MAX || (address && !end))
        return false;
    size_t n = end ? (size_t)(end - host.p) : host.n;
    struct str name = {host.p + address, n - address};
    struct str port = {host.p + n + address, host.n - n - address};
    uint64_t number;
    if (port.n &&
        (*port.p != ':' || !str_number((struct str){port.p + 1, port.n - 1}, UINT16_MAX, &number)))
        return false;
    return is_host_name(name, address);
}

static bool is_visible(struct str target)
{
    for (size_t i = 0; i < target.n; i++)
        if (target.p[i] < 0x21 || target.p[i] > 0x7e || target.p[i] == '#')
            return false;
    return target.n > 0;
}

/* HTTP/1.0 or 1.1: 0; another version: 505; else 400. */
static unsigned read_version(struct http_head *h, struct str text)
{
    if (text.n != 8 || memcmp(text.p, "HTTP/", 5) != 0 || text.p[6] != '.' || text.p[5] < '0' ||
        text.p[5] > '9' || text.p[7] < '0' || text.p[7] > '9')
        return 400;
    h->minor = (unsigned)(text.p[7] - '0');
    return text.p[5] == '1' && h->minor <= 1 ? 0 : 505;
}

static unsigned read_request_line(struct http_head *h, struct str line)
{
    h->method = cut(&line, ' ');
    struct str target = cut(&line, ' ');
    if (!http_is_token(h->method) || !is_visible(target))
        return 400;
    return read_version(h, line);
}

/* The target in origin form (RFC 9112, 3.2), and the host of an absolute one, which has to be that
 * of Host. */
static bool read_target(struct http_head *h, struct str target)
{
    size_t scheme = str_starts(target, "http://") ? 7 : str_starts(target, "https://") ? 8 : 0;
    h->target = target;
    if (!scheme)
        return target.p[0] == '/' || (str_is(target, "*") && str_eq(h->method, str_of("OPTIONS")));
    struct str rest = {target.p + scheme, target.n - scheme};
    const char *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
    struct str host = {rest.p, slash ? (size_t)(slash - rest.p) : rest.n};
    h->target = slash ? (struct str){slash, rest.n - host.n} : str_of("/");
    return http_is_host(host) && str_eq_nocase(host, h->host);
}

static bool read_host(struct http_head *h)
{
    const struct http_field *host = NULL;
    size_t hosts = count(h, HTTP_FIELD_HOST, &host);
    h->host = host ? host->value : (struct str){NULL, 0};
    return hosts == 1 ? http_is_host(h->host) : hosts == 0 && h->minor == 0;
}

static bool read_expect(struct http_head *h)
{
    const struct http_field *expect = http_head_find(h, HTTP_FIELD_EXPECT);
    h->expects = expect && h->minor == 1;
    return !expect || str_is(expect->value, "100-continue");
}

static void read_method(struct http_head *h, unsigned method)
{
    h->is_get = method == HTTP_GET;
    h->is_head = method == HTTP_HEAD;
    h->is_idempotent = h->is_get || h->is_head || method == HTTP_OPTIONS ||
                       method == HTTP_PROPFIND || method == HTTP_REPORT || method == HTTP_SEARCH ||
                       method == HTTP_PUT || method == HTTP_DELETE;
}

static unsigned settle(struct http_head *h, const struct reading *r)
{
    unsigned method = r->parser.method;
    if (method == HTTP_CONNECT || method == HTTP_TRACE || method == HTTP_PRI ||
        method == HTTP_SOURCE)
        return 501;
    read_method(h, method);
    read_connection(h);
    for (size_t i = 0; i < h->field_count; i++) /* a CGI takes _ for - */
        if (memchr(h->fields[i].name.p, '_', h->fields[i].name.n))
            h->fields[i].id = HTTP_FIELD_OURS;
    if (!read_host(h) || !read_target(h, r->target))
        return 400;
    unsigned refused = read_framing(h);
    if (refused)
        return refused;
    return read_expect(h) ? 0 : 417;
}

unsigned http_head_request(struct http_head *h, struct str head)
{
    struct reading r;
    struct str line;
    size_t used;
    h->status = 0;
    h->field_count = 0;
    h->kinds = 0;
    h->method = h->target = h->host = h->reason = (struct str){NULL, 0};
    if (head.n > 2 && head.p[0] == '\r')
        head = (struct str){head.p + 2, head.n - 2};
    if (!str_line(head, &line, &used))
        return 400;
    unsigned refused = read_request_line(h, line);
    if (refused)
        return refused;
    if (parse(&r, HTTP_REQUEST, h, (struct str){NULL, 0}, head))
        return settle(h, &r);
    if (r.too_many)
        return 431;
    return llhttp_get_errno(&r.parser) == HPE_INVALID_METHOD ? 501 : 400;
}

/* ---- answers ---- */

const char *http_head_answer(struct http_head *h, struct str head, bool is_head)
{
    struct reading r;
    struct str line;
    size_t used;
    h->reason = (struct str){NULL, 0};
    h->host = h->target = h->method = (struct str){NULL, 0};
    if (!str_line(head, &line, &used) || read_version(h, cut(&line, ' ')))
        return "no HTTP/1 status line";
    if (!parse(&r, HTTP_RESPONSE, h, (struct str){NULL, 0}, head))
        return r.too_many ? "too many fields" : "a malformed head";
    h->status = r.parser.status_code;
    if (h->status < 100 || h->status > 599)
        return "an impossible status";
    read_connection(h);
    if (read_framing(h))
        return "two ways to tell where its body ends, or an odd one";
    if (h->framing == HTTP_NO_BODY)
        h->framing = HTTP_UNTIL_CLOSE;
    if (is_head || h->status < 200 || h->status == 204 || h->status == 304)
        h->framing = HTTP_NO_BODY;
    h->keep = h->keep && h->framing != HTTP_UNTIL_CLOSE;
    return NULL;
}

bool http_head_trailers(struct http_head *h, struct str section)
{
    static const struct str start = STR("GET / HTTP/1.1\r\n");
    struct reading r;
    return parse(&r, HTTP_REQUEST, h, start, section);
}

struct str http_host_name(struct str host)
{
    const char *colon = host.n ? memrchr(host.p, ':', host.n) : NULL;
    const char *bracket = host.n ? memrchr(host.p, ']', host.n) : NULL;
    if (colon && (!bracket || colon > bracket))
        host.n = (size_t)(colon - host.p);
    return host;
}

/* ---- words ---- */

const char *http_status_words(unsigned status)
{
    static const struct {
        unsigned status;
        const char *words;
    } all[] = {
        {200, "OK"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].status == status)
            return all[i].words;
    return "Status";
}
