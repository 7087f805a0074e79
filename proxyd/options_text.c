/* SPDX-License-Identifier: ISC
 *
 * What people read of the table of options: its part of proxyd.yaml(5), and the files of conf.d.
 * For the build and the tests (scripts/options.c); the daemon has no use for it. */
#include "options.h"

#include "base/mem.h"
#include "proto/proto.h"

#include <stdlib.h>
#include <string.h>

enum { STEP = 2 }; /* blanks a level */

/* What may stand there, in brackets behind the help. */
static void print_range(const struct option *o, FILE *out)
{
    for (const struct option_word *w = o->words; w && w->word; w++)
        fprintf(out, "%s%s%s", w == o->words ? " (" : " | ", w->word, w[1].word ? "" : ")");
    if (o->min)
        fprintf(out, " (%s to %s)", o->min, o->max);
}

/* The keys of ROWS that stand in another section too. */
static void print_keys(const struct option *rows, const char *between, FILE *out)
{
    for (const struct option *o = rows; o->type; o++)
        fprintf(out, "%s%s", o->key, o[1].type ? between : "");
}

/* ---- the manual page ---- */

/* TEXT so that mdoc takes nothing in it for its own. */
static void print_escaped(const char *text, FILE *out)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", out);
    for (const char *c = text; *c; c++)
        if (*c == '\\')
            fputs("\\e", out);
        else if (*c == '"')
            fputs("\\(dq", out);
        else
            putc(*c, out);
}

/* Which services have the option, where not all do. */
static void print_protocols(const struct option *o, FILE *out)
{
    const char *before = "; of ";
    for (const struct protocol *const *p = protocol_all(); *p && o->engines; p++)
        if (option_is_for(o, 1u << (*p)->engine)) {
            fprintf(out, "%s%s", before, (*p)->name);
            before = ", ";
        }
}

static void manual_row(const struct option *o, FILE *out)
{
    if (o->key) {
        fprintf(out, ".It Ic %s : Ar %s\n", o->key, o->type->name);
    } else {
        fputs(".It Ic ", out);
        print_keys(o->options, " , ", out);
        putc('\n', out);
    }
    print_escaped(o->help, out);
    print_range(o, out);
    print_protocols(o, out);
    if (o->initial) {
        fputs("; default: ", out);
        print_escaped(o->initial, out);
    }
    putc('\n', out);
}

static void manual_section(const char *path, const struct option *o, FILE *out)
{
    fprintf(out, ".Ss %s\\&\n", path); /* it may end in a bracket, which means something to mdoc */
    print_escaped(o->help, out);
    print_protocols(o, out);
    fputs(":\n.Bl -tag -width Ds\n", out);
    for (const struct option *row = o->options; row->type; row++)
        if (!row->key || row->type != &option_section)
            manual_row(row, out);
    fputs(".El\n", out);
}

static bool has_rows(const struct option *o)
{
    return o->key &&
           (o->type == &option_section || o->type == &option_list || o->type == &option_named);
}

/* The sections of ROWS, each followed by those within it. */
static void manual_sections(const char *before, const struct option *rows, FILE *out)
{
    for (const struct option *o = rows; o->type; o++) {
        if (!has_rows(o))
            continue;
        char *path = xasprintf("%s%s%s%s", before, *before ? "." : "", o->key,
                               o->type == &option_named  ? ".NAME"
                               : o->type == &option_list ? "[]"
                                                         : "");
        manual_section(path, o, out);
        manual_sections(path, o->options, out);
        free(path);
    }
}

void options_print_manual(const struct option *rows, FILE *out)
{
    manual_sections("", rows, out);
}

/* ---- conf.d ---- */

/* An example is being written for PROTOCOL (or NULL). */
struct example {
    FILE *out;
    const struct protocol *protocol;
};

static void example_rows(const struct example *e, const struct option *rows, int indent,
                         const char *hash, const char *first);

/* TEXT with $PROTOCOL and $PORT filled in. */
static void example_value(const struct example *e, const char *text)
{
    for (const char *c = text; *c;)
        if (e->protocol && strncmp(c, "$PROTOCOL", 9) == 0)
            c += 9 * (fputs(e->protocol->name, e->out) >= 0);
        else if (e->protocol && strncmp(c, "$PORT", 5) == 0)
            c += 5 * (fprintf(e->out, "%u", e->protocol->port) >= 0);
        else
            putc(*c++, e->out);
}

/* HASH comments the headings of sections out; FIRST is the dash of a list's item. */
static void example_row(const struct example *e, const struct option *o, int indent,
                        const char *hash, const char *first)
{
    fprintf(e->out, "%*s# %s", indent, "", o->help);
    if (o->words)
        fprintf(e->out, "\n%*s#", indent, "");
    print_range(o, e->out);
    if (!o->key) {
        fprintf(e->out, ":\n%*s# ", indent, "");
        print_keys(o->options, ", ", e->out);
        putc('\n', e->out);
    } else if (o->type == &option_section) {
        fprintf(e->out, "\n%*s%s%s:\n", indent, "", hash, o->key);
        example_rows(e, o->options, indent + STEP, hash, "");
    } else if (o->type == &option_list) {
        fprintf(e->out, "\n%*s#%s:\n", indent, "", o->key);
        example_rows(e, o->options, indent + STEP, "#", "- ");
    } else {
        fprintf(e->out, "\n%*s#%s%s: ", indent, "", first, o->key);
        example_value(e, o->initial ? o->initial : o->example ? o->example : "~");
        putc('\n', e->out);
    }
}

static void example_rows(const struct example *e, const struct option *rows, int indent,
                         const char *hash, const char *first)
{
    unsigned engines = e->protocol ? 1u << e->protocol->engine : 0;
    for (const struct option *o = rows; o->type; o++) {
        if (!option_is_for(o, engines))
            continue;
        example_row(e, o, indent, hash, first);
        if (*first)
            indent += STEP; /* the keys behind the first one stand below it, not below the dash */
        first = "";
    }
}

bool options_print_example(const char *section, FILE *out)
{
    struct example e = {out, protocol_find(section)};
    const struct option *o = options;
    while (o->type && strcmp(o->key, e.protocol ? "services" : section) != 0)
        o++;
    if (!o->type)
        return false;
    fprintf(out, "# %s\n%s:\n", o->help, o->key);
    if (o->type == &option_section) {
        example_rows(&e, o->options, STEP, "", "");
        return true;
    }
    const char *hash = e.protocol ? "" : "#";
    fprintf(out, "%*s%s%s:\n", STEP, "", hash, e.protocol ? e.protocol->name : o->example);
    example_rows(&e, o->options, 2 * STEP, hash, "");
    return true;
}
