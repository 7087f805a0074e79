/* SPDX-License-Identifier: ISC
 *
 * The files of conf.d say of every option what the table says: name, help, bounds, default. Behind
 * a comment at its top, a file is what `options SECTION` prints (scripts/options.c). */
#include "base/file.h"
#include "base/mem.h"
#include "config.h"
#include "options.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER "conf.d"

static char *expected(const char *section)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    bool known = options_print_example(section, out);
    fclose(out);
    if (!known)
        fail_msg("%s: there is no such section or protocol", section);
    return text;
}

/* What follows the comment at the top and an empty line. */
static const char *behind_comment(const char *text)
{
    while (*text == '#')
        text += strcspn(text, "\n") + 1;
    return *text == '\n' ? text + 1 : text;
}

/* "10-global.yaml" -> "global" */
static char *section_of(const char *file)
{
    const char *dash = strchr(file, '-');
    assert_non_null(dash);
    return xstrndup(dash + 1, strcspn(dash + 1, "."));
}

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void every_file_is_as_the_table_says(void **state)
{
    struct dirent **entries;
    int count = scandir(FOLDER, &entries, is_file, alphasort);
    (void)state;
    assert_true(count > 0); /* run from the top of the repository */
    for (int i = 0; i < count; i++) {
        size_t n;
        char *path = xasprintf(FOLDER "/%s", entries[i]->d_name);
        char *section = section_of(entries[i]->d_name), *want = expected(section);
        char *text = file_read(path, 1 << 20, &n);
        assert_non_null(text);
        if (strcmp(behind_comment(text), want) != 0)
            fail_msg("%s is not as the table of options says: see `options %s`", path, section);
        free(text);
        free(want);
        free(section);
        free(path);
        free(entries[i]);
    }
    free(entries);
}

static bool has_file(const char *section)
{
    struct dirent **entries;
    bool found = false;
    int count = scandir(FOLDER, &entries, is_file, alphasort);
    for (int i = 0; i < count; i++) {
        char *name = section_of(entries[i]->d_name);
        found |= strcmp(name, section) == 0;
        free(name);
        free(entries[i]);
    }
    free(entries);
    return found;
}

static void every_section_has_a_file(void **state)
{
    (void)state;
    for (const struct option *o = options; o->type; o++)
        assert_true(strcmp(o->key, "services") == 0 || has_file(o->key));
    for (const struct protocol *const *p = protocol_all(); *p; p++)
        assert_true(has_file((*p)->name));
}

/* As an operator has it who takes all the comment signs before options away. */
static char *uncomment(const char *text)
{
    char *all = xstrdup(text), *to = all;
    for (const char *c = text; *c;) {
        size_t blanks = strspn(c, " "), line = strcspn(c, "\n");
        bool option = c[blanks] == '#' && c[blanks + 1] != ' ';
        memcpy(to, c, blanks);
        to += blanks;
        memcpy(to, c + blanks + option, line - blanks - option);
        to += line - blanks - option;
        c += line + (c[line] == '\n');
        *to++ = '\n';
    }
    *to = 0;
    return all;
}

/* The only thing wrong then is that files are missing, and what hangs on them. */
static void uncommented(const char *service)
{
    char folder[] = "/tmp/proxyd-test-XXXXXX";
    struct problems problems = {0};
    assert_non_null(mkdtemp(folder));
    char *path = xasprintf("%s/all.yaml", folder);
    FILE *out = fopen(path, "w");
    const char *const sections[] = {"global", "log",  "tls",   "admin",
                                    "ldap",   "maps", "nodes", service};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        char *commented = expected(sections[i]), *text = uncomment(commented);
        fputs(text, out);
        free(commented);
        free(text);
    }
    fclose(out);
    struct config *config = config_load(path, &problems);
    for (size_t i = 0; i < problems.kept; i++) {
        const struct problem *p = &problems.list[i];
        if (!p->warning && !strstr(p->message, "cannot read") && !strstr(p->message, "no user"))
            fail_msg("line %u: %s", p->line, p->message);
    }
    if (config)
        config_unref(config);
    problems_free(&problems);
    unlink(path);
    rmdir(folder);
    free(path);
}

static void options_can_be_uncommented(void **state)
{
    (void)state;
    uncommented("imap");
    uncommented("webmail");
}

/* As shipped: all is well, but nothing is served. */
static void files_load(void **state)
{
    struct problems problems = {0};
    (void)state;
    assert_null(config_load(FOLDER, &problems));
    assert_int_equal(problems.count, 1);
    assert_non_null(strstr(problems.list[0].message, "no service is configured"));
    problems_free(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_as_the_table_says),
        cmocka_unit_test(every_section_has_a_file),
        cmocka_unit_test(options_can_be_uncommented),
        cmocka_unit_test(files_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
