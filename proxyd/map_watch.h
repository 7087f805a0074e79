/* SPDX-License-Identifier: ISC
 *
 * Notices that a map file has changed and reads it again, in the thread pool. For the main thread.
 */
#ifndef MAP_WATCH_H
#define MAP_WATCH_H

#include "config.h"

#include <uv.h>

struct map_watch;

/* Watches the files of CONFIG's maps (keeping a reference) until map_watch_stop. */
struct map_watch *map_watch_start(uv_loop_t *loop, struct config *config);

/* Ends watching; frees WATCH when what is under way has ended. NULL is allowed. */
void map_watch_stop(struct map_watch *watch);

/* Whether a watch, be it stopped, has not ended yet. */
bool map_watch_active(void);

#endif
