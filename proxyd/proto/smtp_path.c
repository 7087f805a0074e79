/* SPDX-License-Identifier: ISC
 *
 * The arguments of SMTP's commands: see smtp_path.h. Each take_... cuts what it is named for off
 * the start of what is left, or says false. */
#include "proto/smtp_path.h"

#include <string.h>

enum { HELO_MAX = 255, VALUE_MAX = 500 }; /* bytes; RFC 5321, 4.5.3.1.2; RFC 3461, 4. */

/* ---- characters ---- */

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Dots stand wherever they like: mailboxes like "a..b" and "a." exist, and neither quotes nor
 * another meaning hang on where a dot is. */
static bool is_atext(char c)
{
    return is_alnum(c) || (c && strchr(".!#$%&'*+-/=?^_`{|}~", c));
}

/* Length of the well-formed UTF-8 character (RFC 3629) at S.p + I if it is beyond ASCII and no C1
 * control, else 0. */
static size_t utf8_length(struct str s, size_t i)
{
    const unsigned char *p = (const unsigned char *)s.p + i;
    size_t left = s.n - i, length = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
    if (*p < 0xc2 || *p > 0xf4 || left < length)
        return 0;
    for (size_t k = 1; k < length; k++)
        if (p[k] >> 6 != 2)
            return 0;
    bool overlong = (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xf0 && p[1] < 0x90);
    bool nobody = (*p == 0xed && p[1] > 0x9f) || (*p == 0xf4 && p[1] > 0x8f);
    bool control = *p == 0xc2 && p[1] < 0xa0;
    return overlong || nobody || control ? 0 : length;
}

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] > '~')
            return false;
    return true;
}

static void skip(struct str *rest, size_t n)
{
    *rest = (struct str){rest->p + n, rest->n - n};
}

static bool take_char(struct str *rest, char c)
{
    if (rest->n == 0 || *rest->p != c)
        return false;
    skip(rest, 1);
    return true;
}

/* ---- mailboxes ---- */

static bool take_atoms(struct str *rest)
{
    size_t i = 0, n;
    while (i < rest->n && (n = is_atext(rest->p[i]) ? 1 : utf8_length(*rest, i)))
        i += n;
    skip(rest, i);
    return i > 0;
}

/* A backslash stands before ASCII only. */
static bool take_quoted(struct str *rest)
{
    if (!take_char(rest, '"'))
        return false;
    while (rest->n && *rest->p != '"') {
        bool escaped = take_char(rest, '\\');
        if (rest->n == 0)
            return false;
        size_t n = (unsigned char)*rest->p < 0x80 ? 1 : escaped ? 0 : utf8_length(*rest, 0);
        if (n == 0)
            return false;
        skip(rest, n);
    }
    return take_char(rest, '"');
}

static bool take_label(struct str *rest)
{
    size_t i = 0, n;
    while (i < rest->n && (n = is_alnum(rest->p[i]) || rest->p[i] == '-' || rest->p[i] == '_'
                                   ? 1
                                   : utf8_length(*rest, i)))
        i += n;
    bool good = i > 0 && rest->p[0] != '-' && rest->p[i - 1] != '-';
    skip(rest, i);
    return good;
}

static bool take_name(struct str *rest)
{
    do
        if (!take_label(rest))
            return false;
    while (take_char(rest, '.'));
    return true;
}

/* An address, IPv6 with PREFIX before it. */
static bool read_address(struct str text, const char *prefix, struct addr *a)
{
    bool six = str_starts(text, prefix);
    if (six)
        skip(&text, strlen(prefix));
    return addr_numeric(a, text, 0) && a->sa.sa_family == (six ? AF_INET6 : AF_INET);
}

/* No tag but IPv6 was ever registered (RFC 5321, 4.1.3). */
static bool take_literal(struct str *rest)
{
    struct addr a;
    const char *end = rest->n ? memchr(rest->p, ']', rest->n) : NULL;
    if (!end || !take_char(rest, '['))
        return false;
    struct str inside = {rest->p, (size_t)(end - rest->p)};
    skip(rest, inside.n + 1);
    return read_address(inside, "IPv6:", &a);
}

static bool take_domain(struct str *rest)
{
    return rest->n && *rest->p == '[' ? take_literal(rest) : take_name(rest);
}

/* "@a.example,@b.example:" (RFC 5321, 4.1.2, A-d-l), which says nothing any more. */
static bool take_route(struct str *rest)
{
    do
        if (!take_char(rest, '@') || !take_name(rest))
            return false;
    while (take_char(rest, ','));
    return take_char(rest, ':');
}

/* What lies between START and where REST begins. */
static struct str until(const char *start, const struct str *rest)
{
    return (struct str){start, (size_t)(rest->p - start)};
}

/* Takes what stands between the brackets. */
static bool take_mailbox(struct str *rest, struct smtp_path *path)
{
    const char *start;
    if (rest->n && *rest->p == '@' && !take_route(rest))
        return false;
    start = rest->p;
    if (!(rest->n && *rest->p == '"' ? take_quoted : take_atoms)(rest))
        return false;
    path->local = until(start, rest);
    if (take_char(rest, '@')) {
        const char *domain = rest->p;
        if (!take_domain(rest))
            return false;
        path->domain = until(domain, rest);
    }
    path->address = until(start, rest);
    path->utf8 = !is_ascii(path->address);
    return true;
}

/* Whether PATH may stand where it stood: only Postmaster has no domain, only a sender is nobody. */
static bool is_allowed(const struct smtp_path *path, bool rcpt)
{
    return path->domain.n || (rcpt ? str_is(path->local, "postmaster") : path->address.n == 0);
}

/* Takes "FROM:" or "TO:" and the path. */
static enum smtp_path_result take_path(struct str *rest, bool rcpt, struct smtp_path *path)
{
    const char *keyword = rcpt ? "TO:" : "FROM:";
    if (!str_starts(*rest, keyword))
        return SMTP_PATH_BAD_SYNTAX;
    skip(rest, strlen(keyword));
    while (take_char(rest, ' '))
        ;
    if (!take_char(rest, '<'))
        return SMTP_PATH_BAD_SYNTAX;
    bool empty = rest->n && *rest->p == '>';
    bool good = (empty || take_mailbox(rest, path)) && take_char(rest, '>');
    return good && is_allowed(path, rcpt) ? SMTP_PATH_OK : SMTP_PATH_BAD_MAILBOX;
}

/* Adds the local part, which lies between quotes. */
static void add_unquoted(struct buf *out, struct str quoted)
{
    const char *from = quoted.p + 1, *to = quoted.p + quoted.n - 1;
    bool bare = from < to;
    for (const char *p = from; p < to; p++) {
        p += *p == '\\';
        bare &= is_atext(*p) || (unsigned char)*p >= 0x80;
    }
    buf_adds(out, bare ? "" : "\"");
    for (const char *p = from; p < to; p++) {
        p += *p == '\\';
        if (!bare && (*p == '"' || *p == '\\'))
            buf_adds(out, "\\");
        buf_add(out, p, 1);
    }
    buf_adds(out, bare ? "" : "\"");
}

bool smtp_path_mailbox(const struct smtp_path *path, char *out)
{
    struct buf b; /* never on the heap: its bound is below what it is lent */
    buf_init(&b, out, SMTP_MAILBOX_MAX + 1, SMTP_MAILBOX_MAX);
    if (path->local.n && *path->local.p == '"')
        add_unquoted(&b, path->local);
    else
        buf_add(&b, path->local.p, path->local.n);
    uint32_t local = buf_len(&b);
    if (path->domain.n) {
        buf_adds(&b, "@");
        buf_add(&b, path->domain.p, path->domain.n);
        str_lower(out + local, buf_len(&b) - local);
    }
    out[b.full ? 0 : buf_len(&b)] = 0;
    return !b.full;
}

bool smtp_path_has_route(const char *mailbox)
{
    const char *at = strrchr(mailbox, '@');
    return at && mailbox + strcspn(mailbox, "@%!") < at;
}

/* ---- xtext ---- */

static bool is_xchar(char c)
{
    return c > ' ' && c <= '~' && c != '+' && c != '=';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= ' ';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void smtp_path_xtext(struct buf *out, struct str text)
{
    size_t from = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (is_xchar(text.p[i]))
            continue;
        buf_add(out, text.p + from, i - from);
        buf_addf(out, "+%02X", (unsigned char)text.p[i]);
        from = i + 1;
    }
    buf_add(out, text.p + from, text.n - from);
}

ssize_t smtp_path_xtext_decode(char *out, size_t size, struct str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '+') {
            int high = i + 2 < text.n ? hex_digit(text.p[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.p[i + 2]) : -1;
            if (low < 0)
                return -1;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (!is_xchar(c)) {
            return -1;
        }
        if (n == size)
            return -1;
        out[n++] = c;
    }
    return (ssize_t)n;
}

/* ---- parameters ---- */

/* xtext with nothing but printable ASCII behind it (RFC 3461, 4.2, 4.4). */
static bool is_printable(struct str xtext)
{
    char clear[VALUE_MAX];
    ssize_t n = smtp_path_xtext_decode(clear, sizeof clear, xtext);
    struct str text = {clear, n < 0 ? 0 : (size_t)n};
    return text.n && !str_has_control(text) && is_ascii(text);
}

static bool read_size(struct smtp_params *params, struct str value)
{
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] < '0' || value.p[i] > '9')
            return false;
    if (!str_number(value, UINT64_MAX, &params->size))
        params->size = UINT64_MAX;
    return value.n <= 20;
}

static bool read_body(struct smtp_params *params, struct str value)
{
    static const char *const bodies[] = {"7BIT", "8BITMIME", "BINARYMIME"};
    for (enum smtp_body b = SMTP_BODY_7BIT; b <= SMTP_BODY_BINARYMIME; b++) {
        params->body = b;
        if (str_is(value, bodies[b]))
            return true;
    }
    return false;
}

static bool read_ret(struct smtp_params *params, struct str value)
{
    (void)params;
    return str_is(value, "FULL") || str_is(value, "HDRS");
}

/* ENVID, and AUTH: "<>" is xtext as well. */
static bool read_xtext(struct smtp_params *params, struct str value)
{
    (void)params;
    return is_printable(value);
}

static bool read_notify(struct smtp_params *params, struct str value)
{
    (void)params;
    if (str_is(value, "NEVER"))
        return true;
    for (;;) {
        const char *comma = memchr(value.p, ',', value.n);
        struct str word = {value.p, comma ? (size_t)(comma - value.p) : value.n};
        if (!str_is(word, "SUCCESS") && !str_is(word, "FAILURE") && !str_is(word, "DELAY"))
            return false;
        if (!comma)
            return true;
        skip(&value, word.n + 1);
    }
}

/* RFC 6533, 3.: an address of type utf-8 may stand as it is, or with \x{...} in it. */
static bool is_utf8_address(struct str value)
{
    for (size_t i = 0, n; i < value.n; i += n)
        if (!(n = is_xchar(value.p[i]) || value.p[i] == '+' ? 1 : utf8_length(value, i)))
            return false;
    return value.n;
}

static bool read_orcpt(struct smtp_params *params, struct str value)
{
    (void)params;
    const char *semicolon = memchr(value.p, ';', value.n);
    struct str type = {value.p, semicolon ? (size_t)(semicolon - value.p) : 0};
    struct str atoms = type;
    if (!take_atoms(&atoms) || atoms.n || !is_ascii(type) || value.n > VALUE_MAX)
        return false;
    skip(&value, type.n + 1);
    return str_is(type, "utf-8") ? is_utf8_address(value) : is_printable(value);
}

static const struct param {
    const char *name;
    bool rcpt;                                                  /* belongs to RCPT, else to MAIL */
    bool (*read)(struct smtp_params *params, struct str value); /* NULL: has no value */
} table[SMTP_PARAM_COUNT] = {
    [SMTP_PARAM_SIZE] = {"SIZE", false, read_size},
    [SMTP_PARAM_BODY] = {"BODY", false, read_body},
    [SMTP_PARAM_SMTPUTF8] = {"SMTPUTF8", false, NULL},
    [SMTP_PARAM_RET] = {"RET", false, read_ret},
    [SMTP_PARAM_ENVID] = {"ENVID", false, read_xtext},
    [SMTP_PARAM_AUTH] = {"AUTH", false, read_xtext},
    [SMTP_PARAM_NOTIFY] = {"NOTIFY", true, read_notify},
    [SMTP_PARAM_ORCPT] = {"ORCPT", true, read_orcpt},
};

const char *smtp_param_name(enum smtp_param param)
{
    return table[param].name;
}

/* Cuts the next word off and takes it apart at its first "="; VALUE.p is NULL where there is none.
 */
static struct str take_pair(struct str *rest, struct str *value)
{
    struct str word = str_word(rest);
    const char *equals = memchr(word.p, '=', word.n);
    *value = (struct str){0};
    if (!equals)
        return word;
    *value = (struct str){equals + 1, (size_t)(word.p + word.n - equals) - 1};
    return (struct str){word.p, (size_t)(equals - word.p)};
}

static bool is_keyword(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!is_alnum(name.p[i]) && !(name.p[i] == '-' && i))
            return false;
    return name.n;
}

static enum smtp_path_result take_param(struct str *rest, bool rcpt, struct smtp_params *params)
{
    struct str value, name = take_pair(rest, &value);
    enum smtp_param p = 0;
    if (!is_keyword(name))
        return SMTP_PATH_BAD_SYNTAX;
    params->wrong = name;
    while (p < SMTP_PARAM_COUNT && !(table[p].rcpt == rcpt && str_is(name, table[p].name)))
        p++;
    if (p == SMTP_PARAM_COUNT)
        return SMTP_PATH_UNKNOWN;
    if (params->given & 1u << p ||
        (table[p].read ? !value.n || !table[p].read(params, value) : value.p != NULL))
        return SMTP_PATH_BAD_VALUE;
    params->given |= 1u << p;
    params->value[p] = value;
    params->wrong = (struct str){0};
    return SMTP_PATH_OK;
}

static bool is_end(const struct str *rest)
{
    struct str copy = *rest;
    return str_word(&copy).n == 0;
}

static enum smtp_path_result take_all(struct str args, bool rcpt, struct smtp_path *path,
                                      struct smtp_params *params)
{
    *path = (struct smtp_path){0};
    *params = (struct smtp_params){0};
    if (str_has_control(args))
        return SMTP_PATH_BAD_SYNTAX;
    enum smtp_path_result r = take_path(&args, rcpt, path);
    if (r == SMTP_PATH_OK && args.n && *args.p != ' ')
        r = SMTP_PATH_BAD_SYNTAX;
    while (r == SMTP_PATH_OK && !is_end(&args))
        r = take_param(&args, rcpt, params);
    return r;
}

enum smtp_path_result smtp_path_mail(struct str args, struct smtp_path *path,
                                     struct smtp_params *params)
{
    return take_all(args, false, path, params);
}

enum smtp_path_result smtp_path_rcpt(struct str args, struct smtp_path *path,
                                     struct smtp_params *params)
{
    return take_all(args, true, path, params);
}

/* ---- others ---- */

bool smtp_path_is_helo(struct str name)
{
    return name.n <= HELO_MAX && is_ascii(name) && take_domain(&name) && name.n == 0;
}

bool smtp_path_bdat(struct str args, uint64_t *size, bool *last)
{
    if (str_has_control(args))
        return false;
    struct str number = str_word(&args), word = str_word(&args);
    *last = str_is(word, "LAST");
    return str_number(number, INT64_MAX, size) && (word.n == 0 || *last) && is_end(&args);
}

/* ---- XCLIENT ---- */

static bool read_port(uint16_t *port, struct str text)
{
    uint64_t value = 0;
    bool good = str_number(text, UINT16_MAX, &value);
    *port = (uint16_t)value;
    return good;
}

static bool read_proto(struct str text)
{
    return str_is(text, "SMTP") || str_is(text, "ESMTP") || str_is(text, "LMTP");
}

/* Whether TEXT can be what ATTR says; addresses and ports are noted. */
static bool read_attr(struct smtp_xclient *x, enum smtp_xclient_attr attr, struct str text)
{
    switch (attr) {
    case SMTP_XCLIENT_ADDR:
        return read_address(text, "IPV6:", &x->client);
    case SMTP_XCLIENT_DESTADDR:
        return read_address(text, "IPV6:", &x->local);
    case SMTP_XCLIENT_PORT:
        return read_port(&x->client_port, text);
    case SMTP_XCLIENT_DESTPORT:
        return read_port(&x->local_port, text);
    case SMTP_XCLIENT_PROTO:
        return read_proto(text);
    case SMTP_XCLIENT_NAME:
        return is_ascii(text) && take_name(&text) && text.n == 0;
    default: /* HELO, LOGIN: whatever it is that he said */
        return text.n && !str_has_control(text);
    }
}

static const char *const attrs[SMTP_XCLIENT_COUNT] = {"NAME", "ADDR",  "PORT",     "PROTO",
                                                      "HELO", "LOGIN", "DESTADDR", "DESTPORT"};

const char *smtp_xclient_name(enum smtp_xclient_attr attr)
{
    return attrs[attr];
}

static enum smtp_path_result take_attr(struct str *rest, struct smtp_xclient *x)
{
    char clear[HELO_MAX];
    struct str value, name = take_pair(rest, &value);
    enum smtp_xclient_attr a = 0;
    x->wrong = name;
    while (a < SMTP_XCLIENT_COUNT && !str_is(name, attrs[a]))
        a++;
    if (a == SMTP_XCLIENT_COUNT)
        return SMTP_PATH_UNKNOWN;
    ssize_t n = smtp_path_xtext_decode(clear, sizeof clear, value);
    struct str text = {clear, n < 0 ? 0 : (size_t)n};
    bool temporary = str_is(text, "[TEMPUNAVAIL]");
    bool unavailable = temporary || str_is(text, "[UNAVAILABLE]");
    if (x->given & 1u << a || (!unavailable && !read_attr(x, a, text)))
        return SMTP_PATH_BAD_VALUE;
    x->given |= 1u << a;
    x->unavailable |= (unsigned)unavailable << a;
    x->temporary |= (unsigned)temporary << a;
    x->value[a] = unavailable ? (struct str){0} : value;
    x->wrong = (struct str){0};
    return SMTP_PATH_OK;
}

/* A mapped IPv4 address becomes IPv4. */
static void set_port(struct addr *a, uint16_t port)
{
    struct addr from = *a;
    if (from.len == 0)
        return;
    *(from.sa.sa_family == AF_INET ? &from.in.sin_port : &from.in6.sin6_port) = htons(port);
    addr_from_sockaddr(a, &from.sa, from.len);
}

enum smtp_path_result smtp_path_xclient(struct str args, struct smtp_xclient *x)
{
    enum smtp_path_result r = SMTP_PATH_OK;
    *x = (struct smtp_xclient){0};
    if (str_has_control(args) || is_end(&args))
        return SMTP_PATH_BAD_SYNTAX;
    while (r == SMTP_PATH_OK && !is_end(&args))
        r = take_attr(&args, x);
    if (r == SMTP_PATH_OK) {
        set_port(&x->client, x->client_port);
        set_port(&x->local, x->local_port);
    }
    return r;
}
