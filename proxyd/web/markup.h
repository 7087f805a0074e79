/* SPDX-License-Identifier: ISC
 *
 * What is needed of HTML: the hidden fields of the form on a node's login page, and escaping. Reads
 * tags as the HTML Standard's tokenizer does, as far as that matters here: attributes with or
 * without quotes, the character references that values have, comments and raw texts passed over.
 * No I/O, no allocation. Called by the login. */
#ifndef WEB_MARKUP_H
#define WEB_MARKUP_H

#include "web/form.h"

/* Finds in PAGE the form that has an input called PASSWORD_FIELD, or where there is none the whole
 * page, and puts its hidden fields into FORM; their texts are in ROOM, which holds as much as they
 * need and is wiped by its owner. ROOM is empty at first. False, and FORM is empty: they
 * are too many, or too long for ROOM. */
bool markup_hidden(struct str page, const char *password_field, struct buf *room,
                   struct form *form);

/* Adds TEXT to OUT, so that it is no more than a text in HTML, within a value in quotes too. */
void markup_escape(struct buf *out, struct str text);

#endif
