/* SPDX-License-Identifier: ISC
 *
 * What a process finds when it starts: the sockets that systemd listens on for it (socket
 * activation, sd_listen_fds(3)), or all that the process before it leaves to the program that takes
 * its place (upgrade.h): sockets, the keys of its TLS tickets and cookies, nodes drained, logins
 * held and cookies revoked by hand. Called by main.c.
 *
 * The process before names, in $PROXYD_UPGRADE, itself and two descriptors: a file in memory of
 * lines "WORD VALUE" (inherit_words below), for secrets are in it, and a pipe on which this process
 * says how it fares. */
#ifndef INHERIT_H
#define INHERIT_H

#include "base/problem.h"
#include "listen_set.h"

#define INHERIT_VARIABLE "PROXYD_UPGRADE" /* PID:STATE:PIPE */

/* The words of the file in memory. */
#define INHERIT_SOCKET   "socket"     /* a listening descriptor */
#define INHERIT_BORROWED "borrowed"   /* likewise; its socket file is not ours */
#define INHERIT_TICKETS  "ticket-key" /* in base64 */
#define INHERIT_COOKIES  "cookie-key" /* likewise */
#define INHERIT_DRAINED  "drained"    /* a node's key */
#define INHERIT_HOLD     "hold"       /* a login */
#define INHERIT_REVOKED  "revoked"    /* as revoke_save has it */
#define INHERIT_LIMITS   "limit"      /* limit_save */

/* The line on the pipe that says that the new process serves; any other is an error for the log. */
#define INHERIT_READY "ready"

enum {
    INHERIT_STATE_MAX = 16 << 20,  /* bytes of the file in memory */
    INHERIT_WORDS_MAX = 16 * 1024, /* bytes of errors on the pipe */
};

/* Takes what there is, and nothing of it from the environment of processes to come; puts keys,
 * drained nodes and held logins where they belong. Returns the sockets, for listen_set_open, or
 * NULL. Once, before there are threads. */
struct listen_set *inherit_take(void);

/* Tells the process before what is wrong, if there is one. */
void inherit_tell(const struct problems *problems);

/* Tells the process before, if there is one, that this one serves: it goes now. */
void inherit_ready(void);

#endif
