/* SPDX-License-Identifier: ISC
 *
 * How the process is, at a moment: what proxyctl status says. Takes no lock that somebody who logs
 * in waits for, but to collect the nodes. For the main thread. */
#ifndef ADMIN_STATUS_H
#define ADMIN_STATUS_H

#include "config.h"

#include <jansson.h>

/* An object, the caller's, about what serves by CONFIG; SECONDS is how long the process has run. */
json_t *status_json(const struct config *config, double seconds);

#endif
