/* SPDX-License-Identifier: ISC
 *
 * Texts for people and for scripts: what comes from outside is escaped here, so that a terminal
 * acts on nothing in it, and JSON stays JSON. */
#ifndef ADMIN_TEXT_H
#define ADMIN_TEXT_H

#include <jansson.h>
#include <locale.h>
#include <stdio.h>

/* Between these, characters are UTF-8 in this thread. Not in the process: what the regular
 * expressions of maps mean must not depend on it. text_end gets what text_begin returned. */
locale_t text_begin(void);
void text_end(locale_t old);

/* Writes TEXT to OUT, with bytes in hex as DNs and filters have them (RFC 4514, 4515) for what is
 * no printable character; returns how many columns that takes (OUT NULL: would take). */
unsigned text_put(FILE *out, const char *text);

/* Writes a line. */
void text_say(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* TEXT as a string, escaped likewise where it is no UTF-8; null for none ("" or NULL). */
json_t *text_json(const char *text);

#endif
