/* SPDX-License-Identifier: ISC
 *
 * YAML as a tree of nodes that know where they were written, and the merging of such trees. Scalars
 * are texts: what they mean is told by the key they stand at (option.h). Aliases are copied out;
 * the size of a tree is bounded. Called by config.c. */
#ifndef YAML_TREE_H
#define YAML_TREE_H

#include "base/problem.h"
#include "base/str.h"

enum yaml_tree_kind {
    YAML_TREE_NULL, /* ~, null or nothing at all: not set */
    YAML_TREE_SCALAR,
    YAML_TREE_LIST,
    YAML_TREE_MAPPING
};

enum { YAML_TREE_DEPTH = 32, YAML_TREE_NODES = 200000 }; /* of one file, aliases copied out */

struct yaml_node {
    enum yaml_tree_kind kind;
    char *key;              /* in a mapping */
    char *text;             /* of a scalar */
    struct place place;     /* of the key, else of the value; file NULL: a default */
    struct place value;     /* of the value */
    struct yaml_node *next; /* in the same list or mapping */
    struct yaml_node *first;
    bool bad;         /* a problem was told already */
    unsigned engines; /* a service's and below: bits 1u << ENGINE_*; 0: not known */
};

/* TEXT as a tree that places call FILE (which must outlive it). NULL where there is nothing in it,
 * or with an error in PROBLEMS where it cannot be read as one. An error that leaves the rest
 * readable, as a key that stands twice in a mapping, is in PROBLEMS too. */
struct yaml_node *yaml_tree_parse(const char *file, struct str text, struct problems *problems);

/* Puts MORE, which is used up, over INTO: mappings key by key, where a key that is not set changes
 * no mapping; anything else is replaced. */
void yaml_tree_merge(struct yaml_node *into, struct yaml_node *more);

/* The value at KEY of a mapping; NULL where there is none, or NODE is no mapping or NULL. */
struct yaml_node *yaml_tree_get(const struct yaml_node *node, const char *key);

/* Adds VALUE, which is then MAPPING's, as the last one, in the place of one that MAPPING may have
 * had at KEY. */
void yaml_tree_set(struct yaml_node *mapping, const char *key, struct yaml_node *value);

/* Whether NODE is not set, or a mapping (with a key at least) of nothing but such. */
bool yaml_tree_is_unset(const struct yaml_node *node);

/* Takes the values that are not set out of a mapping. */
void yaml_tree_prune(struct yaml_node *mapping);

/* A node without a place; TEXT (NULL for none) is copied. */
struct yaml_node *yaml_tree_new(enum yaml_tree_kind kind, const char *text);
struct yaml_node *yaml_tree_clone(const struct yaml_node *node);

/* Wipes the texts, some of which are secrets. NULL is allowed. */
void yaml_tree_free(struct yaml_node *node);

#endif
