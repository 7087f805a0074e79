/* SPDX-License-Identifier: ISC
 *
 * Files that unix sockets are bound to. */
#ifndef BASE_SOCKET_FILE_H
#define BASE_SOCKET_FILE_H

#include "base/addr.h"

/* Removes the socket file at ADDR if nobody listens on it any more: it is in the way of bind. */
void socket_file_remove_stale(const struct addr *addr);

#endif
