/* SPDX-License-Identifier: ISC
 *
 * The engine of port 25 and LMTP (client.h): it goes on reading after a client is routed, for each
 * recipient is. See mail.c, which is the way of a message from top to bottom. */
#ifndef MAIL_MAIL_H
#define MAIL_MAIL_H

#include "client.h"

extern const struct engine mail_engine;

#endif
