/* SPDX-License-Identifier: ISC
 *
 * The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): the header that says who
 * the client is when a connection comes through a load balancer. Whether to believe it is the
 * caller's to know. */
#ifndef PROTO_PROXY_HEADER_H
#define PROTO_PROXY_HEADER_H

#include "base/addr.h"
#include "base/buf.h"

/* Bytes in which everything that matters has come: a v1 line has 107, and behind the addresses of a
 * v2 header there may be up to 64 KiB that say nothing to us. */
enum { PROXY_HEADER_MAX = 256 };

enum proxy_header {
    PROXY_HEADER_MORE,  /* not whole yet; IN untouched */
    PROXY_HEADER_OK,    /* taken from IN; CLIENT and LOCAL set */
    PROXY_HEADER_LOCAL, /* taken from IN; the sender speaks for itself (LOCAL, UNKNOWN) */
    PROXY_HEADER_BAD    /* not a header, or too long */
};

/* Reads a header of either version at the start of IN. TLVs are passed over: *TO_COME bytes of
 * them are not there yet, and to be thrown away. */
enum proxy_header proxy_header_read(struct buf *in, struct addr *client, struct addr *local,
                                    uint16_t *to_come);

/* Appends a header of VERSION (1 or 2) for a connection from CLIENT to LOCAL. Addresses that are
 * not of one IP family make it UNKNOWN (1) or LOCAL (2). */
void proxy_header_write(struct buf *out, int version, const struct addr *client,
                        const struct addr *local);

#endif
