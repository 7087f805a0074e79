/* SPDX-License-Identifier: ISC
 *
 * Maps over a directory: see map_ldap.h. A lookup is: the filter and the base with their
 * placeholders filled in, the connector's search, and what the entry's values mean (read_values).
 */
#include "maps/map_ldap.h"

#include "auth/directory_command.h"
#include "auth/placeholder.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct map_ldap {
    struct map map;
    struct directory *directory;
};

/* What is asked. */
struct question {
    char base[DIRECTORY_DN_MAX + 1], filter[DIRECTORY_FILTER_MAX + 1];
};

static const struct directory_settings *settings_of(const struct map *map)
{
    return directory_settings(((const struct map_ldap *)map)->directory);
}

static enum map_result fail(struct map_ask *ask, enum map_result result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum map_result fail(struct map_ask *ask, enum map_result result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(ask->why, sizeof ask->why, format, args);
    va_end(args);
    return result;
}

/* ---- what an entry says ---- */

/* Whether A and B, nodes as they are written, are the same. */
static bool same_node(const struct map_query *query, const char *a, uint16_t a_port, const char *b,
                      uint16_t b_port)
{
    char hosts[2][MAP_HOST_MAX + 1];
    uint16_t ports[] = {a_port, b_port};
    snprintf(hosts[0], sizeof hosts[0], "%s", a);
    snprintf(hosts[1], sizeof hosts[1], "%s", b);
    for (int i = 0; i < 2 && query->meaning; i++)
        query->meaning(query->context, hosts[i], &ports[i]);
    return ports[0] == ports[1] && str_is(str_of(hosts[0]), hosts[1]);
}

static enum map_result read_host(struct map_ask *ask, struct map_entry *entry, const char *value)
{
    char host[MAP_HOST_MAX + 1];
    uint16_t port;
    const char *name = settings_of(ask->map)->attributes.host;
    if (!map_host_parse(str_of(value), host, &port))
        return fail(ask, MAP_TEMPORARY, "the entry's %s is no host: %.100s", name, value);
    if (entry->host[0] && !same_node(&ask->query, entry->host, entry->port, host, port))
        return fail(ask, MAP_AMBIGUOUS, "the entry has more than one %s: %.60s, %.60s", name,
                    entry->host, host);
    if (!entry->host[0]) {
        memcpy(entry->host, host, sizeof host);
        entry->port = port;
    }
    return MAP_FOUND;
}

static enum map_result read_login(struct map_ask *ask, struct map_entry *entry, const char *value)
{
    const char *name = settings_of(ask->map)->attributes.login;
    if (strlen(value) > MAP_LOGIN_MAX || str_has_control(str_of(value)))
        return fail(ask, MAP_TEMPORARY, "the entry's %s is no login", name);
    if (entry->login[0] && strcmp(entry->login, value) != 0)
        return fail(ask, MAP_AMBIGUOUS, "the entry has more than one %s", name);
    strcpy(entry->login, value);
    return MAP_FOUND;
}

/* Stored passwords stand one behind the other; USED bytes are taken. */
static enum map_result read_password(struct map_ask *ask, struct map_entry *entry, size_t *used,
                                     const char *value)
{
    size_t n = strlen(value) + 1;
    if (*used + n >= sizeof entry->passwords)
        return fail(ask, MAP_TEMPORARY, "the entry's %s values are too long",
                    settings_of(ask->map)->attributes.password);
    memcpy(entry->passwords + *used, value, n);
    *used += n;
    return MAP_FOUND;
}

static enum map_result read_values(struct map_ask *ask, struct map_entry *entry, char *dn,
                                   struct str values)
{
    const char *end = values.p + values.n;
    size_t passwords = 0, n;
    enum map_result result = MAP_FOUND;
    for (const char *p = values.p; p < end && result == MAP_FOUND; p += n + 2) {
        n = strlen(p + 1);
        if (*p == DIRECTORY_VALUE_HOST)
            result = read_host(ask, entry, p + 1);
        else if (*p == DIRECTORY_VALUE_LOGIN)
            result = read_login(ask, entry, p + 1);
        else if (*p == DIRECTORY_VALUE_PASSWORD)
            result = read_password(ask, entry, &passwords, p + 1);
        else if (*p == DIRECTORY_VALUE_HOLD)
            entry->hold |= str_is(str_of(p + 1), "TRUE");
        else if (n <= DIRECTORY_DN_MAX)
            memcpy(dn, p + 1, n + 1);
    }
    if (result == MAP_FOUND && !entry->host[0])
        return fail(ask, MAP_TEMPORARY, "the entry has no %s",
                    settings_of(ask->map)->attributes.host);
    if (result == MAP_FOUND && !*dn)
        return fail(ask, MAP_TEMPORARY, "the entry's DN is too long");
    return result;
}

static bool same_passwords(const char *a, const char *b)
{
    while (*a && strcmp(a, b) == 0) {
        size_t n = strlen(a) + 1;
        a += n;
        b += n;
    }
    return !*a && !*b;
}

static enum map_result read_entry(struct map_ask *ask, const struct directory_answer *answer)
{
    struct map_entry entry = {.cached = answer->cached};
    char dn[DIRECTORY_DN_MAX + 1] = "";
    enum map_result result = read_values(ask, &entry, dn, answer->values);
    if (result == MAP_FOUND) {
        ask->unchanged = ask->query.fresh && strcmp(dn, ask->dn) == 0 &&
                         same_passwords(entry.passwords, ask->entry.passwords);
        ask->entry = entry;
        strcpy(ask->dn, dn);
    }
    mem_wipe(entry.passwords, sizeof entry.passwords);
    return result;
}

/* ---- for people ---- */

/* "NAME: VALUE" lines; of a stored password only its {SCHEME}. */
static void report_values(struct map_report *report, const struct directory_settings *s,
                          struct str values)
{
    size_t at = 0, room = sizeof report->attributes;
    for (const char *p = values.p; p < values.p + values.n; p += strlen(p) + 1) {
        const char *value = p + 1, *name = NULL, *hidden = "";
        int n = (int)strcspn(value, "\r\n"); /* a value must not look like two */
        if (*p == DIRECTORY_VALUE_HOST)
            name = s->attributes.host;
        else if (*p == DIRECTORY_VALUE_LOGIN)
            name = s->attributes.login;
        else if (*p == DIRECTORY_VALUE_HOLD)
            name = s->attributes.hold;
        else if (*p == DIRECTORY_VALUE_DN)
            snprintf(report->dn, sizeof report->dn, "%s", value);
        if (*p == DIRECTORY_VALUE_PASSWORD) {
            name = s->attributes.password;
            hidden = "********";
            n = *value == '{' && strchr(value, '}') ? (int)(strchr(value, '}') - value) + 1 : 0;
        }
        if (name && at < room)
            at += (size_t)snprintf(report->attributes + at, room - at, "%s: %.*s%s\n", name, n,
                                   value, hidden);
    }
}

static void report(struct map_ask *ask, const struct question *q,
                   const struct directory_answer *answer, enum map_result result)
{
    struct map_report *r = ask->report;
    const struct directory_settings *s = settings_of(ask->map);
    const char *server = answer->server ? answer->server : s->servers.list[0];
    r->result = result;
    r->cached = answer->cached;
    r->took = answer->took;
    snprintf(r->server, sizeof r->server, "%s", answer->server ? answer->server : "");
    report_values(r, s, answer->values);
    directory_command_search(r->search_command, sizeof r->search_command, s, server, q->base,
                             q->filter, ask->query.passwords && !ask->map->kind->verify);
    if (ask->map->kind->verify && r->dn[0])
        directory_command_bind(r->bind_command, sizeof r->bind_command, s, server, r->dn);
    if (result == MAP_FOUND)
        snprintf(r->why, sizeof r->why, "%s",
                 answer->stale ? "an old answer: no server answers"
                 : r->cached   ? "from the cache"
                               : "one entry");
    else if (result == MAP_NOT_FOUND)
        snprintf(r->why, sizeof r->why, "no entry for %.250s under %.200s%s", q->filter,
                 *q->base ? q->base : "the root", r->cached ? " (from the cache)" : "");
    else
        snprintf(r->why, sizeof r->why, "%s", ask->why);
}

/* ---- lookup ---- */

static bool expand(const struct map *map, const struct map_query *query, struct question *q)
{
    const struct directory_settings *s = settings_of(map);
    const struct placeholder_values values = {query->login, query->email, query->service};
    return placeholder_expand(q->base, sizeof q->base, s->search_base, &values, PLACEHOLDER_DN) &&
           placeholder_expand(q->filter, sizeof q->filter, s->search_filter, &values,
                              PLACEHOLDER_FILTER);
}

/* An old answer, while no server gives one, tells where somebody lives and not who he is. */
static enum map_result judge(struct map_ask *ask, const struct directory_answer *answer)
{
    if (answer->stale && ask->query.passwords)
        return fail(ask, MAP_TEMPORARY, "%s", answer->error);
    switch (answer->result) {
    case DIRECTORY_FOUND:
        return read_entry(ask, answer);
    case DIRECTORY_NOT_FOUND:
        return MAP_NOT_FOUND;
    case DIRECTORY_AMBIGUOUS:
        return fail(ask, MAP_AMBIGUOUS, "more than one entry matches");
    default:
        return fail(ask, MAP_TEMPORARY, "%s", answer->error);
    }
}

static void found(struct directory_ask *question, const struct directory_answer *answer)
{
    struct map_ask *ask = OUTER(question, map_ask, question);
    enum map_result result = judge(ask, answer);
    struct question q;
    if (ask->report && expand(ask->map, &ask->query, &q))
        report(ask, &q, answer, result);
    ask->done(ask, result);
}

/* Whether a cached answer may not be the last word: a failure that somebody may have mended, and a
 * login that is to be refused, which must cost the same whether it is unknown or not (route.c). */
static bool is_doubtful(const struct map_ask *ask, const struct directory_answer *answer,
                        enum map_result result)
{
    if (!answer->cached || answer->stale || result == MAP_FOUND)
        return false;
    return result != MAP_NOT_FOUND || ask->query.passwords;
}

static enum map_result search(struct map_ask *ask, const struct question *q, bool fresh)
{
    const struct map_ldap *m = (const struct map_ldap *)ask->map;
    bool passwords = ask->query.passwords && !m->map.kind->verify;
    struct directory_answer answer;
    if (directory_search(m->directory, ask->worker, q->base, q->filter, passwords, fresh,
                         &ask->question, &answer) == DIRECTORY_PENDING)
        return MAP_PENDING;
    enum map_result result = judge(ask, &answer);
    if (is_doubtful(ask, &answer, result))
        return search(ask, q, true);
    if (ask->report)
        report(ask, q, &answer, result);
    return result;
}

static enum map_result lookup(struct map *map, struct map_ask *ask)
{
    struct question q;
    (void)map;
    if (!expand(ask->map, &ask->query, &q))
        return fail(ask, MAP_TEMPORARY, "the filter or the base becomes too long");
    ask->question.done = found;
    return search(ask, &q, ask->query.fresh);
}

static void cancel(struct map_ask *ask)
{
    directory_cancel(&ask->question);
}

static void flush(struct map *map, const struct map_query *query)
{
    struct question q;
    struct map_ldap *m = (struct map_ldap *)map;
    if (!query)
        directory_flush(m->directory, NULL, NULL);
    else if (expand(map, query, &q))
        directory_flush(m->directory, q.base, q.filter);
}

/* ---- ldap_bind: who ---- */

static enum map_result judge_bind(struct map_ask *ask, const struct directory_answer *answer)
{
    if (answer->result == DIRECTORY_FOUND)
        return MAP_FOUND;
    if (answer->result == DIRECTORY_NOT_FOUND)
        return MAP_NOT_FOUND;
    return fail(ask, MAP_TEMPORARY, "the bind failed: %.200s", answer->error);
}

static void bound(struct directory_ask *question, const struct directory_answer *answer)
{
    struct map_ask *ask = OUTER(question, map_ask, question);
    ask->done(ask, judge_bind(ask, answer));
}

static enum map_result verify(struct map *map, struct map_ask *ask, struct str password)
{
    struct map_ldap *m = (struct map_ldap *)map;
    struct directory_answer answer;
    ask->question.done = bound;
    if (directory_bind(m->directory, ask->worker, ask->dn, password, &ask->question, &answer) ==
        DIRECTORY_PENDING)
        return MAP_PENDING;
    return judge_bind(ask, &answer);
}

/* ---- the map ---- */

static bool answers(struct map *map, char *why, size_t size)
{
    return directory_answers(((struct map_ldap *)map)->directory, why, size);
}

static void free_map(struct map *map)
{
    struct map_ldap *m = (struct map_ldap *)map;
    directory_unref(m->directory);
    free(m);
}

static const struct map_kind kinds[] = {
    [MAP_LDAP_PASSWORD] = {.type = "ldap_password",
                           .lookup = lookup,
                           .cancel = cancel,
                           .flush = flush,
                           .answers = answers,
                           .free = free_map},
    [MAP_LDAP_BIND] = {.type = "ldap_bind",
                       .lookup = lookup,
                       .verify = verify,
                       .cancel = cancel,
                       .flush = flush,
                       .answers = answers,
                       .free = free_map},
};

struct map *map_ldap_new(const char *name, enum map_ldap_kind kind, struct directory *directory)
{
    struct map_ldap *m = xcalloc(1, sizeof *m);
    m->map = (struct map){.kind = &kinds[kind], .name = xstrdup(name), .references = 1};
    m->directory = directory_ref(directory);
    return &m->map;
}

struct directory *map_ldap_directory(const struct map *map)
{
    return ((const struct map_ldap *)map)->directory;
}
