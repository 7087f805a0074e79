/* SPDX-License-Identifier: ISC
 *
 * What is wrong with what an operator wrote: a list of problems, each with its place. */
#ifndef BASE_PROBLEM_H
#define BASE_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A place in a file; line and column count from 1, 0: not known. FILE is not owned. */
struct place {
    const char *file;
    unsigned line, column;
};

struct problem {
    char *file;
    unsigned line, column;
    bool warning; /* else an error */
    char *message;
};

enum { PROBLEMS_MAX = 1000 }; /* more are counted, not kept */

struct problems {
    struct problem *list;
    size_t count, kept;
    size_t errors; /* how many of COUNT are no warnings */
};

/* Adds a problem; file and message are copied. */
void problem_error(struct problems *p, struct place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void problem_warning(struct problems *p, struct place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "FILE:LINE:COLUMN: error: MESSAGE" (what is 0 left out), escaped to one line. Returned text is
 * the caller's to free. */
char *problem_text(const struct problem *p);

/* Every problem one a line, in the order in which they were found. */
void problems_print(const struct problems *p, FILE *out);

void problems_free(struct problems *p);

#endif
