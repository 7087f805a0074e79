/* SPDX-License-Identifier: ISC
 *
 * What a large local-file map costs: makes LINES (default: ten million) entries in a temporary
 * file, loads it, asks for logins that are there and for others, from one thread, from two, and
 * while another thread loads the file again. Prints one figure a line. `make bench` runs it. */
#include "base/mem.h"
#include "maps/map_file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { QUERIES = 1 << 20, LOGIN = 40, ROUNDS = 2 };

static unsigned lines = 10000000;
static struct map *map;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Kilobytes of memory in use. */
static long memory(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        abort();
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void make_file(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        abort();
    for (unsigned i = 0; i < lines; i++)
        fprintf(f, "user%u@example.org 10.0.%u.%u\n", i, i % 8, i % 200 + 1);
    fputs("@example.net 10.1.0.1\n", f);
    if (fclose(f) != 0)
        abort();
}

static struct map_table *load(const char *path)
{
    struct problems problems = {0};
    struct map_table *table = map_table_load(path, (struct place){0}, &problems);
    problems_print(&problems, stderr);
    problems_free(&problems);
    if (!table)
        abort();
    return table;
}

/* Asks QUERIES times at random for logins @DOMAIN; returns nanoseconds for each. */
static double ask(const char *domain, enum map_result expected)
{
    char(*logins)[LOGIN] = xmalloc((size_t)QUERIES * sizeof *logins);
    struct map_ask asked = {0};
    unsigned seed = (unsigned)(uintptr_t)&asked;
    for (size_t i = 0; i < QUERIES; i++)
        snprintf(logins[i], LOGIN, "user%u@%s",
                 (unsigned)(((uint64_t)rand_r(&seed) << 16 ^ (uint64_t)rand_r(&seed)) % lines),
                 domain);
    double start = now();
    for (size_t i = 0; i < QUERIES; i++) {
        asked.query = (struct map_query){logins[i], logins[i], "imap", "imap"};
        if (map_lookup(map, &asked) != expected)
            abort();
    }
    double took = now() - start;
    free(logins);
    return took / QUERIES * 1e9;
}

static double ask_often(const char *domain, enum map_result expected)
{
    double sum = 0;
    for (int i = 0; i < ROUNDS; i++)
        sum += ask(domain, expected);
    return sum / ROUNDS;
}

static void *ask_in_thread(void *ns)
{
    *(double *)ns = ask_often("example.org", MAP_FOUND);
    return NULL;
}

static void *load_in_thread(void *path)
{
    double start = now();
    map_file_replace(map, load(path));
    printf("load again, asked meanwhile %8.2f s\n", now() - start);
    return NULL;
}

int main(int argc, char **argv)
{
    char path[] = "/tmp/map_bench.XXXXXX";
    int fd = mkstemp(path);
    if (argc > 1)
        lines = (unsigned)strtoul(argv[1], NULL, 10);
    if (fd < 0 || lines == 0)
        return 1;
    close(fd);
    make_file(path);

    struct stat st;
    if (stat(path, &st) < 0)
        return 1;
    long before = memory();
    double start = now(), ns = 0;
    map = map_file_new("bench", path, load(path));
    printf("lines                       %8u\n", lines);
    printf("load                        %8.2f s\n", now() - start);
    printf("file                        %8ld KB\n", (long)(st.st_size / 1024));
    printf("memory for it               %8ld KB\n", memory() - before);
    printf("found                       %8.0f ns\n", ask_often("example.org", MAP_FOUND));
    printf("found by its domain         %8.0f ns\n", ask_often("example.net", MAP_FOUND));
    printf("not found                   %8.0f ns\n", ask_often("example.com", MAP_NOT_FOUND));

    pthread_t thread;
    pthread_create(&thread, NULL, ask_in_thread, &ns);
    double other = ask_often("example.org", MAP_FOUND);
    pthread_join(thread, NULL);
    printf("found, two threads asking   %8.0f ns\n", (other + ns) / 2);

    pthread_create(&thread, NULL, load_in_thread, path);
    printf("found, while loading        %8.0f ns\n", ask_often("example.org", MAP_FOUND));
    pthread_join(thread, NULL);
    unlink(path);
    map_unref(map);
    return 0;
}
