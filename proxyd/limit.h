/* SPDX-License-Identifier: ISC
 *
 * Access lists and limits (operator's contract, section 5): whether a connection may come in,
 * whether logins from an address are taken, and how long a failed one waits for its answer. There
 * are three levels, the listener, its service and the whole process, and what all of them say
 * holds. Counts are exact over all workers, are of a level's name, and so survive a reload.
 *
 * Told to nobody here: admit.c says it to connections, route.c to logins. From any thread unless it
 * says otherwise; times are those of the workers (ms). A connection through a unix socket has no
 * address: only what counts for a whole level concerns it. */
#ifndef LIMIT_H
#define LIMIT_H

#include "auth/sasl.h"
#include "config.h"

/* What is counted at a level; lives as long as the process. */
struct limit_level;

enum limit_reason {
    LIMIT_OK,
    LIMIT_ACCESS,
    LIMIT_CONNECTIONS,
    LIMIT_CONNECTIONS_PER_IP,
    LIMIT_RATE,
    LIMIT_RATE_PER_IP,
    LIMIT_AUTH_FAILURES, /* a login, not a connection */
    LIMIT_REASONS
};

/* As the option is called ("rate_per_ip"). */
const char *limit_reason_word(enum limit_reason reason);

/* Finds or makes the levels of CONFIG and puts them into it. For the main thread, before a worker
 * has CONFIG. */
void limit_configure(struct config *config);

/* ---- connections ---- */

/* Where a connection came in. */
struct limit_place {
    const struct config *config;
    const struct config_service *service;
    const struct config_listener *listener;
};

/* What a connection that came in is counted in; all zero: nothing. */
struct limit_ticket {
    bool entered;
    uint8_t addresses; /* bits: levels that count those of its address */
};

struct limit_refusal {
    enum limit_reason reason;
    const char *level; /* "global", the service's name, or that and the listener's address */
    bool due;          /* a line in the log: the first one of the interval, and not too many */
    uint64_t unlogged; /* refusals of this address since its last line */
};

/* Whether a connection from CLIENT may come in. If so T has its places, for limit_leave; else
 * REFUSAL is filled in and nothing is counted but the refusal. */
bool limit_enter(const struct limit_place *place, const struct addr *client, uint64_t now,
                 struct limit_ticket *t, struct limit_refusal *refusal);

/* The connection has gone: same PLACE and CLIENT. Harmless with an empty T, and empties it. */
void limit_leave(const struct limit_place *place, const struct addr *client, uint64_t now,
                 struct limit_ticket *t);

/* ---- logins ---- */

enum { LIMIT_DELAY = 2000 }; /* ms: how long a failed login waits for its answer, at least */

/* Whether a login from CLIENT is taken at all. If not, that is counted as a refusal. */
bool limit_may_log_in(const struct limit_place *place, const struct addr *client, uint64_t now);

/* Notes that CREDS, from CLIENT, did not fit, and returns how many ms after it was asked for the
 * login is to be answered. The same login with the same password counts once in an interval: a
 * program that tries what it has stored again and again locks nobody out. */
uint64_t limit_failed(const struct limit_place *place, const struct addr *client,
                      const struct creds *creds, uint64_t now);

/* Notes that CREDS fitted: who mistyped his password first is forgiven that. */
void limit_logged_in(const struct limit_place *place, const struct addr *client,
                     const struct creds *creds, uint64_t now);

/* ---- for the operator ---- */

/* An address that is being refused, or was in the present interval. */
struct limit_entry {
    char address[ADDR_TEXT]; /* or network: "2001:db8::/64" */
    const char *level;       /* as of a refusal */
    enum limit_reason reason;
    uint64_t count;   /* refusals in the interval */
    uint64_t seconds; /* until it is over; 0: it is not a matter of time */
};

/* Fills in at most MAX entries, in no order; returns how many there are. */
size_t limit_list(struct limit_entry *entries, size_t max, uint64_t now);

/* Forgets what is held against CLIENT, or everybody (NULL): rates, failed logins, refusals.
 * Returns how many records that were. What is connected stays counted. */
size_t limit_pardon(const struct addr *client);

/* ---- for a process to come ---- */

/* Appends, behind WORD, a line for each address whose failed logins or rate count against it at NOW
 * (those that are refused first, LIMIT_SAVED at most); takes such a line from a process before.
 * What is connected is not among it: that stays with the process where it is. For the main thread,
 * before there are workers. */
enum { LIMIT_SAVED = 16384 };
void limit_save(struct buf *out, const char *word, uint64_t now);
void limit_take(const char *line, uint64_t now);

#endif
