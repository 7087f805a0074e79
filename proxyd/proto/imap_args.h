/* SPDX-License-Identifier: ISC
 *
 * The words of one IMAP command, which may stand on several lines with literals between them
 * (RFC 9051, 4.3, RFC 7888). Nothing is kept between two calls but how many continuations were
 * sent: a command that is not whole is parsed again from its start. Called by imap_front.c. */
#ifndef PROTO_IMAP_ARGS_H
#define PROTO_IMAP_ARGS_H

#include "proto/proto.h"

enum imap_parse {
    IMAP_PARSE_OK,
    IMAP_PARSE_MORE,   /* not whole yet */
    IMAP_PARSE_BAD,    /* not what was expected */
    IMAP_PARSE_TOOBIG, /* a literal that is larger than a command may be */
    IMAP_PARSE_LONG,   /* a line, or all of the command, is too long */
    IMAP_PARSE_PLUS,   /* a non-synchronising literal that is larger than was announced */
    IMAP_PARSE_UNASKED /* a literal stands here that would have to be asked for */
};

struct imap_args {
    char *in; /* the input, from the start of the command, and what came behind it */
    size_t n;
    size_t used;            /* of it, up to the end of the present line with its CR LF */
    struct str line;        /* what is not parsed yet of the present line */
    unsigned *continued;    /* continuations sent for this command */
    unsigned synchronising; /* literals so far that wait for one */
    bool ask;               /* send continuations */
    const char *announced;  /* capabilities */
    struct buf *out;        /* where to */
};

/* A string as it stands in the input. */
struct imap_string {
    char *p;
    size_t n;
    bool quoted; /* its escapes are still in it */
};

/* Takes the first line. The whole command with its literals is at most PROTO_LINE_MAX bytes and a
 * line end. */
enum imap_parse imap_args_begin(struct imap_args *a);

/* Cuts off what stands before the next space, or all. */
struct str imap_args_word(struct imap_args *a);

/* Takes the character C; false if another one stands there, or none. */
bool imap_args_char(struct imap_args *a, char c);

/* Takes an astring: an atom (of any bytes but SP ( ) { and "), a quoted string or a literal. */
enum imap_parse imap_args_string(struct imap_args *a, struct imap_string *s);

/* Whether nothing is left. */
bool imap_args_end(const struct imap_args *a);

/* Whether the present line ends with the size of a non-synchronising literal, so that the bytes of
 * one follow, whatever we say. */
bool imap_args_literal_follows(const struct imap_args *a);

/* The text of S, its escapes removed in place: only when the command is whole. */
struct str imap_string_text(struct imap_string *s);

#endif
