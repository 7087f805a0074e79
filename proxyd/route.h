/* SPDX-License-Identifier: ISC
 *
 * Policy: a login -> a verdict and a node. Asks the service's maps in their order, has the password
 * verified where the service says `authentication: proxy`, and finds host, port and login of the
 * node. Called by session.c, and by proxyctl for its lookup; the only file that knows maps and
 * passwords alike. */
#ifndef ROUTE_H
#define ROUTE_H

#include "config.h"
#include "limit.h"
#include "worker.h"

enum route_result {
    ROUTE_OK,      /* `host`, `port`, `node_name`, `login` are the answer */
    ROUTE_HOLD,    /* the same, but the entry, or somebody by hand (hold.h), says `hold`: ask again
                      later (route_start) */
    ROUTE_FAILED,  /* `verdict` and `why` */
    ROUTE_PENDING, /* `done` will be called, with `result` set */
};

/* Whether the password is to be verified here. */
enum route_check {
    ROUTE_CHECK_AS_CONFIGURED,
    ROUTE_CHECK_NEVER,
    ROUTE_CHECK_ALWAYS /* where the service leaves it to the node, too */
};

enum { ROUTE_EMAIL = 2 * LOGIN_MAX + 2 }; /* bytes of a full address, with its NUL */

struct route_job;

/* All zero, but for what the caller sets. */
struct route {
    void (*done)(struct route *route); /* never called from within route_start */
    enum route_check check;
    bool named;   /* an entry for everybody does not count (maps/map.h) */
    bool explain; /* fill `reports` in */
    bool fresh; /* believe no cache; set by route_start itself when it is asked after ROUTE_HOLD */
    const struct addr *client; /* whom a failed login is held against (limit.h); NULL: nobody */
    const struct config_listener *listener; /* where the client came in; needed with `client` */
    /* ---- the answer */
    enum route_result result;
    enum verdict verdict;
    const char *why;       /* in words, for the log; as long as R */
    uint64_t answer_at;    /* of a login that failed, ms: the client is not told before */
    const char *map;       /* the name of the map that answered, or NULL */
    const char *node_name; /* as in `nodes`, or NULL */
    const char *host;
    uint16_t port;
    const char *login; /* the one to use on the node */
    bool verified;     /* the password fits: not asked again while the login waits for `hold` */
    struct map_report *reports; /* one for each map that was asked, or NULL */
    size_t report_count;
    /* ---- route.c's own */
    struct map_ask ask;
    size_t map_index;        /* in the service's maps: the one being asked */
    bool verifying;          /* it has been found; the password is being verified */
    bool verify;             /* the password is to be verified */
    char email[ROUTE_EMAIL]; /* of route_email */
    struct route_job *job;   /* in the thread pool, or NULL */
    uint64_t asked;          /* ms */
    uint64_t lookup_started; /* ns: of the map that is being asked */
    const struct config *config;
    const struct config_service *service;
    const struct creds *creds;
};

/* LOGIN (at most LOGIN_MAX bytes) as a full address: %e of the contract, section 3, in lower case,
 * with the default domain of CONFIG where it has none. Logins are the same where this is. */
void route_email(const struct config *config, const char *login, char email[ROUTE_EMAIL]);

/* Forgets what the maps of CONFIG keep of LOGIN (at most LOGIN_MAX bytes; NULL: of everybody). */
void route_flush(const struct config *config, const char *login);

/* Asks where CREDS belong. All arguments must outlive R or its route_cancel. What is answered at
 * once (all but ROUTE_PENDING) is returned, and in R->result. */
enum route_result route_start(struct route *r, struct worker *w, const struct config *config,
                              const struct config_service *service, const struct creds *creds);

/* What the node said then: it refused CREDS, which is a failed login as any other (`answer_at` is
 * set); or it took them. False: so many have failed meanwhile that it is refused nonetheless, with
 * `verdict`, `why` and `answer_at`. */
void route_refused(struct route *r);
bool route_let_in(struct route *r);

/* Forgets a pending question, and frees the reports. Harmless otherwise. */
void route_cancel(struct route *r);

#endif
