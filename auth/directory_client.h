/* SPDX-License-Identifier: ISC
 *
 * A worker's side of a connector: its connections, what waits for one, what is under way on each.
 * Two channels: searches, many at a time on a connection; users' binds, one at a time. A question
 * waits, is sent, and is finished by an answer or by its deadline; when its connection is lost it
 * waits again. Everything happens in the worker's thread; only connecting is done in the pool.
 * Called by directory.c. */
#ifndef AUTH_DIRECTORY_CLIENT_H
#define AUTH_DIRECTORY_CLIENT_H

#include "auth/directory.h"
#include "auth/directory_cache.h"
#include "base/buf.h"
#include "worker.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    DIRECTORY_VALUES_MAX = 8192 /* bytes of an entry's values */
};

/* The connector itself, which all workers share. */
struct directory {
    atomic_uint references;
    struct directory_settings settings;
    bool moving_base; /* search_base has placeholders: that it does not exist means `not found` */
    _Atomic uint64_t retry_at[DIRECTORY_SERVERS]; /* ms of uv_hrtime; 0: the server is well */
    struct directory_cache *cache;                /* NULL: nothing is kept */
    _Atomic uint64_t hits, searches, binds, failures;
    _Atomic uint64_t heard; /* ms of uv_hrtime: the last answer of a server; 0: none yet */
    pthread_mutex_t lock;   /* of what follows */
    char trouble[DIRECTORY_SERVERS][DIRECTORY_TROUBLE];
};

struct directory_client;

/* What became of a question, and what the cache is to know of it. CLIENT's answer is valid for the
 * time of the call. */
void directory_remember(struct directory *directory, struct str key,
                        const struct directory_answer *answer);

/* The answer to KEY in the cache, be it stale; its values are in BUFFER (DIRECTORY_VALUES_MAX + 1
 * bytes). */
enum directory_cache_result directory_recall(struct directory *directory, struct str key,
                                             char *buffer, struct directory_answer *answer);

/* The client of DIRECTORY in W; made when there is none. */
struct directory_client *directory_client(struct directory *directory, struct worker *w);

/* DIRECTORY_VALUES_MAX + 1 bytes to answer from. */
char *directory_client_buffer(struct directory_client *client);

/* Asks for a search, or tries a bind. KEY: 'p' or '-' (with passwords or without), 'b' (a
 * bind) or 'c' (a check: whatever is answered will do), then the base or DN and the filter, each
 * ended by NUL; it is copied. ASK may be NULL: nobody wants to know. False, with the reason in
 * ERROR, when it is hopeless: no server answers and none is to be tried again yet, or too many
 * questions are waiting. */
bool directory_client_ask(struct directory_client *client, struct str key, struct str password,
                          struct directory_ask *ask, char error[256]);

#endif
