/* SPDX-License-Identifier: ISC
 *
 * Where a request came from: the client, or whom a load balancer that is trusted names before it.
 * What failed logins are held against (limit.h). */
#ifndef WEB_ORIGIN_H
#define WEB_ORIGIN_H

#include "client.h"
#include "web/http_head.h"

/* The address of who has sent the request with HEAD on the connection of C: the last one in
 * X-Forwarded-For that is none of trusted_networks, where C itself is; else C's. What is no address
 * in there ends the search, for nobody trusted has written it. */
struct addr origin_of(const struct client *c, const struct http_head *head);

#endif
