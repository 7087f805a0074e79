/* SPDX-License-Identifier: ISC
 *
 * The words of ManageSieve (RFC 5804, 4.), which client and server build their commands and answers
 * of: atoms, quoted strings and literals. What one side says at a time, here a unit, is a line; a
 * line that ends in the size of a literal goes on with its bytes and another line. Called by
 * sieve_front.c and sieve_back.c. */
#ifndef PROTO_SIEVE_WORDS_H
#define PROTO_SIEVE_WORDS_H

#include "base/buf.h"
#include "base/str.h"

enum {
    SIEVE_QUOTED_MAX = 1024 /* bytes of a quoted string; longer ones are literals (RFC 5804, 4.) */
};

enum sieve_unit {
    SIEVE_WHOLE, /* *USED bytes, its last line end among them */
    SIEVE_MORE,  /* its end has not come yet; all bytes so far belong to it */
    SIEVE_LONG   /* has more bytes than PROTO_LINE_MAX and a line end, or says that it will */
};

/* Finds the unit at the start of ALL. Of a client literals have a plus, {5+}; of a server they may
 * have one: elsewhere a size in braces is no literal. */
enum sieve_unit sieve_unit(struct str all, bool client, size_t *used);

struct sieve_string {
    struct str text; /* in a quoted one the escapes are still in it */
    bool quoted;
};

/* Cut a word, or a string, off the start of REST (of a whole unit) with the blanks before it; false
 * and nothing cut if something else stands there. A word has no brackets, quotes or braces. */
bool sieve_word(struct str *rest, struct str *word);
bool sieve_string(struct str *rest, struct sieve_string *s);

/* Whether nothing but the line end is left. */
bool sieve_end(struct str rest);

/* Whether TEXT may stand between quotes as it is: no quote, no backslash, no control character. */
bool sieve_is_quotable(struct str text);

/* Appends what is needed before and behind N bytes of a string, which are quotable: quotes or,
 * where they are too many, a literal's size (a client's has the plus). */
void sieve_open(struct buf *out, size_t n, bool client);
void sieve_close(struct buf *out, size_t n);

#endif
