/* SPDX-License-Identifier: ISC
 *
 * Regular expressions of a map file: see map_pattern.h. glibc's regcomp makes copies of what is
 * repeated, and copies of the copies: (((a+)+)+)+ and ((a{99}){99}){99} grow beyond all bounds, so
 * that the size is reckoned first. */
#include "maps/map_pattern.h"

#include <stdlib.h>
#include <string.h>

enum {
    PIECES_MAX = 1000, /* characters, bracket expressions and groups, with their copies */
    DEPTH_MAX = 64     /* parentheses in parentheses */
};

/* The size of what was read so far. */
struct size {
    unsigned long pieces[DEPTH_MAX + 1]; /* in each parenthesis that is still open */
    unsigned depth;
    unsigned long last; /* of the piece that a repetition repeats */
};

static void add(struct size *s, unsigned long pieces)
{
    s->last = pieces;
    s->pieces[s->depth] += pieces;
}

static void repeat(struct size *s, unsigned long copies)
{
    s->pieces[s->depth] += s->last * (copies - 1);
    s->last *= copies;
}

/* P stands at a `{`. Returns where the interval ends. */
static const char *repeat_interval(struct size *s, const char *p)
{
    char *end;
    unsigned long least = strtoul(p + 1, &end, 10);
    unsigned long most = *end == ',' ? strtoul(end + 1, &end, 10) : least;
    least = least > PIECES_MAX ? PIECES_MAX : least;
    most = most > PIECES_MAX ? PIECES_MAX + 1 : most;
    repeat(s, most > least ? most : least + 1); /* {2,}: twice and once more */
    return *end == '}' ? end : end - 1;
}

/* P stands at a `[`. Returns where the bracket expression ends. */
static const char *bracket_end(const char *p)
{
    p += p[1] == '^' ? 2 : 1;
    p += *p == ']';
    for (; *p && *p != ']'; p++) {
        if (*p != '[' || !p[1] || !strchr(".=:", p[1]))
            continue;
        const char close[] = {p[1], ']', 0}, *end = strstr(p + 2, close);
        p = end ? end + 1 : p;
    }
    return *p ? p : p - 1;
}

/* What is wrong with TEXT that regcomp would not say, or NULL. */
static const char *fault(const char *text)
{
    struct size s = {0};
    for (const char *p = text; *p; p++) {
        switch (*p) {
        case '(':
            if (s.depth == DEPTH_MAX)
                return "has too many parentheses";
            s.pieces[++s.depth] = s.last = 0;
            break;
        case ')':
            if (s.depth > 0)
                s.depth--;
            add(&s, s.pieces[s.depth + 1] + 1);
            break;
        case '*':
        case '?':
            break; /* no copies */
        case '+':
            repeat(&s, 2);
            break;
        case '{':
            p = repeat_interval(&s, p);
            break;
        case '[':
            p = bracket_end(p);
            add(&s, 1);
            break;
        case '\\':
            if (p[1] >= '1' && p[1] <= '9')
                return "has a back-reference, which is not possible here";
            p += p[1] != 0;
            add(&s, 1);
            break;
        default:
            add(&s, 1);
        }
        if (s.pieces[s.depth] > PIECES_MAX)
            return "repeats too much";
    }
    return NULL;
}

bool map_pattern_compile(regex_t *regex, const char *text, struct problems *problems,
                         struct place at)
{
    const char *why = fault(text);
    if (why) {
        problem_error(problems, at, "the regular expression %s", why);
        return false;
    }
    int error = regcomp(regex, text, REG_EXTENDED | REG_NOSUB | REG_ICASE);
    if (error) {
        char message[128];
        regerror(error, regex, message, sizeof message);
        problem_error(problems, at, "the regular expression: %s", message);
    }
    return error == 0;
}
