/* SPDX-License-Identifier: ISC
 *
 * The logout: the node is told, and the browser, whatever the node says, is shown the login page.
 * Called by login.c. */
#ifndef WEB_SIGNOUT_H
#define WEB_SIGNOUT_H

#include "web/web.h"

/* Answers R, a GET of logout_path by somebody with a route, later. */
void signout_start(struct web_request *r);

/* Answers R as somebody who has no route any more: FIELDS (its Location among them, or empty: the
 * login page) go along with what takes the route cookie away. */
void signout_answer(struct web_request *r, struct str fields);

#endif
