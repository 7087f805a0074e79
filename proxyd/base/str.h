/* SPDX-License-Identifier: ISC
 *
 * Pieces of text: slices that own nothing, comparing, numbers, base64. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* N bytes at P; not NUL-terminated, not owned. */
struct str {
    const char *p;
    size_t n;
};

/* A list of strings; ended by its count. */
struct strings {
    char **list;
    size_t count;
};

/* A literal as an initializer. */
#define STR(literal)                                                                               \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static inline struct str str_of(const char *text)
{
    return (struct str){text, strlen(text)};
}

bool str_eq(struct str a, struct str b);

/* Equal but for ASCII case: N bytes, two slices, a slice and a C string. */
bool str_same_nocase(const char *a, const char *b, size_t n);

static inline bool str_eq_nocase(struct str a, struct str b)
{
    return a.n == b.n && str_same_nocase(a.p, b.p, a.n);
}

static inline bool str_is(struct str a, const char *word)
{
    return str_eq_nocase(a, str_of(word));
}

/* Begins with WORD, but for ASCII case. */
bool str_starts(struct str a, const char *word);

/* Cuts the first word off *REST: skips blanks, takes up to the next blank (SP or HT) or the end. */
struct str str_word(struct str *rest);

/* The line at the start of ALL without its CR LF or LF; *USED is what it takes with them.
 * False while there is no LF yet. */
bool str_line(struct str all, struct str *line, size_t *used);

/* Decimal digits only, value at most MAX; false for anything else. */
bool str_number(struct str a, uint64_t max, uint64_t *value);

/* True when a byte is a control character (below SP, or DEL): in a login or password it makes
 * the login fail. */
bool str_has_control(struct str a);

/* Bytes of the UTF-8 character that A begins with (RFC 3629); 0 where it begins with none. C1
 * controls (U+0080 to U+009F) count as none: terminals obey them. */
size_t str_utf8(struct str a);

/* Lower-cases ASCII letters in place. */
void str_lower(char *p, size_t n);

/* How unlike two words are: changes of a letter (insert, delete, replace, swap), at most MAX + 1.
 */
unsigned str_distance(const char *a, const char *b, unsigned max);

/* RFC 4648 section 4. Bytes that base64_encode needs for N, with no NUL at the end. */
static inline size_t base64_size(size_t n)
{
    return (n + 2) / 3 * 4;
}
size_t base64_encode(char *out, const void *bytes, size_t n);

/* Strict: padding needed, no white space, unused bits zero. Writes at most A.n / 4 * 3 bytes to OUT
 * (which may be A's own memory) and returns their number, or -1. */
ssize_t base64_decode(void *out, struct str a);

#endif
