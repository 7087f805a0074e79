/* SPDX-License-Identifier: ISC
 *
 * Pieces of text: see str.h. */
#include "base/str.h"

#include <string.h>

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_same_nocase(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

bool str_starts(struct str a, const char *word)
{
    struct str w = str_of(word);
    return a.n >= w.n && str_eq_nocase((struct str){a.p, w.n}, w);
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_word(struct str *rest)
{
    size_t i = 0;
    while (i < rest->n && blank(rest->p[i]))
        i++;
    size_t from = i;
    while (i < rest->n && !blank(rest->p[i]))
        i++;
    struct str word = {rest->p + from, i - from};
    *rest = (struct str){rest->p + i, rest->n - i};
    return word;
}

bool str_line(struct str all, struct str *line, size_t *used)
{
    const char *lf = all.n ? memchr(all.p, '\n', all.n) : NULL;
    if (!lf)
        return false;
    *used = (size_t)(lf - all.p) + 1;
    *line = (struct str){all.p, *used - 1};
    if (line->n && line->p[line->n - 1] == '\r')
        line->n--;
    return true;
}

bool str_number(struct str a, uint64_t max, uint64_t *value)
{
    uint64_t v = 0;
    if (a.n == 0)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (a.p[i] < '0' || a.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(a.p[i] - '0');
        if (digit > max || v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *value = v;
    return true;
}

/* Eight bytes at a time: a top bit of `below` is 1 where a byte is below SP, one of `del` where it
 * is DEL (or only behind such a byte, which is enough here). */
static bool has_control_8(const char *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    uint64_t other = bytes ^ 0x7f * ones;
    uint64_t below = (bytes - ' ' * ones) & ~bytes, del = (other - ones) & ~other;
    return (below | del) & 0x80 * ones;
}

bool str_has_control(struct str a)
{
    size_t i = 0;
    for (; i + 8 <= a.n; i += 8)
        if (has_control_8(a.p + i))
            return true;
    for (; i < a.n; i++)
        if ((unsigned char)a.p[i] < ' ' || a.p[i] == 0x7f)
            return true;
    return false;
}

size_t str_utf8(struct str a)
{
    const unsigned char *p = (const unsigned char *)a.p;
    if (a.n && *p < 0x80)
        return 1;
    if (a.n == 0)
        return 0;
    size_t len = p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
    if (p[0] > 0xf4 || len == 0 || len > a.n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe0 && p[1] < 0xa0) ||
        (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

void str_lower(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = lower(p[i]);
}

enum { DISTANCE_MAX = 40 }; /* longer words are not compared */

unsigned str_distance(const char *a, const char *b, unsigned max)
{
    size_t la = strlen(a), lb = strlen(b);
    unsigned rows[3][DISTANCE_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    if (la > DISTANCE_MAX || lb > DISTANCE_MAX)
        return max + 1;
    for (size_t j = 0; j <= lb; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned d = last[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
            d = last[j] + 1 < d ? last[j] + 1 : d;
            d = now[j - 1] + 1 < d ? now[j - 1] + 1 : d;
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]) && before[j - 2] + 1 < d)
                d = before[j - 2] + 1;
            now[j] = d;
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[lb] > max ? max + 1 : last[lb];
}

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(char *out, const void *bytes, size_t n)
{
    const unsigned char *in = bytes;
    char *o = out;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16;
        if (i + 1 < n)
            v |= (uint32_t)in[i + 1] << 8;
        if (i + 2 < n)
            v |= in[i + 2];
        *o++ = letters[v >> 18];
        *o++ = letters[v >> 12 & 63];
        *o++ = i + 1 < n ? letters[v >> 6 & 63] : '=';
        *o++ = i + 2 < n ? letters[v & 63] : '=';
    }
    return (size_t)(o - out);
}

/* What a letter stands for, plus one; 0: nothing. */
static const unsigned char letter_values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

static int letter_value(char c)
{
    return letter_values[(unsigned char)c] - 1;
}

ssize_t base64_decode(void *out, struct str a)
{
    unsigned char *o = out;
    if (a.n % 4)
        return -1;
    for (size_t i = 0; i < a.n; i += 4) {
        bool last = i + 4 == a.n;
        unsigned pad = last && a.p[i + 3] == '=' ? (a.p[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t v = 0;
        for (unsigned k = 0; k < 4; k++) {
            int d = k >= 4 - pad ? 0 : letter_value(a.p[i + k]);
            if (d < 0)
                return -1;
            v = v << 6 | (uint32_t)d;
        }
        if (v & ((1u << (8 * pad)) - 1))
            return -1;
        *o++ = (unsigned char)(v >> 16);
        if (pad < 2)
            *o++ = (unsigned char)(v >> 8);
        if (pad < 1)
            *o++ = (unsigned char)v;
    }
    return o - (unsigned char *)out;
}
