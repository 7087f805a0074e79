/* SPDX-License-Identifier: ISC
 *
 * A connector: up to five LDAP servers that hold the same (RFC 4511), asked by every worker over
 * connections of its own, without blocking. Searches go over a few connections, many at a time on
 * each; equal ones are asked once; answers are kept in a cache (directory_cache.h). Users' binds
 * have connections of their own, each with one bind at a time.
 *
 * The first server that works is used. One that fails, or says nothing for too long, is left at
 * once, what it was asked is asked elsewhere within the same deadline, and it is tried again after
 * retry_interval; the first is gone back to when it is well.
 *
 * Called by maps/map_ldap.c. (Not called ldap.c: libldap owns that prefix.) */
#ifndef AUTH_DIRECTORY_H
#define AUTH_DIRECTORY_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct worker;

enum {
    DIRECTORY_SERVERS = 5,
    DIRECTORY_DN_MAX = 1023,    /* bytes of a DN, or of a base */
    DIRECTORY_FILTER_MAX = 2047 /* bytes of a filter */
};

enum directory_type { DIRECTORY_OPENLDAP, DIRECTORY_ACTIVE };
enum directory_scope { DIRECTORY_SCOPE_SUB, DIRECTORY_SCOPE_ONE, DIRECTORY_SCOPE_BASE };
enum directory_matches { DIRECTORY_MATCHES_ERROR, DIRECTORY_MATCHES_FIRST };

/* The attributes that are read; NULL: none. */
struct directory_attributes {
    char *host, *password, *login, *hold;
};

/* One of the configuration's `ldap`, as written. */
struct directory_settings {
    char *name;
    enum directory_type server_type;
    struct strings servers; /* URLs: ldap:// ldaps:// ldapi:// */
    bool starttls;
    char *ca_file; /* NULL: the system's */
    bool verify;
    char *bind_dn, *bind_password; /* NULL: anonymous */
    char *bind_password_file;      /* where the password came from, or NULL */
    char *search_base;             /* with placeholders (placeholder.h) */
    enum directory_scope search_scope;
    char *search_filter; /* with placeholders */
    enum directory_matches multiple_matches;
    bool referrals;
    struct directory_attributes attributes;
    uint64_t timeout, retry_interval;       /* ms */
    unsigned connections, bind_connections; /* of each worker */
    struct {
        uint64_t found, not_found, stale; /* ms; 0: not kept */
        unsigned entries;
    } cache;
};

struct directory;

/* A connector made by SETTINGS, which it copies; one reference. */
struct directory *directory_new(const struct directory_settings *settings);
struct directory *directory_ref(struct directory *directory);

/* One reference less; takes NULL. Connections end by themselves when nothing is asked any more. */
void directory_unref(struct directory *directory);

const struct directory_settings *directory_settings(const struct directory *directory);

/* Whether a connector made by SETTINGS would be the same as DIRECTORY. */
bool directory_is_as(const struct directory *directory, const struct directory_settings *settings);

enum directory_result {
    DIRECTORY_FOUND,     /* one entry; or the password is right */
    DIRECTORY_NOT_FOUND, /* none; or the password is wrong */
    DIRECTORY_AMBIGUOUS, /* several entries */
    DIRECTORY_TEMPORARY, /* `error` says why */
    DIRECTORY_PENDING
};

/* Values of an entry come as text, each as a letter, the value and NUL, one behind the other: */
enum {
    DIRECTORY_VALUE_DN = 'd',
    DIRECTORY_VALUE_HOST = 'h',
    DIRECTORY_VALUE_PASSWORD = 'p',
    DIRECTORY_VALUE_LOGIN = 'l',
    DIRECTORY_VALUE_HOLD = 'o'
};

/* What became of a question. */
struct directory_answer {
    enum directory_result result;
    bool cached;        /* from the cache, be it fresh enough or stale */
    bool stale;         /* and only because no server answered */
    struct str values;  /* of the entry, for DIRECTORY_FOUND */
    const char *server; /* the URL of who answered, or NULL */
    uint64_t took;      /* ns, since it was asked */
    char error[256];    /* in words, one line */
};

/* A question under way; part of what asks. */
struct directory_ask {
    /* Called once, in the worker that asked, never from within directory_search or _bind. ANSWER
     * is valid for the time of the call. */
    void (*done)(struct directory_ask *ask, const struct directory_answer *answer);
    /* ---- the connector's own */
    struct directory_ask *next;
    struct directory_question *question; /* NULL: nothing is under way */
};

/* Searches for FILTER (RFC 4515) below BASE, with the connector's scope and attributes; the
 * password's only where PASSWORDS says so. What is known at once (from the cache, unless FRESH) is
 * in ANSWER, else the result is DIRECTORY_PENDING and `done` will be called, `timeout` later at the
 * latest. ANSWER's values are valid until the next call. */
enum directory_result directory_search(struct directory *directory, struct worker *w,
                                       const char *base, const char *filter, bool passwords,
                                       bool fresh, struct directory_ask *ask,
                                       struct directory_answer *answer);

/* Tries a simple bind (RFC 4513, 5.1) as DN with PASSWORD, which must not be empty and is not
 * needed after the return. As directory_search. */
enum directory_result directory_bind(struct directory *directory, struct worker *w, const char *dn,
                                     struct str password, struct directory_ask *ask,
                                     struct directory_answer *answer);

/* Forgets ASK: `done` will not be called. A search that nobody waits for is abandoned (RFC 4511,
 * 4.11). Harmless where nothing is under way. */
void directory_cancel(struct directory_ask *ask);

/* Forgets what the cache knows: of one question, or (BASE NULL) all of it. From any thread. */
void directory_flush(struct directory *directory, const char *base, const char *filter);

/* ---- health ---- */

/* Asks something small, unless a server has answered not long ago or that is under way: so that
 * directory_answers knows while nobody else asks. For W's thread. */
void directory_probe(struct directory *directory, struct worker *w);

/* Whether questions can be answered now: a server is well, as far as is known. False before the
 * first answer ever, too. WHY (SIZE bytes) has the reason then. From any thread. */
bool directory_answers(struct directory *directory, char *why, size_t size);

enum { DIRECTORY_TROUBLE = 160 };

struct directory_server {
    const char *url; /* as long as the connector */
    bool well;
    char trouble[DIRECTORY_TROUBLE]; /* why it failed last, or "" */
};

/* The state of the server at INDEX of the settings. From any thread. */
void directory_server(struct directory *directory, size_t index, struct directory_server *server);

/* What has happened since the connector was made. From any thread. */
struct directory_counters {
    uint64_t hits;     /* answered from the cache */
    uint64_t searches; /* asked of a server */
    uint64_t binds;
    uint64_t failures; /* temporary ones */
    uint64_t cached;   /* entries in the cache now */
};
void directory_count(struct directory *directory, struct directory_counters *counters);

#endif
