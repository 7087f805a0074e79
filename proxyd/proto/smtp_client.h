/* SPDX-License-Identifier: ISC
 *
 * The client that hands mail to a node, by SMTP (RFC 5321) or LMTP (RFC 2033), one transaction
 * after the other: writes commands, pipelined where the node announced that (RFC 2920), and tells
 * its replies in the order in which they are awaited. It begins where smtp_back.c has ended, behind
 * EHLO or LHLO. The bytes of a message do not pass here. Called by proxyd/mail/.
 *
 * A node that says what nobody has asked for, or what is no reply, is broken: nothing that it says
 * can be believed then. */
#ifndef PROTO_SMTP_CLIENT_H
#define PROTO_SMTP_CLIENT_H

#include "base/buf.h"
#include "proto/smtp_path.h"

enum { SMTP_REPLY_MAX = 4096 }; /* bytes of a reply, with all its lines */

/* What a node announced: bits. */
enum smtp_can {
    SMTP_CAN_PIPELINING = 1u << 0,
    SMTP_CAN_SIZE = 1u << 1,
    SMTP_CAN_8BITMIME = 1u << 2,
    SMTP_CAN_SMTPUTF8 = 1u << 3,
    SMTP_CAN_DSN = 1u << 4,
    SMTP_CAN_CHUNKING = 1u << 5
};

/* Replies in the order in which they come. */
enum smtp_awaited {
    SMTP_AWAITED_RSET,
    SMTP_AWAITED_MAIL,
    SMTP_AWAITED_RCPT,
    SMTP_AWAITED_DATA,
    SMTP_AWAITED_CHUNK, /* of a BDAT that was not the last */
    SMTP_AWAITED_FINAL, /* of a message: LMTP has one for each recipient that was accepted */
    SMTP_AWAITED_COUNT
};

enum smtp_told {
    SMTP_TOLD_NONE,  /* more input is needed */
    SMTP_TOLD_REPLY, /* `awaited`, `code`, `reply` */
    SMTP_TOLD_BROKEN /* `error` says why, in a few words */
};

/* A node at work. May not be moved. */
struct smtp_client {
    unsigned can;
    unsigned waiting[SMTP_AWAITED_COUNT]; /* replies that are still to come, of each kind */
    /* ---- the reply told last */
    enum smtp_awaited awaited;
    unsigned code;
    struct buf reply; /* all its lines, with CR LF */
    const char *error;
    char reply_space[512];
};

/* Begins with a node that announced CAPABILITIES (struct back has them); free gives back what C
 * holds. */
void smtp_client_init(struct smtp_client *c, struct str capabilities);
void smtp_client_free(struct smtp_client *c);

/* Replies that are still to come. */
unsigned smtp_client_waiting(const struct smtp_client *c);

/* Whether a command may be sent now: nothing is awaited, or the node takes pipelined ones. */
bool smtp_client_may_send(const struct smtp_client *c);

/* Write a command to OUT: MAIL and RCPT with those of PARAMS that the node understands. AUTH= is
 * for nobody: who said it was not authenticated. */
void smtp_client_rset(struct smtp_client *c, struct buf *out);
void smtp_client_mail(struct smtp_client *c, struct buf *out, const struct smtp_path *sender,
                      const struct smtp_params *params);
void smtp_client_rcpt(struct smtp_client *c, struct buf *out, const struct smtp_path *recipient,
                      const struct smtp_params *params);
void smtp_client_data(struct smtp_client *c, struct buf *out);

/* The head of a chunk of SIZE bytes, of the last one with FINALS replies to come. */
void smtp_client_chunk(struct smtp_client *c, struct buf *out, uint64_t size, bool last,
                       unsigned finals);

/* The end of DATA was written: FINALS replies are to come. */
void smtp_client_sent(struct smtp_client *c, unsigned finals);

/* Takes a whole reply from IN, where there is one. */
enum smtp_told smtp_client_read(struct smtp_client *c, struct buf *in);

#endif
