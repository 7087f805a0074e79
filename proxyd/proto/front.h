/* SPDX-License-Identifier: ISC
 *
 * What the fronts of IMAP, POP3, submission and ManageSieve have in common: answers, errors, a SASL
 * exchange, and how a login ended, each in the words of the protocol. Called by the fronts; what is
 * said of them in general stands in proto.h. */
#ifndef PROTO_FRONT_H
#define PROTO_FRONT_H

#include "proto/proto.h"

/* How a protocol says it. Texts are lines without their end. */
struct front_words {
    const char *unavailable; /* a mechanism that is unknown, or not allowed */
    const char *privacy;     /* a login that may not come over this line */
    const char *cancelled;   /* the client ended the exchange with "*" */
    const char *invalid;     /* a response that is none */
    const char *auth_failed, *temporary, *node_down, *busy; /* verdicts */
    const char *too_many;                                   /* failed logins: last words */
    /* Writes the line of a SASL challenge, which is base64. */
    void (*challenge)(struct buf *out, const char *base64, size_t n);
    /* Writes the node's answer to a login; NULL: as it is. */
    void (*pass_on)(const struct front *f, const struct back *b, bool refused, struct buf *out);
};

/* Writes TEXT and a line end, behind the client's tag if there is one. FRONT_MORE. */
enum front_want front_say(const struct front *f, struct buf *out, const char *text);

/* The same, and one more error. */
enum front_want front_error(struct front *f, struct buf *out, const char *text);

/* Writes the line TEXT, without a tag, and closes for REASON. */
enum front_want front_last_words(struct front *f, struct buf *out, const char *text,
                                 const char *reason);

/* Refuses a login that may not come over this line. Counted as an error, or a client could go on
 * for ever. */
enum front_want front_needs_privacy(struct front *f, const struct front_words *w, struct buf *out);

/* Begins an exchange by the mechanism NAME; RESPONSE.p NULL: without an initial response. Then, as
 * long as `f->in_exchange`, the client's next line is the RESPONSE of front_sasl. Both: FRONT_MORE,
 * FRONT_REFUSED, or FRONT_LOGIN with f->creds filled in. */
enum front_want front_authenticate(struct front *f, const struct front_words *w, struct str name,
                                   struct str response, struct buf *out);
enum front_want front_sasl(struct front *f, const struct front_words *w, struct str response,
                           struct buf *out);

/* Tells how the login ended: `answer` of struct protocol. A token mechanism's error challenge is
 * the client's to answer first: while front_is_challenged, call front_challenge_answered with his
 * next line, whatever it says (RFC 7628, 3.2.3). */
enum front_want front_answer(struct front *f, const struct front_words *w, enum verdict verdict,
                             const struct back *b, struct buf *out);
bool front_is_challenged(const struct front *f);
enum front_want front_challenge_answered(struct front *f, const struct front_words *w,
                                         struct buf *out);

#endif
