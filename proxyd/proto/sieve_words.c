/* SPDX-License-Identifier: ISC
 *
 * The words of ManageSieve: see sieve_words.h. */
#include "proto/sieve_words.h"

#include "proto/proto.h"

enum { UNIT_MAX = PROTO_LINE_MAX + 2 }; /* bytes, with literals and the line end */

/* The size of the literal that LINE (without its line end) ends with. */
static bool has_literal(struct str line, bool client, uint64_t *size)
{
    const char *open = line.n ? memrchr(line.p, '{', line.n) : NULL;
    if (!open || line.p[line.n - 1] != '}')
        return false;
    struct str digits = {open + 1, line.n - (size_t)(open - line.p) - 2};
    bool plus = digits.n && digits.p[digits.n - 1] == '+';
    digits.n -= plus;
    return (plus || !client) && str_number(digits, UINT32_MAX, size);
}

enum sieve_unit sieve_unit(struct str all, bool client, size_t *used)
{
    struct str line;
    size_t at = 0, n;
    uint64_t literal;
    while (at <= all.n && str_line((struct str){all.p + at, all.n - at}, &line, &n)) {
        at += n;
        if (at > UNIT_MAX)
            return SIEVE_LONG;
        if (!has_literal(line, client, &literal)) {
            *used = at;
            return SIEVE_WHOLE;
        }
        if (literal > UNIT_MAX - at)
            return SIEVE_LONG;
        at += literal;
    }
    return all.n < UNIT_MAX ? SIEVE_MORE : SIEVE_LONG;
}

static void cut(struct str *rest, size_t n)
{
    *rest = (struct str){rest->p + n, rest->n - n};
}

static struct str skip_blanks(struct str rest)
{
    while (rest.n && *rest.p == ' ')
        cut(&rest, 1);
    return rest;
}

bool sieve_word(struct str *rest, struct str *word)
{
    struct str at = skip_blanks(*rest);
    size_t n = 0;
    while (n < at.n && !memchr(" \r\n\"{()", at.p[n], 7))
        n++;
    if (n == 0)
        return false;
    *word = (struct str){at.p, n};
    cut(&at, n);
    *rest = at;
    return true;
}

static bool quoted(struct str *at, struct sieve_string *s)
{
    size_t i = 1;
    while (i < at->n && at->p[i] != '"' && at->p[i] != '\r' && at->p[i] != '\n')
        i += at->p[i] == '\\' ? 2 : 1;
    if (i >= at->n || at->p[i] != '"')
        return false;
    *s = (struct sieve_string){{at->p + 1, i - 1}, true};
    cut(at, i + 1);
    return true;
}

/* The unit is whole: if the size ends its line, the bytes are there. */
static bool literal(struct str *at, struct sieve_string *s)
{
    struct str line;
    size_t used;
    uint64_t n;
    if (!str_line(*at, &line, &used) || memrchr(line.p, '{', line.n) != line.p ||
        !has_literal(line, false, &n) || at->n - used < n)
        return false;
    *s = (struct sieve_string){{at->p + used, n}, false};
    cut(at, used + n);
    return true;
}

bool sieve_string(struct str *rest, struct sieve_string *s)
{
    struct str at = skip_blanks(*rest);
    if (at.n == 0 || !(*at.p == '"' ? quoted(&at, s) : *at.p == '{' && literal(&at, s)))
        return false;
    *rest = at;
    return true;
}

bool sieve_end(struct str rest)
{
    return str_eq(rest, str_of("\r\n")) || str_eq(rest, str_of("\n"));
}

bool sieve_is_quotable(struct str text)
{
    return !str_has_control(text) && !(text.n && memchr(text.p, '"', text.n)) &&
           !(text.n && memchr(text.p, '\\', text.n));
}

void sieve_open(struct buf *out, size_t n, bool client)
{
    if (n <= SIEVE_QUOTED_MAX)
        buf_adds(out, "\"");
    else
        buf_addf(out, "{%zu%s}\r\n", n, client ? "+" : "");
}

void sieve_close(struct buf *out, size_t n)
{
    if (n <= SIEVE_QUOTED_MAX)
        buf_adds(out, "\"");
}
