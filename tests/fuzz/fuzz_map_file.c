/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the local-file map: the input is a map file. What it is loaded to is asked
 * for every word in it; an answer must be one that a node can be found with. */
#include "base/mem.h"
#include "maps/map_file.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t room)
{
    size_t n = strnlen(text, room);
    assert(n < room && !str_has_control((struct str){text, n}));
}

static void ask(const struct map_table *table, struct str word)
{
    struct map_entry entry;
    char login[1024];
    if (word.n >= sizeof login || memchr(word.p, 0, word.n))
        return;
    memcpy(login, word.p, word.n);
    login[word.n] = 0;
    str_lower(login, word.n);
    if (!map_table_find(table, &(struct map_query){login, login, "inside", "imap"}, &entry))
        return;
    check_text(entry.host, sizeof entry.host);
    check_text(entry.login, sizeof entry.login);
    check_text(entry.passwords, sizeof entry.passwords - 1);
    assert(entry.host[0]);
    assert(!entry.passwords[0] || !entry.passwords[strlen(entry.passwords) + 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct problems problems = {0};
    struct str rest = {(const char *)data, size};
    int fd = memfd_create("users.map", MFD_CLOEXEC);
    char *path = xasprintf("/proc/self/fd/%d", fd);
    ssize_t written = write(fd, data, size);
    assert(written == (ssize_t)size);
    struct map_table *table = map_table_load(path, (struct place){0}, &problems);
    assert(!table == (problems.errors > 0));
    while (table && rest.n) {
        const char *lf = memchr(rest.p, '\n', rest.n);
        struct str line = {rest.p, lf ? (size_t)(lf - rest.p) : rest.n};
        rest.n -= line.n + (lf != NULL);
        rest.p += line.n + (lf != NULL);
        ask(table, str_word(&line));
    }
    map_table_free(table);
    problems_free(&problems);
    free(path);
    close(fd);
    return 0;
}
