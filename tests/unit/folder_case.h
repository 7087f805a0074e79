/* SPDX-License-Identifier: ISC
 *
 * For tests that need files: a folder of the program's own, in which all its tests work, and which
 * is gone with all that is in it when the last of them ends. Nobody else may read what they write.
 * Includes cmocka. */
#ifndef FOLDER_CASE_H
#define FOLDER_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/proxyd-test-XXXXXX";

/* What cmocka_run_group_tests calls first, and last. */
static inline int folder_make(void **state)
{
    (void)state;
    umask(077);
    return !mkdtemp(folder) || chdir(folder) < 0;
}

static inline int folder_remove(void **state)
{
    char command[sizeof folder + 8];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return chdir("/") < 0 || system(command);
}

static inline void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

#endif
