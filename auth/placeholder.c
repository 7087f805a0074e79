/* SPDX-License-Identifier: ISC
 *
 * Placeholders: see placeholder.h. What is put in is escaped byte by byte, as a backslash and two
 * hex digits, which both RFCs allow for every byte: not only the special ones but all that are not
 * printable ASCII, so that no server has to agree with us on what is valid UTF-8. */
#include "auth/placeholder.h"

#include "base/buf.h"

#include <assert.h>

/* %n and %d are taken from the address, which is in lower case, so that an answer does not depend
 * on how the login was typed; so are DOMAIN and user of `DOMAIN\user`, whose address may have the
 * default domain behind it. */
static void split(const struct placeholder_values *values, struct str *name, struct str *domain)
{
    struct str email = str_of(values->email);
    const char *at = memrchr(email.p, '@', email.n);
    *name = (struct str){email.p, at ? (size_t)(at - email.p) : email.n};
    *domain = at ? str_of(at + 1) : str_of("");
    const char *backslash = memchr(name->p, '\\', name->n);
    if (backslash && !strchr(values->login, '@')) {
        const char *end = name->p + name->n;
        *domain = (struct str){name->p, (size_t)(backslash - name->p)};
        *name = (struct str){backslash + 1, (size_t)(end - backslash) - 1};
    }
}

/* What %LETTER stands for. */
static struct str value_of(char letter, const struct placeholder_values *values)
{
    struct str name, domain;
    split(values, &name, &domain);
    switch (letter) {
    case 'e':
        return str_of(values->email);
    case 'u':
        return str_of(values->login);
    case 'n':
        return name;
    case 'd':
        return domain;
    case 's':
        return str_of(values->service);
    default:
        return str_of("%");
    }
}

/* Whether byte I of VALUE has to be escaped. In a DN a blank or # only matters at the ends of an
 * RDN's value; the text around a placeholder may be empty, so at the ends of each VALUE. */
static bool is_special(struct str value, size_t i, enum placeholder_place place)
{
    unsigned char c = (unsigned char)value.p[i];
    if (c < ' ' || c >= 0x7f)
        return true;
    if (place == PLACEHOLDER_FILTER)
        return strchr("*()\\", c) != NULL;
    if (c == ' ')
        return i == 0 || i + 1 == value.n;
    return strchr(",+\"\\<>;=", c) != NULL || (c == '#' && i == 0);
}

static void add_escaped(struct buf *b, struct str value, enum placeholder_place place)
{
    for (size_t i = 0; i < value.n; i++) {
        if (is_special(value, i, place))
            buf_addf(b, "\\%02x", (unsigned char)value.p[i]);
        else
            buf_add(b, value.p + i, 1);
    }
}

const char *placeholder_unknown(const char *text)
{
    while ((text = strchr(text, '%'))) {
        if (!text[1] || !strchr("eunds%", text[1]))
            return text;
        text += 2;
    }
    return NULL;
}

bool placeholder_any(const char *text)
{
    for (; (text = strchr(text, '%')) && text[1]; text += 2)
        if (text[1] != '%')
            return true;
    return false;
}

bool placeholder_expand(char *out, size_t size, const char *text,
                        const struct placeholder_values *values, enum placeholder_place place)
{
    struct buf b;
    assert(!placeholder_unknown(text));
    buf_init(&b, out, (uint32_t)size, (uint32_t)size); /* never more, so it stays in OUT */
    for (const char *at; (at = strchr(text, '%')); text = at + 2) {
        buf_add(&b, text, (size_t)(at - text));
        add_escaped(&b, value_of(at[1], values), place);
    }
    buf_add(&b, text, strlen(text) + 1);
    if (b.full && size > 0)
        *out = 0;
    return !b.full;
}
