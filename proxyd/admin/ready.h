/* SPDX-License-Identifier: ISC
 *
 * Whether a login could be served now, for load balancers (operator's contract, section 7): every
 * map of the service can be asked, and one of its nodes takes logins. Called by admin.c. */
#ifndef ADMIN_READY_H
#define ADMIN_READY_H

#include "config.h"

/* Whether SERVICE is ready. If not, REASONS (or NULL) gets a line for each thing that is missing.
 */
bool ready_service(const struct config_service *service, struct buf *reasons);

#endif
