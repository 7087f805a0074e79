/* SPDX-License-Identifier: ISC
 *
 * A connector's servers, as all workers see them: one that fails is left alone until retry_interval
 * is over. See directory_parts.h. */
#include "auth/directory_parts.h"

static void note_trouble(struct directory *d, int server, const char *why)
{
    pthread_mutex_lock(&d->lock);
    snprintf(d->trouble[server], sizeof d->trouble[server], "%s", why);
    pthread_mutex_unlock(&d->lock);
}

void directory_server_log(const struct directory_client *c, enum log_level level, int server,
                          const char *message)
{
    struct log_line l;
    if (!log_begin(&l, level, log_level("ldap"), "ldap"))
        return;
    log_str(&l, "connector", directory_settings_of(c)->name);
    log_str(&l, "server", directory_url_of(c, server));
    log_str(&l, "message", message);
    log_end(&l);
}

void directory_server_failed(struct directory_client *c, int server, const char *why)
{
    note_trouble(c->directory, server, why);
    uint64_t retry = directory_now() + directory_settings_of(c)->retry_interval;
    bool was_well = atomic_exchange(&c->directory->retry_at[server], retry) == 0;
    directory_server_log(c, was_well ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, server, why);
}

void directory_server_answers(struct directory_client *c, int server)
{
    if (atomic_exchange(&c->directory->retry_at[server], 0) == 0)
        return;
    note_trouble(c->directory, server, "");
    directory_server_log(c, LOG_LEVEL_INFO, server, "answers");
}

int directory_server_pick(const struct directory_client *c, bool any)
{
    uint64_t now = directory_now();
    int again = -1;
    for (int i = 0; i < (int)directory_settings_of(c)->servers.count; i++) {
        uint64_t retry = atomic_load(&c->directory->retry_at[i]);
        if (retry == 0 || (any && retry <= now))
            return i;
        if (again < 0 && retry <= now)
            again = i;
    }
    return again;
}

uint64_t directory_server_patience(const struct directory_client *c)
{
    const struct directory_settings *s = directory_settings_of(c);
    return s->servers.count > 1 ? s->timeout / 2 : s->timeout;
}
