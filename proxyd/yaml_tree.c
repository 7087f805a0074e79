/* SPDX-License-Identifier: ISC
 *
 * YAML trees: see yaml_tree.h. libyaml reads a document with all its marks; it is copied into nodes
 * of ours, because libyaml's cannot be merged, and its aliases may make a loop. */
#include "yaml_tree.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* ---- nodes ---- */

struct yaml_node *yaml_tree_new(enum yaml_tree_kind kind, const char *text)
{
    struct yaml_node *node = xcalloc(1, sizeof *node);
    node->kind = kind;
    node->text = text ? xstrdup(text) : NULL;
    return node;
}

void yaml_tree_free(struct yaml_node *node)
{
    if (!node)
        return;
    for (struct yaml_node *child = node->first, *next; child; child = next) {
        next = child->next;
        yaml_tree_free(child);
    }
    if (node->text)
        mem_wipe(node->text, strlen(node->text));
    free(node->text);
    free(node->key);
    free(node);
}

struct yaml_node *yaml_tree_clone(const struct yaml_node *node)
{
    struct yaml_node *copy = yaml_tree_new(node->kind, node->text);
    struct yaml_node **end = &copy->first;
    copy->key = node->key ? xstrdup(node->key) : NULL;
    copy->place = node->place;
    copy->value = node->value;
    for (const struct yaml_node *child = node->first; child; child = child->next) {
        *end = yaml_tree_clone(child);
        end = &(*end)->next;
    }
    return copy;
}

/* Where the pointer to the child at KEY is, or the one where it would be added. */
static struct yaml_node **find(struct yaml_node *mapping, const char *key)
{
    struct yaml_node **at = &mapping->first;
    while (*at && strcmp((*at)->key, key) != 0)
        at = &(*at)->next;
    return at;
}

struct yaml_node *yaml_tree_get(const struct yaml_node *node, const char *key)
{
    if (!node || node->kind != YAML_TREE_MAPPING)
        return NULL;
    struct yaml_node *child = node->first;
    while (child && strcmp(child->key, key) != 0)
        child = child->next;
    return child;
}

static void remove_at(struct yaml_node **at)
{
    struct yaml_node *old = *at;
    *at = old->next;
    yaml_tree_free(old);
}

void yaml_tree_set(struct yaml_node *mapping, const char *key, struct yaml_node *value)
{
    struct yaml_node **at = find(mapping, key);
    if (*at)
        remove_at(at);
    free(value->key);
    value->key = xstrdup(key);
    while (*at)
        at = &(*at)->next;
    *at = value;
}

bool yaml_tree_is_unset(const struct yaml_node *node)
{
    if (node->kind != YAML_TREE_MAPPING || !node->first)
        return node->kind == YAML_TREE_NULL;
    for (const struct yaml_node *child = node->first; child; child = child->next)
        if (!yaml_tree_is_unset(child))
            return false;
    return true;
}

void yaml_tree_prune(struct yaml_node *mapping)
{
    struct yaml_node **at = &mapping->first;
    while (*at)
        if (yaml_tree_is_unset(*at))
            remove_at(at);
        else
            at = &(*at)->next;
}

void yaml_tree_merge(struct yaml_node *into, struct yaml_node *more)
{
    for (struct yaml_node *child = more->first, *next; child; child = next) {
        struct yaml_node **at = find(into, child->key);
        next = child->next;
        if (*at && (*at)->kind == YAML_TREE_MAPPING && child->kind == YAML_TREE_MAPPING) {
            yaml_tree_merge(*at, child);
        } else if (*at && (*at)->kind == YAML_TREE_MAPPING && child->kind == YAML_TREE_NULL) {
            yaml_tree_free(child);
        } else {
            child->next = *at ? (*at)->next : NULL;
            yaml_tree_free(*at);
            *at = child;
        }
    }
    more->first = NULL;
    yaml_tree_free(more);
}

/* ---- reading ---- */

struct reading {
    const char *file;
    yaml_document_t document;
    struct problems *problems;
    unsigned nodes;
};

static struct place place_of(const struct reading *r, yaml_mark_t mark)
{
    return (struct place){r->file, (unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static struct yaml_node *copy(struct reading *r, int index, unsigned depth);

/* A plain scalar may say that nothing is set; a quoted one is always a text. */
static bool is_null(const yaml_node_t *from)
{
    const char *text = (const char *)from->data.scalar.value;
    return from->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text[0] == 0 || strcmp(text, "~") == 0 || str_is(str_of(text), "null"));
}

static void copy_scalar(struct reading *r, const yaml_node_t *from, struct yaml_node *node)
{
    const char *text = (const char *)from->data.scalar.value;
    if (strlen(text) != from->data.scalar.length) {
        problem_error(r->problems, node->value, "a text with a NUL byte in it");
        return;
    }
    if (is_null(from))
        return;
    node->kind = YAML_TREE_SCALAR;
    node->text = xstrdup(text);
}

static void copy_list(struct reading *r, const yaml_node_t *from, struct yaml_node *node,
                      unsigned depth)
{
    struct yaml_node **end = &node->first;
    node->kind = YAML_TREE_LIST;
    for (yaml_node_item_t *item = from->data.sequence.items.start;
         item < from->data.sequence.items.top; item++) {
        *end = copy(r, *item, depth);
        if (!*end)
            return;
        end = &(*end)->next;
    }
}

/* Adds VALUE at the end of MAPPING unless there is one of this key already. */
static struct yaml_node **add_once(struct reading *r, struct yaml_node *mapping,
                                   struct yaml_node **end, struct yaml_node *value)
{
    const struct yaml_node *first = yaml_tree_get(mapping, value->key);
    if (!first) {
        *end = value;
        return &value->next;
    }
    problem_error(r->problems, value->place,
                  "'%.60s' stands here twice: first on line %u, and on line %u", value->key,
                  first->place.line, value->place.line);
    yaml_tree_free(value);
    return end;
}

static void copy_mapping(struct reading *r, const yaml_node_t *from, struct yaml_node *node,
                         unsigned depth)
{
    struct yaml_node **end = &node->first;
    node->kind = YAML_TREE_MAPPING;
    for (yaml_node_pair_t *pair = from->data.mapping.pairs.start;
         pair < from->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
        struct place place = place_of(r, key->start_mark);
        const char *word = (const char *)key->data.scalar.value;
        if (key->type != YAML_SCALAR_NODE || strlen(word) != key->data.scalar.length) {
            problem_error(r->problems, place, "a key must be a word");
            continue;
        }
        struct yaml_node *value = copy(r, pair->value, depth);
        if (!value)
            return;
        value->key = xstrdup(word);
        value->place = place;
        end = add_once(r, node, end, value);
    }
}

/* The node at INDEX as one of ours; NULL when the bounds are reached (the problem is told once). */
static struct yaml_node *copy(struct reading *r, int index, unsigned depth)
{
    const yaml_node_t *from = yaml_document_get_node(&r->document, index);
    struct place place = place_of(r, from->start_mark);
    if (r->nodes >= YAML_TREE_NODES || depth >= YAML_TREE_DEPTH) {
        if (r->nodes <= YAML_TREE_NODES)
            problem_error(r->problems, place, "too much, or too deep: at most %d values, %d levels",
                          YAML_TREE_NODES, YAML_TREE_DEPTH);
        r->nodes = YAML_TREE_NODES + 1;
        return NULL;
    }
    r->nodes++;
    struct yaml_node *node = yaml_tree_new(YAML_TREE_NULL, NULL);
    node->place = node->value = place;
    if (from->type == YAML_SCALAR_NODE)
        copy_scalar(r, from, node);
    else if (from->type == YAML_SEQUENCE_NODE)
        copy_list(r, from, node, depth + 1);
    else
        copy_mapping(r, from, node, depth + 1);
    return node;
}

static void tell_syntax_error(struct reading *r, const yaml_parser_t *parser)
{
    yaml_mark_t mark = parser->problem_mark;
    if (parser->error == YAML_READER_ERROR) /* has an offset only */
        mark = parser->mark;
    problem_error(r->problems, place_of(r, mark), "this is no YAML: %s%s%s",
                  parser->context ? parser->context : "", parser->context ? ", " : "",
                  parser->problem ? parser->problem : "it cannot be read");
}

/* Loads the next document; whether there is one (with a root). */
static bool load(struct reading *r, yaml_parser_t *parser)
{
    if (!yaml_parser_load(parser, &r->document)) {
        tell_syntax_error(r, parser);
        return false;
    }
    if (yaml_document_get_root_node(&r->document))
        return true;
    yaml_document_delete(&r->document);
    return false;
}

struct yaml_node *yaml_tree_parse(const char *file, struct str text, struct problems *problems)
{
    struct reading r = {.file = file, .problems = problems};
    struct yaml_node *root = NULL;
    bool second = false;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        abort();
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    if (load(&r, &parser)) {
        root = copy(&r, 1, 0);
        yaml_document_delete(&r.document);
        second = load(&r, &parser);
    }
    if (second) {
        const yaml_node_t *other = yaml_document_get_root_node(&r.document);
        problem_error(problems, place_of(&r, other->start_mark),
                      "a second document: put it into a file of its own");
        yaml_document_delete(&r.document);
    }
    bool whole = parser.error == YAML_NO_ERROR && !second && r.nodes <= YAML_TREE_NODES;
    yaml_parser_delete(&parser);
    if (whole)
        return root;
    yaml_tree_free(root);
    return NULL;
}
