/* SPDX-License-Identifier: ISC
 *
 * Files of templates, with a real worker: read, kept, read again when they change, and nothing
 * from outside of their folder. */
#include "folder_case.h"
#include "web/files.h"
#include "worker_case.h"

#include <errno.h>
#include <semaphore.h>

static int start(void **state)
{
    return worker_case_start(state) || folder_make(state) || mkdir("site", 0700);
}

static int stop(void **state)
{
    return worker_case_stop(state) || folder_remove(state);
}

/* A question that the worker asks, for its own thread only. */
struct question {
    struct post post;
    struct files_ask ask;
    const char *name;
    bool at_once;
    sem_t answered;
};

static void answered(struct files_ask *ask)
{
    struct question *q = OUTER(ask, question, ask);
    sem_post(&q->answered);
}

static void put(struct post *post)
{
    struct question *q = OUTER(post, question, post);
    q->at_once = files_get(&q->ask, worker, "site", q->name);
    if (q->at_once)
        sem_post(&q->answered);
}

static bool (*check)(const char *path, struct str content);

/* What NAME has in it, or an errno; whether it was answered at once. */
static const char *get(const char *name, bool *at_once)
{
    static char text[64];
    struct question q = {.post.run = put, .ask = {.done = answered, .check = check}, .name = name};
    sem_init(&q.answered, 0, 0);
    assert_true(worker_post(worker, &q.post));
    while (sem_wait(&q.answered) < 0)
        continue;
    if (q.ask.file)
        snprintf(text, sizeof text, "%.*s", (int)q.ask.file->content.n, q.ask.file->content.p);
    else
        snprintf(text, sizeof text, "errno %d", q.ask.error);
    file_unref(q.ask.file);
    sem_destroy(&q.answered);
    if (at_once)
        *at_once = q.at_once;
    return text;
}

/* Asks until NAME has TEXT in it: what is kept is fresh for a while. */
static void becomes(const char *name, const char *text)
{
    for (unsigned i = 0; i < 1000 && strcmp(get(name, NULL), text) != 0; i++)
        usleep(20000);
    assert_string_equal(get(name, NULL), text);
}

static void reads_and_keeps(void **state)
{
    bool at_once;
    (void)state;
    write_file("site/a.css", "one");
    assert_string_equal(get("a.css", &at_once), "one");
    assert_false(at_once);
    assert_string_equal(get("a.css", &at_once), "one");
    assert_true(at_once);
    write_file("site/a.css", "another");
    becomes("a.css", "another");
    unlink("site/a.css");
    becomes("a.css", "errno 2");
}

static void stays_in_its_folder(void **state)
{
    static const char *const names[] = {
        "../secret",   "..",           "/etc/passwd", "",    "a/../../secret",
        "out",         "out/passwd",   ".hidden",     "sub", "sub//b.css",
        "sub/.hidden", "a\\..\\b.css", "pipe",        "none"};
    (void)state;
    write_file("secret", "secret");
    write_file("site/.hidden", "secret");
    assert_int_equal(mkdir("site/sub", 0700), 0);
    write_file("site/sub/.hidden", "secret");
    write_file("site/sub/b.css", "b");
    assert_int_equal(symlink("/etc", "site/out") | symlink("sub/b.css", "site/in.css"), 0);
    assert_int_equal(mkfifo("site/pipe", 0600), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(get(names[i], NULL), "errno 2");
    assert_string_equal(get("sub/b.css", NULL), "b");
    assert_string_equal(get("in.css", NULL), "b");
}

static bool is_good(const char *path, struct str content)
{
    assert_string_equal(path, "site/page");
    return !memmem(content.p, content.n, "bad", 3);
}

static void what_is_bad_does_not_replace_what_was_good(void **state)
{
    (void)state;
    check = is_good;
    write_file("site/page", "good");
    assert_string_equal(get("page", NULL), "good");
    write_file("site/page", "bad");
    usleep(1000 * FILES_FRESH + 100000);
    assert_string_equal(get("page", NULL), "good");
    write_file("site/page", "better");
    becomes("page", "better");
    check = NULL;
}

static void is_bounded(void **state)
{
    (void)state;
    write_file("site/large", "");
    assert_int_equal(truncate("site/large", FILES_SIZE_MAX + 1), 0);
    char expected[16];
    snprintf(expected, sizeof expected, "errno %d", EFBIG);
    assert_string_equal(get("large", NULL), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_keeps),
        cmocka_unit_test(stays_in_its_folder),
        cmocka_unit_test(what_is_bad_does_not_replace_what_was_good),
        cmocka_unit_test(is_bounded),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
