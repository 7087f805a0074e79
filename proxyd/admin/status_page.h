/* SPDX-License-Identifier: ISC
 *
 * The status as a page for people: one look tells what is well and what is not. It refreshes
 * itself, by its script or, where there is none, by the browser; style and script lie beside it,
 * and it loads nothing else. Called by admin.c. */
#ifndef ADMIN_STATUS_PAGE_H
#define ADMIN_STATUS_PAGE_H

#include "admin/snapshot.h"
#include "base/buf.h"

extern const struct str status_page_style, status_page_script;

/* What the page and its parts may do (Content-Security-Policy), as a header field with CR LF. */
#define STATUS_PAGE_POLICY                                                                         \
    "Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self'; "           \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"          \
    "Referrer-Policy: no-referrer\r\n"

/* Writes the page to OUT; what comes from outside is escaped. */
void status_page_write(struct buf *out, const struct snapshot *s);

#endif
