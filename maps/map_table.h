/* SPDX-License-Identifier: ISC
 *
 * The content of one version of a map file, immutable: read into memory as a whole, checked line by
 * line, and indexed by the hash of its logins. Made for ten million lines: beside the text there
 * are about seven bytes for each. Called by map_file.c; map_table_load also by who reads files. */
#ifndef MAPS_MAP_TABLE_H
#define MAPS_MAP_TABLE_H

#include "maps/map.h"

#include <sys/stat.h>

struct map_table;

enum { MAP_PATTERNS_MAX = 1000 }; /* regular expressions in a file */

/* Reads and checks PATH, a regular file below 4 GiB; NULL where it holds errors (all of them are in
 * PROBLEMS, with file and line), cannot be read or was changed while it was read (the one problem
 * is then shown at AT, or with no line where AT has no file). Takes long for a large file: in the
 * thread pool, or at start. */
struct map_table *map_table_load(const char *path, struct place at, struct problems *problems);
void map_table_free(struct map_table *table);

/* Entries in TABLE. */
size_t map_table_count(const struct map_table *table);

/* Answers QUERY. The most exact entry wins: that of the full address, of the login as typed, of the
 * address's @domain, the first pattern that matches the address (none is tried on one of more than
 * MAP_LOGIN_MAX bytes), `*` unless QUERY is `named`. Allocates nothing but what regexec(3) does for
 * patterns, and takes its lock. Returns the key of the entry found, in the table's own memory, or
 * NULL: there is none. */
const char *map_table_find(const struct map_table *table, const struct map_query *query,
                           struct map_entry *entry);

/* The number of the line that KEY, which map_table_find returned, stands in. */
unsigned map_table_line(const struct map_table *table, const char *key);

/* Whether FILE is, by device, inode, size and times, the file that TABLE was read from. */
bool map_table_is_of(const struct map_table *table, const struct stat *file);

#endif
