/* SPDX-License-Identifier: ISC
 *
 * A message as it streams through: see smtp_data.h. Every byte is looked at in groups of 64, as
 * bit masks that say where CR, LF, NUL and dots are; line by line only the header part. */
#include "proto/smtp_data.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#else
#include <endian.h>
#endif

enum { GROUP = 64 }; /* bytes: the bits of a mask */

/* ---- where bytes are ---- */

/* Bit I stands for the byte I of a group. */
struct masks {
    uint64_t cr, lf, nul;
};

#ifdef __SSE2__

static inline __m128i load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* 16 bytes at P: those that are C. */
static inline uint64_t equal(const char *p, char c)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(load(p), _mm_set1_epi8(c)));
}

static inline bool has_nul(const char *p)
{
    __m128i least =
        _mm_min_epu8(_mm_min_epu8(load(p), load(p + 16)), _mm_min_epu8(load(p + 32), load(p + 48)));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(least, _mm_setzero_si128()));
}

#else

/* 8 bytes at P: a byte of `differ` is 0 where it is C, a top bit of `same` then 1; the
 * multiplication gathers the top bits. */
static uint64_t equal_8(const char *p, char c)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), low7 = 0x7f * ones;
    uint64_t word;
    memcpy(&word, p, sizeof word);
    uint64_t differ = le64toh(word) ^ (unsigned char)c * ones;
    uint64_t same = ~(((differ & low7) + low7) | differ | low7);
    return (same >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

/* 16 bytes at P: those that are C. */
static inline uint64_t equal(const char *p, char c)
{
    return equal_8(p, c) | equal_8(p + 8, c) << 8;
}

static inline bool has_nul(const char *p)
{
    return memchr(p, 0, GROUP);
}

#endif

static inline uint64_t mask(const char *p, char c)
{
    return equal(p, c) | equal(p + 16, c) << 16 | equal(p + 32, c) << 32 | equal(p + 48, c) << 48;
}

static inline struct masks masks_of(const char *p)
{
    return (struct masks){mask(p, '\r'), mask(p, '\n'), has_nul(p) ? mask(p, 0) : 0};
}

/* The first N bits (N <= GROUP). */
static uint64_t low(size_t n)
{
    return n < GROUP ? (UINT64_C(1) << n) - 1 : UINT64_MAX;
}

static uint64_t bit(uint64_t bits, size_t i)
{
    return bits >> i & 1;
}

/* ---- the end, and what is wrong ---- */

/* The first fault in the first N bytes of a group, when the byte before it was a CR or not. */
static enum smtp_data_fault find_fault(const struct masks *m, bool cr, size_t n)
{
    uint64_t behind_cr = m->cr << 1 | cr;
    uint64_t wrong = (m->nul | (behind_cr ^ m->lf)) & low(n);
    if (!wrong)
        return SMTP_DATA_GOOD;
    uint64_t first = wrong & -wrong;
    if (behind_cr & first)
        return SMTP_DATA_BARE_CR; /* one byte earlier */
    return m->nul & first ? SMTP_DATA_NUL : SMTP_DATA_BARE_LF;
}

enum dot { DOT_STUFFED, DOT_END, DOT_PERHAPS };

/* What a dot at the start of a line is, with what is known behind it. */
static enum dot judge_dot(struct str from_dot)
{
    size_t n = from_dot.n < SMTP_DATA_END ? from_dot.n : SMTP_DATA_END;
    if (memcmp(from_dot.p, ".\r\n", n) != 0)
        return DOT_STUFFED;
    return n == SMTP_DATA_END ? DOT_END : DOT_PERHAPS;
}

/* Looks at the N bytes at the start of a group, BYTES from there on. Returns how many of them
 * belong to the message. */
static size_t scan_group(struct smtp_data *d, const struct masks *m, size_t n, struct str bytes)
{
    uint64_t ends = (m->cr << 1 | d->cr) & m->lf & low(n), starts = ends << 1 | d->start;
    uint64_t lines = d->mode == SMTP_DATA_DOTS ? starts & low(n) : 0;
    size_t taken = n;
    for (; lines && taken == n; lines &= lines - 1) {
        size_t at = (size_t)__builtin_ctzll(lines);
        if (bytes.p[at] != '.')
            continue;
        enum dot dot = judge_dot((struct str){bytes.p + at, bytes.n - at});
        d->ended = dot == DOT_END;
        if (dot == DOT_STUFFED)
            d->size--;
        else
            taken = at;
    }
    if (d->fault == SMTP_DATA_GOOD)
        d->fault = find_fault(m, d->cr, taken);
    if (taken) {
        d->start = bit(ends, taken - 1);
        d->cr = bit(m->cr, taken - 1);
    }
    return taken;
}

static size_t scan_body(struct smtp_data *d, struct str bytes)
{
    char last[GROUP] = {0};
    size_t at = 0;
    while (at < bytes.n) {
        struct str rest = {bytes.p + at, bytes.n - at};
        size_t n = rest.n < GROUP ? rest.n : GROUP;
        if (n < GROUP)
            memcpy(last, rest.p, n);
        struct masks m = masks_of(n < GROUP ? last : rest.p);
        size_t taken = scan_group(d, &m, n, rest);
        at += taken;
        if (taken < n)
            break;
    }
    return at;
}

/* ---- the header part ---- */

static const char name[] = "received:";

/* Values of `matched`: bytes of the name at the start of this line, or one of these. */
enum { MATCHED_ALL = sizeof name - 1, MATCHED_NOT, MATCHED_EMPTY }; /* EMPTY: only a CR so far */

/* What is matched when C follows. */
static unsigned match(unsigned matched, char c)
{
    if (matched == 0 && c == '\r')
        return MATCHED_EMPTY;
    char small = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    return small == name[matched] ? matched + 1 : MATCHED_NOT;
}

/* Most lines are passed over when their first byte was looked at. */
static void scan_header(struct smtp_data *d, const char *p, const char *end)
{
    while (d->header && p < end) {
        while (p < end && *p != '\n' && d->matched < MATCHED_ALL)
            d->matched = match(d->matched, *p++);
        if (d->matched == MATCHED_ALL) {
            d->received++;
            d->matched = MATCHED_NOT;
        }
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        if (!lf)
            return;
        d->header = d->matched != MATCHED_EMPTY;
        d->matched = 0;
        p = lf + 1;
    }
}

/* ---- the message ---- */

void smtp_data_start(struct smtp_data *d, enum smtp_data_mode mode)
{
    *d = (struct smtp_data){.mode = mode, .header = true, .start = true};
}

size_t smtp_data_scan(struct smtp_data *d, struct str bytes)
{
    size_t n = d->mode == SMTP_DATA_BINARY ? bytes.n : scan_body(d, bytes);
    d->size += n;
    scan_header(d, bytes.p, bytes.p + n);
    return n;
}

void smtp_data_finish(struct smtp_data *d)
{
    if (d->cr && d->fault == SMTP_DATA_GOOD)
        d->fault = SMTP_DATA_BARE_CR;
}

/* ---- dots ---- */

/* Line by line. A dot that was seen to makes its line one that we are inside of. */
static size_t convert(struct smtp_dots *s, struct str *in, char *out, size_t size, bool stuff)
{
    size_t written = 0;
    while (in->n && written < size) {
        size_t left = size - written, n = in->n < left ? in->n : left;
        if (!s->inside && *in->p == '.') {
            s->inside = true;
            if (stuff)
                out[written++] = '.';
            else
                *in = (struct str){in->p + 1, in->n - 1};
            continue;
        }
        const char *lf = memchr(in->p, '\n', n);
        if (lf)
            n = (size_t)(lf - in->p) + 1;
        memmove(out + written, in->p, n);
        written += n;
        *in = (struct str){in->p + n, in->n - n};
        s->inside = !lf;
    }
    return written;
}

size_t smtp_data_stuff(struct smtp_dots *s, struct str *in, char *out, size_t size)
{
    return convert(s, in, out, size, true);
}

size_t smtp_data_stuff_end(const struct smtp_dots *s, char *out)
{
    size_t n = s->inside ? 2 : 0;
    memcpy(out, "\r\n", n);
    memcpy(out + n, ".\r\n", 3);
    return n + 3;
}

size_t smtp_data_unstuff(struct smtp_dots *s, struct str *in, char *out, size_t size)
{
    return convert(s, in, out, size, false);
}
