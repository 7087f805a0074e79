/* SPDX-License-Identifier: ISC
 *
 * Names for sessions: what the lines of one session in the log have in common. */
#ifndef BASE_ID_H
#define BASE_ID_H

enum { ID_SIZE = 17 }; /* 16 hexadecimal digits and NUL */

/* Puts a name into ID (ID_SIZE bytes) that no other session of this process has and, but for
 * chance, none of another front end. From any thread. */
void id_make(char *id);

#endif
