/* SPDX-License-Identifier: ISC
 *
 * Forms, read and written: see form.h. */
#include "web/form.h"

#include <ctype.h>

static const char hex[] = "0123456789ABCDEF";

/* ---- reading ---- */

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decodes TEXT, which points into memory of ours, where it stands. */
static bool decode(struct str *text)
{
    char *to = (char *)text->p;
    const char *end = text->p + text->n;
    for (const char *c = text->p; c < end; c++) {
        if (*c != '%') {
            *to++ = *c == '+' ? ' ' : *c;
            continue;
        }
        int high = end - c > 2 ? digit(c[1]) : -1, low = end - c > 2 ? digit(c[2]) : -1;
        if (high < 0 || low < 0)
            return false;
        *to++ = (char)(high << 4 | low);
        c += 2;
    }
    text->n = (size_t)(to - text->p);
    return true;
}

static bool take(struct form *form, struct str pair)
{
    if (pair.n == 0)
        return true;
    if (form->count == FORM_FIELDS_MAX)
        return false;
    struct form_field *field = &form->list[form->count++];
    const char *equals = memchr(pair.p, '=', pair.n);
    size_t n = equals ? (size_t)(equals - pair.p) : pair.n;
    field->name = (struct str){pair.p, n};
    field->value = (struct str){pair.p + n + (equals != NULL), pair.n - n - (equals != NULL)};
    return decode(&field->name) && decode(&field->value);
}

bool form_read(struct form *form, char *body, size_t n)
{
    form->count = 0;
    for (char *end = body + n; body < end;) {
        char *and = memchr(body, '&', (size_t)(end - body));
        char *stop = and? and : end;
        if (!take(form, (struct str){body, (size_t)(stop - body)}))
            return false;
        body = and? and+1 : end;
    }
    return true;
}

struct str form_find(const struct form *form, const char *name)
{
    struct str found = {NULL, 0};
    for (size_t i = 0; i < form->count; i++) {
        if (!str_eq(form->list[i].name, str_of(name)))
            continue;
        if (found.p)
            return (struct str){NULL, 0};
        found = form->list[i].value;
    }
    return found;
}

/* ---- writing ---- */

static void encode(struct buf *body, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        const char escaped[] = {'%', hex[c >> 4], hex[c & 15]};
        bool plain = c < 0x80 && (isalnum(c) || strchr("*-._", c));
        if (c == ' ')
            buf_add(body, "+", 1);
        else
            buf_add(body, plain && c ? (const char *)&c : escaped, plain && c ? 1 : 3);
    }
}

void form_write(struct buf *body, struct str name, struct str value)
{
    if (buf_len(body))
        buf_add(body, "&", 1);
    encode(body, name);
    buf_add(body, "=", 1);
    encode(body, value);
}

/* How many bytes the character at the start of TEXT has; 0: that is no UTF-8 (RFC 3629, 4.). */
static size_t utf8(struct str text)
{
    const unsigned char *c = (const unsigned char *)text.p;
    size_t n = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
    if (n == 0 || c[0] > 0xf4 || n > text.n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    bool odd = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
               (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f);
    return odd ? 0 : n;
}

static bool string(struct buf *body, struct str text)
{
    buf_add(body, "\"", 1);
    while (text.n) {
        unsigned char c = (unsigned char)*text.p;
        size_t n = utf8(text);
        if (n == 0)
            return false;
        if (c == '"' || c == '\\')
            buf_add(body, "\\", 1);
        if (c < ' ')
            buf_addf(body, "\\u%04x", c);
        else
            buf_add(body, text.p, n);
        text = (struct str){text.p + n, text.n - n};
    }
    buf_add(body, "\"", 1);
    return true;
}

bool form_write_json(struct buf *body, struct str name, struct str value)
{
    if (buf_len(body) > 1)
        buf_add(body, ",", 1);
    if (!string(body, name))
        return false;
    buf_add(body, ":", 1);
    return string(body, value);
}
