/* SPDX-License-Identifier: ISC
 *
 * Where does a login live, and why: asks the maps of one service, or of all, as a session would
 * (route.h) and keeps how each came to its answer. lookup.c asks, lookup_print.c says it to people
 * and to scripts. Called by proxyctl.c; needs no running daemon. */
#ifndef ADMIN_LOOKUP_H
#define ADMIN_LOOKUP_H

#include "config.h"
#include "route.h"

#include <semaphore.h>
#include <stdio.h>

enum lookup_password {
    LOOKUP_PASSWORD_NONE, /* none was given */
    LOOKUP_PASSWORD_RIGHT,
    LOOKUP_PASSWORD_WRONG,
    LOOKUP_PASSWORD_UNCHECKED /* nothing here can tell, or not now: `password_why` */
};

struct lookup;

/* What one service does with the login. Texts live as long as the lookup and its configuration. */
struct lookup_answer {
    const struct config_service *service;
    const struct map_report *reports; /* of the service's first maps; the others were not asked */
    size_t report_count;
    enum lookup_password password;
    const char *password_why; /* or NULL */
    const char *why;          /* of the route, or of there being none */
    const char *host;         /* NULL: no route; it has `port`, `login`, perhaps `node` */
    uint16_t port;            /* 0 for "unix:/path" */
    const char *node;         /* its name in `nodes`, or NULL */
    const char *login;        /* the one to use there */
    bool hold, failover;
    enum verdict told; /* what the client is told, unless it is up to the node: VERDICT_OK */
    /* ---- lookup.c's own */
    struct lookup *lookup;
    struct route check; /* asked first, where a password was given */
    struct route where; /* asked for the route only */
};

struct lookup {
    const struct config *config;
    const char *typed;     /* the login, as it was given */
    struct creds login;    /* without a password; `malformed`: it is never looked up */
    struct creds password; /* with the password, if there is one; `malformed`: it is never tried */
    bool has_password;
    struct lookup_answer *answers; /* one for each service asked, in the configuration's order */
    size_t count;
    /* ---- lookup.c's own */
    struct worker *worker;
    struct post post;
    size_t pending;
    sem_t answered;
};

/* The service called NAME, or NULL; then OUT is told which there are. */
const struct config_service *lookup_service(const struct config *config, const char *name,
                                            FILE *out);

/* Asks CONFIG's SERVICE (NULL: all of them) for LOGIN, with PASSWORD unless its `p` is NULL, and
 * waits for the answers; a directory has its `timeout` for each of its own. For the main thread. */
void lookup_ask(struct lookup *l, const struct config *config, const struct config_service *service,
                const char *login, struct str password);

/* Ends what lookup_ask began and frees it; the password is wiped. False: a thread is still
 * connecting to a directory that does not answer, and the process has to end without it. */
bool lookup_end(struct lookup *l);

/* The status to exit with: EX_OK, 1 (not found, or refused), EX_TEMPFAIL; of several services the
 * worst. */
int lookup_status(const struct lookup *l);

/* Writes the answers to OUT: lines for people, a JSON object. What comes from outside is escaped.
 */
void lookup_print_text(const struct lookup *l, FILE *out);
void lookup_print_json(const struct lookup *l, FILE *out);

#endif
