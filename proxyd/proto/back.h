/* SPDX-License-Identifier: ISC
 *
 * What the backs of IMAP, POP3, SMTP and ManageSieve have in common. Called by the backs; what is
 * said of them in general stands in proto.h. */
#ifndef PROTO_BACK_H
#define PROTO_BACK_H

#include "proto/proto.h"

/* Writes COMMAND; its answer comes in STATE. BACK_MORE. */
enum back_want back_say(struct back *b, struct buf *out, unsigned state, const char *command);

/* The mechanisms (bits 1u << SASL_*) among NAMES, which have blanks between them. */
unsigned back_mechanisms(struct str names);

/* Takes lines from IN, as long as WANT is BACK_MORE: ON_LINE gets each without its end and tells
 * what is wanted then, which is returned. Lines are PROTO_LINE_MAX bytes at most with their end:
 * a longer one, and a full OUT, is the node's failure. */
enum back_want back_read_lines(struct back *b, enum back_want want, struct buf *in, struct buf *out,
                               enum back_want (*on_line)(struct back *b, struct str line,
                                                         struct buf *out));

#endif
