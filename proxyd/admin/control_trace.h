/* SPDX-License-Identifier: ISC
 *
 * Showing a dialogue by order (trace.h). Called by control_commands.c, in the main thread. */
#ifndef ADMIN_CONTROL_TRACE_H
#define ADMIN_CONTROL_TRACE_H

#include "admin/control.h"

/* Answers C with what is said with who logs in as WHO, or comes from the address WHO, for MS. */
void control_trace(struct control_conn *c, const char *who, uint64_t ms);

#endif
