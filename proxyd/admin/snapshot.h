/* SPDX-License-Identifier: ISC
 *
 * The state of the whole process at a moment, as the metrics, the page and the JSON tell it: what
 * is configured, what was counted, how nodes and directories are. Taken by admin.c, in the main
 * thread, without stopping a worker. */
#ifndef ADMIN_SNAPSHOT_H
#define ADMIN_SNAPSHOT_H

#include "admin/process.h"
#include "config.h"
#include "node.h"
#include "stats.h"

enum { SNAPSHOT_WHY = 400 };

struct snapshot_service {
    const struct config_service *service;
    struct stats_service_counts counts;
    bool ready;
    char why[SNAPSHOT_WHY]; /* not; lines */
};

struct snapshot_map {
    struct map *map;
    struct stats_map_counts counts;
    bool answers;
    char why[SNAPSHOT_WHY]; /* not */
};

struct snapshot_directory {
    const struct directory_settings *settings;
    struct directory_counters counters;
    struct directory_server servers[DIRECTORY_SERVERS];
};

struct snapshot {
    const struct config *config;
    bool draining;
    unsigned workers;
    uint64_t longest_round; /* ns, since the last time that somebody asked for metrics */
    struct process process;
    struct snapshot_service *services; /* in the configuration's order, as the next two */
    struct snapshot_map *maps;
    struct snapshot_directory *directories;
    struct node_state *nodes; /* by service and name */
    size_t node_count;
    uint64_t http_codes[STATS_HTTP_CODES];
};

/* Fills S in for CONFIG, which has to outlive it. */
void snapshot_take(struct snapshot *s, const struct config *config, bool draining);
void snapshot_free(struct snapshot *s);

#endif
