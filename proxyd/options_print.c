/* SPDX-License-Identifier: ISC
 *
 * What is written out from the table of options: the effective configuration (-T), the options'
 * part of proxyd.yaml(5), the files of conf.d. See options.h. */
#include "options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { STEP = 2 }; /* blanks a level */

/* ---- YAML ---- */

/* Whether TEXT without quotes is no string for a YAML reader, or no scalar at all. */
static bool needs_quotes(const char *text)
{
    static const char *const words[] = {"y",   "n",    "yes",   "no",  "on",
                                        "off", "true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_is(str_of(text), words[i]))
            return true;
    if (!isalpha((unsigned char)text[0]) && text[0] != '/')
        return true;
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_-./", *c))
            return true;
    return false;
}

static void print_text(const char *text, bool plain, FILE *out)
{
    if (plain || !needs_quotes(text)) {
        fputs(text, out);
        return;
    }
    putc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < ' ' || *c == 0x7f)
            fprintf(out, "\\x%02x", *c);
        else
            fprintf(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    putc('"', out);
}

/* NODE on the rest of the line. PLAIN: its scalars are numbers and the like. */
static void print_flow(const struct yaml_node *node, bool plain, FILE *out)
{
    bool list = node->kind == YAML_TREE_LIST;
    if (node->kind == YAML_TREE_NULL) {
        putc('~', out);
    } else if (node->kind == YAML_TREE_SCALAR) {
        print_text(node->text, plain, out);
    } else {
        putc(list ? '[' : '{', out);
        for (const struct yaml_node *child = node->first; child; child = child->next) {
            if (!list) {
                print_text(child->key, false, out);
                fputs(": ", out);
            }
            print_flow(child, plain, out);
            fputs(child->next ? ", " : "", out);
        }
        putc(list ? ']' : '}', out);
    }
}

/* ---- the effective configuration ---- */

static void print_place(const struct place *place, FILE *out)
{
    fputs("  # ", out);
    for (const char *c = place->file; c && *c; c++)
        putc((unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c, out);
    if (place->file)
        fprintf(out, ":%u\n", place->line);
    else
        fputs("default\n", out);
}

static void print_rows(const struct option *rows, const struct yaml_node *mapping, int indent,
                       const char **first, FILE *out);

/* Blanks and KEY; *FIRST (a dash, once, for the first line of a list's item) takes two of them. */
static void print_key(const char *key, int indent, const char **first, FILE *out)
{
    fprintf(out, "%*s%s", indent - (int)strlen(*first), "", *first);
    *first = "";
    print_text(key, false, out);
    putc(':', out);
}

static void print_named(const struct option *o, const struct yaml_node *node, int indent, FILE *out)
{
    const char *first = "";
    for (const struct yaml_node *child = node->first; child; child = child->next) {
        print_key(child->key, indent, &first, out);
        putc('\n', out);
        print_rows(o->options, child, indent + STEP, &first, out);
    }
}

static void print_list(const struct option *o, const struct yaml_node *node, int indent, FILE *out)
{
    for (const struct yaml_node *item = node->first; item; item = item->next) {
        const char *first = "- ";
        print_rows(o->options, item, indent + STEP, &first, out);
    }
}

/* Where several secrets are, is none. */
static bool is_hidden(const struct option *o, const struct yaml_node *node)
{
    char *path = o->type == &option_secrets ? option_secret_path(node) : NULL;
    bool hidden = o->type->secret && node->kind != YAML_TREE_NULL && !path;
    free(path);
    return hidden;
}

static void print_pairs(const struct option *o, const struct yaml_node *node, int indent, FILE *out)
{
    const char *first = "";
    for (const struct yaml_node *child = node->first; child; child = child->next) {
        print_key(child->key, indent, &first, out);
        putc(' ', out);
        print_flow(child, o->options->type->plain, out);
        print_place(&child->place, out);
    }
}

static void print_option(const struct option *o, const struct yaml_node *node, int indent,
                         const char **first, FILE *out)
{
    bool section = o->type == &option_section, list = o->type == &option_list;
    bool named = o->type == &option_named, pairs = o->type == &option_pairs;
    const char *none = "";
    print_key(o->key, indent, first, out);
    if ((section || list || named || pairs) && node->first) {
        putc('\n', out);
        if (section)
            print_rows(o->options, node, indent + STEP, &none, out);
        else if (list)
            print_list(o, node, indent + STEP, out);
        else if (named)
            print_named(o, node, indent + STEP, out);
        else
            print_pairs(o, node, indent + STEP, out);
        return;
    }
    putc(' ', out);
    if (is_hidden(o, node))
        fputs("\"" OPTION_MASK "\"", out);
    else
        print_flow(node, o->type->plain, out);
    print_place(&node->place, out);
}

static void print_rows(const struct option *rows, const struct yaml_node *mapping, int indent,
                       const char **first, FILE *out)
{
    for (const struct option *o = rows; o->type; o++) {
        const struct yaml_node *child = o->key ? yaml_tree_get(mapping, o->key) : NULL;
        if (!o->key)
            print_rows(o->options, mapping, indent, first, out);
        else if (child && option_is_for(o, mapping->engines))
            print_option(o, child, indent, first, out);
    }
}

void options_print(const struct option *rows, const struct yaml_node *mapping, FILE *out)
{
    const char *first = "";
    print_rows(rows, mapping, 0, &first, out);
}
