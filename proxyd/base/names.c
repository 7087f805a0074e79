/* SPDX-License-Identifier: ISC
 *
 * Names, sorted: see names.h. */
#include "base/names.h"

#include "base/mem.h"

#include <stdlib.h>

/* Where NAME is, or would be. */
static size_t place_of(const struct names *names, const char *name, bool *found)
{
    size_t low = 0, high = names->count;
    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, names->list[middle]);
        *found = order == 0;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return high;
}

bool names_has(const struct names *names, const char *name)
{
    bool found;
    place_of(names, name, &found);
    return found;
}

bool names_add(struct names *names, const char *name)
{
    bool found;
    size_t at = place_of(names, name, &found);
    if (found)
        return false;
    names->list = xrealloc(names->list, (names->count + 1) * sizeof *names->list);
    char **place = &names->list[at];
    memmove(place + 1, place, (names->count - at) * sizeof *place);
    *place = xstrdup(name);
    names->count++;
    return true;
}

bool names_remove(struct names *names, const char *name)
{
    bool found;
    size_t at = place_of(names, name, &found);
    if (!found)
        return false;
    char **place = &names->list[at];
    free(*place);
    names->count--;
    memmove(place, place + 1, (names->count - at) * sizeof *place);
    return true;
}

struct names names_copy(const struct names *names)
{
    struct names copy = {.list = xcalloc(names->count + 1, sizeof *copy.list),
                         .count = names->count};
    for (size_t i = 0; i < names->count; i++)
        copy.list[i] = xstrdup(names->list[i]);
    return copy;
}

void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct names){0};
}
