/* SPDX-License-Identifier: ISC
 *
 * The table of options (proxyd/options.c) as people read it.
 *
 *   options manual < FRAME   proxyd.yaml(5): FRAME with the options in the place of the line
 *                            .\" OPTIONS
 *   options SECTION          the section, or the service of that protocol, for conf.d */
#include "options.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { WIDTH = 79 }; /* of a line of a manual's source, as mandoc -T lint has it */

/* How much of the N bytes at LINE goes on a line: up to a blank behind which nothing begins that a
 * new line would make a request. */
static size_t fold(const char *line, size_t n)
{
    if (n <= WIDTH || *line == '.')
        return n;
    for (size_t i = WIDTH; i > 0; i--)
        if (line[i] == ' ' && line[i + 1] != '.' && line[i + 1] != '\'')
            return i;
    return n;
}

static void print_options(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    options_print_manual(options, out);
    fclose(out);
    for (const char *line = text; *line;) {
        size_t n = fold(line, strcspn(line, "\n"));
        printf("%.*s\n", (int)n, line);
        line += n + 1;
    }
    free(text);
}

static void print_manual(FILE *frame)
{
    char line[1024];
    while (fgets(line, sizeof line, frame))
        if (strcmp(line, ".\\\" OPTIONS\n") == 0)
            print_options();
        else
            fputs(line, stdout);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "manual") == 0)
        print_manual(stdin);
    else if (argc != 2 || !options_print_example(argv[1], stdout))
        return EX_USAGE;
    return fflush(stdout) ? EX_IOERR : EX_OK;
}
