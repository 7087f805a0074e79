/* SPDX-License-Identifier: ISC
 *
 * What all kinds of maps have in common: see map.h. */
#include "maps/map.h"

#include "base/addr.h"

#include <stdlib.h>

const char *map_result_word(enum map_result result)
{
    static const char *const words[] = {[MAP_FOUND] = "found",
                                        [MAP_NOT_FOUND] = "not_found",
                                        [MAP_AMBIGUOUS] = "ambiguous",
                                        [MAP_TEMPORARY] = "temporary_failure"};
    return words[result];
}

enum map_result map_lookup(struct map *map, struct map_ask *ask)
{
    struct map_report *report = ask->report;
    ask->map = map;
    ask->entry.cached = ask->unchanged = false;
    if (report)
        report->map = map->name;
    enum map_result result = map->kind->lookup(map, ask);
    if (report)
        report->result = result;
    return result;
}

bool map_verifies(const struct map *map)
{
    return map->kind->verify;
}

enum map_result map_verify(struct map *map, struct map_ask *ask, struct str password)
{
    return map->kind->verify(map, ask, password);
}

void map_cancel(struct map_ask *ask)
{
    if (ask->map && ask->map->kind->cancel)
        ask->map->kind->cancel(ask);
}

void map_flush(struct map *map, const struct map_query *query)
{
    if (map->kind->flush)
        map->kind->flush(map, query);
}

bool map_answers(struct map *map, char *why, size_t size)
{
    return !map->kind->answers || map->kind->answers(map, why, size);
}

bool map_host_parse(struct str text, char host[MAP_HOST_MAX + 1], uint16_t *port)
{
    struct addr a;
    struct str part;
    if (!addr_split(text, &part, port) || part.n > MAP_HOST_MAX)
        return false;
    memcpy(host, part.p, part.n);
    host[part.n] = 0;
    return addr_numeric(&a, part, *port) || addr_is_hostname(part);
}

struct map *map_ref(struct map *map)
{
    atomic_fetch_add(&map->references, 1);
    return map;
}

void map_unref(struct map *map)
{
    if (!map || atomic_fetch_sub(&map->references, 1) > 1)
        return;
    free(map->name);
    map->kind->free(map);
}
