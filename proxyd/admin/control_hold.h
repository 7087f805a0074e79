/* SPDX-License-Identifier: ISC
 *
 * Putting a login on hold by order. Called by control_commands.c, in the main thread. */
#ifndef ADMIN_CONTROL_HOLD_H
#define ADMIN_CONTROL_HOLD_H

#include "admin/control.h"

/* Holds LOGIN, if a map of any service knows it (or cannot tell now), has its sessions end, and
 * answers C. */
void control_hold(struct control_conn *c, const char *login);

#endif
