/* SPDX-License-Identifier: ISC
 *
 * IMAP (RFC 9051, RFC 3501) before the login, both sides: what protocol.c puts into its row. The
 * contracts are those of struct protocol in proto.h. */
#ifndef PROTO_IMAP_H
#define PROTO_IMAP_H

#include "proto/proto.h"

void imap_greet(struct front *f, struct buf *out);
enum front_want imap_read(struct front *f, struct buf *in, struct buf *out);
enum front_want imap_answer(struct front *f, enum verdict verdict, const struct back *b,
                            struct buf *out);
void imap_goodbye(struct buf *out, const char *text);

enum back_want imap_back_read(struct back *b, struct buf *in, struct buf *out);
bool imap_announce(struct str word);

#endif
