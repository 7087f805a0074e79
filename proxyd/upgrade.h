/* SPDX-License-Identifier: ISC
 *
 * Changing the program while it serves (USR2): starts the program that is at our own path now, with
 * what inherit.h takes, and waits until it says that it serves. The caller goes on serving
 * meanwhile and, if the new process fails, afterwards. Everything here is for the main thread. */
#ifndef UPGRADE_H
#define UPGRADE_H

#include "listen_set.h"

#include <uv.h>

/* Notes what is to be started: the program's path, absolute whatever folder we are in later, and
 * ARGV, which stays. First thing in main. */
void upgrade_remember(char **argv);

/* That path. */
const char *upgrade_program(void);

/* Starts a successor with the sockets of SET and the descriptors OTHERS (COUNT, -1 is none), and
 * returns. DONE is called when it says that it serves, or (PID 0) when it has ended or took too
 * long, which is logged with what it said. Does nothing but log while one is under way, or where a
 * container would end with us, its process 1. */
void upgrade_start(uv_loop_t *loop, const struct listen_set *set, const int *others, size_t count,
                   void (*done)(pid_t pid));

/* Ends a successor that is not ready yet; DONE is not called. */
void upgrade_cancel(void);

#endif
