/* SPDX-License-Identifier: ISC
 *
 * One line of a map file: see map_line.h. What stands in a line may be a password, at the wrong
 * place too: messages name the fault and the option, never a value. */
#include "maps/map_line.h"

#include "auth/password.h"
#include "base/addr.h"

#include <string.h>

enum { OPTIONS_MAX = 16 };

/* Names that need no port behind the host: nobody takes them for a mistyped option. */
static const char *const protocols[] = {"imap", "pop3",  "smtp",   "submission",
                                        "lmtp", "sieve", "webmail"};

struct option {
    struct str name, value; /* value.p is NULL when there is no `=` */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct str *s)
{
    while (s->n && is_blank(*s->p)) {
        s->p++;
        s->n--;
    }
}

/* ---- splitting, in place ---- */

/* Takes the doubling off what is quoted at P (behind the opening quote): *LENGTH bytes, from the
 * *USED up to and with the closing quote. */
static bool unquote(char *p, size_t n, size_t *length, size_t *used)
{
    *length = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"') {
            *used = i + 1;
            if (*used == n || p[*used] != '"')
                return true;
            i++;
        }
        p[(*length)++] = p[i];
    }
    return false;
}

/* The same for a pattern: up to the next slash without a backslash. */
static bool unslash(char *p, size_t n, size_t *length, size_t *used)
{
    *length = 0;
    for (size_t i = 0; i < n; i++) {
        *used = i + 1;
        if (p[i] == '/')
            return true;
        if (p[i] == '\\' && i + 1 < n && p[++i] != '/')
            p[(*length)++] = '\\';
        p[(*length)++] = p[i];
    }
    return false;
}

/* Ends the LENGTH bytes at P with NUL and blanks out the others of the USED. */
static void end_field(char *p, size_t length, size_t used)
{
    memset(p + length, ' ', used - length);
    p[length] = 0;
}

/* Cuts the key off the N bytes at P, the first of which is no blank. NULL, or what is wrong. */
static const char *split_key(struct map_line *line, char *p, size_t n)
{
    size_t length = 0, used;
    bool quoted = *p == '"';
    line->kind = *p == '/' ? MAP_LINE_PATTERN : MAP_LINE_LOGIN;
    if (quoted || line->kind == MAP_LINE_PATTERN) {
        p++;
        n--;
        if (!(quoted ? unquote : unslash)(p, n, &length, &used))
            return quoted ? "a quotation mark is not closed" : "no slash ends the pattern";
        if (used < n && !is_blank(p[used]))
            return "a blank is missing behind the quotation mark or slash";
    } else {
        while (length < n && !is_blank(p[length]))
            length++;
        if (length == n)
            return "the node is missing";
        if (length == 1 && *p == '*')
            line->kind = MAP_LINE_ALL;
        used = length + 1;
    }
    end_field(p, length, used);
    line->key = p;
    line->key_size = length;
    line->rest = (struct str){p + length + 1, n - length - 1};
    return NULL;
}

static const char *check_key(struct map_line *line)
{
    bool pattern = line->kind == MAP_LINE_PATTERN;
    if (line->key_size == 0)
        return pattern ? "the pattern is empty" : "the login is empty";
    if (!pattern && line->key_size == 1 && *line->key == '@')
        return "no domain behind the @";
    if (line->key_size > (pattern ? MAP_PATTERN_MAX : MAP_LOGIN_MAX))
        return pattern ? "the pattern is too long" : "the login is longer than 255 bytes";
    if (!pattern)
        str_lower(line->key, line->key_size);
    return NULL;
}

/* Takes the quotes off the values in the N bytes at P. NULL, or what is wrong. */
static const char *unquote_values(char *p, size_t n)
{
    size_t i = 0, length, used;
    while (i < n) {
        while (i < n && is_blank(p[i]))
            i++;
        if (i < n && p[i] == '#')
            return NULL;
        while (i < n && !is_blank(p[i]) && p[i] != '=')
            i++;
        if (i + 1 < n && p[i] == '=' && p[i + 1] == '"') {
            i += 2;
            if (!unquote(p + i, n - i, &length, &used))
                return "a quotation mark is not closed";
            end_field(p + i, length, used);
            i += used;
            if (i < n && !is_blank(p[i]))
                return "a blank is missing behind the quotation mark";
        }
        while (i < n && !is_blank(p[i]))
            i++;
    }
    return NULL;
}

/* ---- fields ---- */

/* Cuts the next option off *REST; false at the end and at a comment. */
static bool cut_option(struct str *rest, struct option *option)
{
    skip_blanks(rest);
    if (rest->n == 0 || *rest->p == '#')
        return false;
    const char *p = rest->p, *end = p + rest->n;
    while (p < end && !is_blank(*p) && *p != '=')
        p++;
    *option = (struct option){.name = {rest->p, (size_t)(p - rest->p)}};
    if (p < end && *p == '=') {
        bool quoted = ++p < end && *p == '"';
        const char *from = p += quoted;
        while (p < end && (quoted ? *p != 0 : !is_blank(*p)))
            p++;
        option->value = (struct str){from, (size_t)(p - from)};
        p += quoted && p < end;
    }
    *rest = (struct str){p, (size_t)(end - p)};
    return true;
}

/* Whether TEXT names a host as a line may: see map_line.h. */
static bool host_is_good(struct str text, bool need_port)
{
    char host[MAP_HOST_MAX + 1];
    uint16_t port;
    return map_host_parse(text, host, &port) && (port || !need_port);
}

bool map_line_protocol(struct str name)
{
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (str_is(name, protocols[i]))
            return true;
    return false;
}

/* The option that NAME, with or without a value, may have been meant for; or NULL. */
static const char *meant(struct str name, bool has_value)
{
    static const char *const words[] = {"hold", "login", "password"};
    char text[16];
    if (name.n >= sizeof text)
        return NULL;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        unsigned near = (unsigned)strlen(words[i]) / 4;
        if ((i > 0) == has_value && str_distance(text, words[i], near) <= near)
            return words[i];
    }
    return NULL;
}

static const char unknown[] = "is unknown";

/* NULL, or what is wrong with an option by its own. */
static const char *check_option(const struct option *o)
{
    bool password = str_is(o->name, "password");
    if (str_is(o->name, "hold"))
        return o->value.p ? "takes no value" : NULL;
    if (password || str_is(o->name, "login")) {
        if (o->value.n == 0)
            return "needs a value";
        if (o->value.n > (password ? MAP_PASSWORDS - 2 : MAP_LOGIN_MAX))
            return "is too long";
        return password && !password_usable(o->value) ? "has a scheme or a hash that is unusable"
                                                      : NULL;
    }
    bool protocol = map_line_protocol(o->name);
    if (!protocol &&
        (o->name.n == 0 || !o->value.p || meant(o->name, true) || !host_is_good(o->value, true)))
        return unknown;
    return host_is_good(o->value, false) ? NULL : "needs a host or HOST:PORT";
}

/* SECRET: the name may be a piece of a password. */
static void complain(const struct option *o, const char *why, bool secret,
                     struct problems *problems, struct place at)
{
    const char *word = why == unknown && !secret ? meant(o->name, o->value.p != NULL) : NULL;
    char name[64] = "an option behind the password";
    if (!secret)
        snprintf(name, sizeof name, "option '%.*s'", (int)(o->name.n < 40 ? o->name.n : 40),
                 o->name.p);
    problem_error(problems, at, "%s %s%s%s%s", name, why, word ? ": did you mean '" : "",
                  word ? word : "", word ? "'?" : "");
}

/* Checks what stands behind the node. */
static void check_options(struct map_line *line, struct str rest, struct problems *problems,
                          struct place at)
{
    struct option o;
    struct str names[OPTIONS_MAX];
    for (size_t count = 0; cut_option(&rest, &o); count++) {
        if (count == OPTIONS_MAX) {
            problem_error(problems, at, "more than %d options", OPTIONS_MAX);
            return;
        }
        const char *why = check_option(&o);
        for (size_t i = 0; i < count && !why; i++)
            if (str_eq_nocase(names[i], o.name))
                why = "stands twice";
        if (why)
            complain(&o, why, line->password, problems, at);
        names[count] = o.name;
        line->password |= str_is(o.name, "password");
    }
}

/* NULL, or what is wrong with the node at the start of *REST, which is cut off. */
static const char *check_node(struct str *rest)
{
    struct str node = str_word(rest);
    if (node.n == 0 || *node.p == '#' || memchr(node.p, '=', node.n))
        return "the node is missing";
    return host_is_good(node, false) ? NULL : "the node is no name, address or HOST:PORT";
}

static bool has_control(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)p[i] < ' ' && p[i] != '\t') || p[i] == 0x7f)
            return true;
    return false;
}

/* Splits the line; *OPTIONS is what stands behind the node. NULL, or what is wrong. */
static const char *split(struct map_line *line, char *text, size_t n, struct str *options)
{
    const char *why;
    if (n > MAP_LINE_MAX)
        return "the line is too long";
    if (has_control(text, n))
        return "a control character or NUL";
    while (n && is_blank(*text)) {
        text++;
        n--;
    }
    if (n == 0 || *text == '#')
        return NULL;
    if ((why = split_key(line, text, n)) || (why = check_key(line)) ||
        (why = unquote_values(line->key + line->key_size + 1, line->rest.n)))
        return why;
    *options = line->rest;
    return check_node(options);
}

bool map_line_split(struct map_line *line, char *text, size_t n, struct problems *problems,
                    struct place at)
{
    struct str options = {0};
    size_t errors = problems->errors;
    *line = (struct map_line){.kind = MAP_LINE_NONE};
    const char *why = split(line, text, n, &options);
    if (why)
        problem_error(problems, at, "%s", why);
    else
        check_options(line, options, problems, at);
    return problems->errors == errors;
}

/* ---- reading ---- */

static void copy(char *out, size_t size, struct str value)
{
    size_t n = value.n < size ? value.n : size - 1;
    memcpy(out, value.p, n);
    out[n] = 0;
}

void map_line_read(struct str rest, const struct map_query *query, struct map_entry *entry)
{
    struct str node = str_word(&rest), service = {0}, protocol = {0}, host;
    struct option o;
    entry->hold = false;
    entry->login[0] = entry->passwords[0] = 0;
    while (cut_option(&rest, &o)) {
        if (str_is(o.name, "hold")) {
            entry->hold = true;
        } else if (str_is(o.name, "login")) {
            copy(entry->login, sizeof entry->login, o.value);
        } else if (str_is(o.name, "password")) {
            copy(entry->passwords, sizeof entry->passwords - 1, o.value);
            entry->passwords[o.value.n + 1] = 0; /* the list's end */
        } else if (str_is(o.name, query->service)) {
            service = o.value;
        } else if (str_is(o.name, query->protocol)) {
            protocol = o.value;
        }
    }
    addr_split(service.n ? service : protocol.n ? protocol : node, &host, &entry->port);
    copy(entry->host, sizeof entry->host, host);
}
