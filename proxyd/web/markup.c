/* SPDX-License-Identifier: ISC
 *
 * HTML, as far as needed: see markup.h. */
#include "web/markup.h"

#include <ctype.h>

/* A tag under way: what stands behind its name. */
struct tag {
    struct str name; /* with its / where it ends an element */
    struct str rest; /* the attributes */
};

/* ---- tokens ---- */

static struct str behind(struct str text, size_t n)
{
    return (struct str){text.p + n, text.n - n};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static size_t find(struct str text, const char *word)
{
    const char *at = text.n ? memmem(text.p, text.n, word, strlen(word)) : NULL;
    return at ? (size_t)(at - text.p) : text.n;
}

/* Where the tag that TEXT is within ends: a > that is in no quotes. */
static size_t tag_end(struct str text)
{
    char quote = 0, last = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (quote ? c == quote : (c == '"' || c == '\'') && last == '=')
            quote = quote ? 0 : c;
        else if (!quote && c == '>')
            return i;
        if (!is_blank(c))
            last = c;
    }
    return text.n;
}

/* Cuts what stands before the next tag, and that tag, off *PAGE; false at the end. */
static bool next_tag(struct str *page, struct tag *tag)
{
    for (;;) {
        *page = behind(*page, find(*page, "<"));
        if (page->n < 2)
            return false;
        if (str_starts(*page, "<!--")) {
            *page = behind(*page, find(*page, "-->"));
            continue;
        }
        *page = behind(*page, 1);
        if (isalpha((unsigned char)*page->p) || *page->p == '/')
            break;
    }
    size_t n = 0, end = tag_end(*page);
    while (n < end && !is_blank(page->p[n]) && (page->p[n] != '/' || n == 0))
        n++;
    tag->name = (struct str){page->p, n};
    tag->rest = (struct str){page->p + n, end - n};
    *page = behind(*page, end);
    return true;
}

/* Passes over what is in an element whose content is no markup. */
static void skip_raw(struct str *page, const struct tag *tag)
{
    static const char *const raw[][2] = {{"script", "</script"},
                                         {"style", "</style"},
                                         {"textarea", "</textarea"},
                                         {"title", "</title"}};
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
        if (!str_is(tag->name, raw[i][0]))
            continue;
        while (page->n && !str_starts(*page, raw[i][1]))
            *page = behind(*page, 1 + find(behind(*page, 1), "<"));
    }
}

/* Cuts the next attribute off *REST; false at the end. */
static bool next_attribute(struct str *rest, struct str *name, struct str *value)
{
    while (rest->n && (is_blank(*rest->p) || *rest->p == '/'))
        *rest = behind(*rest, 1);
    size_t n = rest->n > 0;
    while (n < rest->n && !is_blank(rest->p[n]) && rest->p[n] != '=' && rest->p[n] != '/')
        n++;
    *name = (struct str){rest->p, n};
    *value = (struct str){"", 0};
    *rest = behind(*rest, n);
    struct str after = *rest;
    while (after.n && is_blank(*after.p))
        after = behind(after, 1);
    if (!after.n || *after.p != '=')
        return name->n > 0;
    after = behind(after, 1);
    while (after.n && is_blank(*after.p))
        after = behind(after, 1);
    bool quoted = after.n && (*after.p == '"' || *after.p == '\'');
    char quote = quoted ? *after.p : 0;
    after = behind(after, quoted);
    for (n = 0; n < after.n && (quoted ? after.p[n] != quote : !is_blank(after.p[n])); n++)
        continue;
    *value = (struct str){after.p, n};
    *rest = behind(after, n + (quoted && n < after.n));
    return true;
}

/* The value of TAG's attribute NAME; .p NULL: it has none. The first one counts. */
static struct str attribute(const struct tag *tag, const char *wanted)
{
    struct str rest = tag->rest, name, value;
    while (next_attribute(&rest, &name, &value))
        if (str_is(name, wanted))
            return value;
    return (struct str){NULL, 0};
}

/* ---- character references ---- */

static void add_utf8(struct buf *out, uint32_t c)
{
    char bytes[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(first[n] | c);
    buf_add(out, bytes, n);
}

/* "&#65;" or "&#x41;": how long it is; 0: none. */
static size_t numeric(struct buf *out, struct str text)
{
    bool is_hex = text.n > 2 && (text.p[2] == 'x' || text.p[2] == 'X');
    uint32_t c = 0;
    size_t i = is_hex ? 3 : 2, begin = i;
    for (; i < text.n && c < 0x110000; i++) {
        char d = text.p[i];
        if (isdigit((unsigned char)d))
            c = c * (is_hex ? 16 : 10) + (uint32_t)(d - '0');
        else if (is_hex && isxdigit((unsigned char)d))
            c = c * 16 + (uint32_t)(tolower((unsigned char)d) - 'a' + 10);
        else
            break;
    }
    if (i == begin || c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    add_utf8(out, c);
    return i + (i < text.n && text.p[i] == ';');
}

/* The reference at the start of TEXT: how long it is, 0: none. */
static size_t reference(struct buf *out, struct str text)
{
    static const struct {
        const char *text, *means;
    } names[] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}};
    if (text.n > 2 && text.p[1] == '#')
        return numeric(out, text);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_starts(text, names[i].text)) {
            buf_adds(out, names[i].means);
            return strlen(names[i].text);
        }
    return 0;
}

/* VALUE as it means, in ROOM. */
static void decode(struct buf *room, struct str value)
{
    while (value.n) {
        size_t plain = find(value, "&");
        buf_add(room, value.p, plain);
        value = behind(value, plain);
        size_t n = value.n ? reference(room, value) : 0;
        if (value.n && n == 0)
            buf_add(room, value.p, n = 1);
        value = behind(value, n);
    }
}

/* ---- forms ---- */

static bool is_input(const struct tag *tag, const char *type)
{
    struct str t = attribute(tag, "type");
    return str_is(tag->name, "input") && (!type || (t.p && str_is(t, type)));
}

/* The form of PAGE that has an input NAME; else all of it. */
static struct str form_of(struct str page, const char *name)
{
    struct str rest = page, form = {NULL, 0};
    bool found = false;
    for (struct tag tag; next_tag(&rest, &tag); skip_raw(&rest, &tag)) {
        struct str field = is_input(&tag, NULL) ? attribute(&tag, "name") : (struct str){NULL, 0};
        if (str_is(tag.name, "form") && !found)
            form = rest;
        found |= form.p && field.p && str_eq(field, str_of(name));
        if (!str_is(tag.name, "/form") || !form.p)
            continue;
        if (found)
            return (struct str){form.p, (size_t)(rest.p - form.p)};
        form.p = NULL;
    }
    return found ? form : page;
}

static bool take(const struct tag *tag, struct buf *room, struct form *form)
{
    struct str name = attribute(tag, "name"), value = attribute(tag, "value");
    if (!name.n)
        return true;
    if (form->count == FORM_FIELDS_MAX)
        return false;
    decode(room, name);
    uint32_t middle = buf_len(room);
    decode(room, value);
    /* Offsets first: the room may move while it grows. */
    form->list[form->count].name.n = middle;
    form->list[form->count++].value.n = buf_len(room);
    return !room->full;
}

bool markup_hidden(struct str page, const char *password_field, struct buf *room, struct form *form)
{
    struct str rest = form_of(page, password_field);
    form->count = 0;
    for (struct tag tag; next_tag(&rest, &tag); skip_raw(&rest, &tag))
        if (is_input(&tag, "hidden") && !take(&tag, room, form)) {
            form->count = 0;
            return false;
        }
    size_t begin = 0;
    for (size_t i = 0; i < form->count; i++) {
        struct form_field *f = &form->list[i];
        size_t middle = f->name.n, end = f->value.n;
        f->name = (struct str){buf_str(room).p + begin, middle - begin};
        f->value = (struct str){buf_str(room).p + middle, end - middle};
        begin = end;
    }
    return true;
}

void markup_escape(struct buf *out, struct str text)
{
    for (size_t i = 0, from = 0; i <= text.n; i++) {
        char c = i < text.n ? text.p[i] : 0;
        const char *means = c == '&'    ? "&amp;"
                            : c == '<'  ? "&lt;"
                            : c == '>'  ? "&gt;"
                            : c == '"'  ? "&quot;"
                            : c == '\'' ? "&#39;"
                                        : NULL;
        if (!means && i < text.n)
            continue;
        buf_add(out, text.p + from, i - from);
        if (means)
            buf_adds(out, means);
        from = i + 1;
    }
}
