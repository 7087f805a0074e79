/* SPDX-License-Identifier: ISC
 *
 * auth/directory_cache.c: what it keeps and for how long, which entry goes, that nothing of an
 * entry stays in memory, and what a hundred thousand of them take. */
#include "auth/directory_cache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 }; /* memory and time are not what they are otherwise */
#else
enum { SANITIZED = 0 };
#endif

#define NONE  DIRECTORY_CACHE_NONE
#define STALE DIRECTORY_CACHE_STALE
#define FRESH DIRECTORY_CACHE_FRESH

static struct directory_cache *cache;
static char out[65535];
static size_t n;

static int forget(void **state)
{
    (void)state;
    if (cache)
        directory_cache_free(cache);
    cache = NULL;
    return 0;
}

/* ---- tools ---- */

static void put(const char *key, const char *value)
{
    directory_cache_put(cache, str_of(key), str_of(value), 0, 1, 0);
}

static void put_for(const char *key, uint64_t now, uint64_t fresh, uint64_t stale)
{
    directory_cache_put(cache, str_of(key), str_of("x"), now, fresh, stale);
}

static enum directory_cache_result get(const char *key, uint64_t now)
{
    memset(out, '-', 100);
    n = 99;
    return directory_cache_get(cache, str_of(key), now, out, sizeof out, &n);
}

static void assert_value(const char *key, const char *value)
{
    assert_int_equal(get(key, 0), FRESH);
    assert_int_equal(n, strlen(value));
    assert_memory_equal(out, value, n);
    assert_int_equal(out[n], '-');
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- what is kept ---- */

static void test_answers(void **state)
{
    (void)state;
    cache = directory_cache_new(10);
    assert_int_equal(get("a", 0), NONE);
    put("a", "one");
    put("ab", "two");
    put("", "three");
    assert_int_equal(directory_cache_count(cache), 3);
    assert_value("a", "one");
    assert_value("ab", "two");
    assert_value("", "three");
    assert_int_equal(get("b", 0), NONE);
    put("a", "another one");
    assert_value("a", "another one");
    assert_int_equal(directory_cache_count(cache), 3);
    directory_cache_drop(cache, str_of("a"));
    directory_cache_drop(cache, str_of("b"));
    assert_int_equal(get("a", 0), NONE);
    assert_value("ab", "two");
    assert_int_equal(directory_cache_count(cache), 2);
    directory_cache_clear(cache);
    assert_int_equal(get("ab", 0), NONE);
    assert_int_equal(directory_cache_count(cache), 0);
    put("ab", "four");
    assert_value("ab", "four");
}

/* A question and an answer are bytes. */
static void test_bytes(void **state)
{
    static const char key[] = "a\0b", other[] = "a\0c";
    (void)state;
    cache = directory_cache_new(10);
    directory_cache_put(cache, (struct str){key, 3}, (struct str){"1\0\xff", 3}, 0, 1, 0);
    directory_cache_put(cache, (struct str){other, 3}, (struct str){NULL, 0}, 0, 1, 0);
    directory_cache_put(cache, (struct str){NULL, 0}, str_of("3"), 0, 1, 0);
    assert_int_equal(directory_cache_get(cache, (struct str){key, 3}, 0, out, sizeof out, &n),
                     FRESH);
    assert_int_equal(n, 3);
    assert_memory_equal(out, "1\0\xff", 3);
    assert_int_equal(directory_cache_get(cache, (struct str){other, 3}, 0, out, sizeof out, &n),
                     FRESH);
    assert_int_equal(n, 0);
    assert_value("", "3");
    assert_int_equal(get("a", 0), NONE);
}

static void test_sizes(void **state)
{
    static char longest[65535];
    struct str all = {longest, sizeof longest}, less = {longest, sizeof longest - 1};
    (void)state;
    cache = directory_cache_new(10);
    memset(longest, 'x', sizeof longest);
    directory_cache_put(cache, all, all, 0, 1, 0);
    directory_cache_put(cache, less, str_of("less"), 0, 1, 0);
    assert_int_equal(directory_cache_get(cache, all, 0, out, sizeof out - 1, &n), NONE);
    assert_int_equal(directory_cache_get(cache, all, 0, out, sizeof out, &n), FRESH);
    assert_int_equal(n, sizeof longest);
    assert_memory_equal(out, longest, n);
    assert_int_equal(directory_cache_get(cache, less, 0, out, 3, &n), NONE);
    assert_int_equal(directory_cache_get(cache, less, 0, out, 4, &n), FRESH);
}

static void test_times(void **state)
{
    static const uint64_t now = UINT64_C(1) << 40, long_time = UINT64_C(365) * 86400 * 1000;
    (void)state;
    cache = directory_cache_new(10);
    put_for("both", now, 10, 30);
    assert_int_equal(get("both", now + 9), FRESH);
    assert_int_equal(get("both", now + 10), STALE);
    assert_int_equal(get("both", now + 29), STALE);
    assert_int_equal(directory_cache_count(cache), 1);
    assert_int_equal(get("both", now + 30), NONE);
    assert_int_equal(directory_cache_count(cache), 0); /* and dropped */
    put_for("fresh", now, 10, 5);
    assert_int_equal(get("fresh", now + 9), FRESH);
    assert_int_equal(get("fresh", now + 10), NONE);
    put_for("stale", now, 0, 10);
    assert_int_equal(get("stale", now), STALE);
    assert_int_equal(get("stale", now + 10), NONE);
    put_for("long", now, long_time, 2 * long_time);
    assert_int_equal(get("long", now + long_time - 1), FRESH);
    assert_int_equal(get("long", now + long_time + UINT32_MAX - 1), STALE);
    assert_int_equal(get("long", now + 2 * long_time), NONE);
}

static void test_no_time(void **state)
{
    (void)state;
    cache = directory_cache_new(10);
    put_for("a", 5, 0, 0);
    assert_int_equal(directory_cache_count(cache), 0);
    put_for("a", 5, 10, 0);
    put_for("a", 6, 0, 0);
    assert_int_equal(get("a", 6), NONE);
    assert_int_equal(directory_cache_count(cache), 0);
}

/* ---- which goes ---- */

static void test_the_least_recently_used_goes(void **state)
{
    (void)state;
    cache = directory_cache_new(3);
    put("a", "1");
    put("b", "2");
    put("c", "3");
    assert_value("a", "1");
    put("b", "4");
    put("d", "5"); /* in c's place */
    assert_int_equal(get("c", 0), NONE);
    assert_int_equal(directory_cache_count(cache), 3);
    put("e", "6"); /* in a's */
    assert_int_equal(get("a", 0), NONE);
    assert_value("b", "4");
    assert_value("d", "5");
    assert_value("e", "6");
}

static void test_one_entry(void **state)
{
    (void)state;
    cache = directory_cache_new(1);
    put("a", "1");
    put("a", "2");
    assert_value("a", "2");
    put("b", "3");
    assert_int_equal(get("a", 0), NONE);
    assert_value("b", "3");
    assert_int_equal(directory_cache_count(cache), 1);
}

/* What a cache of MODEL_MAX entries has to know: beside it, in the simplest way. */
enum { MODEL_KEYS = 700, MODEL_MAX = 300, MODEL_STEPS = 200000 };

struct model {
    unsigned value; /* 0: not there */
    unsigned used;  /* the step of the last use */
};

static size_t model_count(const struct model *model, size_t *oldest)
{
    size_t count = 0;
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        if (!model[i].value)
            continue;
        if (count++ == 0 || model[i].used < model[*oldest].used)
            *oldest = i;
    }
    return count;
}

static void model_put(struct model *model, size_t i, unsigned step)
{
    size_t oldest = 0;
    if (!model[i].value && model_count(model, &oldest) == MODEL_MAX)
        model[oldest].value = 0;
    model[i] = (struct model){step, step};
}

static void model_get(struct model *model, size_t i, const char *key, unsigned step)
{
    char value[16];
    snprintf(value, sizeof value, "%u", model[i].value);
    if (model[i].value) {
        assert_value(key, value);
        model[i].used = step;
    } else {
        assert_int_equal(get(key, 0), NONE);
    }
}

static void test_a_long_life(void **state)
{
    static struct model model[MODEL_KEYS];
    size_t oldest;
    (void)state;
    srand(1);
    cache = directory_cache_new(MODEL_MAX);
    for (unsigned step = 1; step <= MODEL_STEPS; step++) {
        size_t i = (size_t)rand() % MODEL_KEYS;
        int what = rand() % 100;
        char key[16], value[16];
        snprintf(key, sizeof key, "key %zu", i);
        snprintf(value, sizeof value, "%u", step);
        if (what < 40) {
            put(key, value);
            model_put(model, i, step);
        } else if (what < 50 + (int)(step / 10000) % 2 * 30) { /* now fuller, now emptier */
            directory_cache_drop(cache, str_of(key));
            model[i].value = 0;
        } else {
            model_get(model, i, key, step);
        }
        if (step % 100 == 0)
            assert_int_equal(directory_cache_count(cache), model_count(model, &oldest));
    }
}

/* Every size of the index on the way: all that was put is found, and nothing else. */
static void test_growing(void **state)
{
    char key[16];
    (void)state;
    cache = directory_cache_new(1500);
    for (int size = 1; size <= 1500; size++) {
        snprintf(key, sizeof key, "%d", size);
        assert_int_equal(get(key, 0), NONE);
        put(key, key);
        for (int i = size % 7 + 1; i <= size; i += 7) {
            snprintf(key, sizeof key, "%d", i);
            assert_value(key, key);
        }
    }
    assert_int_equal(directory_cache_count(cache), 1500);
}

/* ---- secrets ---- */

/* The secret is kept inverted, so that only what is looked for is found. */
static const char inverted[] = "\x8c\x9a\x9c\x8d\x9a\x8b\xd2\xc8\xcb\xcd";
enum { SECRET = sizeof inverted - 1 };

static bool is_secret(const char *p)
{
    for (size_t i = 0; i < SECRET; i++)
        if ((p[i] ^ inverted[i]) != (char)-1)
            return false;
    return true;
}

/* Whether the secret stands in the heap. */
static bool in_memory(void)
{
    unsigned long from = 0, to = 0;
    char line[512];
    bool is = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "[heap]"))
            assert_int_equal(sscanf(line, "%lx-%lx", &from, &to), 2);
    fclose(maps);
    assert_true(from < to);
    for (const char *p = (const char *)from; p + SECRET <= (const char *)to && !is; p++)
        is = is_secret(p);
    return is;
}

static void put_secret(const char *key)
{
    char secret[64]; /* not at the start, which free() writes over */
    memset(secret, '.', sizeof secret);
    for (size_t i = 0; i < SECRET; i++)
        secret[32 + i] = (char)~inverted[i];
    directory_cache_put(cache, str_of(key), (struct str){secret, sizeof secret}, 0, 10, 20);
    memset(secret, 0, sizeof secret);
    assert_true(in_memory());
}

static void test_nothing_stays_in_memory(void **state)
{
    (void)state;
    if (SANITIZED)
        skip();
    cache = directory_cache_new(2);
    assert_false(in_memory());
    put_secret("a");
    directory_cache_drop(cache, str_of("a"));
    assert_false(in_memory());
    put_secret("a");
    put("a", "replaced");
    assert_false(in_memory());
    put_secret("a");
    put("b", "");
    put("c", ""); /* in a's place */
    assert_false(in_memory());
    put_secret("a");
    assert_int_equal(get("a", 20), NONE); /* over */
    assert_false(in_memory());
    put_secret("a");
    directory_cache_clear(cache);
    assert_false(in_memory());
    put_secret("a");
    forget(NULL);
    assert_false(in_memory());
}

/* ---- many ---- */

enum { MANY = 100000, KEY = 35, VALUE = 110 };

static size_t resident(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%*u %lu", &pages), 1);
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static struct str make_key(char text[KEY + 1], int i)
{
    snprintf(text, KEY + 1, "(mail=user%016d@example)", i);
    return (struct str){text, KEY};
}

/* What a lookup takes, ns: of all entries, in an order that no memory cache foresees. */
static uint64_t lookup_ns(void)
{
    char text[KEY + 1];
    uint64_t start = cpu_ns();
    for (int i = 0; i < MANY; i++) {
        struct str key = make_key(text, (int)(i * INT64_C(7919) % MANY));
        assert_int_equal(directory_cache_get(cache, key, 0, out, sizeof out, &n), FRESH);
    }
    uint64_t all = cpu_ns() - start;
    start = cpu_ns();
    for (int i = 0; i < MANY; i++)
        make_key(text, (int)(i * INT64_C(7919) % MANY));
    uint64_t keys = cpu_ns() - start;
    return (all > keys ? all - keys : 0) / MANY;
}

static void test_a_hundred_thousand(void **state)
{
    char text[KEY + 1], value[VALUE];
    uint64_t least = UINT64_MAX;
    (void)state;
    if (SANITIZED)
        skip();
    memset(value, 'v', sizeof value);
    size_t before = resident();
    cache = directory_cache_new(1000000); /* there may be more */
    for (int i = 0; i < MANY; i++)
        directory_cache_put(cache, make_key(text, i), (struct str){value, VALUE}, 0, 1, 0);
    size_t took = resident() - before;
    for (int i = 0; i < 3; i++) {
        uint64_t ns = lookup_ns();
        least = ns < least ? ns : least;
    }
    print_message("# %zu KiB for %d entries, %lu ns a lookup\n", took / 1024, MANY,
                  (unsigned long)least);
    assert_int_equal(directory_cache_count(cache), MANY);
    assert_true(took < 20 * 1024 * 1024);
    assert_true(least < 1000);
}

enum { THREADS = 4, THREAD_STEPS = 30000, THREAD_KEYS = 300 };

/* Whatever is found for a key is the key, many times. */
static void *work(void *seed)
{
    unsigned random = *(unsigned *)seed, wrong = 0;
    for (int i = 0; i < THREAD_STEPS; i++) {
        char key[8], value[64], got[64];
        size_t size;
        snprintf(key, sizeof key, "%05d", rand_r(&random) % THREAD_KEYS);
        for (size_t k = 0; k < 60; k += 5)
            memcpy(value + k, key, 5);
        if (rand_r(&random) % 3 == 0)
            directory_cache_put(cache, str_of(key), (struct str){value, 60}, 0, 1, 0);
        else if (directory_cache_get(cache, str_of(key), 0, got, sizeof got, &size) != NONE)
            wrong += size != 60 || memcmp(got, value, size) != 0;
        if (i % 1000 == 0)
            directory_cache_clear(cache);
    }
    *(unsigned *)seed = wrong;
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    (void)state;
    cache = directory_cache_new(THREAD_KEYS / 2);
    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &seeds[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(seeds[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: what other tests have freed would be taken again */
        cmocka_unit_test_teardown(test_a_hundred_thousand, forget),
        cmocka_unit_test_teardown(test_answers, forget),
        cmocka_unit_test_teardown(test_bytes, forget),
        cmocka_unit_test_teardown(test_sizes, forget),
        cmocka_unit_test_teardown(test_times, forget),
        cmocka_unit_test_teardown(test_no_time, forget),
        cmocka_unit_test_teardown(test_the_least_recently_used_goes, forget),
        cmocka_unit_test_teardown(test_one_entry, forget),
        cmocka_unit_test_teardown(test_a_long_life, forget),
        cmocka_unit_test_teardown(test_growing, forget),
        cmocka_unit_test_teardown(test_nothing_stays_in_memory, forget),
        cmocka_unit_test_teardown(test_threads, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
