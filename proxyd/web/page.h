/* SPDX-License-Identifier: ISC
 *
 * What is shown of the login: its page, from the host's template or the built-in one, and the
 * static files beside it. Called by login.c and signin.c. */
#ifndef WEB_PAGE_H
#define WEB_PAGE_H

#include "web/web.h"

/* What is under way for a request that is served here: `login` of struct web_request. */
struct web_job {
    void (*cancel)(struct web_job *job); /* ends it, and frees it */
};

enum { PAGE_FIELDS_MAX = 16 * 1024 }; /* bytes of the header fields of an answer of ours */

/* Answers R with the login page and STATUS, now or later: MESSAGE (a literal, or NULL) and the
 * login USER as it was typed are shown in it. */
void page_show(struct web_request *r, unsigned status, const char *message, struct str user);

/* Answers R with what is below /_proxyd/ in the host's template, R's path being that. */
void page_file(struct web_request *r);

/* Answers R with a redirection to TARGET, a place here; FIELDS are added. */
void page_redirect(struct web_request *r, const char *target, struct str fields);

/* The name of the cookie that names a visit to the page: in what a browser sends, or empty. */
struct str page_visit(const struct web_request *r);

/* Adds the field that sets the cookie NAME to VALUE, or where VALUE is NULL takes it away. */
void page_set_cookie(struct buf *fields, const struct web_request *r, const char *name,
                     const char *value);

/* The value of R's field NAME; empty where there is none. */
struct str page_header(const struct web_request *r, const char *name);

#define PAGE_STATIC "/_proxyd/" /* where the static files are */

#endif
