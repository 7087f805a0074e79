/* SPDX-License-Identifier: ISC
 *
 * A snapshot for Prometheus, in its text format 0.0.4. proxyd-metrics(7) tells what each metric
 * means. Called by admin.c. */
#ifndef ADMIN_METRICS_H
#define ADMIN_METRICS_H

#include "admin/snapshot.h"
#include "base/buf.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Writes all metrics of S to OUT. */
void metrics_write(struct buf *out, const struct snapshot *s);

/* Writes VALUE as a label's, without the quotes: escaped as the format has it, and as UTF-8, in
 * which what is none becomes U+FFFD. */
void metrics_escape(struct buf *out, const char *value);

#endif
