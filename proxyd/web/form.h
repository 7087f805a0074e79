/* SPDX-License-Identifier: ISC
 *
 * The fields of a form: read as browsers post them (application/x-www-form-urlencoded, the URL
 * Standard, section 5), and written for a node, so or as a JSON object (RFC 8259). No I/O, no
 * allocation. Called by the login. */
#ifndef WEB_FORM_H
#define WEB_FORM_H

#include "base/buf.h"

enum { FORM_FIELDS_MAX = 64 };

struct form_field {
    struct str name, value;
};

struct form {
    struct form_field list[FORM_FIELDS_MAX];
    size_t count;
};

/* Reads the N bytes at BODY, which are decoded where they stand: the fields of FORM point there.
 * False: more than FORM_FIELDS_MAX, or a % without two hexadecimal digits, which browsers do not
 * send. */
bool form_read(struct form *form, char *body, size_t n);

/* The field called NAME; .p NULL where there is none, or more than one. */
struct str form_find(const struct form *form, const char *name);

/* Adds a field to BODY, behind others with an & between. */
void form_write(struct buf *body, struct str name, struct str value);

/* Adds a member to a JSON object that BODY has the beginning of ("{", or "{...") without its end,
 * both as strings. False where a text is not UTF-8 (which JSON has to be). */
bool form_write_json(struct buf *body, struct str name, struct str value);

#endif
