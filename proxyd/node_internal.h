/* SPDX-License-Identifier: ISC
 *
 * What nodes are made of: for node.c, which has the use of them, and node_list.c, which looks on.
 * Three kinds of lock, taken in this order: `node_groups.lock` (the list of groups, a group's
 * table), a node's own, a worker's (in worker_post). */
#ifndef NODE_INTERNAL_H
#define NODE_INTERNAL_H

#include "base/names.h"
#include "node.h"
#include "proto/proto.h"

#include <stdatomic.h>

struct stats_service;

enum {
    NODE_BUCKETS = 1024,  /* of a group's table */
    NODE_TEXTS_MAX = 1000 /* different capability texts in the life of the process */
};

/* What a node is called, or was: logs may be at it. */
struct node_label {
    struct node_label *next;
    char text[];
};

struct node {
    struct node_group *group;
    struct node *next;                  /* in its bucket */
    _Atomic(struct node_label *) label; /* the newest */
    char *host;
    uint16_t port;
    atomic_uint references; /* besides the table's */
    _Atomic uint64_t rejected;

    uint64_t next_check; /* these five under node_groups.lock */
    bool configured;     /* the configuration names it */
    bool failover;       /* and only as that */
    bool wanted;         /* is checked: configured, or a map named it not long ago */
    unsigned unused;     /* checks since somebody used it */

    pthread_mutex_t lock; /* of all that follows */
    struct node_addresses addresses;
    bool numeric;
    struct resolution *resolution; /* under way, or NULL */
    int resolve_error;
    uint64_t resolved; /* ms; 0: never */
    struct node_resolve *resolve_waiters;

    unsigned active;
    struct node_ticket *first, *last;
    unsigned waiting;

    atomic_bool up, drained;
    unsigned streak; /* checks in a row that spoke against `up` */
    char *capabilities;
    char trouble[NODE_TROUBLE]; /* of the last check that failed; "" after one that went well */

    _Atomic uint16_t recent[NODE_RECENT]; /* a ring; node_list.c knows the place */
};

struct node_group {
    struct node_group *next;
    char *service;
    const struct protocol *protocol;
    struct stats_service *stats; /* set once */
    atomic_uint max_connections, queue_size, fall, rise;
    uint64_t check_interval; /* under node_groups.lock; ms, 0: no checks */
    bool current;            /* under node_groups.lock; the newest configuration has this service */
    _Atomic(const char *) capabilities;
    unsigned count;
    struct node *table[NODE_BUCKETS];
};

extern struct node_groups {
    pthread_mutex_t lock;
    struct node_group *first;
    char *texts[NODE_TEXTS_MAX]; /* capability texts that were ever told */
    size_t text_count;
    struct names drained; /* keys, in lower case */
} node_groups;

#endif
