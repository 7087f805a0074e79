/* SPDX-License-Identifier: ISC
 *
 * A user map: which node a login lives on. Each kind of map is a file of its own and a row of
 * struct map_kind. Called by proxyd/route.c from every worker at once. */
#ifndef MAPS_MAP_H
#define MAPS_MAP_H

#include "auth/directory.h"
#include "base/problem.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdint.h>

enum map_result {
    MAP_FOUND,
    MAP_NOT_FOUND,
    MAP_AMBIGUOUS,
    MAP_TEMPORARY, /* it cannot be told now */
    MAP_PENDING    /* the answer comes later */
};

/* A word for it, but for MAP_PENDING: "found", "not_found", "ambiguous", "temporary_failure". */
const char *map_result_word(enum map_result result);

enum { MAP_HOST_MAX = 255, MAP_LOGIN_MAX = 255, MAP_PASSWORDS = 1024 }; /* bytes */

/* The question. Strings are NUL-terminated; `email` is lower case. */
struct map_query {
    const char *login;   /* as typed */
    const char *email;   /* the full address: %e of the contract, section 3 */
    const char *service; /* the service's name */
    const char *protocol;
    bool passwords; /* the password is to be checked: so `passwords` are wanted */
    bool fresh;     /* no answer from a cache will do */
    bool named;     /* an entry for everybody (`*` in a file) does not count */

    /* Turns a node as it is written into what it means (a configured node's name into its address,
     * no port into the one that it has for the service), so that equal meanings can be told.
     * HOST has room for MAP_HOST_MAX + 1 bytes. CONTEXT is the query's. */
    void (*meaning)(const void *context, char *host, uint16_t *port);
    const void *context;
};

/* The answer, wholly the caller's. */
struct map_entry {
    char host[MAP_HOST_MAX + 1];   /* a node's name, a host name, an address or "unix:/path" */
    uint16_t port;                 /* 0: none given */
    char login[MAP_LOGIN_MAX + 1]; /* the login to use on the node; "" for the one typed */
    bool hold;                     /* new logins wait */
    bool cached;                   /* the answer is not fresh */
    /* Stored passwords, each ended by NUL, an empty one at the end. */
    char passwords[MAP_PASSWORDS];
};

/* How a map came to its answer, for people: proxyctl lookup, and the log at level debug. */
struct map_report {
    const char *map;        /* its name */
    enum map_result result; /* never MAP_PENDING once it is over */
    char why[512];          /* "line 12 of users.map", "no entry for (mail=bob) under ou=people" */
    bool cached;
    uint64_t took;    /* ns that the directory took */
    char server[256]; /* the URL of the one that answered; "" for none */
    char dn[1024];    /* of the entry; "" for none */
    /* "NAME: VALUE" lines of the entry's attributes that were used; of passwords the scheme only.
     */
    char attributes[1024];
    /* Commands that ask the same server the same (ldapsearch) and try the same bind (ldapwhoami),
     * quoted for a shell, without any password; "" for none. */
    char search_command[2048], bind_command[2048];
};

struct map;
struct stats_map;

/* A question to one map, part of what asks. The caller sets what stands before the line. */
struct map_ask {
    struct worker *worker; /* that asks, and is answered */
    struct map_query query;
    struct map_report *report; /* to be filled in, or NULL: nobody reads it */
    /* Called once for each MAP_PENDING, never from within the call that returned that. */
    void (*done)(struct map_ask *ask, enum map_result result);
    /* ---- */
    struct map_entry entry; /* the answer, where it is MAP_FOUND */
    bool unchanged; /* a fresh answer that says no more of passwords than the one before it */
    char why[256];  /* in words, for MAP_AMBIGUOUS and MAP_TEMPORARY */
    /* ---- the map's own */
    struct map *map;
    struct directory_ask question;
    char dn[DIRECTORY_DN_MAX + 1];
};

/* What every kind of map can do. */
struct map_kind {
    const char *type; /* as in the configuration: "file" */
    /* As map_lookup. */
    enum map_result (*lookup)(struct map *map, struct map_ask *ask);
    /* As map_verify. NULL: `entry.passwords` are to be compared. */
    enum map_result (*verify)(struct map *map, struct map_ask *ask, struct str password);
    /* As map_cancel. NULL: it never answers MAP_PENDING. */
    void (*cancel)(struct map_ask *ask);
    /* As map_flush. NULL: it keeps no answers. */
    void (*flush)(struct map *map, const struct map_query *query);
    /* As map_answers. NULL: always. */
    bool (*answers)(struct map *map, char *why, size_t size);
    void (*free)(struct map *map);
};

/* The part that all kinds have; a kind's own struct begins with it. */
struct map {
    const struct map_kind *kind;
    char *name; /* the key below `maps:` */
    atomic_uint references;
    struct stats_map *stats; /* its counters (proxyd/stats.c); NULL: not counted */
};

/* Asks MAP. `entry` is filled in for MAP_FOUND, and only then. Never blocks for long. ASK and the
 * strings of its query must live until it is answered or cancelled, MAP longer. */
enum map_result map_lookup(struct map *map, struct map_ask *ask);

/* Whether MAP verifies passwords itself (else the entry's are to be compared). */
bool map_verifies(const struct map *map);

/* Has MAP check PASSWORD (not empty; not needed after the return) for what its lookup found last
 * by ASK: MAP_FOUND for right, MAP_NOT_FOUND for wrong, MAP_TEMPORARY or MAP_PENDING. */
enum map_result map_verify(struct map *map, struct map_ask *ask, struct str password);

/* Forgets what is under way for ASK; `done` will not be called. Harmless where nothing is. */
void map_cancel(struct map_ask *ask);

/* Forgets the kept answer to QUERY (NULL: all answers). */
void map_flush(struct map *map, const struct map_query *query);

/* Whether MAP can be asked now, as far as is known; if not, WHY (SIZE bytes) has the reason. From
 * any thread. */
bool map_answers(struct map *map, char *why, size_t size);

/* Takes a node as maps write it, HOST or HOST:PORT, apart: PORT is 0 where there is none. False
 * when it is no node's name, host name, address or "unix:/path". */
bool map_host_parse(struct str text, char host[MAP_HOST_MAX + 1], uint16_t *port);

/* One reference more (returns MAP), one less: the last one frees, and nobody may be asking it then.
 * map_unref takes NULL. */
struct map *map_ref(struct map *map);
void map_unref(struct map *map);

#endif
