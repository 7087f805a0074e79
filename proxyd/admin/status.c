/* SPDX-License-Identifier: ISC
 *
 * The status as JSON: see status.h. */
#include "admin/status.h"

#include "admin/ready.h"
#include "admin/text.h"
#include "client.h"
#include "crew.h"
#include "hold.h"
#include "limit.h"
#include "node.h"
#include "recent.h"
#include "stats.h"
#include "trace.h"
#include "version.h"

#include <unistd.h>

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *service_json(const struct config_service *service)
{
    struct stats_service_counts counts;
    json_t *logins = json_object(), *connections = json_object();
    stats_service_sum(service->stats, &counts);
    for (int i = 0; i < STATS_LOGINS; i++)
        json_object_set_new(logins, stats_login_word(i), number(counts.logins[i]));
    json_object_set_new(logins, "limited", number(counts.limited));
    for (int i = 0; i < STATS_CONNECTIONS; i++)
        json_object_set_new(connections, stats_connection_word(i), number(counts.connections[i]));
    return json_pack("{s:o,s:s,s:b,s:o,s:o,s:o,s:o,s:o}", "service", text_json(service->name),
                     "protocol", service->protocol->name, "ready", ready_service(service, NULL),
                     "sessions", number(counts.sessions), "connections", connections, "logins",
                     logins, "bytes_in", number(counts.bytes[STATS_FROM_CLIENT]), "bytes_out",
                     number(counts.bytes[STATS_TO_CLIENT]));
}

static json_t *services_json(const struct config *config)
{
    json_t *list = json_array();
    for (size_t i = 0; i < config->service_count; i++)
        json_array_append_new(list, service_json(&config->services[i]));
    return list;
}

static json_t *node_json(const struct node_state *state)
{
    return json_pack("{s:o,s:o,s:o,s:i,s:b,s:b,s:i,s:i,s:i,s:o,s:o}", "service",
                     text_json(state->service), "node", text_json(state->name), "host",
                     text_json(node_host(state->node)), "port", node_port(state->node), "up",
                     state->up, "drained", state->drained, "active", state->active, "queued",
                     state->waiting, "max_connections", state->max_connections, "rejected",
                     number(state->rejected), "trouble", text_json(state->trouble));
}

static json_t *nodes_json(void)
{
    size_t count;
    json_t *list = json_array();
    struct node_state *nodes = node_list(&count);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, node_json(&nodes[i]));
    node_list_free(nodes, count);
    return list;
}

static json_t *map_json(struct map *map)
{
    struct stats_map_counts counts;
    char why[400];
    json_t *object = json_pack("{s:o,s:s,s:b}", "map", text_json(map->name), "type",
                               map->kind->type, "up", map_answers(map, why, sizeof why));
    stats_map_sum(map->stats, &counts);
    for (int i = 0; i < STATS_MAP_RESULTS; i++)
        json_object_set_new(object, map_result_word(i), number(counts.lookups[i]));
    return object;
}

static json_t *maps_json(const struct config *config)
{
    json_t *list = json_array();
    for (size_t i = 0; i < config->map_count; i++)
        json_array_append_new(list, map_json(config->maps[i]));
    return list;
}

static json_t *servers_json(struct directory *directory)
{
    json_t *list = json_array();
    struct directory_server server;
    for (size_t i = 0; i < directory_settings(directory)->servers.count; i++) {
        directory_server(directory, i, &server);
        json_array_append_new(list, json_pack("{s:o,s:b,s:o}", "url", text_json(server.url), "up",
                                              server.well, "trouble", text_json(server.trouble)));
    }
    return list;
}

static json_t *directories_json(const struct config *config)
{
    struct directory_counters counters;
    json_t *list = json_array();
    for (size_t i = 0; i < config->ldap_count; i++) {
        directory_count(config->directories[i], &counters);
        json_array_append_new(
            list,
            json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "directory", text_json(config->ldap[i].name),
                      "servers", servers_json(config->directories[i]), "cached",
                      number(counters.cached), "hits", number(counters.hits), "searches",
                      number(counters.searches), "binds", number(counters.binds), "failures",
                      number(counters.failures)));
    }
    return list;
}

static json_t *talkers_json(void)
{
    struct recent_talker talkers[RECENT_TALKERS];
    size_t count = recent_talkers(talkers);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:o,s:o}", "login", text_json(talkers[i].login),
                                              "bytes_per_second", number(talkers[i].bytes)));
    return list;
}

static json_t *failures_json(void)
{
    struct recent_failure failures[RECENT_FAILURES];
    size_t count = recent_failures(failures);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list,
            json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "time", number(failures[i].when), "service",
                      text_json(failures[i].service), "login", text_json(failures[i].login),
                      "client", text_json(failures[i].client), "reason",
                      text_json(failures[i].reason), "session", text_json(failures[i].session)));
    return list;
}

/* Who is refused, and why; REFUSED_MAX of them. */
static json_t *refused_json(void)
{
    enum { REFUSED_MAX = 200 };
    static struct limit_entry entries[REFUSED_MAX];
    size_t count = limit_list(entries, REFUSED_MAX, uv_hrtime() / 1000000);
    json_t *list = json_array();
    for (size_t i = 0; i < count && i < REFUSED_MAX; i++)
        json_array_append_new(
            list,
            json_pack("{s:o,s:o,s:s,s:o,s:o}", "address", text_json(entries[i].address), "level",
                      text_json(entries[i].level), "reason", limit_reason_word(entries[i].reason),
                      "count", number(entries[i].count), "seconds", number(entries[i].seconds)));
    return list;
}

/* NAMES are freed. */
static json_t *names_json(struct names names)
{
    json_t *list = json_array();
    for (size_t i = 0; i < names.count; i++)
        json_array_append_new(list, text_json(names.list[i]));
    names_free(&names);
    return list;
}

json_t *status_json(const struct config *config, double seconds)
{
    struct worker *workers[CREW_MAX];
    return json_pack("{s:s,s:i,s:f,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "version",
                     VERSION, "pid", (int)getpid(), "seconds", seconds, "workers",
                     (json_int_t)crew_workers(workers), "sessions", (json_int_t)client_total(),
                     "traces", (json_int_t)trace_count, "services", services_json(config), "nodes",
                     nodes_json(), "maps", maps_json(config), "directories",
                     directories_json(config), "drained", names_json(node_drained()), "held",
                     names_json(hold_list()), "talkers", talkers_json(), "failures",
                     failures_json(), "refused", refused_json());
}
