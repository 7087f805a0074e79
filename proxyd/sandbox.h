/* SPDX-License-Identifier: ISC
 *
 * What the process gives up once all is open, for the day on which somebody makes it do what he
 * wants: with Landlock it writes and makes files nowhere but where its log and its sockets are, and
 * starts no program but its own; with seccomp it does without the system calls of debuggers,
 * administrators and exploits. Reading stays free, for a reload may name other files. An upgrade's
 * new process inherits it all. Called by main.c. */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "config.h"

/* Enters it, as far as the kernel has it; what is missing is logged, once. PROGRAM is the path of
 * what an upgrade starts. For the main thread, before there are others, and after the user was
 * changed. Not with AddressSanitizer, which debugs. */
void sandbox_enter(const struct config *config, const char *program);

#endif
