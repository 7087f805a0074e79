/* SPDX-License-Identifier: ISC
 *
 * The local-file map: see map_file.h. It is no more than a place where one content is replaced by
 * the next; the content is map_table.c. */
#include "maps/map_file.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>

struct map_file {
    struct map map;
    char *path;
    pthread_rwlock_t lock; /* held to read, or to swap, `table`; never while a file is read */
    struct map_table *table;
};

static struct map_file *file_of(const struct map *map)
{
    return (struct map_file *)map;
}

/* In words, for people; the table's lock is held. */
static void explain(const struct map_file *f, const char *key, struct map_ask *ask)
{
    struct map_report *report = ask->report;
    if (key)
        snprintf(report->why, sizeof report->why, "line %u of %s", map_table_line(f->table, key),
                 f->path);
    else
        snprintf(report->why, sizeof report->why, "no entry for %s in %s", ask->query.email,
                 f->path);
}

static enum map_result lookup(struct map *map, struct map_ask *ask)
{
    struct map_file *f = file_of(map);
    pthread_rwlock_rdlock(&f->lock);
    const char *key = map_table_find(f->table, &ask->query, &ask->entry);
    if (ask->report)
        explain(f, key, ask);
    pthread_rwlock_unlock(&f->lock);
    return key ? MAP_FOUND : MAP_NOT_FOUND;
}

static void free_file(struct map *map)
{
    struct map_file *f = file_of(map);
    map_table_free(f->table);
    pthread_rwlock_destroy(&f->lock);
    free(f->path);
    free(f);
}

static const struct map_kind kind = {.type = "file", .lookup = lookup, .free = free_file};

struct map *map_file_new(const char *name, const char *path, struct map_table *table)
{
    struct map_file *f = xcalloc(1, sizeof *f);
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* Else a swap could wait for ever where one lookup follows the other. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&f->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    f->map = (struct map){.kind = &kind, .name = xstrdup(name), .references = 1};
    f->path = xstrdup(path);
    f->table = table;
    return &f->map;
}

const char *map_file_path(const struct map *map)
{
    return file_of(map)->path;
}

void map_file_replace(struct map *map, struct map_table *table)
{
    struct map_file *f = file_of(map);
    pthread_rwlock_wrlock(&f->lock);
    struct map_table *old = f->table;
    f->table = table;
    pthread_rwlock_unlock(&f->lock);
    map_table_free(old);
}

void map_file_move(struct map *to, struct map *from)
{
    struct map_file *f = file_of(from);
    map_file_replace(to, f->table);
    f->table = NULL;
}

bool map_file_is_current(struct map *map)
{
    struct map_file *f = file_of(map);
    struct stat now;
    if (stat(f->path, &now) < 0)
        return false;
    pthread_rwlock_rdlock(&f->lock);
    bool current = map_table_is_of(f->table, &now);
    pthread_rwlock_unlock(&f->lock);
    return current;
}
