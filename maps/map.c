/* SPDX-License-Identifier: ISC
 *
 * What all kinds of maps have in common: see map.h. */
#include "maps/map.h"

#include <stdlib.h>

enum map_result map_lookup(struct map *map, const struct map_query *query, struct map_entry *entry)
{
    return map->kind->lookup(map, query, entry);
}

void map_free(struct map *map)
{
    if (!map)
        return;
    free(map->name);
    map->kind->free(map);
}
