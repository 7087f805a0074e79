/* SPDX-License-Identifier: ISC
 *
 * POP3 (RFC 1939, RFC 2449) before the login, both sides: what protocol.c puts into its row. The
 * contracts are those of struct protocol in proto.h. */
#ifndef PROTO_POP3_H
#define PROTO_POP3_H

#include "proto/proto.h"

void pop3_greet(struct front *f, struct buf *out);
enum front_want pop3_read(struct front *f, struct buf *in, struct buf *out);
enum front_want pop3_answer(struct front *f, enum verdict verdict, const struct back *b,
                            struct buf *out);
void pop3_goodbye(struct buf *out, const char *text);

enum back_want pop3_back_read(struct back *b, struct buf *in, struct buf *out);

/* ENTRY is a whole line of CAPA's answer, with its parameters. */
bool pop3_announce(struct str entry);

#endif
