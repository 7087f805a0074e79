/* SPDX-License-Identifier: ISC
 *
 * How services did in the last five minutes, for the curves of the status page. For the main
 * thread; admin.c sees to the samples. */
#ifndef ADMIN_HISTORY_H
#define ADMIN_HISTORY_H

#include "config.h"
#include "recent.h"

enum { HISTORY_POINTS = 60, HISTORY_STROKE = RECENT_STROKE /* ms between two of them */ };

struct history_point {
    double logins, failures, bytes; /* a second */
    double sessions;
};

/* Notes how the services of CONFIG are; to be called every HISTORY_STROKE. */
void history_sample(const struct config *config);

/* The points of a service, the oldest first; before its first sample all zero. */
void history_of(const struct config_service *service, struct history_point out[HISTORY_POINTS]);

#endif
