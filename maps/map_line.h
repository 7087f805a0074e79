/* SPDX-License-Identifier: ISC
 *
 * One line of a map file (operator's contract, section 4): its syntax, and nothing of the file
 * around it. A line is split and checked once, when the file is loaded; a lookup reads the rest of
 * the one line that it found. Called by map_table.c.
 *
 *     KEY NODE [OPTION ...] [# comment]
 *
 * Fields stand apart by blanks (SP, HT). A line that is empty or begins with `#` is no entry; a `#`
 * that begins a field begins a comment. KEY is a login or @DOMAIN (both in any case), a regular
 * expression between slashes (blanks may stand in it, and a slash as `\/`), or `*`. A login that
 * has a blank in it or begins like something else stands in double quotes, a quote in it twice:
 * "john smith@example.org". NODE is HOST or HOST:PORT: a name from `nodes`, a host name, an IPv4
 * address, an IPv6 address (with a port: in brackets) or unix:/PATH.
 *
 *     login=LOGIN           the login to use on the node
 *     password=STORED       what password_check compares (auth/password.h)
 *     hold                  new logins wait
 *     NAME=HOST[:PORT]      the node for the service NAME, else for the protocol NAME; a NAME that
 *                           is none of the protocols' needs the port
 *
 * The value after login= and password= may be in double quotes like a login. Names of options are
 * taken in any case; each stands once. */
#ifndef MAPS_MAP_LINE_H
#define MAPS_MAP_LINE_H

#include "maps/map.h"

enum { MAP_LINE_MAX = 8192, MAP_PATTERN_MAX = 512 }; /* bytes */

enum map_line_kind {
    MAP_LINE_NONE,  /* no entry */
    MAP_LINE_LOGIN, /* or @DOMAIN */
    MAP_LINE_PATTERN,
    MAP_LINE_ALL /* `*` */
};

struct map_line {
    enum map_line_kind kind;
    char *key;       /* ends with NUL, in the line's own memory; no pattern: in lower case */
    size_t key_size; /* without the NUL */
    struct str rest; /* what follows the NUL: for map_line_read */
    bool password;   /* there is one */
};

/* Whether NAME is that of a protocol that a mail cluster speaks (imap, pop3, smtp ...), be it
 * served here or not: one map and one list of nodes may serve several programs. */
bool map_line_protocol(struct str name);

/* Splits the line of N bytes at TEXT (without its end) and checks all of it. Writes to TEXT: keys
 * and quoted values are ended by NUL, without their quotes; the number of bytes stays. False, with
 * the errors in PROBLEMS, when something is wrong. */
bool map_line_split(struct map_line *line, char *text, size_t n, struct problems *problems,
                    struct place at);

/* Fills ENTRY for QUERY's service from the `rest` of a line that map_line_split found good. */
void map_line_read(struct str rest, const struct map_query *query, struct map_entry *entry);

#endif
