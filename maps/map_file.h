/* SPDX-License-Identifier: ISC
 *
 * The local-file map (operator's contract, section 4): one entry a line (map_line.h), made for ten
 * million of them (map_table.h). Its content can be replaced while other threads ask: they see the
 * old one or the new one, whole, and do not wait. Called by who reads the configuration and by
 * proxyd/map_watch.c. */
#ifndef MAPS_MAP_FILE_H
#define MAPS_MAP_FILE_H

#include "maps/map.h"
#include "maps/map_table.h"

/* A map over the file at PATH, with TABLE (which it takes) as its content; one reference. */
struct map *map_file_new(const char *name, const char *path, struct map_table *table);

/* The path it was made with. */
const char *map_file_path(const struct map *map);

/* Replaces the content by TABLE and frees the old one when the last lookup in it has ended. */
void map_file_replace(struct map *map, struct map_table *table);

/* Gives the content of FROM, which nobody asks yet or any more, to TO. */
void map_file_move(struct map *to, struct map *from);

/* Whether the file at PATH is, by device, inode, size and times, still the one MAP's content was
 * read from. This asks the file system: in the thread pool. A file that cannot be found counts as
 * changed. */
bool map_file_is_current(struct map *map);

#endif
