/* SPDX-License-Identifier: ISC
 *
 * Maps over a directory (operator's contract, section 4): the connector's search finds the user's
 * entry, whose attribute says where he lives. ldap_password reads the stored passwords too, for
 * route.c to compare; ldap_bind has the directory verify a password, by a bind as the entry. */
#ifndef MAPS_MAP_LDAP_H
#define MAPS_MAP_LDAP_H

#include "auth/directory.h"
#include "maps/map.h"

enum map_ldap_kind { MAP_LDAP_PASSWORD, MAP_LDAP_BIND };

/* A map over DIRECTORY, of which it takes a reference of its own; one reference. */
struct map *map_ldap_new(const char *name, enum map_ldap_kind kind, struct directory *directory);

/* The directory that MAP, which map_ldap_new made, is over. */
struct directory *map_ldap_directory(const struct map *map);

#endif
