/* SPDX-License-Identifier: ISC
 *
 * Taking snapshots: see snapshot.h. */
#include "admin/snapshot.h"

#include "admin/ready.h"
#include "base/mem.h"
#include "crew.h"

#include <stdlib.h>

static void take_service(struct snapshot_service *s, const struct config_service *service)
{
    struct buf why;
    buf_init(&why, NULL, 0, 64 * 1024);
    s->service = service;
    stats_service_sum(service->stats, &s->counts);
    s->ready = ready_service(service, &why);
    snprintf(s->why, sizeof s->why, "%.*s", (int)buf_len(&why), buf_str(&why).p);
    buf_free(&why);
}

static void take_map(struct snapshot_map *m, struct map *map)
{
    m->map = map;
    stats_map_sum(map->stats, &m->counts);
    m->answers = map_answers(map, m->why, sizeof m->why);
}

static void take_directory(struct snapshot_directory *d, struct directory *directory)
{
    d->settings = directory_settings(directory);
    directory_count(directory, &d->counters);
    for (size_t i = 0; i < d->settings->servers.count; i++)
        directory_server(directory, i, &d->servers[i]);
}

void snapshot_take(struct snapshot *s, const struct config *config, bool draining)
{
    *s = (struct snapshot){.config = config, .draining = draining, .workers = crew_running()};
    s->services = xcalloc(config->service_count + 1, sizeof *s->services);
    for (size_t i = 0; i < config->service_count; i++)
        take_service(&s->services[i], &config->services[i]);
    s->maps = xcalloc(config->map_count + 1, sizeof *s->maps);
    for (size_t i = 0; i < config->map_count; i++)
        take_map(&s->maps[i], config->maps[i]);
    s->directories = xcalloc(config->ldap_count + 1, sizeof *s->directories);
    for (size_t i = 0; i < config->ldap_count; i++)
        take_directory(&s->directories[i], config->directories[i]);
    s->nodes = node_list(&s->node_count);
    stats_http_sum(s->http_codes);
    process_look(&s->process);
}

void snapshot_free(struct snapshot *s)
{
    node_list_free(s->nodes, s->node_count);
    free(s->services);
    free(s->maps);
    free(s->directories);
}
