/* SPDX-License-Identifier: ISC
 *
 * Whether a connection may come in (limit.h), and what becomes of one that may not: it is counted,
 * logged, though not each of a flood, and told in its protocol's words. Called by client.c, in the
 * worker's thread. */
#ifndef ADMIT_H
#define ADMIT_H

#include "base/buf.h"
#include "limit.h"

enum { ADMIT_WORDS = 512 }; /* bytes: room for what a refused client is told */

/* Whether the connection FD from CLIENT, just accepted, may come in; T as of limit_enter. If not it
 * has been told, and is the caller's to close. A client that begins with TLS is told nothing: that
 * would take a handshake, and a flood is to cost less than that. */
bool admit_socket(const struct limit_place *place, int fd, const struct addr *client, uint64_t now,
                  struct limit_ticket *t);

/* The same for a connection whose client was only told by a PROXY header, called SESSION in the
 * log. What it is to be told, if anything, is put into OUT. */
bool admit_announced(const struct limit_place *place, const char *session,
                     const struct addr *client, uint64_t now, struct limit_ticket *t,
                     struct buf *out);

#endif
