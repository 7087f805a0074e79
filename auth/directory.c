/* SPDX-License-Identifier: ISC
 *
 * A connector: see directory.h. This file has what all workers share, the settings, the cache, the
 * counters; asking a server is directory_client.c's. */
#include "auth/directory.h"

#include "auth/directory_client.h"
#include "auth/placeholder.h"
#include "base/mem.h"

#include <ldap.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PROBE = 2000 /* ms without an answer until a server is asked whether it is there */ };
enum { KEY_MAX = 1 + DIRECTORY_DN_MAX + 1 + DIRECTORY_FILTER_MAX + 1 };

/* What begins an answer in the cache: */
enum { CACHED_FOUND = '+', CACHED_NOT_FOUND = '-' };

/* ---- settings ---- */

#define TEXT(member) offsetof(struct directory_settings, member)

static const size_t texts[] = {
    TEXT(name),
    TEXT(ca_file),
    TEXT(bind_dn),
    TEXT(bind_password),
    TEXT(search_base),
    TEXT(search_filter),
    TEXT(attributes.host),
    TEXT(attributes.password),
    TEXT(attributes.login),
    TEXT(attributes.hold),
    TEXT(bind_password_file),
};
enum { TEXTS = sizeof texts / sizeof *texts };

static char **text_of(const struct directory_settings *s, size_t i)
{
    return (char **)((char *)s + texts[i]);
}

static void copy_settings(struct directory_settings *to, const struct directory_settings *from)
{
    *to = *from;
    for (size_t i = 0; i < TEXTS; i++)
        if (*text_of(from, i))
            *text_of(to, i) = xstrdup(*text_of(from, i));
    to->servers.list = xcalloc(from->servers.count, sizeof *to->servers.list);
    for (size_t i = 0; i < from->servers.count; i++)
        to->servers.list[i] = xstrdup(from->servers.list[i]);
}

static void free_settings(struct directory_settings *s)
{
    if (s->bind_password)
        mem_wipe(s->bind_password, strlen(s->bind_password));
    for (size_t i = 0; i < TEXTS; i++)
        free(*text_of(s, i));
    for (size_t i = 0; i < s->servers.count; i++)
        free(s->servers.list[i]);
    free(s->servers.list);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_numbers(const struct directory_settings *a, const struct directory_settings *b)
{
    return a->server_type == b->server_type && a->starttls == b->starttls &&
           a->verify == b->verify && a->search_scope == b->search_scope &&
           a->multiple_matches == b->multiple_matches && a->referrals == b->referrals &&
           a->timeout == b->timeout && a->retry_interval == b->retry_interval &&
           a->connections == b->connections && a->bind_connections == b->bind_connections &&
           a->cache.found == b->cache.found && a->cache.not_found == b->cache.not_found &&
           a->cache.stale == b->cache.stale && a->cache.entries == b->cache.entries;
}

bool directory_is_as(const struct directory *directory, const struct directory_settings *settings)
{
    const struct directory_settings *s = &directory->settings;
    bool same = same_numbers(s, settings) && s->servers.count == settings->servers.count;
    for (size_t i = 0; same && i < s->servers.count; i++)
        same = strcmp(s->servers.list[i], settings->servers.list[i]) == 0;
    for (size_t i = 0; same && i < TEXTS; i++)
        same = same_text(*text_of(s, i), *text_of(settings, i));
    return same;
}

/* ---- the connector ---- */

/* libldap sets itself up at its first use, which must not be in two threads at once; what ldap.conf
 * says is for the machine's other programs. */
static void prepare_libldap(void)
{
    int version;
    setenv("LDAPNOINIT", "1", 1);
    ldap_get_option(NULL, LDAP_OPT_PROTOCOL_VERSION, &version);
}

struct directory *directory_new(const struct directory_settings *settings)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare_libldap);
    struct directory *d = xcalloc(1, sizeof *d);
    atomic_init(&d->references, 1);
    pthread_mutex_init(&d->lock, NULL);
    copy_settings(&d->settings, settings);
    d->moving_base = placeholder_any(settings->search_base);
    if (settings->cache.found || settings->cache.not_found)
        d->cache = directory_cache_new(settings->cache.entries);
    return d;
}

struct directory *directory_ref(struct directory *directory)
{
    atomic_fetch_add(&directory->references, 1);
    return directory;
}

void directory_unref(struct directory *directory)
{
    if (!directory || atomic_fetch_sub(&directory->references, 1) > 1)
        return;
    if (directory->cache)
        directory_cache_free(directory->cache);
    free_settings(&directory->settings);
    pthread_mutex_destroy(&directory->lock);
    free(directory);
}

const struct directory_settings *directory_settings(const struct directory *directory)
{
    return &directory->settings;
}

void directory_count(struct directory *directory, struct directory_counters *counters)
{
    *counters = (struct directory_counters){
        .hits = atomic_load(&directory->hits),
        .searches = atomic_load(&directory->searches),
        .binds = atomic_load(&directory->binds),
        .failures = atomic_load(&directory->failures),
        .cached = directory->cache ? directory_cache_count(directory->cache) : 0,
    };
}

/* ---- the cache ---- */

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

void directory_remember(struct directory *directory, struct str key,
                        const struct directory_answer *answer)
{
    char value[DIRECTORY_VALUES_MAX + 1];
    uint64_t fresh = directory->settings.cache.found, stale = directory->settings.cache.stale;
    bool found = answer->result == DIRECTORY_FOUND;
    if (!directory->cache || answer->stale || (!found && answer->result != DIRECTORY_NOT_FOUND))
        return;
    if (!found) {
        fresh = directory->settings.cache.not_found;
        stale = 0;
    }
    *value = found ? CACHED_FOUND : CACHED_NOT_FOUND;
    size_t n = found ? answer->values.n : 0;
    if (n)
        memcpy(value + 1, answer->values.p, n);
    directory_cache_put(directory->cache, key, (struct str){value, n + 1}, now_ms(), fresh, stale);
    mem_wipe(value, n + 1);
}

enum directory_cache_result directory_recall(struct directory *directory, struct str key,
                                             char *buffer, struct directory_answer *answer)
{
    size_t n;
    if (!directory->cache)
        return DIRECTORY_CACHE_NONE;
    enum directory_cache_result result =
        directory_cache_get(directory->cache, key, now_ms(), buffer, DIRECTORY_VALUES_MAX + 1, &n);
    if (result == DIRECTORY_CACHE_NONE)
        return result;
    answer->result = *buffer == CACHED_FOUND ? DIRECTORY_FOUND : DIRECTORY_NOT_FOUND;
    answer->values = (struct str){buffer + 1, n - 1};
    answer->cached = true;
    return result;
}

/* ---- asking ---- */

/* The key of a question: see directory_client_ask. */
static bool make_key(char *key, char kind, const char *base, const char *filter, struct str *made)
{
    size_t base_size = strlen(base) + 1, filter_size = strlen(filter) + 1;
    if (base_size > DIRECTORY_DN_MAX + 1 || filter_size > DIRECTORY_FILTER_MAX + 1)
        return false;
    *key = kind;
    memcpy(key + 1, base, base_size);
    memcpy(key + 1 + base_size, filter, filter_size);
    *made = (struct str){key, 1 + base_size + filter_size};
    return true;
}

static enum directory_result ask_server(struct directory_client *client, struct str key,
                                        struct str password, struct directory_ask *ask,
                                        struct directory_answer *answer)
{
    bool asked = directory_client_ask(client, key, password, ask, answer->error);
    return answer->result = asked ? DIRECTORY_PENDING : DIRECTORY_TEMPORARY;
}

static enum directory_result refuse(struct directory_answer *answer)
{
    snprintf(answer->error, sizeof answer->error, "the question is too long");
    return answer->result = DIRECTORY_TEMPORARY;
}

enum directory_result directory_search(struct directory *directory, struct worker *w,
                                       const char *base, const char *filter, bool passwords,
                                       bool fresh, struct directory_ask *ask,
                                       struct directory_answer *answer)
{
    char key[KEY_MAX];
    struct str made;
    struct directory_client *client = directory_client(directory, w);
    *answer = (struct directory_answer){0};
    if (!make_key(key, passwords ? 'p' : '-', base, filter, &made))
        return refuse(answer);
    char *buffer = directory_client_buffer(client);
    if (!fresh && directory_recall(directory, made, buffer, answer) == DIRECTORY_CACHE_FRESH) {
        atomic_fetch_add(&directory->hits, 1);
        return answer->result;
    }
    *answer = (struct directory_answer){0};
    if (ask_server(client, made, (struct str){0}, ask, answer) == DIRECTORY_TEMPORARY) {
        atomic_fetch_add(&directory->failures, 1);
        answer->stale = directory_recall(directory, made, buffer, answer);
    }
    return answer->result;
}

enum directory_result directory_bind(struct directory *directory, struct worker *w, const char *dn,
                                     struct str password, struct directory_ask *ask,
                                     struct directory_answer *answer)
{
    char key[KEY_MAX];
    struct str made;
    *answer = (struct directory_answer){0};
    if (password.n == 0 || *dn == 0 || !make_key(key, 'b', dn, "", &made))
        return refuse(answer); /* an empty one would make it an anonymous bind: RFC 4513, 5.1.2 */
    return ask_server(directory_client(directory, w), made, password, ask, answer);
}

void directory_flush(struct directory *directory, const char *base, const char *filter)
{
    char key[KEY_MAX];
    struct str made;
    if (!directory->cache)
        return;
    if (!base)
        directory_cache_clear(directory->cache);
    for (const char *kind = "p-"; base && *kind; kind++)
        if (make_key(key, *kind, base, filter, &made))
            directory_cache_drop(directory->cache, made);
}

/* ---- health ---- */

/* The base is what the server has to look at for every user; where it depends on the user, the root
 * does (RFC 4512, 5.1). */
void directory_probe(struct directory *directory, struct worker *w)
{
    char key[KEY_MAX], error[256];
    struct str made;
    const char *base = directory->moving_base ? "" : directory->settings.search_base;
    uint64_t heard = atomic_load(&directory->heard);
    if ((heard && now_ms() - heard < PROBE) || !make_key(key, 'c', base, "(objectClass=*)", &made))
        return;
    directory_client_ask(directory_client(directory, w), made, (struct str){0}, NULL, error);
}

void directory_server(struct directory *directory, size_t index, struct directory_server *server)
{
    server->url = directory->settings.servers.list[index];
    server->well = atomic_load(&directory->retry_at[index]) == 0;
    pthread_mutex_lock(&directory->lock);
    memcpy(server->trouble, directory->trouble[index], sizeof server->trouble);
    pthread_mutex_unlock(&directory->lock);
}

bool directory_answers(struct directory *directory, char *why, size_t size)
{
    struct directory_server server;
    bool well = false;
    const char *trouble = "";
    for (size_t i = 0; i < directory->settings.servers.count && !well; i++) {
        directory_server(directory, i, &server);
        well = server.well;
        trouble = server.trouble;
    }
    bool heard = atomic_load(&directory->heard);
    if (well && heard)
        return true;
    snprintf(why, size, "%s%s%s", heard ? "no server answers" : "no server has answered yet",
             *trouble ? ": " : "", trouble);
    return false;
}
