/* SPDX-License-Identifier: ISC
 *
 * Map files that change: see map_watch.h. They are looked at by stat every LOOK ms, which sees
 * renames and writes alike and also works on network file systems. A file that is still being
 * written is left alone until two looks have found it the same. */
#include "map_watch.h"

#include "base/mem.h"
#include "maps/map_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    LOOK = 250, /* ms */
    REST = 20   /* looks until a file that could not be read is tried again */
};

/* What a file looked like. */
struct look {
    dev_t device;
    ino_t inode;
    off_t size; /* -1: it was not there */
    struct timespec modified, changed;
};

struct watched {
    struct map *map;
    struct look last;    /* at the last look */
    struct look refused; /* of the content that had errors: not read again */
    unsigned rest;       /* looks without reading, after it could not be read */
    bool unread;         /* that is in the log */
};

struct map_watch {
    uv_timer_t timer;
    uv_work_t work;
    bool working, stopped;
    struct config *config;
    size_t count;
    struct watched list[];
};

static unsigned active; /* watches that have not ended, stopped ones too */

static struct look look_at(const char *path)
{
    struct stat st;
    struct look look;
    memset(&look, 0, sizeof look); /* compared by memcmp */
    look.size = -1;
    if (stat(path, &st) < 0)
        return look;
    look.device = st.st_dev;
    look.inode = st.st_ino;
    look.size = st.st_size;
    look.modified = st.st_mtim;
    look.changed = st.st_ctim;
    return look;
}

static bool same(const struct look *a, const struct look *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Whether the file could not be read at all, which may have passed the next time: there is no line
 * to blame. */
static bool is_unread(const struct problems *problems)
{
    return problems->errors == 1 && problems->list[0].line == 0;
}

static void keep_old(struct watched *w, bool unread)
{
    if (unread)
        w->rest = REST;
    else
        w->refused = w->last;
    if (!unread || !w->unread)
        log_message(LOG_LEVEL_ERROR, "config", "map %s: the old content of %s stays in use",
                    w->map->name, map_file_path(w->map));
    w->unread = unread;
}

static void read_again(struct watched *w)
{
    struct problems problems = {0};
    const char *path = map_file_path(w->map);
    struct map_table *table = map_table_load(path, (struct place){0}, &problems);
    bool unread = !table && is_unread(&problems);
    if (!unread || !w->unread)
        log_problems(&problems);
    problems_free(&problems);
    if (!table) {
        keep_old(w, unread);
        return;
    }
    w->unread = false;
    size_t entries = map_table_count(table);
    map_file_replace(w->map, table); /* first: who reads the log may count on it */
    log_message(LOG_LEVEL_INFO, "config", "map %s: read %s again, %zu entries", w->map->name, path,
                entries);
}

/* In the thread pool. */
static void look_at_all(uv_work_t *work)
{
    struct map_watch *watch = work->data;
    for (size_t i = 0; i < watch->count; i++) {
        struct watched *w = &watch->list[i];
        struct look now = look_at(map_file_path(w->map));
        bool settled = same(&now, &w->last);
        w->last = now;
        w->rest = settled && w->rest ? w->rest - 1 : 0;
        if (settled && !w->rest && !same(&now, &w->refused) && !map_file_is_current(w->map))
            read_again(w);
    }
}

static void closed(uv_handle_t *handle)
{
    struct map_watch *watch = handle->data;
    config_unref(watch->config);
    free(watch);
    active--;
}

static void looked(uv_work_t *work, int status)
{
    struct map_watch *watch = work->data;
    (void)status;
    watch->working = false;
    if (watch->stopped)
        uv_close((uv_handle_t *)&watch->timer, closed);
}

static void look(uv_timer_t *timer)
{
    struct map_watch *watch = timer->data;
    if (watch->working)
        return;
    watch->working = true;
    uv_queue_work(timer->loop, &watch->work, look_at_all, looked);
}

struct map_watch *map_watch_start(uv_loop_t *loop, struct config *config)
{
    struct map_watch *watch = xcalloc(1, sizeof *watch + config->map_count * sizeof *watch->list);
    active++;
    watch->config = config_ref(config);
    for (size_t i = 0; i < config->map_count; i++)
        if (strcmp(config->maps[i]->kind->type, "file") == 0)
            watch->list[watch->count++].map = config->maps[i];
    watch->work.data = watch;
    uv_timer_init(loop, &watch->timer);
    watch->timer.data = watch;
    uv_timer_start(&watch->timer, look, LOOK, LOOK);
    return watch;
}

void map_watch_stop(struct map_watch *watch)
{
    if (!watch)
        return;
    watch->stopped = true;
    uv_timer_stop(&watch->timer);
    if (!watch->working)
        uv_close((uv_handle_t *)&watch->timer, closed);
}

bool map_watch_active(void)
{
    return active;
}
