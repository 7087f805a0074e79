/* SPDX-License-Identifier: ISC
 *
 * Templates: see template.h. The built-in page is login_page.html beside this file, with its
 * .css and .svg, which the Makefile turns into C strings. */
#include "web/template.h"

#include "web/markup.h"

#include <ctype.h>

static const char page[] =
#include <login_page.html.inc>
    ;
static const char style[] =
#include <login_page.css.inc>
    ;
static const char icon[] =
#include <login_page.svg.inc>
    ;
const struct str template_page = STR(page), template_style = STR(style), template_icon = STR(icon);

/* Something between "{{" and "}}" that looks like a name. */
struct placeholder {
    struct str name;
    size_t begin, end; /* in the text, with its braces */
};

static size_t skip(struct str text, size_t at, int (*is)(int))
{
    while (at < text.n && is((unsigned char)text.p[at]))
        at++;
    return at;
}

static int is_name(int c)
{
    return isalnum(c) || c == '_' || c == '-';
}

/* The first placeholder of TEXT from AT on; false: there is none. Blanks within the braces do not
 * count. */
static bool next(struct str text, size_t at, struct placeholder *p)
{
    while (at < text.n) {
        const char *open = memmem(text.p + at, text.n - at, "{{", 2);
        if (!open)
            return false;
        p->begin = (size_t)(open - text.p);
        size_t name = skip(text, p->begin + 2, isblank), end = skip(text, name, is_name);
        size_t close = skip(text, end, isblank);
        p->name = (struct str){text.p + name, end - name};
        p->end = close + 2;
        if (end > name && close + 2 <= text.n && memcmp(text.p + close, "}}", 2) == 0)
            return true;
        at = p->begin + 1;
    }
    return false;
}

static const struct str *value_of(struct str name, const struct template_values *v)
{
    const struct {
        const char *name;
        const struct str *value;
    } all[] = {{"user", &v->user},
               {"message", &v->message},
               {"action", &v->action},
               {"token", &v->token},
               {"host", &v->host},
               {"user_field", &v->user_field},
               {"password_field", &v->password_field}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (str_eq(name, str_of(all[i].name)))
            return all[i].value;
    return NULL;
}

static struct place place_of(struct str text, size_t at, const char *file)
{
    struct place place = {file, 1, 1};
    for (size_t i = 0; i < at; i++) {
        place.column = text.p[i] == '\n' ? 1 : place.column + 1;
        place.line += text.p[i] == '\n';
    }
    return place;
}

void template_check(struct str text, const char *file, struct problems *problems)
{
    struct template_values none = {0};
    struct placeholder p = {.end = 0};
    bool token = false;
    while (next(text, p.end, &p)) {
        const struct str *value = value_of(p.name, &none);
        token |= value == &none.token;
        if (!value)
            problem_error(problems, place_of(text, p.begin, file),
                          "unknown placeholder '{{%.*s}}'; there are {{user}} {{message}} "
                          "{{action}} {{token}} {{host}} {{user_field}} {{password_field}}",
                          (int)(p.name.n < 60 ? p.name.n : 60), p.name.p);
    }
    if (!token)
        problem_warning(problems, (struct place){file, 0, 0},
                        "there is no {{token}} in this page: nobody can log in by it");
}

void template_fill(struct buf *out, struct str text, const struct template_values *values)
{
    struct placeholder p;
    size_t at = 0;
    for (; next(text, at, &p); at = p.end) {
        const struct str *value = value_of(p.name, values);
        buf_add(out, text.p + at, (value ? p.begin : p.end) - at);
        if (value)
            markup_escape(out, *value);
    }
    buf_add(out, text.p + at, text.n - at);
}
