/* SPDX-License-Identifier: ISC
 *
 * What the tests of the configuration have in common: t.yaml is written and loaded in a folder with
 * a users.map, and its problems are compared as an operator reads them, a line each. Includes
 * cmocka. */
#ifndef CONFIG_CASE_H
#define CONFIG_CASE_H

#include "base/mem.h"
#include "config.h"
#include "folder_case.h"

/* What cmocka_run_group_tests calls first; folder_remove last. */
static inline int config_make_folder(void **state)
{
    if (folder_make(state))
        return -1;
    write_file("users.map", "* 127.0.0.1\n");
    return 0;
}

/* The configuration at PATH, whose problems must be EXPECTED; NULL where one of them is an error.
 */
static inline struct config *load_path(const char *path, const char *expected)
{
    struct problems problems = {0};
    char *told = NULL;
    size_t n;
    struct config *config = config_load(path, &problems);
    FILE *out = open_memstream(&told, &n);
    problems_print(&problems, out);
    fclose(out);
    assert_string_equal(told, expected);
    assert_true(!config == (problems.errors > 0));
    problems_free(&problems);
    free(told);
    return config;
}

static inline struct config *load(const char *text, const char *expected)
{
    write_file("t.yaml", text);
    return load_path("t.yaml", expected);
}

/* TEXT has these problems, errors or warnings. */
static inline void refused(const char *text, const char *expected)
{
    struct config *config = load(text, expected);
    if (config)
        config_unref(config);
}

/* For the caller to unref. */
static inline struct config *good(const char *text)
{
    return load(text, "");
}

static inline void accepted(const char *text)
{
    config_unref(good(text));
}

/* What is wrong with TEXT, which must not load; for the caller to free. */
static inline struct problems problems_of(const char *text)
{
    struct problems problems = {0};
    write_file("t.yaml", text);
    assert_null(config_load("t.yaml", &problems));
    assert_true(problems.errors > 0);
    return problems;
}

/* What -T says of the configuration at PATH; for the caller to free. */
static inline char *print(const char *path)
{
    struct problems problems = {0};
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    assert_true(config_print(path, &problems, out));
    fclose(out);
    problems_free(&problems);
    return text;
}

static inline void strip_comments(char *text)
{
    char *to = text;
    for (char *c = text; *c;) {
        size_t line = strcspn(c, "\n");
        char *comment = strstr(c, "  # ");
        size_t kept = comment && comment < c + line ? (size_t)(comment - c) : line;
        memmove(to, c, kept);
        to += kept;
        *to++ = '\n';
        c += line + (c[line] == '\n');
    }
    *to = 0;
}

/* PRINTED, but for its comments, is what -T says of it again. Frees it. */
static inline void reads_back(char *printed)
{
    write_file("again.yaml", printed);
    char *again = print("again.yaml");
    strip_comments(printed);
    strip_comments(again);
    assert_string_equal(printed, again);
    free(printed);
    free(again);
}

#endif
