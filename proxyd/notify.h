/* SPDX-License-Identifier: ISC
 *
 * Tells systemd how the process stands (the protocol of sd_notify(3)). */
#ifndef NOTIFY_H
#define NOTIFY_H

/* Sends STATE ("READY=1", "RELOADING=1", "STOPPING=1") to the socket that $NOTIFY_SOCKET names;
 * does nothing without one. */
void notify(const char *state);

#endif
