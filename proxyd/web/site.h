/* SPDX-License-Identifier: ISC
 *
 * What a webmail service looks like for a request: which template its host has, and whether the
 * device is a phone. No I/O. Called by the login and by config_check_web.c. */
#ifndef WEB_SITE_H
#define WEB_SITE_H

#include "config.h"

#define SITE_DEFAULT "default" /* the template of a host that has no other */

/* The template for HOST, as Host has it: its own, that of the longest "*.DOMAIN" that it is below,
 * or SITE_DEFAULT. As long as WEB. */
const char *site_template(const struct config_web *web, struct str host);

/* Whether a device is a phone, by Sec-CH-UA-Mobile (User-Agent Client Hints), where a browser sends
 * that, else by User-Agent. */
bool site_is_mobile(struct str client_hint, struct str user_agent);

/* Whether TARGET, of a request ("/path?query"), is what PATTERN, of the configuration, names: the
 * same path, and where PATTERN has a query, all its parameters. */
bool site_target_is(struct str target, const char *pattern);

/* Whether a node's LOCATION leads to what PATTERN names. One that is relative is taken for a place
 * beside it, one with a host for one on this. */
bool site_location_is(struct str location, const char *pattern);

/* Whether LOCATION leads to a login page, the node's own or ours: nobody is logged in any more who
 * is sent there. A place that is just "/" says nothing. */
bool site_leads_to_login(const struct config_web *web, struct str location);

#endif
