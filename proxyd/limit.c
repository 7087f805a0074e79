/* SPDX-License-Identifier: ISC
 *
 * Access lists and limits: see limit.h. A connection is checked by all of its levels first and
 * then counted in all: under the lock of its address's shard (limit_table.h), and where a level as
 * a whole has a limit, under the lock of the levels too, so that no two connections take the same
 * last place and none is refused for a place that another one only tried. */
#include "limit.h"

#include "base/mem.h"
#include "limit_table.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    DELAY_MORE = 500, /* ms: how much longer each further failure of an address waits */
    DELAY_MOST = 8000,
    LINES_A_SECOND = 100, /* in the log, of refusals of all addresses */
    SECOND = 1000         /* ms */
};

/* In the order in which they are asked. */
enum kind { LEVEL_LISTENER, LEVEL_SERVICE, LEVEL_GLOBAL, LEVELS };

struct limit_level {
    struct limit_level *next;
    enum kind kind;
    char *name;
    atomic_uint connections;
    struct limit_window rate; /* under the lock of the levels */
};

static struct {
    pthread_mutex_t lock;
    struct limit_level *first;
    struct limit_window lines; /* in the log */
} levels = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- levels ---- */

/* Takes over NAME. */
static struct limit_level *level_of(enum kind kind, char *name)
{
    struct limit_level *level = levels.first;
    while (level && (level->kind != kind || strcmp(level->name, name) != 0))
        level = level->next;
    if (level) {
        free(name);
        return level;
    }
    level = xcalloc(1, sizeof *level);
    level->kind = kind;
    level->name = name;
    level->next = levels.first;
    return levels.first = level;
}

void limit_configure(struct config *config)
{
    char text[ADDR_TEXT];
    limit_table_init();
    config->global.level = level_of(LEVEL_GLOBAL, xstrdup("global"));
    for (size_t i = 0; i < config->service_count; i++) {
        struct config_service *service = &config->services[i];
        service->level = level_of(LEVEL_SERVICE, xstrdup(service->name));
        for (size_t k = 0; k < service->listener_count; k++) {
            struct config_listener *listener = &service->listeners[k];
            listener->level =
                level_of(LEVEL_LISTENER,
                         xasprintf("%s %s", service->name, addr_format(&listener->bind, text)));
        }
    }
}

/* What one of the levels of a place says. */
struct say {
    struct limit_level *level;
    const struct config_limits *limits;
    const struct access *access;
};

static void ask_levels(const struct limit_place *place, struct say says[LEVELS])
{
    const struct config_listener *listener = place->listener;
    const struct config_service *service = place->service;
    const struct config *config = place->config;
    says[LEVEL_LISTENER] =
        (struct say){listener->level, &listener->limits, listener->access.compiled};
    says[LEVEL_SERVICE] = (struct say){service->level, &service->limits, service->access.compiled};
    says[LEVEL_GLOBAL] =
        (struct say){config->global.level, &config->global.limits, config->global.access.compiled};
}

/* ---- refusing ---- */

static const char *const words[LIMIT_REASONS] = {
    [LIMIT_OK] = "ok",
    [LIMIT_ACCESS] = "access",
    [LIMIT_CONNECTIONS] = "connections",
    [LIMIT_CONNECTIONS_PER_IP] = "connections_per_ip",
    [LIMIT_RATE] = "rate",
    [LIMIT_RATE_PER_IP] = "rate_per_ip",
    [LIMIT_AUTH_FAILURES] = "auth_failures_per_ip",
};

const char *limit_reason_word(enum limit_reason reason)
{
    return words[reason];
}

static bool line_is_due(uint64_t now)
{
    pthread_mutex_lock(&levels.lock);
    bool due = limit_window_add(&levels.lines, now, SECOND) <= LINES_A_SECOND;
    pthread_mutex_unlock(&levels.lock);
    return due;
}

static void later(uint64_t *until, uint64_t than)
{
    if (*until < than)
        *until = than;
}

/* Notes that ADDRESS is refused for REASON by SAY, which is over at UNTIL (0: not a matter of
 * time). */
static void note_refusal(struct limit_shard *shard, const struct limit_address *address,
                         const struct say *say, enum limit_reason reason, uint64_t until,
                         uint64_t now, struct limit_refusal *refusal)
{
    uint64_t interval = say->limits->interval;
    struct limit_record *r = limit_make(shard, address, say->level);
    bool first = limit_window_add(&r->refused, now, interval) == 1;
    r->reason = reason;
    r->refused_until = until;
    r->refused_lately = r->refused.begun + interval;
    later(&r->until, r->refused_lately);
    refusal->due = first && line_is_due(now);
    refusal->unlogged = r->unlogged;
    r->unlogged = refusal->due ? 0 : r->unlogged + 1;
    limit_settle(shard, r, now);
}

/* ---- connections ---- */

/* A connection that wants to come in. */
struct entry {
    struct say says[LEVELS];
    struct limit_address address;
    bool known; /* it has an address */
    uint64_t now;
    enum limit_reason reason;
    const struct say *by; /* who refuses it */
    uint64_t until;       /* ms: when that is over; 0: not by itself */
};

static bool refuse(struct entry *e, const struct say *by, enum limit_reason reason, uint64_t until)
{
    e->by = by;
    e->reason = reason;
    e->until = until;
    return false;
}

static bool check_access(struct entry *e, const struct addr *client)
{
    struct network network;
    if (!network_of(&network, client))
        return true;
    for (size_t i = 0; i < LEVELS; i++) {
        const struct access_rule *rule = access_find(e->says[i].access, &network);
        if (rule)
            return rule->allow || refuse(e, &e->says[i], LIMIT_ACCESS, 0);
    }
    return true;
}

static bool check_address(struct entry *e, struct limit_shard *shard)
{
    for (size_t i = 0; i < LEVELS; i++) {
        const struct say *say = &e->says[i];
        const struct config_limits *limits = say->limits;
        if (!limits->connections_per_ip && !limits->rate_per_ip)
            continue;
        const struct limit_record *r = limit_find(shard, &e->address, say->level);
        if (!r)
            continue;
        if (limits->connections_per_ip && r->connections >= limits->connections_per_ip)
            return refuse(e, say, LIMIT_CONNECTIONS_PER_IP, 0);
        if (limits->rate_per_ip &&
            limit_window_count(&r->rate, e->now, limits->interval) >= limits->rate_per_ip)
            return refuse(e, say, LIMIT_RATE_PER_IP, r->rate.begun + limits->interval);
    }
    return true;
}

static void count_address(struct entry *e, struct limit_shard *shard, struct limit_ticket *t)
{
    for (size_t i = 0; i < LEVELS; i++) {
        const struct say *say = &e->says[i];
        const struct config_limits *limits = say->limits;
        if (!limits->connections_per_ip && !limits->rate_per_ip)
            continue;
        struct limit_record *r = limit_make(shard, &e->address, say->level);
        if (limits->connections_per_ip) {
            r->connections++;
            t->addresses |= (uint8_t)(1u << i);
        }
        if (limits->rate_per_ip) {
            limit_window_add(&r->rate, e->now, limits->interval);
            later(&r->until, r->rate.begun + limits->interval);
        }
        limit_settle(shard, r, e->now);
    }
}

static bool check_levels(struct entry *e)
{
    for (size_t i = 0; i < LEVELS; i++) {
        const struct say *say = &e->says[i];
        const struct config_limits *limits = say->limits;
        const struct limit_window *rate = &say->level->rate;
        if (limits->connections && atomic_load(&say->level->connections) >= limits->connections)
            return refuse(e, say, LIMIT_CONNECTIONS, 0);
        if (limits->rate && limit_window_count(rate, e->now, limits->interval) >= limits->rate)
            return refuse(e, say, LIMIT_RATE, rate->begun + limits->interval);
    }
    return true;
}

static void count_levels(struct entry *e)
{
    for (size_t i = 0; i < LEVELS; i++) {
        const struct config_limits *limits = e->says[i].limits;
        atomic_fetch_add(&e->says[i].level->connections, 1);
        if (limits->rate)
            limit_window_add(&e->says[i].level->rate, e->now, limits->interval);
    }
}

static bool enter_levels(struct entry *e)
{
    bool limited = false;
    for (size_t i = 0; i < LEVELS; i++)
        limited |= e->says[i].limits->connections || e->says[i].limits->rate;
    if (limited)
        pthread_mutex_lock(&levels.lock);
    bool in = check_levels(e);
    if (in)
        count_levels(e);
    if (limited)
        pthread_mutex_unlock(&levels.lock);
    return in;
}

static bool counts_addresses(const struct entry *e)
{
    bool counts = false;
    for (size_t i = 0; i < LEVELS; i++)
        counts |= e->says[i].limits->connections_per_ip || e->says[i].limits->rate_per_ip;
    return e->known && counts;
}

static bool enter_with_address(struct entry *e, struct limit_ticket *t)
{
    struct limit_shard *shard = limit_lock(&e->address);
    bool in = check_address(e, shard) && enter_levels(e);
    if (in)
        count_address(e, shard, t);
    limit_unlock(shard);
    return in;
}

static void tell_refusal(const struct entry *e, struct limit_refusal *refusal)
{
    *refusal = (struct limit_refusal){.reason = e->reason, .level = e->by->level->name};
    struct limit_shard *shard = limit_lock(&e->address);
    note_refusal(shard, &e->address, e->by, e->reason, e->until, e->now, refusal);
    limit_unlock(shard);
}

bool limit_enter(const struct limit_place *place, const struct addr *client, uint64_t now,
                 struct limit_ticket *t, struct limit_refusal *refusal)
{
    struct entry e = {.now = now};
    ask_levels(place, e.says);
    e.known = limit_address_of(client, &e.address);
    *t = (struct limit_ticket){0};
    if (check_access(&e, client))
        t->entered = counts_addresses(&e) ? enter_with_address(&e, t) : enter_levels(&e);
    if (!t->entered)
        tell_refusal(&e, refusal);
    return t->entered;
}

static void leave_address(const struct limit_place *place, const struct addr *client, uint64_t now,
                          unsigned counted)
{
    struct say says[LEVELS];
    struct limit_address address;
    ask_levels(place, says);
    limit_address_of(client, &address);
    struct limit_shard *shard = limit_lock(&address);
    for (size_t i = 0; i < LEVELS; i++)
        if (counted & 1u << i) {
            struct limit_record *r = limit_find(shard, &address, says[i].level);
            assert(r && r->connections);
            r->connections--;
            limit_settle(shard, r, now);
        }
    limit_unlock(shard);
}

void limit_leave(const struct limit_place *place, const struct addr *client, uint64_t now,
                 struct limit_ticket *t)
{
    if (!t->entered)
        return;
    atomic_fetch_sub(&place->listener->level->connections, 1);
    atomic_fetch_sub(&place->service->level->connections, 1);
    atomic_fetch_sub(&place->config->global.level->connections, 1);
    if (t->addresses)
        leave_address(place, client, now, t->addresses);
    *t = (struct limit_ticket){0};
}

/* ---- logins ---- */

static struct limit_guess guess_of(const struct creds *creds)
{
    char login[LOGIN_MAX + 1];
    size_t n = strlen(creds->login);
    struct str secret = buf_str(&creds->secret);
    memcpy(login, creds->login, n);
    str_lower(login, n);
    return (struct limit_guess){(uint32_t)limit_hash(login, n),
                                (uint32_t)limit_hash(secret.p, secret.n)};
}

static bool was_tried(const struct limit_record *r, struct limit_guess guess)
{
    unsigned kept = r->guess_count < LIMIT_GUESSES ? r->guess_count : LIMIT_GUESSES;
    for (unsigned i = 0; i < kept; i++)
        if (r->guesses[i].login == guess.login && r->guesses[i].secret == guess.secret)
            return true;
    return false;
}

static void keep_guess(struct limit_record *r, struct limit_guess guess)
{
    if (!r->guesses)
        r->guesses = xcalloc(LIMIT_GUESSES, sizeof *r->guesses);
    r->guesses[r->guess_count++ % LIMIT_GUESSES] = guess;
}

/* Counts a failure of ADDRESS at a level; returns how many there are. */
static unsigned count_failure(struct limit_shard *shard, const struct limit_address *address,
                              const struct say *say, struct limit_guess guess, uint64_t now)
{
    const struct config_limits *limits = say->limits;
    struct limit_record *r = limit_make(shard, address, say->level);
    if (limit_window_count(&r->failures, now, limits->interval) == 0)
        r->guess_count = 0;
    if (r->guess_count == 0 || !was_tried(r, guess)) {
        keep_guess(r, guess);
        limit_window_add(&r->failures, now, limits->interval);
    }
    unsigned count = r->failures.count;
    uint64_t until = r->failures.begun + limits->interval;
    later(&r->until, until);
    if (limits->auth_failures_per_ip && count >= limits->auth_failures_per_ip) {
        r->reason = LIMIT_AUTH_FAILURES;
        r->refused_until = until;
    }
    limit_settle(shard, r, now);
    return count;
}

/* The last of the levels, which is the process as a whole, counts failures in any case, for the
 * delay grows with them. */
uint64_t limit_failed(const struct limit_place *place, const struct addr *client,
                      const struct creds *creds, uint64_t now)
{
    struct say says[LEVELS];
    struct limit_address address;
    unsigned count = 1;
    if (!limit_address_of(client, &address))
        return LIMIT_DELAY;
    ask_levels(place, says);
    struct limit_guess guess = guess_of(creds);
    struct limit_shard *shard = limit_lock(&address);
    for (size_t i = 0; i < LEVELS; i++)
        if (says[i].limits->auth_failures_per_ip || i == LEVEL_GLOBAL)
            count = count_failure(shard, &address, &says[i], guess, now);
    limit_unlock(shard);
    uint64_t delay = LIMIT_DELAY + (uint64_t)(count - 1) * DELAY_MORE;
    return delay < DELAY_MOST ? delay : DELAY_MOST;
}

bool limit_may_log_in(const struct limit_place *place, const struct addr *client, uint64_t now)
{
    struct say says[LEVELS];
    struct limit_address address;
    struct limit_refusal refusal;
    bool limited = false, may = true;
    ask_levels(place, says);
    for (size_t i = 0; i < LEVELS; i++)
        limited |= says[i].limits->auth_failures_per_ip;
    if (!limited || !limit_address_of(client, &address))
        return true;
    struct limit_shard *shard = limit_lock(&address);
    for (size_t i = 0; i < LEVELS && may; i++) {
        const struct config_limits *limits = says[i].limits;
        const struct limit_record *r =
            limits->auth_failures_per_ip ? limit_find(shard, &address, says[i].level) : NULL;
        if (!r ||
            limit_window_count(&r->failures, now, limits->interval) < limits->auth_failures_per_ip)
            continue;
        may = false;
        note_refusal(shard, &address, &says[i], LIMIT_AUTH_FAILURES,
                     r->failures.begun + limits->interval, now, &refusal);
    }
    limit_unlock(shard);
    return may;
}

/* Takes the guesses at LOGIN out of those that are counted. */
static void forgive(struct limit_record *r, uint32_t login)
{
    unsigned kept = r->guess_count < LIMIT_GUESSES ? r->guess_count : LIMIT_GUESSES, left = 0;
    for (unsigned i = 0; i < kept; i++)
        if (r->guesses[i].login != login)
            r->guesses[left++] = r->guesses[i];
    r->failures.count -= kept - left < r->failures.count ? kept - left : r->failures.count;
    r->guess_count = left;
}

void limit_logged_in(const struct limit_place *place, const struct addr *client,
                     const struct creds *creds, uint64_t now)
{
    struct say says[LEVELS];
    struct limit_address address;
    if (!limit_address_of(client, &address))
        return;
    ask_levels(place, says);
    struct limit_shard *shard = limit_lock(&address);
    for (size_t i = 0; i < LEVELS; i++) {
        struct limit_record *r = limit_find(shard, &address, says[i].level);
        if (!r || !r->guess_count ||
            !limit_window_count(&r->failures, now, says[i].limits->interval))
            continue;
        forgive(r, guess_of(creds).login);
        if (r->reason == LIMIT_AUTH_FAILURES &&
            r->failures.count < says[i].limits->auth_failures_per_ip)
            r->refused_until = 0;
    }
    limit_unlock(shard);
}

/* ---- for the operator ---- */

struct listing {
    struct limit_entry *entries;
    size_t max, count;
    uint64_t now;
};

/* "192.0.2.1", "2001:db8::/64", or "unix" for all that have no address. */
static void format(const struct limit_address *address, char text[ADDR_TEXT])
{
    struct addr a = {.len = sizeof a.in6, .in6.sin6_family = AF_INET6};
    uint64_t bits = address->bits;
    if (!address->six)
        a = (struct addr){.len = sizeof a.in,
                          .in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl((uint32_t)bits)}};
    for (size_t i = 8; address->six && i-- > 0; bits >>= 8)
        a.in6.sin6_addr.s6_addr[i] = (unsigned char)bits;
    addr_host(&a, text);
    strcat(text, address->six ? "/64" : "");
    if (!address->six && !address->bits)
        strcpy(text, "unix");
}

static bool list(struct limit_record *r, void *context)
{
    struct listing *l = context;
    const struct limit_level *level = r->level;
    bool timed = r->refused_until > l->now;
    if (!timed && r->refused_lately <= l->now)
        return true;
    if (l->count++ >= l->max)
        return true;
    struct limit_entry *entry = &l->entries[l->count - 1];
    *entry = (struct limit_entry){.level = level->name,
                                  .reason = (enum limit_reason)r->reason,
                                  .count = r->refused.count,
                                  .seconds = timed ? (r->refused_until - l->now + 999) / 1000 : 0};
    format(&r->address, entry->address);
    return true;
}

size_t limit_list(struct limit_entry *entries, size_t max, uint64_t now)
{
    struct listing l = {entries, max, 0, now};
    limit_each(NULL, list, &l);
    return l.count;
}

static bool pardon(struct limit_record *r, void *context)
{
    size_t *count = context;
    *count += r->rate.count || r->failures.count || r->refused.count || r->refused_until;
    r->rate.count = r->failures.count = r->refused.count = r->guess_count = 0;
    r->refused_until = r->refused_lately = 0;
    return true;
}

size_t limit_pardon(const struct addr *client)
{
    struct limit_address address;
    size_t count = 0;
    if (!client)
        limit_each(NULL, pardon, &count);
    else if (limit_address_of(client, &address))
        limit_each(&address, pardon, &count);
    return count;
}

/* ---- for a process to come ---- */

struct saving {
    struct buf *out;
    const char *word;
    uint64_t now;
    bool refused; /* the turn of those that are, or of the others */
    unsigned count;
};

/* Times are those of the machine, and so the same there. */
static bool save(struct limit_record *r, void *context)
{
    struct saving *s = context;
    const struct limit_level *level = r->level;
    unsigned guesses = r->guess_count < LIMIT_GUESSES ? r->guess_count : LIMIT_GUESSES;
    bool counts = r->failures.count || r->rate.count;
    if (r->until <= s->now || !counts || (r->refused_until > s->now) != s->refused)
        return true;
    if (s->count++ == LIMIT_SAVED)
        return false;
    buf_addf(s->out, "%s %d %llu %d %llu %u %llu %u %llu %llu %u %u", s->word, r->address.six,
             (unsigned long long)r->address.bits, level->kind,
             (unsigned long long)r->failures.begun, r->failures.count,
             (unsigned long long)r->rate.begun, r->rate.count, (unsigned long long)r->until,
             (unsigned long long)r->refused_until, r->reason, guesses);
    for (unsigned i = 0; i < guesses; i++)
        buf_addf(s->out, " %u %u", r->guesses[i].login, r->guesses[i].secret);
    buf_addf(s->out, " %s\n", level->name);
    return true;
}

void limit_save(struct buf *out, const char *word, uint64_t now)
{
    struct saving s = {.out = out, .word = word, .now = now, .refused = true};
    buf_addf(out, "%s key ", word);
    limit_table_add_key(out);
    buf_adds(out, "\n");
    limit_each(NULL, save, &s);
    s.refused = false;
    limit_each(NULL, save, &s);
}

/* The next number of TEXT, at most MAX. */
static bool next_number(struct str *text, uint64_t max, uint64_t *n)
{
    return str_number(str_word(text), max, n);
}

enum {
    SIX,
    BITS,
    KIND,
    FAILED_AT,
    FAILED,
    RATED_AT,
    RATED,
    UNTIL,
    REFUSED_UNTIL,
    REASON,
    GUESSES,
    NUMBERS
};

static bool take_numbers(struct str *text, uint64_t numbers[NUMBERS])
{
    static const uint64_t most[NUMBERS] = {[SIX] = 1,
                                           [BITS] = UINT64_MAX,
                                           [KIND] = LEVELS - 1,
                                           [FAILED_AT] = INT64_MAX,
                                           [FAILED] = UINT32_MAX,
                                           [RATED_AT] = INT64_MAX,
                                           [RATED] = UINT32_MAX,
                                           [UNTIL] = INT64_MAX,
                                           [REFUSED_UNTIL] = INT64_MAX,
                                           [REASON] = LIMIT_REASONS - 1,
                                           [GUESSES] = LIMIT_GUESSES};
    for (size_t i = 0; i < NUMBERS; i++)
        if (!next_number(text, most[i], &numbers[i]))
            return false;
    return true;
}

static bool take_guesses(struct str *text, struct limit_guess *guesses, uint64_t count)
{
    uint64_t login, secret;
    for (uint64_t i = 0; i < count; i++) {
        if (!next_number(text, UINT32_MAX, &login) || !next_number(text, UINT32_MAX, &secret))
            return false;
        guesses[i] = (struct limit_guess){(uint32_t)login, (uint32_t)secret};
    }
    return true;
}

/* What is behind the numbers of a line is the name of the level. */
static void take_record(struct str text, uint64_t now)
{
    uint64_t n[NUMBERS];
    struct limit_guess guesses[LIMIT_GUESSES];
    if (!take_numbers(&text, n) || !take_guesses(&text, guesses, n[GUESSES]) || text.n < 2)
        return;
    limit_table_init();
    struct limit_address address = {n[BITS], n[SIX] == 1, 0};
    limit_address_hash(&address);
    struct limit_level *level = level_of((enum kind)n[KIND], xstrndup(text.p + 1, text.n - 1));
    struct limit_shard *shard = limit_lock(&address);
    struct limit_record *r = limit_make(shard, &address, level);
    r->failures = (struct limit_window){n[FAILED_AT], (unsigned)n[FAILED]};
    r->rate = (struct limit_window){n[RATED_AT], (unsigned)n[RATED]};
    r->until = n[UNTIL];
    r->refused_until = n[REFUSED_UNTIL];
    r->reason = (unsigned)n[REASON];
    r->guess_count = 0;
    for (uint64_t i = 0; i < n[GUESSES]; i++)
        keep_guess(r, guesses[i]);
    limit_settle(shard, r, now);
    limit_unlock(shard);
}

void limit_take(const char *line, uint64_t now)
{
    struct str rest = str_of(line);
    if (str_is(str_word(&rest), "key"))
        limit_table_set_key(str_word(&rest));
    else
        take_record(str_of(line), now);
}
