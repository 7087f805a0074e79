/* SPDX-License-Identifier: ISC
 *
 * What of LDAP blocks: connecting, TLS, the connector's own bind, and following referrals. For the
 * thread pool, which is where directory_client.c calls it from; what it makes is then used without
 * blocking. */
#ifndef AUTH_DIRECTORY_CONNECT_H
#define AUTH_DIRECTORY_CONNECT_H

#include "auth/directory.h"

#include <ldap.h>

enum { DIRECTORY_ERROR_MAX = 256 };

/* A search as libldap takes it. */
struct directory_request {
    const char *base, *filter;
    int scope, size_limit;
    char *attributes[6]; /* ended by NULL */
};

/* Connects to the server at URL within LIMIT ms: TLS as the settings say, and a bind with the
 * connector's credentials, or, FOR_BINDS, none (with active_directory and a server that announces
 * it: fast bind, MS-ADTS 3.1.1.3.4.2). The handle's descriptor does not block. NULL, with the
 * reason in ERROR. */
LDAP *directory_connect(const struct directory_settings *settings, const char *url, bool for_binds,
                        uint64_t limit, char error[DIRECTORY_ERROR_MAX]);

/* Asks REQUEST of the server at URL over a connection of its own and follows referrals (RFC 4511,
 * 4.1.10), bound as the settings say everywhere. *LD and *RESULT are the caller's to free, in any
 * case. Returns an LDAP result code. */
int directory_chase(const struct directory_settings *settings, const char *url,
                    const struct directory_request *request, uint64_t limit, LDAP **ld,
                    LDAPMessage **result, char error[DIRECTORY_ERROR_MAX]);

#endif
