/* SPDX-License-Identifier: ISC
 *
 * Addresses and networks: reading what operators write, comparing, printing. Asks no resolver. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include "base/str.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A socket address; len 0: none. */
struct addr {
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
};

/* A network; an IPv4 network is kept as ::ffff:a.b.c.d, its prefix 96 longer. */
struct network {
    unsigned char bytes[16];
    uint8_t prefix;
};

enum { ADDR_TEXT = 128 }; /* room for any address as text, with port and NUL */

/* A host and a port as written: "192.0.2.1:143", "[::1]:143", "host.name:143", "unix:/path" and the
 * same without ":PORT" (PORT 0 then; a bare IPv6 address may stand without brackets). HOST is the
 * address, name or "unix:/path" without brackets. False: not of that form. */
bool addr_split(struct str text, struct str *host, uint16_t *port);

/* A numeric HOST or "unix:/path" and PORT as a socket address; false when HOST is a name. */
bool addr_numeric(struct addr *a, struct str host, uint16_t port);

/* Whether HOST could be a host name (RFC 1123: letters, digits, hyphens, dots; at most 253). */
bool addr_is_hostname(struct str host);

/* What accept4 or getaddrinfo gave; a mapped IPv4 address (::ffff:a.b.c.d) becomes IPv4. */
void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa, socklen_t len);

uint16_t addr_port(const struct addr *a);
bool addr_equal(const struct addr *a, const struct addr *b);

/* Loopback, or a unix socket. */
bool addr_is_local(const struct addr *a);

/* "192.0.2.1:143", "[::1]:143", "unix:/path", "unix" (a peer without a path) or, of none, "" into
 * TEXT (ADDR_TEXT bytes); returns TEXT. addr_host: without the port and the brackets. */
const char *addr_format(const struct addr *a, char *text);
const char *addr_host(const struct addr *a, char *text);

/* "10.0.0.0/8", "::1/128", or an address alone (then all its bits count); host bits must be zero.
 */
bool network_parse(struct network *n, struct str text);

/* A as a network of its own, all bits of it; false when it is no IP address. */
bool network_of(struct network *n, const struct addr *a);

/* Whether A is in one of the COUNT networks. A unix socket is in none. */
bool network_match(const struct network *networks, size_t count, const struct addr *a);

#endif
