/* SPDX-License-Identifier: ISC
 *
 * Whose turn it is, after the login: whether a session is between two answers, where a line of ours
 * cuts nothing in two. Nothing is read there any more, but short pieces of what is carried pass by,
 * and are looked at once, at their ends mostly. What has passed unseen, or might be the inside of a
 * literal or of a mail, is no such place: in doubt it is better to say nothing. */
#ifndef PROTO_TURN_H
#define PROTO_TURN_H

#include "base/str.h"

#include <stdbool.h>

enum { TURN_TAG_MAX = 31 }; /* bytes of an IMAP tag that is remembered */

/* How many lines the node's answer has. */
enum turn_lines { TURN_LINES_UNKNOWN, TURN_LINES_ONE, TURN_LINES_MANY };

struct turn {
    bool owed;        /* the node has been asked something, and has not answered */
    bool open;        /* an answer has begun and is not whole */
    bool doubt;       /* the node's last words may be within something */
    bool blind;       /* nothing can be known any more */
    bool asked_whole; /* the client's last piece ended with a line */
    bool told_whole;  /* the node's did */
    bool idle;        /* IMAP: the last command was IDLE */
    bool begun;       /* POP3: the answer has begun */
    enum turn_lines lines;
    char tag[TURN_TAG_MAX + 1]; /* IMAP: of the last command, or "" */
};

/* A session after its login. */
void turn_start(struct turn *t);

/* Whether nothing would be cut in two, as far as what was passed on goes. */
static inline bool turn_is_between(const struct turn *t)
{
    return t->told_whole && !t->open && !t->doubt && !t->blind;
}

/* Whether, besides, the client is about nothing: he waits for no answer. */
static inline bool turn_is_over(const struct turn *t)
{
    return turn_is_between(t) && !t->owed;
}

/* Bytes that nobody has seen went to the node, or came from it. */
void turn_asked_unseen(struct turn *t);
void turn_told_unseen(struct turn *t);

/* Of each protocol: PIECE (not empty) went to the node; came from it. */
void turn_imap_asked(struct turn *t, struct str piece);
void turn_imap_told(struct turn *t, struct str piece);
void turn_pop3_asked(struct turn *t, struct str piece);
void turn_pop3_told(struct turn *t, struct str piece);
void turn_smtp_asked(struct turn *t, struct str piece);
void turn_smtp_told(struct turn *t, struct str piece);
void turn_sieve_asked(struct turn *t, struct str piece);
void turn_sieve_told(struct turn *t, struct str piece);

#endif
