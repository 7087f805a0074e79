/* SPDX-License-Identifier: ISC
 *
 * ManageSieve (RFC 5804) before the login, both sides: what protocol.c puts into its row. The
 * contracts are those of struct protocol in proto.h. */
#ifndef PROTO_SIEVE_H
#define PROTO_SIEVE_H

#include "proto/proto.h"

void sieve_greet(struct front *f, struct buf *out);
enum front_want sieve_read(struct front *f, struct buf *in, struct buf *out);
enum front_want sieve_answer(struct front *f, enum verdict verdict, const struct back *b,
                             struct buf *out);
void sieve_goodbye(struct buf *out, const char *text);

enum back_want sieve_back_read(struct back *b, struct buf *in, struct buf *out);

/* ENTRY is a name with one of its values, or with all ("SIEVE fileinto", "VERSION 1.0"). */
bool sieve_announce(struct str entry);

#endif
