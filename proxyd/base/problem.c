/* SPDX-License-Identifier: ISC
 *
 * A list of problems with their places: see problem.h. */
#include "base/problem.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdlib.h>

static void add(struct problems *p, struct place at, bool warning, const char *format, va_list args)
{
    p->count++;
    p->errors += !warning;
    if (p->kept == PROBLEMS_MAX)
        return;
    char *message = NULL;
    if (vasprintf(&message, format, args) < 0)
        abort();
    if ((p->kept & (p->kept - 1)) == 0)
        p->list = xrealloc(p->list, (p->kept ? 2 * p->kept : 1) * sizeof *p->list);
    p->list[p->kept++] = (struct problem){
        .file = at.file ? xstrdup(at.file) : NULL,
        .line = at.line,
        .column = at.column,
        .warning = warning,
        .message = message,
    };
}

void problem_error(struct problems *p, struct place at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(p, at, false, format, args);
    va_end(args);
}

void problem_warning(struct problems *p, struct place at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(p, at, true, format, args);
    va_end(args);
}

char *problem_text(const struct problem *p)
{
    char place[32] = "";
    if (p->line && p->column)
        snprintf(place, sizeof place, "%u:%u:", p->line, p->column);
    else if (p->line)
        snprintf(place, sizeof place, "%u:", p->line);
    char *text = xasprintf("%s%s%s%s%s: %s", p->file ? p->file : "", p->file ? ":" : "", place,
                           p->file ? " " : "", p->warning ? "warning" : "error", p->message);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return text;
}

void problems_print(const struct problems *p, FILE *out)
{
    for (size_t i = 0; i < p->kept; i++) {
        char *text = problem_text(&p->list[i]);
        fprintf(out, "%s\n", text);
        free(text);
    }
    if (p->count > p->kept)
        fprintf(out, "and %zu more\n", p->count - p->kept);
}

void problems_free(struct problems *p)
{
    for (size_t i = 0; i < p->kept; i++) {
        free(p->list[i].file);
        free(p->list[i].message);
    }
    free(p->list);
    *p = (struct problems){0};
}
