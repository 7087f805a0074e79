/* SPDX-License-Identifier: ISC
 *
 * limit.c: what is let in, at random against a model that remembers everything, and from many
 * threads at once; failed logins; what is kept of addresses, and what is forgotten. */
#include "limit.h"

#include "base/mem.h"
#include "limit_table.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SECOND = 1000, INTERVAL = 60 * SECOND, START = 1000000 };

static struct config config;
static struct config_service services[2];
static struct config_listener listeners[2][2];

/* The time of the next test: all that the last one left behind is over. */
static uint64_t now = START;

/* Two services with two listeners each, without limits. */
static int configure(void **state)
{
    static char *names[] = {"imap", "pop3"};
    (void)state;
    memset(&config, 0, sizeof config);
    memset(services, 0, sizeof services);
    memset(listeners, 0, sizeof listeners);
    config.services = services;
    config.service_count = 2;
    config.global.limits.interval = INTERVAL;
    for (uint16_t i = 0; i < 2; i++) {
        services[i].name = names[i];
        services[i].listeners = listeners[i];
        services[i].listener_count = 2;
        services[i].limits.interval = INTERVAL;
        for (uint16_t k = 0; k < 2; k++) {
            addr_numeric(&listeners[i][k].bind, str_of("127.0.0.1"), (uint16_t)(1000 + 2 * i + k));
            listeners[i][k].limits.interval = INTERVAL;
        }
    }
    limit_configure(&config);
    limit_pardon(NULL);
    now += 1000 * INTERVAL;
    return 0;
}

static struct limit_place place(unsigned service, unsigned listener)
{
    return (struct limit_place){&config, &services[service], &listeners[service][listener]};
}

static struct addr client(const char *text)
{
    struct addr a;
    assert_true(addr_numeric(&a, str_of(text), 1234));
    return a;
}

static struct limit_ticket ticket;
static struct limit_refusal refusal;

static bool enter(unsigned service, unsigned listener, const char *text)
{
    struct limit_place at = place(service, listener);
    struct addr a = client(text);
    return limit_enter(&at, &a, now, &ticket, &refusal);
}

static void leave(unsigned service, unsigned listener, const char *text)
{
    struct limit_place at = place(service, listener);
    struct addr a = client(text);
    limit_leave(&at, &a, now, &(struct limit_ticket){true, ticket.addresses});
}

/* Comes in, and goes at once. */
static bool visit(unsigned service, unsigned listener, const char *text)
{
    bool in = enter(service, listener, text);
    if (in)
        leave(service, listener, text);
    return in;
}

static void refused(unsigned service, unsigned listener, const char *text, enum limit_reason reason,
                    const char *level)
{
    assert_false(enter(service, listener, text));
    assert_int_equal(refusal.reason, reason);
    assert_string_equal(refusal.level, level);
    assert_false(ticket.entered);
}

/* ---- each limit ---- */

static void connections_of_a_level(void **state)
{
    (void)state;
    listeners[0][0].limits.connections = 1;
    services[0].limits.connections = 2;
    config.global.limits.connections = 3;
    assert_true(enter(0, 0, "10.0.0.1"));
    refused(0, 0, "10.0.0.2", LIMIT_CONNECTIONS, "imap 127.0.0.1:1000");
    assert_true(enter(0, 1, "10.0.0.1"));
    refused(0, 1, "unix:/x", LIMIT_CONNECTIONS, "imap");
    assert_true(enter(1, 0, "unix:/x"));
    refused(1, 1, "10.0.0.1", LIMIT_CONNECTIONS, "global");
    leave(0, 0, "10.0.0.1");
    assert_true(enter(1, 1, "10.0.0.1"));
    leave(1, 1, "10.0.0.1");
    leave(0, 1, "10.0.0.1");
    leave(1, 0, "unix:/x");
}

static void connections_of_an_address(void **state)
{
    (void)state;
    services[0].limits.connections_per_ip = 2;
    assert_true(enter(0, 0, "10.0.0.1"));
    assert_true(enter(0, 1, "10.0.0.1"));
    refused(0, 0, "10.0.0.1", LIMIT_CONNECTIONS_PER_IP, "imap");
    assert_true(enter(0, 0, "10.0.0.2"));
    leave(0, 0, "10.0.0.2");
    assert_true(enter(1, 0, "10.0.0.1"));
    assert_int_equal(ticket.addresses, 0);
    leave(1, 0, "10.0.0.1");
    assert_true(enter(0, 0, "2001:db8::1"));
    assert_true(enter(0, 0, "2001:db8::2"));
    refused(0, 0, "2001:db8::ffff:0:0:3", LIMIT_CONNECTIONS_PER_IP, "imap"); /* the same /64 */
    assert_true(enter(0, 0, "2001:db8:0:1::1"));
    leave(0, 0, "2001:db8:0:1::1");
    leave(0, 0, "2001:db8::1");
    assert_true(enter(0, 0, "2001:db8::5"));
    for (unsigned i = 0; i < 2; i++) {
        leave(0, i, "10.0.0.1");
        leave(0, 0, "2001:db8::5");
    }
    now += INTERVAL; /* the refusals are forgotten with what came after them */
    assert_true(enter(0, 0, "10.0.0.1"));
    leave(0, 0, "10.0.0.1");
}

/* A rate is of those that came, not of those that are there; who is refused has not come. */
static void rates(void **state)
{
    (void)state;
    services[0].limits.rate = 3;
    services[0].limits.interval = 10 * SECOND;
    config.global.limits.rate_per_ip = 2;
    for (int i = 0; i < 2; i++) {
        assert_true(visit(0, 0, "10.0.0.1"));
        now += SECOND;
    }
    refused(0, 0, "10.0.0.1", LIMIT_RATE_PER_IP, "global");
    assert_true(visit(0, 1, "10.0.0.2"));
    refused(0, 1, "10.0.0.2", LIMIT_RATE, "imap");
    now += 8 * SECOND;
    assert_true(visit(0, 1, "10.0.0.2"));
    refused(0, 1, "10.0.0.1", LIMIT_RATE_PER_IP, "global");
    now += 49 * SECOND;
    refused(1, 0, "10.0.0.1", LIMIT_RATE_PER_IP, "global");
    now += SECOND;
    assert_true(visit(1, 0, "10.0.0.1"));
}

static void access_is_asked_from_below(void **state)
{
    struct access_rule rules[4] = {{.allow = true}};
    (void)state;
    network_parse(&rules[0].network, str_of("10.0.0.0/24"));
    network_parse(&rules[1].network, str_of("10.0.0.0/16"));
    network_parse(&rules[2].network, str_of("::/0"));
    network_parse(&rules[3].network, str_of("0.0.0.0/0"));
    listeners[0][0].access.compiled = access_new(&rules[0], 1);
    services[0].access.compiled = access_new(&rules[1], 1);
    config.global.access.compiled = access_new(&rules[2], 2);
    assert_true(visit(0, 0, "10.0.0.1"));
    refused(0, 0, "10.0.1.1", LIMIT_ACCESS, "imap");
    refused(0, 1, "10.0.0.1", LIMIT_ACCESS, "imap");
    refused(0, 0, "10.1.0.1", LIMIT_ACCESS, "global");
    refused(1, 0, "2001:db8::1", LIMIT_ACCESS, "global");
    assert_true(visit(1, 0, "unix:/x"));
    access_free(listeners[0][0].access.compiled);
    access_free(services[0].access.compiled);
    access_free(config.global.access.compiled);
}

/* A new configuration finds what the old one has counted, by the names of the levels. */
static void counts_survive_a_reload(void **state)
{
    (void)state;
    services[0].limits.connections_per_ip = 1;
    services[0].limits.rate = 2;
    assert_true(enter(0, 0, "10.0.0.1"));
    struct limit_level *level = services[0].level;
    services[0].level = listeners[0][0].level = config.global.level = NULL;
    limit_configure(&config);
    assert_ptr_equal(services[0].level, level);
    refused(0, 0, "10.0.0.1", LIMIT_CONNECTIONS_PER_IP, "imap");
    assert_true(enter(0, 0, "10.0.0.2"));
    refused(0, 0, "10.0.0.3", LIMIT_RATE, "imap");
    leave(0, 0, "10.0.0.2");
    leave(0, 0, "10.0.0.1");
}

static void lines_are_few(void **state)
{
    (void)state;
    services[0].limits.rate = 1;
    assert_true(visit(0, 0, "10.0.0.1"));
    for (int i = 0; i < 10; i++) {
        assert_false(enter(0, 0, "10.0.0.1"));
        assert_int_equal(refusal.due, i == 0);
    }
    now += INTERVAL;
    assert_true(visit(0, 0, "10.0.0.2"));
    assert_false(enter(0, 0, "10.0.0.1"));
    assert_true(refusal.due);
    assert_int_equal(refusal.unlogged, 9);
    unsigned due = 0;
    for (unsigned i = 0; i < 1000; i++) {
        char text[ADDR_TEXT];
        snprintf(text, sizeof text, "10.1.%u.%u", i / 256, i % 256);
        assert_false(enter(0, 0, text));
        due += refusal.due;
    }
    assert_in_range(due, 50, 100); /* a second's */
}

/* ---- at random, against a model that remembers everything ---- */

enum { ADDRESSES = 8, CONNECTIONS = 60, STEPS = 200000, TIMES = 64, LEVELS = 7 };

static const char *const addresses[ADDRESSES] = {"10.0.0.1",    "10.0.0.2",    "10.0.0.3",
                                                 "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1",
                                                 "::1",         "unix:/x"};
static const int counted_as[ADDRESSES] = {0, 1, 2, 3, 3, 4, 5, -1};

/* The model: of each level, and of each address there. */
struct tally {
    unsigned connections, count;
    uint64_t begun;
};
static struct tally wholes[LEVELS], parts[LEVELS][ADDRESSES];

struct connection {
    bool in;
    unsigned service, listener, address;
    struct limit_ticket ticket;
    bool counted[3];
};

/* Which levels they are, and what these say. */
static void levels_of(const struct connection *c, unsigned at[3],
                      const struct config_limits *says[3])
{
    at[0] = 3 + 2 * c->service + c->listener;
    at[1] = 1 + c->service;
    at[2] = 0;
    says[0] = &listeners[c->service][c->listener].limits;
    says[1] = &services[c->service].limits;
    says[2] = &config.global.limits;
}

static bool full(const struct tally *t, unsigned connections, unsigned rate, uint64_t interval)
{
    bool over = t->count && now >= t->begun + interval;
    return (connections && t->connections >= connections) || (rate && !over && t->count >= rate);
}

static void count(struct tally *t, bool rate, uint64_t interval)
{
    if (!rate)
        return;
    if (t->count == 0 || now >= t->begun + interval)
        *t = (struct tally){t->connections, 0, now};
    t->count++;
}

static bool model_enters(struct connection *c)
{
    unsigned at[3];
    const struct config_limits *l[3];
    int address = counted_as[c->address];
    levels_of(c, at, l);
    for (int i = 0; i < 3; i++)
        if (full(&wholes[at[i]], l[i]->connections, l[i]->rate, l[i]->interval) ||
            (address >= 0 && full(&parts[at[i]][address], l[i]->connections_per_ip,
                                  l[i]->rate_per_ip, l[i]->interval)))
            return false;
    for (int i = 0; i < 3; i++) {
        wholes[at[i]].connections++;
        count(&wholes[at[i]], l[i]->rate, l[i]->interval);
        c->counted[i] = address >= 0 && l[i]->connections_per_ip;
        if (address < 0)
            continue;
        parts[at[i]][address].connections += c->counted[i];
        count(&parts[at[i]][address], l[i]->rate_per_ip, l[i]->interval);
    }
    return true;
}

static void model_leaves(const struct connection *c)
{
    unsigned at[3];
    const struct config_limits *l[3];
    levels_of(c, at, l);
    for (int i = 0; i < 3; i++) {
        wholes[at[i]].connections--;
        if (c->counted[i])
            parts[at[i]][counted_as[c->address]].connections--;
    }
}

static void step(struct connection *c)
{
    if (c->in) {
        struct limit_place at = place(c->service, c->listener);
        struct addr a = client(addresses[c->address]);
        limit_leave(&at, &a, now, &c->ticket);
        model_leaves(c);
        c->in = false;
        return;
    }
    *c = (struct connection){.service = (unsigned)rand() % 2,
                             .listener = (unsigned)rand() % 2,
                             .address = (unsigned)rand() % ADDRESSES};
    c->in = enter(c->service, c->listener, addresses[c->address]);
    c->ticket = ticket;
    assert_int_equal(c->in, model_enters(c));
}

static void any_limits(struct config_limits *l, unsigned most)
{
    unsigned *all[] = {&l->connections, &l->connections_per_ip, &l->rate, &l->rate_per_ip};
    for (size_t i = 0; i < 4; i++)
        *all[i] = rand() % 2 ? (unsigned)rand() % most : 0;
    l->interval = (uint64_t)(1 + rand() % 20) * 100;
}

/* The limits stay what they are for a while, as between two reloads, but each level keeps its
 * interval: a window is as long as it was when it began. */
static void as_the_model_says(void **state)
{
    static struct connection all[CONNECTIONS];
    unsigned in = 0;
    (void)state;
    srand(6);
    for (unsigned round = 0; round < 50; round++) {
        configure(NULL);
        memset(wholes, 0, sizeof wholes);
        memset(parts, 0, sizeof parts);
        any_limits(&config.global.limits, 60);
        for (int i = 0; i < 2; i++) {
            any_limits(&services[i].limits, 40);
            any_limits(&listeners[i][0].limits, 20);
            any_limits(&listeners[i][1].limits, 20);
        }
        for (unsigned i = 0; i < STEPS / 50; i++) {
            struct connection *c = &all[(size_t)rand() % CONNECTIONS];
            step(c);
            in += c->in;
            now += (uint64_t)rand() % 3 * 5;
        }
        for (size_t i = 0; i < CONNECTIONS; i++)
            if (all[i].in)
                step(&all[i]);
    }
    assert_in_range(in, STEPS / 20, STEPS);
}

/* ---- from many threads at once ---- */

enum { THREADS = 6, EACH = 20000, PLACES = 3 };

static atomic_int inside, inside_each[ADDRESSES], failed;
static atomic_uint got_in;

static void *come_and_go(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < EACH; i++) {
        struct limit_ticket t;
        struct limit_refusal r;
        unsigned service = (unsigned)rand_r(&seed) % 2, which = (unsigned)rand_r(&seed) % 3;
        struct limit_place at = place(service, (unsigned)rand_r(&seed) % 2);
        struct addr a = client(addresses[which]);
        if (!limit_enter(&at, &a, now, &t, &r))
            continue;
        if (atomic_fetch_add(&inside, 1) >= PLACES || atomic_fetch_add(&inside_each[which], 1) >= 2)
            atomic_store(&failed, 1);
        sched_yield();
        atomic_fetch_sub(&inside_each[which], 1);
        atomic_fetch_sub(&inside, 1);
        atomic_fetch_add(&got_in, 1);
        limit_leave(&at, &a, now, &t);
    }
    return NULL;
}

static void *take_all(void *arg)
{
    struct limit_ticket t;
    struct limit_refusal r;
    struct limit_place at = place((uintptr_t)arg % 2, 0);
    for (unsigned i = 0; i < EACH; i++) {
        char text[ADDR_TEXT];
        snprintf(text, sizeof text, "10.0.%u.%u", i % 7, (unsigned)(uintptr_t)arg);
        struct addr a = client(text);
        if (limit_enter(&at, &a, now, &t, &r))
            atomic_fetch_add(&got_in, 1);
    }
    return NULL;
}

static void run(void *(*body)(void *))
{
    pthread_t threads[THREADS];
    atomic_store(&got_in, 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, body, (void *)(i + 1)), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void exact_over_threads(void **state)
{
    (void)state;
    config.global.limits.connections = PLACES;
    config.global.limits.connections_per_ip = 2;
    run(come_and_go);
    assert_false(failed);
    assert_true(got_in > 0);
    for (size_t i = 0; i < PLACES; i++) /* all have gone: there are as many places as before */
        assert_true(enter(0, 0, addresses[i]));
    refused(0, 0, addresses[3], LIMIT_CONNECTIONS, "global");
    for (size_t i = 0; i < PLACES; i++)
        leave(0, 0, addresses[i]);
    configure(NULL);
    config.global.limits.rate = 1000;
    services[0].limits.rate_per_ip = 1000;
    run(take_all);
    assert_int_equal(got_in, 1000);
    configure(NULL);
    services[0].limits.rate_per_ip = 3;
    run(take_all);
    assert_int_equal(got_in, THREADS / 2 * 7 * 3 + THREADS / 2 * EACH);
}

/* ---- logins ---- */

static uint64_t fails(const char *text, const char *login, const char *password)
{
    static struct creds creds;
    struct limit_place at = place(0, 0);
    struct addr a = client(text);
    creds_init(&creds, NULL, 0);
    creds_set(&creds, str_of(login), str_of(password));
    uint64_t delay = limit_failed(&at, &a, &creds, now);
    creds_wipe(&creds);
    return delay;
}

static void fits(const char *text, const char *login)
{
    static struct creds creds;
    struct limit_place at = place(0, 0);
    struct addr a = client(text);
    creds_init(&creds, NULL, 0);
    creds_set(&creds, str_of(login), str_of("right"));
    limit_logged_in(&at, &a, &creds, now);
    creds_wipe(&creds);
}

static bool may(const char *text)
{
    struct limit_place at = place(0, 0);
    struct addr a = client(text);
    return limit_may_log_in(&at, &a, now);
}

static void failures_grow_dear(void **state)
{
    (void)state;
    assert_int_equal(fails("10.0.0.1", "bob", "a"), 2000);
    assert_int_equal(fails("10.0.0.1", "bob", "b"), 2500);
    assert_int_equal(fails("10.0.0.1", "alice", "b"), 3000);
    assert_int_equal(fails("10.0.0.2", "alice", "b"), 2000);
    assert_int_equal(fails("unix:/x", "alice", "b"), 2000);
    for (char c[] = "c"; *c <= 'z'; ++*c)
        assert_in_range(fails("10.0.0.1", "bob", c), 3500, 8000);
    assert_int_equal(fails("10.0.0.1", "bob", "last"), 8000);
    assert_true(may("10.0.0.1")); /* no limit is set */
    now += INTERVAL;
    assert_int_equal(fails("10.0.0.1", "bob", "a"), 2000);
}

static void failures_are_limited(void **state)
{
    (void)state;
    services[0].limits.auth_failures_per_ip = 3;
    for (int i = 0; i < 20; i++) { /* what a program has stored */
        fails("10.0.0.1", "Bob", "old");
        fails("10.0.0.1", "bOB", "old");
    }
    assert_true(may("10.0.0.1"));
    fails("10.0.0.1", "bob", "a");
    assert_true(may("10.0.0.1"));
    now += 59 * SECOND;
    fails("10.0.0.1", "bob", "b");
    assert_false(may("10.0.0.1"));
    assert_true(may("10.0.0.2") && may("unix:/x"));
    assert_true(visit(0, 0, "10.0.0.1")); /* it is logins that are refused */
    now += SECOND;
    assert_true(may("10.0.0.1"));
    fails("2001:db8::1", "bob", "a");
    fails("2001:db8::2", "bob", "b");
    fails("2001:db8::3", "bob", "c");
    assert_false(may("2001:db8::4"));
    assert_true(may("2001:db8:0:1::4"));
}

static void who_mistyped_is_forgiven(void **state)
{
    (void)state;
    services[0].limits.auth_failures_per_ip = 3;
    fails("10.0.0.1", "alice", "a");
    fails("10.0.0.1", "bob", "a");
    fits("10.0.0.1", "BOB");
    fails("10.0.0.1", "carol", "a");
    assert_true(may("10.0.0.1"));
    fits("10.0.0.1", "mallory"); /* his own account helps nobody to try others' */
    fails("10.0.0.1", "carol", "b");
    assert_false(may("10.0.0.1"));
}

/* ---- for the operator ---- */

static void lists_and_pardons(void **state)
{
    struct limit_entry entries[4];
    struct addr six = client("2001:db8::9"), four = client("10.0.0.1");
    (void)state;
    services[0].limits.auth_failures_per_ip = 1;
    config.global.limits.rate_per_ip = 1;
    assert_int_equal(limit_list(entries, 4, now), 0);
    fails("2001:db8::1", "bob", "a");
    for (int i = 0; i < 3; i++)
        visit(0, 0, "10.0.0.1");
    assert_int_equal(limit_list(NULL, 0, now), 2);
    assert_int_equal(limit_list(entries, 4, now), 2);
    const struct limit_entry *first = &entries[entries[0].address[0] != '1'];
    const struct limit_entry *second = first == entries ? &entries[1] : &entries[0];
    assert_string_equal(first->address, "10.0.0.1");
    assert_string_equal(first->level, "global");
    assert_int_equal(first->reason, LIMIT_RATE_PER_IP);
    assert_int_equal(first->count, 2);
    assert_int_equal(first->seconds, 60);
    assert_string_equal(second->address, "2001:db8::/64");
    assert_string_equal(second->level, "imap");
    assert_int_equal(second->reason, LIMIT_AUTH_FAILURES);
    assert_false(may("2001:db8::1"));
    assert_int_equal(limit_pardon(&six), 2); /* of the service, and what the delay grows with */
    assert_true(may("2001:db8::1"));
    assert_int_equal(limit_pardon(&six), 0);
    assert_false(enter(0, 0, "10.0.0.1"));
    assert_int_equal(limit_pardon(&four), 1);
    assert_true(visit(0, 0, "10.0.0.1"));
    assert_int_equal(limit_list(entries, 4, now), 0);
    fails("2001:db8::1", "bob", "a");
    now += INTERVAL;
    assert_int_equal(limit_list(entries, 4, now), 0);
}

/* ---- what is kept ---- */

static const char *nth(unsigned i, char text[ADDR_TEXT])
{
    snprintf(text, ADDR_TEXT, "2001:db8:%x:%x::1", i >> 16, i & 0xffff);
    return text;
}

static void memory_is_bounded(void **state)
{
    char text[ADDR_TEXT];
    (void)state;
    services[0].limits.rate_per_ip = 2;
    services[0].limits.connections_per_ip = 1000;
    assert_true(enter(0, 0, "10.0.0.1")); /* it stays connected */
    for (int i = 0; i < 2; i++)
        assert_true(visit(0, 0, "10.0.0.2"));
    refused(0, 0, "10.0.0.2", LIMIT_RATE_PER_IP, "imap");
    for (unsigned i = 0; i < 2 * LIMIT_MEMORY; i++)
        assert_true(visit(0, 0, nth(i, text))); /* nobody is kept out */
    assert_in_range(limit_table_count(), LIMIT_MEMORY / 2, LIMIT_MEMORY + 64);
    refused(0, 0, "10.0.0.2", LIMIT_RATE_PER_IP, "imap"); /* and nobody got out by that */
    leave(0, 0, "10.0.0.1");
    now += INTERVAL;
    for (unsigned i = 0; i < LIMIT_MEMORY; i++) {
        assert_true(visit(0, 0, nth(i % 5000, text)));
        now += i % 5000 ? 0 : INTERVAL;
    }
    assert_in_range(limit_table_count(), 0, 6000); /* what is over goes by and by */
}

/* As in an upgrade: what was written is forgotten, and taken again. */
static void penalties_go_along(void **state)
{
    (void)state;
    struct addr from[2];
    struct creds creds;
    struct buf out;
    struct limit_place where = place(0, 0);
    creds_init(&creds, NULL, 0);
    creds_set(&creds, str_of("bob"), str_of("guess"));
    addr_numeric(&from[0], str_of("192.0.2.1"), 0);
    addr_numeric(&from[1], str_of("2001:db8::1"), 0);
    services[0].limits.auth_failures_per_ip = 1;
    for (size_t i = 0; i < 2; i++)
        limit_failed(&where, &from[i], &creds, now);
    buf_init(&out, NULL, 0, 1 << 20);
    limit_save(&out, "limit", now);
    limit_pardon(NULL);
    for (size_t i = 0; i < 2; i++)
        assert_true(limit_may_log_in(&where, &from[i], now));
    struct str rest = buf_str(&out), line;
    size_t used, lines = 0;
    for (; str_line(rest, &line, &used);
         rest = (struct str){rest.p + used, rest.n - used}, lines++) {
        char *text = xstrndup(line.p + strlen("limit "), line.n - strlen("limit "));
        limit_take(text, now);
        free(text);
    }
    assert_int_equal(lines, 5); /* the key, and both addresses at two levels */
    for (size_t i = 0; i < 2; i++)
        assert_false(limit_may_log_in(&where, &from[i], now));
    assert_int_equal(limit_failed(&where, &from[0], &creds, now), LIMIT_DELAY); /* the same guess */
    static const char *const bad[] = {"",
                                      "key",
                                      "key x",
                                      "1",
                                      "2 1 1 1 1 1 1 1 1 1 0 global",
                                      "0 1 0 1 1 1 1 1 1 1 17 global",
                                      "0 1 0 1 1 1 1 1 1 1 1 2 global"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        limit_take(bad[i], now);
    buf_free(&out);
    creds_wipe(&creds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(connections_of_a_level, configure),
        cmocka_unit_test_setup(connections_of_an_address, configure),
        cmocka_unit_test_setup(rates, configure),
        cmocka_unit_test_setup(access_is_asked_from_below, configure),
        cmocka_unit_test_setup(counts_survive_a_reload, configure),
        cmocka_unit_test_setup(lines_are_few, configure),
        cmocka_unit_test_setup(as_the_model_says, configure),
        cmocka_unit_test_setup(exact_over_threads, configure),
        cmocka_unit_test_setup(failures_grow_dear, configure),
        cmocka_unit_test_setup(failures_are_limited, configure),
        cmocka_unit_test_setup(who_mistyped_is_forgiven, configure),
        cmocka_unit_test_setup(lists_and_pardons, configure),
        cmocka_unit_test_setup(memory_is_bounded, configure),
        cmocka_unit_test_setup(penalties_go_along, configure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
