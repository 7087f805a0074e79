/* SPDX-License-Identifier: ISC
 *
 * Whether what an operator wrote for a connector can work, as libldap, which will be given it,
 * sees it. Asks no server. Called by who checks the configuration. */
#ifndef AUTH_DIRECTORY_SYNTAX_H
#define AUTH_DIRECTORY_SYNTAX_H

#include <stdbool.h>

enum directory_scheme { DIRECTORY_LDAP, DIRECTORY_LDAPS, DIRECTORY_LDAPI };

struct directory_url {
    enum directory_scheme scheme;
    bool local; /* it names this machine */
};

/* Takes the URL of a server (RFC 4516, of which a connector has the scheme, host and port) apart.
 * NULL, or what is wrong with it, in words. */
const char *directory_syntax_url(const char *text, struct directory_url *url);

/* RFC 4514. */
bool directory_syntax_dn(const char *text);

/* RFC 4515; as ldapsearch, without the outer parentheses too. */
bool directory_syntax_filter(const char *text);

/* The name of an attribute, or its OID (RFC 4512, 1.4); no options. */
bool directory_syntax_attribute(const char *text);

#endif
