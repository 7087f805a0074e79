/* SPDX-License-Identifier: ISC
 *
 * What was ordered by hand and outlives the process: which nodes are drained and which logins are
 * on hold. A process that is replaced by a new binary writes it, the new one reads it before it
 * serves anybody. For the main thread. */
#ifndef ADMIN_CONTROL_STATE_H
#define ADMIN_CONTROL_STATE_H

#include "base/str.h"

/* One line of JSON without its line feed, for the caller to free. */
char *control_state_write(void);

/* Takes what control_state_write has written; false: it is nothing such, and nothing was taken. */
bool control_state_read(struct str text);

#endif
