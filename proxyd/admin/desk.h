/* SPDX-License-Identifier: ISC
 *
 * What workers bring to the main thread: posts, run there in the order in which they came. */
#ifndef ADMIN_DESK_H
#define ADMIN_DESK_H

#include "worker.h"

/* Opens the desk on the main thread's LOOP; clears and closes it, when all workers have ended. For
 * the main thread. */
void desk_open(uv_loop_t *loop);
void desk_close(void);

/* Has P, which must not be under way, run in the main thread. From any thread. */
void desk_post(struct post *p);

#endif
