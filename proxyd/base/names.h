/* SPDX-License-Identifier: ISC
 *
 * A set of names, sorted, for the few that an administrator gives: looked up often, changed by
 * hand. Not for more than some ten thousand, and with no lock of its own. */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include "base/str.h"

/* All zero at the start. */
struct names {
    char **list; /* sorted by strcmp */
    size_t count;
};

/* Adds a copy of NAME, removes NAME; false where it is there already, or is not there. */
bool names_add(struct names *names, const char *name);
bool names_remove(struct names *names, const char *name);

bool names_has(const struct names *names, const char *name);

/* A copy, to be freed likewise. */
struct names names_copy(const struct names *names);
void names_free(struct names *names);

#endif
