/* SPDX-License-Identifier: ISC
 *
 * The server that takes mail from others: port 25 (RFC 5321, with STARTTLS, PIPELINING, SIZE,
 * 8BITMIME, SMTPUTF8, DSN, CHUNKING and ENHANCEDSTATUSCODES) and LMTP (RFC 2033). It reads commands
 * and answers all that hangs on no node; what does is told as a want, and the caller answers. The
 * bytes of a message do not pass here: see smtp_data.h. Called by proxyd/mail/.
 *
 * As in proto.h: a command that is not whole yet leaves the input untouched, at most one want is
 * told a call, and the caller calls again until it is MORE. */
#ifndef PROTO_SMTP_SERVER_H
#define PROTO_SMTP_SERVER_H

#include "proto/proto.h"
#include "proto/smtp_path.h"

enum smtp_want {
    SMTP_WANT_MORE,     /* more input */
    SMTP_WANT_WAIT,     /* a command has come that cannot be taken before `owed` is 0 */
    SMTP_WANT_STARTTLS, /* as FRONT_STARTTLS; then set setup.tls */
    SMTP_WANT_XCLIENT,  /* `xclient`: the client speaks for another; answered already */
    SMTP_WANT_RESET,    /* the transaction, if there is one, is over: EHLO, RSET */
    SMTP_WANT_MAIL,     /* a transaction begins: `path`, `params`; answered already */
    SMTP_WANT_RCPT,     /* a recipient: `path`, `params`. To be answered, in the order of coming */
    SMTP_WANT_DATA,     /* to be answered: 354, and then the message comes; or a refusal */
    SMTP_WANT_CHUNK,    /* `chunk` bytes of the message follow in the input, `last` or not; to be
                           answered behind them */
    SMTP_WANT_QUIT,     /* the client has said goodbye, and was answered */
    SMTP_WANT_CLOSE     /* nothing to be talked with (`reason`); last words are in OUT */
};

struct smtp_server_setup {
    const char *hostname;
    const char *capabilities; /* of the nodes, a comma between; see smtp_server_announce */
    uint64_t size_max;        /* bytes of a message; 0: any number */
    unsigned max_errors;
    bool lmtp;
    bool starttls; /* can be offered */
    bool tls;      /* is on */
    bool early;    /* the client has talked before the greeting */
    bool trusted;  /* may say XCLIENT */
};

/* A client at work. May not be moved. */
struct smtp_server {
    struct smtp_server_setup setup;
    /* ---- the caller's part: set by the caller */
    unsigned owed;     /* recipients that are not answered yet */
    unsigned accepted; /* recipients of this transaction that were */
    unsigned errors;   /* unknown or malformed commands so far; the caller counts recipients that
                          nobody can have, and begins anew when a message was taken */
    /* ---- told with a want; slices are valid until the next call, if the input is left alone */
    struct str args; /* of MAIL or RCPT, for smtp_path_mail, smtp_path_rcpt; `path` and `params` are
                        what is in there */
    struct smtp_path path;
    struct smtp_params params;
    struct smtp_xclient xclient;
    uint64_t chunk;
    bool last;
    const char *reason; /* of SMTP_WANT_CLOSE, for the log */
    /* ---- the session */
    char helo[PROTO_HELO_MAX + 1]; /* what the client calls himself; "": nothing usable */
    bool greeted;                  /* EHLO, HELO or LHLO has come */
    bool extended;                 /* it was not HELO */
    bool mail;                     /* a transaction is under way */
    bool utf8;                     /* with SMTPUTF8 */
    bool chunked;                  /* a first BDAT was taken */
    /* ---- smtp_server.c's own */
    bool talked;   /* a first line has come */
    uint64_t skip; /* bytes of a refused chunk that are still to come */
    uint32_t used; /* bytes of the command told last: taken from the input by the next call */
};

/* Begins; SETUP's strings outlive S. Writes the greeting. */
void smtp_server_start(struct smtp_server *s, const struct smtp_server_setup *setup,
                       struct buf *out);

/* Takes commands from IN, answers in OUT. */
enum smtp_want smtp_server_read(struct smtp_server *s, struct buf *in, struct buf *out);

/* Passes over the chunk that was told last. */
void smtp_server_skip(struct smtp_server *s);

/* The transaction is over, whichever way: MAIL may come. */
void smtp_server_end(struct smtp_server *s);

/* What a node is told as the name of the client: his own, or ours where that is none. */
const char *smtp_server_helo(const struct smtp_server *s);

/* Whether a client may be told that a node announced ENTRY, a line of EHLO's answer: only what can
 * be carried through here, and is not ours alone to say. */
bool smtp_server_announce(struct str entry);

#endif
