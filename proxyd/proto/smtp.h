/* SPDX-License-Identifier: ISC
 *
 * SMTP (RFC 5321) for all who speak it here: the words and lines that a server reads and a client
 * hears, and submission (RFC 6409) before the login, both sides: what protocol.c puts into its row
 * (those contracts are those of struct protocol in proto.h). */
#ifndef PROTO_SMTP_H
#define PROTO_SMTP_H

#include "proto/proto.h"

enum {
    SMTP_COMMAND_MAX = 512, /* bytes of a command with its CR LF that everybody takes (4.5.3.1.4) */
    SMTP_EXTENDED_MAX = 2048 /* of one with the parameters of extensions, without */
};

/* ---- lines ---- */

enum smtp_verb {
    SMTP_AUTH,
    SMTP_BDAT,
    SMTP_DATA,
    SMTP_EHLO,
    SMTP_ETRN,
    SMTP_EXPN,
    SMTP_HELO,
    SMTP_HELP,
    SMTP_LHLO,
    SMTP_MAIL,
    SMTP_NOOP,
    SMTP_QUIT,
    SMTP_RCPT,
    SMTP_RSET,
    SMTP_STARTTLS,
    SMTP_VRFY,
    SMTP_XCLIENT,
    SMTP_UNKNOWN
};

/* The command at the start of LINE, which has no CR LF any more; *ARGS is what stands behind it,
 * without blanks around. */
enum smtp_verb smtp_command(struct str line, struct str *args);

/* Whether a client's NAME may be said to others: a host name, or an address in brackets. */
bool smtp_is_helo(struct str name);

/* A line of a reply (4.2). */
struct smtp_reply {
    unsigned code; /* 200 to 599 */
    bool more;     /* another line follows */
    struct str text;
};

/* Takes LINE, which has no CR LF any more, apart; false when it is not one of a reply. */
bool smtp_reply(struct str line, struct smtp_reply *r);

/* Whether there is in LINE what no line of a reply has: a control character other than a tab. */
bool smtp_has_control(struct str line);

/* Makes the last line of a reply to EHLO ("250-" and a capability, each) its end. */
void smtp_end_list(struct buf *out);

/* ---- submission ---- */

void smtp_greet(struct front *f, struct buf *out);
enum front_want smtp_read(struct front *f, struct buf *in, struct buf *out);
enum front_want smtp_answer(struct front *f, enum verdict verdict, const struct back *b,
                            struct buf *out);
void smtp_goodbye(struct buf *out, const char *text);

/* Of submission and of port 25; the second where the node speaks LMTP (RFC 2033). */
enum back_want smtp_back_read(struct back *b, struct buf *in, struct buf *out);
enum back_want lmtp_back_read(struct back *b, struct buf *in, struct buf *out);

/* ENTRY is a whole line of EHLO's answer, with its parameters. */
bool smtp_announce(struct str entry);

#endif
