/* SPDX-License-Identifier: ISC
 *
 * HTTP as a protocol of nodes: what a connection needs before requests go over it (nothing), and a
 * health check. The requests themselves are web/'s. */
#ifndef PROTO_HTTP_H
#define PROTO_HTTP_H

#include "proto/proto.h"

/* A check asks for the head of `/` (RFC 9110, 9.3.2) and takes every answer as a sign of life: what
 * a node says to clients is its own business. With credentials, as a request's connection has
 * them, it is BACK_OK at once. */
enum back_want http_back_read(struct back *b, struct buf *in, struct buf *out);

/* Nodes announce nothing. */
bool http_announce(struct str word);

/* 503, in answer to whatever was or will be asked. */
void http_goodbye(struct buf *out, const char *text);

/* The same to a client that is not let in; RATE: 429 (RFC 6585, 4). */
void http_turn_away(struct buf *out, const char *text, bool rate);

#endif
