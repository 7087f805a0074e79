/* SPDX-License-Identifier: ISC
 *
 * The post of the login page: its fields, the maps, the login on the node, and what the browser is
 * told. Called by login.c. */
#ifndef WEB_SIGNIN_H
#define WEB_SIGNIN_H

#include "web/web.h"

/* Answers R, which is a post to the login page's path, later. */
void signin_start(struct web_request *r);

#endif
