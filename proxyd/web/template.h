/* SPDX-License-Identifier: ISC
 *
 * A login page as its author wrote it: HTML with {{user}}, {{message}}, {{action}}, {{token}},
 * {{host}},
 * {{user_field}} and {{password_field}} in it. Checked when the configuration is read, filled in
 * for each visit, everything escaped. No I/O. Called by config_check_web.c and the login. */
#ifndef WEB_TEMPLATE_H
#define WEB_TEMPLATE_H

#include "base/buf.h"
#include "base/problem.h"

enum { TEMPLATE_MAX = 256 * 1024 }; /* bytes of a login.html, and of a page made of it */

struct template_values {
    struct str user;                       /* as it was typed, or empty */
    struct str message;                    /* what went wrong, or empty */
    struct str action;                     /* where the form is posted to */
    struct str token;                      /* for a hidden field, called as the page likes */
    struct str host;                       /* as the browser calls us */
    struct str user_field, password_field; /* what the two fields are called */
};

/* What is wrong with TEXT, from FILE: a placeholder that there is none of is an error, and a page
 * without {{token}}, by which nobody could log in, a warning. */
void template_check(struct str text, const char *file, struct problems *problems);

/* Adds TEXT to OUT with VALUES in the places of the placeholders; an unknown one stays as it is.
 * OUT is `full` where that is too long. */
void template_fill(struct buf *out, struct str text, const struct template_values *values);

/* The page that is built in, for where there is no other, and what it needs beside it. */
extern const struct str template_page, template_style, template_icon;

#endif
