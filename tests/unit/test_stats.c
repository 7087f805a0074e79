/* SPDX-License-Identifier: ISC
 *
 * proxyd/stats: what many threads count is summed up whole, histograms put times where they belong,
 * and a reload goes on with what was counted. */
#include "config.h"
#include "stats.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { THREADS = 40, TIMES = 1000 }; /* more threads than shards */

static struct config_service service;
static struct map map;
static struct map *maps[] = {&map};
static struct config config = {
    .services = &service, .service_count = 1, .maps = maps, .map_count = 1};

static struct stats_service *service_called(const char *name)
{
    service = (struct config_service){.name = (char *)name};
    stats_configure(&config);
    return service.stats;
}

static struct stats_service_counts sum_of(const struct stats_service *s)
{
    struct stats_service_counts sum;
    stats_service_sum(s, &sum);
    return sum;
}

static void *count_much(void *arg)
{
    struct stats_service *s = arg;
    for (int i = 0; i < TIMES; i++) {
        stats_session_begins(s);
        stats_bytes(s, 3, 5);
        stats_login(s, STATS_LOGIN_OK, 1000000);
        stats_session_ends(s, 7);
    }
    return NULL;
}

static void all_threads_are_summed_up(void **state)
{
    struct stats_service *s = service_called("threads");
    pthread_t threads[THREADS];
    (void)state;
    stats_session_begins(s);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, count_much, s);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct stats_service_counts sum = sum_of(s);
    assert_int_equal(sum.sessions, 1);
    assert_int_equal(sum.closed[7], THREADS * TIMES);
    assert_int_equal(sum.bytes[STATS_FROM_CLIENT], 3 * THREADS * TIMES);
    assert_int_equal(sum.bytes[STATS_TO_CLIENT], 5 * THREADS * TIMES);
    assert_int_equal(sum.logins[STATS_LOGIN_OK], THREADS * TIMES);
    assert_int_equal(stats_times_count(&sum.login), THREADS * TIMES);
    assert_int_equal(sum.login.sum, 1000000ull * THREADS * TIMES);
}

static void a_bound_belongs_to_its_bucket(void **state)
{
    struct stats_service *s = service_called("buckets");
    (void)state;
    for (size_t i = 0; i < STATS_BUCKETS - 1; i++) {
        stats_queued(s, stats_bounds[i]);
        stats_queued(s, stats_bounds[i] + 1);
    }
    struct stats_service_counts sum = sum_of(s);
    assert_int_equal(sum.queue.buckets[0], 1);
    for (size_t i = 1; i < STATS_BUCKETS - 1; i++)
        assert_int_equal(sum.queue.buckets[i], 2);
    assert_int_equal(sum.queue.buckets[STATS_BUCKETS - 1], 1);
    for (size_t i = 1; i < STATS_BUCKETS - 1; i++)
        assert_true(stats_bounds[i - 1] < stats_bounds[i]);
}

static void only_logins_that_went_well_have_a_time(void **state)
{
    struct stats_service *s = service_called("logins");
    (void)state;
    for (unsigned i = 0; i < STATS_LOGINS; i++)
        stats_login(s, (enum stats_login)i, 5);
    struct stats_service_counts sum = sum_of(s);
    for (unsigned i = 0; i < STATS_LOGINS; i++)
        assert_int_equal(sum.logins[i], 1);
    assert_int_equal(stats_times_count(&sum.login), 1);
}

static void quantiles_are_within_their_bucket(void **state)
{
    struct stats_service *s = service_called("quantiles");
    struct stats_times none = {{0}, 0};
    (void)state;
    assert_int_equal(stats_times_quantile(&none, 0.5), 0);
    for (int i = 0; i < 99; i++)
        stats_connected(s, 2000000);
    stats_connected(s, 7000000000);
    struct stats_service_counts sum = sum_of(s);
    uint64_t half = stats_times_quantile(&sum.connect, 0.5);
    assert_true(half > 1000000 && half <= 2500000);
    assert_true(stats_times_quantile(&sum.connect, 0.999) > 5000000000);
    assert_true(stats_times_quantile(&sum.connect, 0.999) <= 10000000000);
}

static void a_reload_goes_on_counting(void **state)
{
    struct stats_service *first = service_called("again");
    (void)state;
    stats_connection(first, STATS_DENIED);
    service_called("another");
    assert_ptr_equal(service_called("again"), first);
    assert_int_equal(sum_of(first).connections[STATS_DENIED], 1);
}

static void maps_count_by_result(void **state)
{
    struct stats_map_counts sum;
    (void)state;
    map.name = "local";
    map.stats = NULL;
    stats_configure(&config);
    stats_lookup(map.stats, MAP_FOUND, 100);
    stats_lookup(map.stats, MAP_TEMPORARY, 100);
    stats_lookup(map.stats, MAP_TEMPORARY, 100);
    stats_map_sum(map.stats, &sum);
    assert_int_equal(sum.lookups[MAP_FOUND], 1);
    assert_int_equal(sum.lookups[MAP_NOT_FOUND], 0);
    assert_int_equal(sum.lookups[MAP_TEMPORARY], 2);
    assert_int_equal(stats_times_count(&sum.took), 3);
}

static void nothing_is_counted_at_nothing(void **state)
{
    uint64_t codes[STATS_HTTP_CODES];
    (void)state;
    stats_connection(NULL, STATS_ACCEPTED);
    stats_session_begins(NULL);
    stats_session_ends(NULL, 0);
    stats_login(NULL, STATS_LOGIN_OK, 1);
    stats_bytes(NULL, 1, 1);
    stats_lookup(NULL, MAP_FOUND, 1);
    stats_http(99);
    stats_http(600);
    stats_http(404);
    stats_http_sum(codes);
    for (size_t i = 0; i < STATS_HTTP_CODES; i++)
        assert_int_equal(codes[i], i == 404 - STATS_HTTP_CODE_MIN);
}

int main(void)
{
    map.name = "first";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_threads_are_summed_up),
        cmocka_unit_test(a_bound_belongs_to_its_bucket),
        cmocka_unit_test(only_logins_that_went_well_have_a_time),
        cmocka_unit_test(quantiles_are_within_their_bucket),
        cmocka_unit_test(a_reload_goes_on_counting),
        cmocka_unit_test(maps_count_by_result),
        cmocka_unit_test(nothing_is_counted_at_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
