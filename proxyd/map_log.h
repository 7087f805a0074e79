/* SPDX-License-Identifier: ISC
 *
 * The log's `map` lines: how the maps came to their answers. Called by the engines, beside their
 * line about the route. */
#ifndef MAP_LOG_H
#define MAP_LOG_H

#include "client.h"
#include "route.h"

/* Tells, at level debug, what each map that ROUTE has asked for C said; RECIPIENT is whom it was
 * asked about where that is not C's login, or NULL. Nothing where ROUTE was not to `explain`. */
void map_log(const struct client *c, const char *recipient, const struct route *route);

#endif
