/* SPDX-License-Identifier: ISC
 *
 * What we ourselves ask of a node for somebody, and what of its answer goes outside: who asks, from
 * where and by which name of the site goes along as with every request (http_forward.h), cookies
 * and places come back as the browser has to see them. Called by signin.c and signout.c. */
#ifndef WEB_INSIDE_H
#define WEB_INSIDE_H

#include "web/call.h"

enum { INSIDE_MAX = 64 * 1024 }; /* bytes of a head that goes to the node or comes from there */

/* Asks the node of ROUTE, on account of R, what H says, with BODY (call.h). False, and nothing is
 * under way: H is too large. */
bool inside_ask(struct call *call, const struct web_request *r, const struct web_route *route,
                const struct http_head *h, struct str body);

/* How the browser calls the site. */
struct str inside_host(const struct web_request *r);

/* The next Set-Cookie of H, from its field *I on; .p NULL: there is none. The pair that one begins
 * with, and that one's name. */
struct str inside_cookie(const struct http_head *h, size_t *i);
struct str inside_pair(struct str cookie);
struct str inside_cookie_name(struct str cookie);

/* Whether H sets the cookie NAME; IN_USE: and does not take it away by that. */
bool inside_sets(const struct http_head *h, struct str name, bool in_use);

/* LOCATION of an answer to a request for TARGET, from the root: the caller's to free. */
char *inside_place(const char *target, struct str location);

/* Adds to FIELDS the Set-Cookies of BEFORE (or NULL) that ANSWER does not set anew, then those of
 * ANSWER, and a Location for PLACE. */
void inside_fields(struct buf *fields, const struct web_request *r, const struct web_route *route,
                   const struct http_head *before, const struct http_head *answer,
                   const char *place);

#endif
