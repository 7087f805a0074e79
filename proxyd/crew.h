/* SPDX-License-Identifier: ISC
 *
 * The workers as a crew: as many as the load needs between `workers.min` and `workers.max`. When
 * all are busy one more begins; when one fewer would do, the last one accepts no more and ends with
 * its last session (or is called back before that). Everything here is for the main thread. */
#ifndef CREW_H
#define CREW_H

#include "config.h"
#include "listener.h"

#include <uv.h>

/* Has the crew serve CONFIG on SET (keeping references); the first call starts it, on LOOP's timer,
 * and may fail to get even one worker (crew_running). */
void crew_serve(uv_loop_t *loop, struct config *config, struct listen_set *set);

/* All workers, those on their way out too; how many there are. And whether W still is one of them:
 * a pointer to one that is not must not be used. */
enum { CREW_MAX = 512 };
size_t crew_workers(struct worker *list[CREW_MAX]);
bool crew_has(const struct worker *w);

/* Accepts no more; each worker ends with its last session, and DONE is called when all have. */
void crew_retire(void (*done)(void));

/* How many there are that accept. */
unsigned crew_running(void);

/* Closes the sessions that are left, one after the other over MS; after crew_retire. */
void crew_stop_sessions(uint64_t ms);

/* Whether each worker has waited for events since the last call, if but for a moment: one that has
 * not is stuck, or has more to do than there is time for. */
bool crew_answers(void);

/* The longest round of any of them since the last call, in ns: for so long nobody there was served.
 */
uint64_t crew_longest_round(void);

#endif
