/* SPDX-License-Identifier: ISC
 *
 * The words of one IMAP command: see imap_args.h. Words never cross lines, for only a literal's
 * bytes may hold a line end; so each line is cut off first and parsed then. */
#include "proto/imap_args.h"

#include <string.h>

enum {
    COMMAND_MAX = PROTO_LINE_MAX + 2, /* bytes, with literals and the line end */
    LITERAL_MINUS_MAX = 4096          /* bytes (RFC 7888, 5.) */
};

static enum imap_parse next_line(struct imap_args *a)
{
    struct str rest = {a->in + a->used, a->n - a->used};
    size_t used = rest.n;
    bool whole = str_line(rest, &a->line, &used);
    if (!whole)
        return a->n < COMMAND_MAX ? IMAP_PARSE_MORE : IMAP_PARSE_LONG;
    a->used += used;
    return a->used <= COMMAND_MAX ? IMAP_PARSE_OK : IMAP_PARSE_LONG;
}

enum imap_parse imap_args_begin(struct imap_args *a)
{
    a->used = 0;
    return next_line(a);
}

static struct str cut(struct imap_args *a, size_t n)
{
    struct str head = {a->line.p, n};
    a->line = (struct str){a->line.p + n, a->line.n - n};
    return head;
}

struct str imap_args_word(struct imap_args *a)
{
    const char *space = memchr(a->line.p, ' ', a->line.n);
    return cut(a, space ? (size_t)(space - a->line.p) : a->line.n);
}

bool imap_args_char(struct imap_args *a, char c)
{
    if (a->line.n == 0 || a->line.p[0] != c)
        return false;
    cut(a, 1);
    return true;
}

bool imap_args_end(const struct imap_args *a)
{
    return a->line.n == 0;
}

/* Whether non-synchronising literals were announced, but small ones only. IMAP4rev2 has LITERAL- in
 * it (RFC 9051, 4.3). */
static bool is_limited(const char *announced)
{
    struct str all = str_of(announced);
    return !proto_has(all, ' ', str_of("LITERAL+")) &&
           (proto_has(all, ' ', str_of("LITERAL-")) || proto_has(all, ' ', str_of("IMAP4rev2")));
}

static enum imap_parse literal(struct imap_args *a, struct imap_string *s)
{
    struct str size = {a->line.p + 1, a->line.n - 1};
    if (size.n < 2 || size.p[size.n - 1] != '}')
        return IMAP_PARSE_BAD;
    size.n--;
    bool synchronising = size.p[size.n - 1] != '+';
    if (!synchronising)
        size.n--;
    uint64_t n;
    if (!str_number(size, UINT32_MAX, &n))
        return IMAP_PARSE_BAD;
    if (synchronising && !a->ask)
        return IMAP_PARSE_UNASKED;
    if (!synchronising && n > LITERAL_MINUS_MAX && is_limited(a->announced))
        return IMAP_PARSE_PLUS;
    if (n + a->used > PROTO_LINE_MAX)
        return IMAP_PARSE_TOOBIG;
    if (synchronising && ++a->synchronising > *a->continued) {
        buf_adds(a->out, "+ OK\r\n");
        ++*a->continued;
    }
    if (a->n - a->used < n)
        return IMAP_PARSE_MORE;
    *s = (struct imap_string){a->in + a->used, n, false};
    a->used += n;
    return next_line(a);
}

static enum imap_parse quoted(struct imap_args *a, struct imap_string *s)
{
    struct str l = a->line;
    size_t i = 1;
    while (i < l.n && l.p[i] != '"') {
        if (l.p[i] == '\\' && ++i < l.n && l.p[i] != '"' && l.p[i] != '\\')
            return IMAP_PARSE_BAD;
        i++;
    }
    if (i >= l.n)
        return IMAP_PARSE_BAD;
    *s = (struct imap_string){a->in + (l.p - a->in) + 1, i - 1, true};
    cut(a, i + 1);
    return IMAP_PARSE_OK;
}

static enum imap_parse atom(struct imap_args *a, struct imap_string *s)
{
    size_t n = 0;
    while (n < a->line.n && !memchr(" (){\"", a->line.p[n], 5))
        n++;
    if (n == 0)
        return IMAP_PARSE_BAD;
    *s = (struct imap_string){a->in + (a->line.p - a->in), n, false};
    cut(a, n);
    return IMAP_PARSE_OK;
}

enum imap_parse imap_args_string(struct imap_args *a, struct imap_string *s)
{
    char first = a->line.n ? a->line.p[0] : ' ';
    return first == '{' ? literal(a, s) : first == '"' ? quoted(a, s) : atom(a, s);
}

bool imap_args_literal_follows(const struct imap_args *a)
{
    struct str l = {a->in, a->used - 1};
    if (l.n && l.p[l.n - 1] == '\r')
        l.n--;
    return l.n >= 2 && memcmp(l.p + l.n - 2, "+}", 2) == 0;
}

struct str imap_string_text(struct imap_string *s)
{
    if (s->quoted) {
        size_t n = 0;
        for (size_t i = 0; i < s->n; i++) {
            if (s->p[i] == '\\')
                i++;
            s->p[n++] = s->p[i];
        }
        s->n = n;
        s->quoted = false;
    }
    return (struct str){s->p, s->n};
}
