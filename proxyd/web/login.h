/* SPDX-License-Identifier: ISC
 *
 * The login on the web: whose request it is, and the answers that are made here. Called by
 * exchange.c, see web.h. */
#ifndef WEB_LOGIN_H
#define WEB_LOGIN_H

#include "web/web.h"

/* Looks at the head of R and says where it belongs. For WEB_NODE, `route` is filled in; in both
 * cases `template_name` and `device` are. Not asked for a request with `Authorization: Basic`, but
 * for those two (web_login_describe). */
enum web_way web_login_decide(struct web_request *r);
void web_login_describe(struct web_request *r);

/* The node has answered R with the head ANSWER: what is to be added goes into R's `fields`. */
void web_login_answered(struct web_request *r, const struct http_head *answer);

/* R is whole, with its body: web_answer or web_refuse, at once or later. */
void web_login_serve(struct web_request *r);

/* The client has left before R, which is being served, was answered. */
void web_login_cancel(struct web_request *r);

#endif
