/* SPDX-License-Identifier: ISC
 *
 * The engine of services whose clients log in and are then carried: IMAP, POP3, submission. See
 * session.c, which is the way of a login from top to bottom. */
#ifndef SESSION_H
#define SESSION_H

#include "client.h"

extern const struct engine session_engine;

#endif
