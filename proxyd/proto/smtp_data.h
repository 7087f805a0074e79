/* SPDX-License-Identifier: ISC
 *
 * A message as it streams through: finds its end, says what must not be passed on, counts; and
 * takes and puts the dots where only one side speaks BDAT. Bytes are looked at where they lie and
 * are kept nowhere; lines may have any length. Called by whatever carries messages in this folder.
 *
 *     n = smtp_data_scan(&d, buf_str(in));
 *     ... pass the N bytes on, unless d.fault ...; buf_take(in, n);
 *     if (d.ended) buf_take(in, SMTP_DATA_END);
 *
 * Our own Received field belongs in front of the first of these bytes, whatever it is. */
#ifndef PROTO_SMTP_DATA_H
#define PROTO_SMTP_DATA_H

#include "base/str.h"

enum {
    SMTP_DATA_END = 3,       /* bytes of the end: the CR LF before the dot is the message's own */
    SMTP_DATA_STUFF_END = 5, /* bytes that smtp_data_stuff_end writes at most */
};

enum smtp_data_mode {
    SMTP_DATA_DOTS,   /* DATA: dots are doubled, and CR LF . CR LF ends it (RFC 5321, 4.5.2) */
    SMTP_DATA_CHUNKS, /* BDAT: the chunks of one message, one behind the other (RFC 3030) */
    SMTP_DATA_BINARY  /* the same with BODY=BINARYMIME: anything may be in it */
};

/* What makes a message one that no two servers read alike. */
enum smtp_data_fault { SMTP_DATA_GOOD, SMTP_DATA_BARE_CR, SMTP_DATA_BARE_LF, SMTP_DATA_NUL };

struct smtp_data {
    enum smtp_data_mode mode;
    enum smtp_data_fault fault; /* the first; stays */
    bool ended;                 /* SMTP_DATA_DOTS: the end follows the bytes that were taken last */
    uint64_t size;              /* bytes of the message, as RFC 1870 counts: without the dots that
                                   are not its own, and without the end */
    bool header;                /* in the header part still: the first empty line has not come */
    unsigned received;          /* Received fields in the header part. Lines are not told apart
                                   exactly where a CR or LF is bare */
    bool start, cr;             /* the scan's own: the last byte taken ended a line; was a CR */
    unsigned matched;           /* the same for the header part: see smtp_data.c */
};

/* Behind the 354, or before the first chunk. */
void smtp_data_start(struct smtp_data *d, enum smtp_data_mode mode);

/* Looks at the next bytes and returns how many of them belong to the message. With SMTP_DATA_DOTS
 * that is up to the end (`ended`: SMTP_DATA_END bytes more, then the next command), else all but at
 * most two that may be the end's (bring them again with what comes behind them); nothing may be
 * scanned behind the end. In the other modes it is all of them.
 *
 * As soon as there is a fault, bytes are only read away: what was passed on before has no end, and
 * must get none. Only CR LF . CR LF (or . CR LF at once) is the end, with a fault or without. */
size_t smtp_data_scan(struct smtp_data *d, struct str bytes);

/* Behind the last byte of the last chunk: notes a CR that has no LF any more. Not for
 * SMTP_DATA_DOTS. */
void smtp_data_finish(struct smtp_data *d);

/* ---- dots ---- */

/* Bytes on their way from one form to the other: only such as were scanned without a fault, and not
 * of SMTP_DATA_BINARY. Start with {0}. */
struct smtp_dots {
    bool inside; /* a line was begun and not ended */
};

/* From BDAT to DATA: takes bytes off *IN and writes them to OUT (SIZE bytes), dots doubled, until
 * one of both is at its end. Returns the bytes written. */
size_t smtp_data_stuff(struct smtp_dots *s, struct str *in, char *out, size_t size);

/* The end of what was stuffed, with a CR LF of its own where the message had none: writes at most
 * SMTP_DATA_STUFF_END bytes to OUT, returns how many. */
size_t smtp_data_stuff_end(const struct smtp_dots *s, char *out);

/* From DATA to BDAT: the same with the doubled dots single again. OUT may be where *IN lies. */
size_t smtp_data_unstuff(struct smtp_dots *s, struct str *in, char *out, size_t size);

#endif
