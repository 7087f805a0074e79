/* SPDX-License-Identifier: ISC
 *
 * The parts of proxyctl that talk to a running daemon: proxyctl_ask.c asks, proxyctl_print.c shows
 * what was answered. Called by proxyctl.c. */
#ifndef ADMIN_PROXYCTL_H
#define ADMIN_PROXYCTL_H

#include "admin/control_request.h"

#include <jansson.h>
#include <stdio.h>

/* Sends R to the daemon at the socket PATH and shows the answer, as lines for people or as JSON;
 * the status to exit with. */
int proxyctl_ask(const char *path, const struct control_request *r, bool json);

/* An answer being shown on standard output, between text_begin and text_end. All zero but for
 * `request` and `json`. */
struct proxyctl_print {
    const struct control_request *request;
    bool json;
    json_t *rows; /* kept until all are there, for the widths of a table's columns */
    bool begun;
};

/* Shows an object of the answer that is not the last one, and the last one; objects stay the
 * caller's. */
void proxyctl_print_item(struct proxyctl_print *p, json_t *object);
void proxyctl_print_end(struct proxyctl_print *p, const json_t *object);

#endif
