/* SPDX-License-Identifier: ISC
 *
 * The local-file map (operator's contract, section 4): one entry a line, made for ten million of
 * them. The whole file is read into memory, checked line by line and indexed by an open-addressing
 * table of offsets; a lookup parses the one line that it finds. The content can be replaced while
 * other threads ask: they see the old one or the new one, whole. */
#ifndef MAPS_MAP_FILE_H
#define MAPS_MAP_FILE_H

#include "maps/map.h"

#include <stdbool.h>

/* The content of one version of a file; immutable. */
struct map_table;

/* Reads and checks PATH; NULL where it cannot be read, holds an error (all of them are in PROBLEMS,
 * with file and line) or was changed while it was read. Takes long for a large file: in the thread
 * pool, or at start. */
struct map_table *map_table_load(const char *path, struct problems *problems);
void map_table_free(struct map_table *table);

/* Entries in TABLE. */
size_t map_table_count(const struct map_table *table);

/* A map over the file at PATH, with TABLE (which it takes) as its content. */
struct map *map_file_new(const char *name, const char *path, struct map_table *table);

/* The path it was made with. */
const char *map_file_path(const struct map *map);

/* Replaces the content by TABLE and frees the old one when the last lookup in it has ended. */
void map_file_replace(struct map *map, struct map_table *table);

/* Whether the file at PATH is, by device, inode, size and times, still the one MAP's content was
 * read from. This asks the file system: in the thread pool. A file that cannot be found counts as
 * changed. */
bool map_file_is_current(struct map *map);

#endif
