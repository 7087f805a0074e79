/* SPDX-License-Identifier: ISC
 *
 * Walks over the table of options with a YAML tree beside it: completing the tree with defaults,
 * reading it into structs, freeing these; and the types that contain others. See options.h. */
#include "options.h"

#include "base/mem.h"
#include "base/str.h"
#include "proto/proto.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- arrays in structs ---- */

static void *array_of(const struct option *o, const void *base, size_t *count)
{
    void *list;
    memcpy(&list, (const char *)base + o->offset, sizeof list);
    memcpy(count, (const char *)base + o->count, sizeof *count);
    return list;
}

/* Grows the array by a zeroed struct, which is returned; NAME (or NULL) is put into it. */
static void *append(const struct option *o, void *base, const char *name)
{
    size_t count;
    char *list = array_of(o, base, &count);
    list = xrealloc(list, (count + 1) * o->size);
    void *element = memset(list + count * o->size, 0, o->size);
    if (name) {
        char *copy = xstrdup(name);
        memcpy(element, &copy, sizeof copy);
    }
    count++;
    memcpy((char *)base + o->offset, &list, sizeof list);
    memcpy((char *)base + o->count, &count, sizeof count);
    return element;
}

static void free_array(const struct option *o, void *base, bool named)
{
    size_t count;
    char *list = array_of(o, base, &count);
    for (size_t i = 0; i < count; i++) {
        void *element = list + i * o->size;
        options_free(o->options, element);
        if (named) {
            char *name;
            memcpy(&name, element, sizeof name);
            free(name);
        }
    }
    free(list);
}

/* ---- containers ---- */

static bool must_be(const struct option *o, struct yaml_node *node, enum yaml_tree_kind kind,
                    struct problems *problems)
{
    if (node->kind != kind)
        option_refuse(node, problems, "%s must be %s", o->key, o->type->what);
    return node->kind == kind;
}

static void read_section(const struct option *o, struct yaml_node *node, void *base,
                         struct problems *problems)
{
    if (must_be(o, node, YAML_TREE_MAPPING, problems))
        options_read(o->options, node, (char *)base + o->offset, problems);
}

static void free_section(const struct option *o, void *base)
{
    options_free(o->options, (char *)base + o->offset);
}

static void read_list(const struct option *o, struct yaml_node *node, void *base,
                      struct problems *problems)
{
    if (!must_be(o, node, YAML_TREE_LIST, problems))
        return;
    for (struct yaml_node *item = node->first; item; item = item->next) {
        void *element = append(o, base, NULL);
        if (must_be(o, item, YAML_TREE_MAPPING, problems))
            options_read(o->options, item, element, problems);
    }
}

static void free_list(const struct option *o, void *base)
{
    free_array(o, base, false);
}

static bool good_name(struct yaml_node *node, struct problems *problems)
{
    bool good = node->key[0] && !str_has_control(str_of(node->key));
    if (!good)
        option_refuse(node, problems, "a name must not be empty or have control characters");
    return good;
}

static void read_named(const struct option *o, struct yaml_node *node, void *base,
                       struct problems *problems)
{
    if (!must_be(o, node, YAML_TREE_MAPPING, problems))
        return;
    for (struct yaml_node *child = node->first; child; child = child->next) {
        void *element = append(o, base, child->key);
        const struct option named = {.key = child->key, .type = &option_section};
        if (good_name(child, problems) && must_be(&named, child, YAML_TREE_MAPPING, problems))
            options_read(o->options, child, element, problems);
    }
}

static void free_named(const struct option *o, void *base)
{
    free_array(o, base, true);
}

static void read_pairs(const struct option *o, struct yaml_node *node, void *base,
                       struct problems *problems)
{
    struct option row = *o->options;
    if (!must_be(o, node, YAML_TREE_MAPPING, problems))
        return;
    for (struct yaml_node *child = node->first; child; child = child->next) {
        if (child->kind == YAML_TREE_NULL || !good_name(child, problems))
            continue;
        row.key = child->key;
        row.type->read(&row, child, append(o, base, child->key), problems);
    }
}

const struct option_type option_section = {
    .name = "section",
    .what = "a mapping (key: value)",
    .read = read_section,
    .free = free_section,
};

const struct option_type option_list = {
    .name = "list of sections",
    .what = "a list of mappings (- key: value)",
    .read = read_list,
    .free = free_list,
};

const struct option_type option_named = {
    .name = "named sections",
    .what = "a mapping of names to mappings",
    .read = read_named,
    .free = free_named,
};

const struct option_type option_pairs = {
    .name = "mapping",
    .what = "a mapping (name: value)",
    .read = read_pairs,
    .free = free_named,
};

/* ---- walks ---- */

static const struct option *find(const struct option *rows, const char *key, unsigned engines,
                                 struct option_near *near)
{
    for (const struct option *o = rows; o->type; o++) {
        if (!option_is_for(o, engines))
            continue;
        if (o->key && strcmp(o->key, key) == 0)
            return o;
        if (o->key)
            option_near_offer(near, o->key);
        const struct option *inner = o->key ? NULL : find(o->options, key, engines, near);
        if (inner)
            return inner;
    }
    return NULL;
}

/* What services where one logs in have may stand in all: some say the same in each. */
static bool is_common(const struct option *rows, const char *key)
{
    struct option_near near = option_near_to(key);
    return find(rows, key, 1u << ENGINE_SESSION, &near);
}

static void refuse_unknown(const struct option *rows, const struct yaml_node *mapping,
                           struct problems *problems)
{
    for (const struct yaml_node *child = mapping->first; child; child = child->next) {
        struct option_near near = option_near_to(child->key);
        if (find(rows, child->key, mapping->engines, &near))
            continue;
        if (is_common(rows, child->key))
            problem_warning(problems, child->place, "'%s' is not used by services of this protocol",
                            child->key);
        else
            problem_error(problems, child->place, "unknown key '%.80s'" OPTION_NEAR_FORMAT,
                          child->key, OPTION_NEAR(near));
    }
}

static void read_rows(const struct option *rows, struct yaml_node *mapping, void *base,
                      struct problems *problems)
{
    for (const struct option *o = rows; o->type; o++) {
        struct yaml_node *child = o->key ? yaml_tree_get(mapping, o->key) : NULL;
        if (!option_is_for(o, mapping->engines))
            continue;
        if (!o->key)
            read_rows(o->options, mapping, (char *)base + o->offset, problems);
        else if (child && child->kind != YAML_TREE_NULL)
            o->type->read(o, child, base, problems);
    }
}

void options_read(const struct option *rows, struct yaml_node *mapping, void *base,
                  struct problems *problems)
{
    refuse_unknown(rows, mapping, problems);
    read_rows(rows, mapping, base, problems);
}

void options_free(const struct option *rows, void *base)
{
    for (const struct option *o = rows; o->type; o++)
        if (o->type->free)
            o->type->free(o, base);
}

static struct yaml_node *initial_of(const struct option *o)
{
    struct problems problems = {0};
    if (!o->initial)
        return yaml_tree_new(YAML_TREE_NULL, NULL);
    struct yaml_node *node = yaml_tree_parse(NULL, str_of(o->initial), &problems);
    assert(node); /* the table is ours */
    return node;
}

static void complete_container(const struct option *o, struct yaml_node *node, unsigned engines)
{
    node->engines |= engines;
    if (o->type == &option_section)
        options_complete(o->options, node);
    if (o->type == &option_named && node->kind == YAML_TREE_MAPPING)
        yaml_tree_prune(node);
    if (o->type == &option_named || o->type == &option_list)
        for (struct yaml_node *child = node->first; child; child = child->next) {
            child->engines |= engines;
            options_complete(o->options, child);
        }
}

void options_complete(const struct option *rows, struct yaml_node *mapping)
{
    if (mapping->kind != YAML_TREE_MAPPING)
        return; /* the reader will say so */
    for (const struct option *o = rows; o->type; o++) {
        if (!o->key || !option_is_for(o, mapping->engines))
            continue;
        bool holds = o->type == &option_section || o->type == &option_named;
        struct yaml_node *child = yaml_tree_get(mapping, o->key);
        if (!child || child->kind == YAML_TREE_NULL) {
            child = holds ? yaml_tree_new(YAML_TREE_MAPPING, NULL) : initial_of(o);
            yaml_tree_set(mapping, o->key, child);
        }
        complete_container(o, child, mapping->engines);
    }
}
