/* SPDX-License-Identifier: ISC
 *
 * Health checks: one worker asks every node of the configuration, at its service's interval, in
 * the protocol's own words, and tells node.c how it went; and, where there is an admin listener,
 * asks directories that nobody has asked of late whether they are there. For that worker's thread.
 */
#ifndef CHECK_H
#define CHECK_H

#include "config.h"
#include "worker.h"

/* Checks the nodes of CONFIG (keeping a reference) in W from now on; in the place of what W checked
 * before. */
void check_start(struct worker *w, struct config *config);

/* Ends all checks in W. Harmless where there are none. */
void check_stop(struct worker *w);

#endif
