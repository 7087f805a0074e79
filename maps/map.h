/* SPDX-License-Identifier: ISC
 *
 * A user map: which node a login lives on. Each kind of map is a file of its own and a row of
 * struct map_kind. Called by proxyd/route.c from every worker at once. */
#ifndef MAPS_MAP_H
#define MAPS_MAP_H

#include "base/problem.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdint.h>

enum map_result { MAP_FOUND, MAP_NOT_FOUND, MAP_AMBIGUOUS, MAP_TEMPORARY };

enum { MAP_HOST_MAX = 255, MAP_LOGIN_MAX = 255, MAP_PASSWORDS = 1024 }; /* bytes */

/* The question. Strings are NUL-terminated; `email` is lower case. */
struct map_query {
    const char *login;   /* as typed */
    const char *email;   /* the full address: %e of the contract, section 3 */
    const char *service; /* the service's name */
    const char *protocol;
};

/* The answer, wholly the caller's. */
struct map_entry {
    char host[MAP_HOST_MAX + 1];   /* a node's name, a host name, an address or "unix:/path" */
    uint16_t port;                 /* 0: none given */
    char login[MAP_LOGIN_MAX + 1]; /* the login to use on the node; "" for the one typed */
    bool hold;                     /* new logins wait */
    /* Stored passwords, each ended by NUL, an empty one at the end. */
    char passwords[MAP_PASSWORDS];
};

struct map;

/* What every kind of map can do. */
struct map_kind {
    const char *type; /* as in the configuration: "file" */
    enum map_result (*lookup)(struct map *map, const struct map_query *query,
                              struct map_entry *entry);
    void (*free)(struct map *map);
};

/* The part that all kinds have; a kind's own struct begins with it. */
struct map {
    const struct map_kind *kind;
    char *name; /* the key below `maps:` */
    atomic_uint references;
};

/* Asks MAP. ENTRY is filled in for MAP_FOUND, and only then. Never blocks for long. */
enum map_result map_lookup(struct map *map, const struct map_query *query, struct map_entry *entry);

/* One reference more (returns MAP), one less: the last one frees, and nobody may be asking it then.
 * map_unref takes NULL. */
struct map *map_ref(struct map *map);
void map_unref(struct map *map);

#endif
