/* SPDX-License-Identifier: ISC
 *
 * Counters of what happens, by service and by map, for the metrics and the status page. Counting
 * allocates nothing, waits for nobody and may be done in any thread: each thread adds to cells of
 * its own (a shard), and whoever reads sums them up. Counters live as long as the process; a
 * reload goes on with them. A NULL to count at, as in proxyctl, counts nothing. */
#ifndef STATS_H
#define STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;

/* ---- what is counted ---- */

enum { STATS_BUCKETS = 18 };
extern const uint64_t stats_bounds[STATS_BUCKETS - 1]; /* ns, rising; the last bucket has no end */

/* How often something took how long: a histogram whose buckets do not overlap. */
struct stats_times {
    uint64_t buckets[STATS_BUCKETS];
    uint64_t sum; /* ns */
};

/* What became of a connection. */
enum stats_connection {
    STATS_ACCEPTED,
    STATS_DENIED,     /* by `access` */
    STATS_OVER_LIMIT, /* limits: connections, connections_per_ip */
    STATS_OVER_RATE,  /* limits: rate, rate_per_ip */
    STATS_CONNECTIONS
};

/* What became of a login. */
enum stats_login {
    STATS_LOGIN_OK,
    STATS_LOGIN_FAILED,    /* wrong password, unknown login, refused by the node or on the spot */
    STATS_LOGIN_TEMPORARY, /* a map does not answer, or answers ambiguously */
    STATS_LOGIN_NODE_DOWN,
    STATS_LOGIN_BUSY, /* the node's queue is full, or it waited too long */
    STATS_LOGINS
};

/* What became of a recipient on port 25 or over LMTP; the words are those of the log. */
enum stats_mail {
    STATS_MAIL_DELIVERED,
    STATS_MAIL_DISCARDED,
    STATS_MAIL_REFUSED, /* before there was a message */
    STATS_MAIL_FAILED,  /* the node did not take the message */
    STATS_MAIL_CUT,     /* the connection ended before that was known */
    STATS_MAILS
};

enum { STATS_FROM_CLIENT, STATS_TO_CLIENT, STATS_DIRECTIONS };
enum { STATS_CLOSED = 32 }; /* room for enum client_reason */
enum { STATS_HTTP_CODE_MIN = 100, STATS_HTTP_CODES = 500 };

/* Of a service; nothing but numbers, for they are added as one array. */
struct stats_service_counts {
    uint64_t sessions; /* now */
    uint64_t connections[STATS_CONNECTIONS];
    uint64_t closed[STATS_CLOSED]; /* by enum client_reason */
    uint64_t logins[STATS_LOGINS];
    uint64_t limited; /* of the temporary ones: not taken, by auth_failures_per_ip */
    uint64_t mails[STATS_MAILS];
    uint64_t bytes[STATS_DIRECTIONS];
    struct stats_times login;   /* from whole credentials to the node's yes */
    struct stats_times connect; /* from the beginning to the node's greeting */
    struct stats_times queue;   /* for a place at the node */
};

enum { STATS_MAP_RESULTS = 4 }; /* of enum map_result, but for MAP_PENDING */

struct stats_map_counts {
    uint64_t lookups[STATS_MAP_RESULTS];
    struct stats_times took;
};

struct stats_service;
struct stats_map;

/* Finds or makes the counters of all services and maps of CONFIG and puts them into
 * `config_service.stats` and `map.stats`. For the main thread, before anybody is served by CONFIG.
 */
void stats_configure(struct config *config);

/* ---- counting ---- */

void stats_connection(struct stats_service *s, enum stats_connection result);

/* An accepted connection has begun; has ended for REASON (an enum client_reason). */
void stats_session_begins(struct stats_service *s);
void stats_session_ends(struct stats_service *s, unsigned reason);

/* A login has ended; NS, which only counts where it went well, is how long it took. */
void stats_login(struct stats_service *s, enum stats_login result, uint64_t ns);

/* A login was not even taken, for the failed ones of its address. */
void stats_limited(struct stats_service *s);

void stats_mail(struct stats_service *s, enum stats_mail result);
void stats_bytes(struct stats_service *s, uint64_t from_client, uint64_t to_client);
void stats_connected(struct stats_service *s, uint64_t ns);
void stats_queued(struct stats_service *s, uint64_t ns);

/* A map has answered RESULT (an enum map_result) after NS. */
void stats_lookup(struct stats_map *m, unsigned result, uint64_t ns);

/* A response with this status code went to a client of webmail. */
void stats_http(unsigned code);

/* ---- reading ---- */

void stats_service_sum(const struct stats_service *s, struct stats_service_counts *sum);
void stats_map_sum(const struct stats_map *m, struct stats_map_counts *sum);
void stats_http_sum(uint64_t codes[STATS_HTTP_CODES]); /* from STATS_HTTP_CODE_MIN on */

/* How many there were. */
uint64_t stats_times_count(const struct stats_times *t);

/* The time, in ns, that a share Q (0 to 1) of them did not take longer than, as far as the buckets
 * tell; 0 where there were none. */
uint64_t stats_times_quantile(const struct stats_times *t, double q);

/* Words of labels. */
const char *stats_connection_word(enum stats_connection result);
const char *stats_login_word(enum stats_login result);
const char *stats_mail_word(enum stats_mail result);

#endif
