/* SPDX-License-Identifier: ISC
 *
 * Memory that comes to its end. Whoever exceeds a limit of his address space gets no more, and
 * whoever exceeds that of his control group is killed. Both would take all sessions along; so
 * before it comes to that, no new ones are accepted (listener.c), as when descriptors are used up.
 * Everything here is for the main thread unless it says otherwise. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <uv.h>

/* Puts by a reserve, which is given when an allocation fails, ours or one of libuv, OpenSSL or
 * jansson. First thing in the process. */
void memory_prepare(void);

/* Begins to look after the reserve and the limit of the control group, on LOOP's timer; what
 * changes is logged. SESSIONS says how many there are now. */
void memory_watch(uv_loop_t *loop, unsigned (*sessions)(void));

/* Whether there is so little that nobody new should come in. From any thread. */
bool memory_is_short(void);

#endif
