/* SPDX-License-Identifier: ISC
 *
 * What all kinds of maps have in common: see map.h. */
#include "maps/map.h"

#include <stdlib.h>

enum map_result map_lookup(struct map *map, const struct map_query *query, struct map_entry *entry)
{
    return map->kind->lookup(map, query, entry);
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
