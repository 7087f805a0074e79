/* SPDX-License-Identifier: ISC
 *
 * Policy: a login -> a verdict and a node. Asks the service's maps in their order, compares the
 * password where the service says `authentication: proxy`, and finds host, port and login of the
 * node. The only caller is session.c; the only file that knows maps and passwords alike. */
#ifndef ROUTE_H
#define ROUTE_H

#include "config.h"
#include "worker.h"

enum route_result {
    ROUTE_OK,      /* `host`, `port`, `node_name`, `login` are the answer */
    ROUTE_HOLD,    /* the entry says `hold`: ask again a little later (route_start) */
    ROUTE_FAILED,  /* `verdict` and `why` */
    ROUTE_PENDING, /* `done` will be called, with `result` set */
};

struct route_job;

struct route {
    void (*done)(struct route *route); /* set by the caller; never called from within route_start */
    enum route_result result;
    enum verdict verdict;
    const char *why;       /* in words, for the log; static */
    const char *map;       /* the name of the map that answered, or NULL */
    const char *node_name; /* as in `nodes`, or NULL */
    const char *host;
    uint16_t port;
    const char *login; /* the one to use on the node */

    struct map_entry entry;
    char email[2 * LOGIN_MAX + 2]; /* %e of the contract, section 3; lower case */
    bool verified; /* the password fits: not compared again while the login waits for `hold` */
    struct route_job *job; /* in the thread pool, or NULL */
    const struct config *config;
    const struct config_service *service;
    const struct creds *creds;
};

/* Asks where CREDS belong. All arguments must outlive R or its route_cancel. What is answered at
 * once (all but ROUTE_PENDING) is returned, and in R->result. */
enum route_result route_start(struct route *r, struct worker *w, const struct config *config,
                              const struct config_service *service, const struct creds *creds);

/* Forgets a pending question. Harmless otherwise. */
void route_cancel(struct route *r);

#endif
