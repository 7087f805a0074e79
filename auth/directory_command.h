/* SPDX-License-Identifier: ISC
 *
 * The commands by which an administrator asks what proxyd asks: ldapsearch(1) and ldapwhoami(1) of
 * OpenLDAP, as one line each that can be pasted into a shell. No password is ever in them: -y FILE
 * where the bind password came from a file, else -W. Called by maps/map_ldap.c for proxyctl lookup
 * and the log. */
#ifndef AUTH_DIRECTORY_COMMAND_H
#define AUTH_DIRECTORY_COMMAND_H

#include "auth/directory.h"

/* Writes the command that asks SERVER (a URL of SETTINGS) for FILTER below BASE as
 * directory_search does (LDAPTLS_* variables before it where TLS settings need them), to OUT of
 * SIZE bytes; "" where it does not fit. PASSWORDS: whether the password attribute is asked for. */
void directory_command_search(char *out, size_t size, const struct directory_settings *settings,
                              const char *server, const char *base, const char *filter,
                              bool passwords);

/* Writes the command that tries a bind as DN with a password that it asks for (-W). */
void directory_command_bind(char *out, size_t size, const struct directory_settings *settings,
                            const char *server, const char *dn);

#endif
