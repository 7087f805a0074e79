/* SPDX-License-Identifier: ISC
 *
 * Placeholders in search filters and bases (operator's contract, section 3):
 *
 *     %e  the full address            %u  the login as typed
 *     %n  the part before the @       %d  the domain
 *         or behind `DOMAIN\`             or the part before `\`
 *     %s  the service                 %%  a percent sign
 *
 * What is put in is escaped for the place where it stands and never expanded again. Called by
 * maps/map_ldap.c and by who checks the configuration. */
#ifndef AUTH_PLACEHOLDER_H
#define AUTH_PLACEHOLDER_H

#include "base/str.h"

enum placeholder_place {
    PLACEHOLDER_FILTER, /* RFC 4515, section 3 */
    PLACEHOLDER_DN      /* RFC 4514, section 2.4 */
};

/* What there is to be put in; NUL-terminated. */
struct placeholder_values {
    const char *login;   /* as typed */
    const char *email;   /* the full address */
    const char *service; /* its name */
};

/* The first `%` of TEXT that begins no placeholder, or NULL: all is well. */
const char *placeholder_unknown(const char *text);

/* Whether TEXT has a placeholder that stands for something (not only %%). */
bool placeholder_any(const char *text);

/* Writes TEXT, in which nothing is unknown, with its placeholders filled, and a NUL, to OUT (SIZE
 * bytes). Returns whether it fitted; without that OUT is "". */
bool placeholder_expand(char *out, size_t size, const char *text,
                        const struct placeholder_values *values, enum placeholder_place place);

#endif
