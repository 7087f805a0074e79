/* SPDX-License-Identifier: ISC
 *
 * The table of options (proxyd/options.c) as people read it.
 *
 *   options manual < FRAME   proxyd.yaml(5): FRAME with the options in the place of the line
 *                            .\" OPTIONS
 *   options SECTION          the section, or the service of that protocol, for conf.d */
#include "options.h"

#include <string.h>
#include <sysexits.h>

static void print_manual(FILE *frame)
{
    char line[1024];
    while (fgets(line, sizeof line, frame))
        if (strcmp(line, ".\\\" OPTIONS\n") == 0)
            options_print_manual(options, stdout);
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
