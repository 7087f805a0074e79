/* SPDX-License-Identifier: ISC
 *
 * A regular expression of a map file: compiled by regcomp(3), unless that would take more time and
 * memory than a mistyped line may cost. Called by map_table.c. */
#ifndef MAPS_MAP_PATTERN_H
#define MAPS_MAP_PATTERN_H

#include "base/problem.h"

#include <regex.h>

/* Compiles TEXT, a POSIX extended regular expression in which case does not count. False, with an
 * error in PROBLEMS, when it is none, has a back-reference (they are no part of these, and take
 * time without bound), or repeats so much that it would become too large. */
bool map_pattern_compile(regex_t *regex, const char *text, struct problems *problems,
                         struct place at);

#endif
