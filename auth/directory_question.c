/* SPDX-License-Identifier: ISC
 *
 * A question to a directory: what it is in LDAP, what its answer means, who is told. Does not know
 * when it is sent, nor on which connection. See directory_parts.h. */
#include "auth/directory_parts.h"

#include <stdlib.h>

enum {
    CHASES = 4, /* searches that follow referrals, under way */
    TRIES = 3   /* of a question whose connection was lost */
};

/* A search that follows referrals, in the pool. */
struct chase {
    uv_work_t work;
    struct directory_client *client;
    struct directory_question *question; /* NULL: nobody waits any more */
    struct directory_request request;
    int server, code;
    LDAP *ld;
    LDAPMessage *result;
    char error[DIRECTORY_ERROR_MAX];
    char texts[];
};

static struct directory_question **bucket_of(struct directory_client *c, uint32_t hash)
{
    return &c->by_key[hash % DIRECTORY_BUCKETS];
}

struct directory_question *directory_question_same(struct directory_client *c, uint32_t hash,
                                                   struct str key)
{
    struct directory_question *q = *bucket_of(c, hash);
    while (q && (q->bind || q->hash != hash || !str_eq((struct str){q->key, q->key_size}, key)))
        q = q->same_bucket;
    return q;
}

static void leave_connection(struct directory_question *q)
{
    ring_remove(&q->ring);
    if (q->connection)
        q->connection->load--;
    q->connection = NULL;
}

void directory_question_detach(struct directory_question *q)
{
    struct directory_question **p = bucket_of(q->client, q->hash);
    while (*p != q)
        p = &(*p)->same_bucket;
    *p = q->same_bucket;
    leave_connection(q);
    if (q->chase)
        q->chase->question = NULL;
    worker_timer_clear(q->client->worker, &q->deadline);
    q->client->questions--;
}

void directory_question_free(struct directory_question *q)
{
    buf_free(&q->values);
    if (q->password)
        mem_wipe(q->password, q->password_size);
    free(q->password);
    free(q);
}

static bool is_check(const struct directory_question *q)
{
    return *q->key == 'c';
}

static void finish(struct directory_question *q, struct directory_answer *answer)
{
    struct str key = {q->key, q->key_size};
    q->finishing = true;
    directory_question_detach(q);
    answer->took = uv_hrtime() - q->asked;
    if (answer->result == DIRECTORY_FOUND && !q->bind)
        answer->values = buf_str(&q->values);
    if (answer->result == DIRECTORY_TEMPORARY && !is_check(q))
        atomic_fetch_add(&q->client->directory->failures, 1);
    if (!q->bind && !is_check(q))
        directory_remember(q->client->directory, key, answer);
    for (struct directory_ask *ask; (ask = q->asks) != NULL;) {
        q->asks = ask->next;
        ask->question = NULL;
        ask->done(ask, answer);
    }
    directory_question_free(q);
}

void directory_question_finish(struct directory_question *q, enum directory_result result,
                               int server, const char *error)
{
    struct directory_answer answer = {.result = result};
    if (server >= 0)
        answer.server = directory_url_of(q->client, server);
    snprintf(answer.error, sizeof answer.error, "%s", error);
    finish(q, &answer);
}

void directory_question_unanswered(struct directory_question *q, const char *error)
{
    struct directory_client *c = q->client;
    struct directory_answer answer = {.result = DIRECTORY_TEMPORARY};
    struct str key = {q->key, q->key_size};
    if (!q->bind && directory_recall(c->directory, key, c->buffer, &answer)) {
        answer.stale = true;
        buf_clear(&q->values);
        buf_add(&q->values, answer.values.p, answer.values.n);
    }
    snprintf(answer.error, sizeof answer.error, "%s", error);
    finish(q, &answer);
}

void directory_question_again(struct directory_question *q, const char *why)
{
    leave_connection(q);
    q->matches = 0;
    q->referred = false;
    buf_clear(&q->values);
    if (++q->tries >= TRIES) {
        directory_question_unanswered(q, why);
        return;
    }
    ring_add_first(&q->client->channels[q->bind].waiting, &q->ring);
    directory_client_dispatch(q->client);
}

struct directory_question *directory_question_new(struct directory_client *c, uint32_t hash,
                                                  struct str key, struct str password)
{
    struct directory_question *q = xcalloc(1, sizeof *q + key.n), **bucket = bucket_of(c, hash);
    q->client = c;
    q->hash = hash;
    q->key_size = key.n;
    memcpy(q->key, key.p, key.n);
    q->bind = *key.p == 'b';
    q->asked = uv_hrtime();
    buf_init(&q->values, q->lent, sizeof q->lent, DIRECTORY_VALUES_MAX);
    if (q->bind) {
        q->password = xmalloc(password.n);
        q->password_size = password.n;
        memcpy(q->password, password.p, password.n);
    }
    q->same_bucket = *bucket;
    *bucket = q;
    c->questions++;
    ring_add_last(&c->channels[q->bind].waiting, &q->ring);
    return q;
}

/* ---- asking ---- */

/* The entry, and of its attributes none (RFC 4511, 4.5.1.8). */
static void set_check(struct directory_request *r)
{
    static char none[] = LDAP_NO_ATTRS;
    r->scope = LDAP_SCOPE_BASE;
    r->size_limit = 1;
    r->attributes[0] = none;
    r->attributes[1] = NULL;
}

static void set_attributes(const struct directory_settings *s, bool passwords, char **out)
{
    char *all[] = {s->attributes.host, s->attributes.login, s->attributes.hold,
                   passwords ? s->attributes.password : NULL};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            *out++ = all[i];
    *out = NULL;
}

static void set_request(const struct directory_client *c, const char *key,
                        struct directory_request *r)
{
    static const int scopes[] = {[DIRECTORY_SCOPE_SUB] = LDAP_SCOPE_SUBTREE,
                                 [DIRECTORY_SCOPE_ONE] = LDAP_SCOPE_ONELEVEL,
                                 [DIRECTORY_SCOPE_BASE] = LDAP_SCOPE_BASE};
    const struct directory_settings *s = directory_settings_of(c);
    r->base = key + 1;
    r->filter = r->base + strlen(r->base) + 1;
    r->scope = scopes[s->search_scope];
    r->size_limit = s->multiple_matches == DIRECTORY_MATCHES_FIRST ? 1 : 2;
    set_attributes(s, *key == 'p', r->attributes);
    if (*key == 'c')
        set_check(r);
}

int directory_question_send(struct directory_question *q, LDAP *ld)
{
    struct directory *d = q->client->directory;
    struct directory_request r;
    if (q->bind) {
        struct berval password = {q->password_size, q->password};
        atomic_fetch_add(&d->binds, 1);
        return ldap_sasl_bind(ld, q->key + 1, LDAP_SASL_SIMPLE, &password, NULL, NULL, &q->id);
    }
    if (!is_check(q))
        atomic_fetch_add(&d->searches, 1);
    set_request(q->client, q->key, &r);
    return ldap_search_ext(ld, r.base, r.scope, r.filter, r.attributes, 0, NULL, NULL, NULL,
                           r.size_limit, &q->id);
}

/* ---- answers ---- */

static void add_value(struct directory_question *q, char letter, struct str value)
{
    buf_add(&q->values, &letter, 1);
    buf_add(&q->values, value.p, value.n + 1); /* with its NUL */
}

static void collect_values(struct directory_question *q, LDAP *ld, LDAPMessage *entry, char letter,
                           const char *attribute)
{
    struct berval **values = attribute ? ldap_get_values_len(ld, entry, attribute) : NULL;
    for (struct berval **v = values; v && *v; v++)
        if ((*v)->bv_len && !memchr((*v)->bv_val, 0, (*v)->bv_len))
            add_value(q, letter, (struct str){(*v)->bv_val, (*v)->bv_len});
    ldap_value_free_len(values);
}

void directory_question_collect(struct directory_question *q, LDAP *ld, LDAPMessage *entry)
{
    const struct directory_attributes *a = &directory_settings_of(q->client)->attributes;
    if (q->matches++ > 0)
        return;
    char *dn = ldap_get_dn(ld, entry);
    if (dn)
        add_value(q, DIRECTORY_VALUE_DN, str_of(dn));
    ldap_memfree(dn);
    collect_values(q, ld, entry, DIRECTORY_VALUE_HOST, a->host);
    collect_values(q, ld, entry, DIRECTORY_VALUE_LOGIN, a->login);
    collect_values(q, ld, entry, DIRECTORY_VALUE_HOLD, a->hold);
    if (*q->key == 'p')
        collect_values(q, ld, entry, DIRECTORY_VALUE_PASSWORD, a->password);
}

static void finish_found(struct directory_question *q, int server)
{
    bool first = directory_settings_of(q->client)->multiple_matches == DIRECTORY_MATCHES_FIRST;
    if (q->values.full)
        directory_question_finish(q, DIRECTORY_TEMPORARY, server, "the entry is too large");
    else if (q->matches == 0)
        directory_question_finish(q, DIRECTORY_NOT_FOUND, server, "");
    else
        directory_question_finish(
            q, q->matches == 1 || first ? DIRECTORY_FOUND : DIRECTORY_AMBIGUOUS, server, "");
}

static void start_chase(struct directory_question *q, int server);

static void search_ended(struct directory_question *q, int server, int code, const char *words)
{
    const struct directory *d = q->client->directory;
    bool refers = code == LDAP_REFERRAL || (code == LDAP_SUCCESS && q->referred && !q->matches);
    if (refers && d->settings.referrals && q->connection)
        start_chase(q, server);
    else if (code == LDAP_SUCCESS || (code == LDAP_SIZELIMIT_EXCEEDED && q->matches))
        finish_found(q, server);
    else if (code == LDAP_NO_SUCH_OBJECT && d->moving_base)
        directory_question_finish(q, DIRECTORY_NOT_FOUND, server, "");
    else
        directory_question_finish(q, DIRECTORY_TEMPORARY, server, words);
}

static void bind_ended(struct directory_question *q, int server, int code, const char *words)
{
    static const int refusals[] = {LDAP_INVALID_CREDENTIALS,  LDAP_NO_SUCH_OBJECT,
                                   LDAP_INAPPROPRIATE_AUTH,   LDAP_CONSTRAINT_VIOLATION,
                                   LDAP_UNWILLING_TO_PERFORM, LDAP_INSUFFICIENT_ACCESS};
    enum directory_result result = DIRECTORY_TEMPORARY;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (code == refusals[i])
            result = DIRECTORY_NOT_FOUND;
    directory_question_finish(q, code == LDAP_SUCCESS ? DIRECTORY_FOUND : result, server, words);
}

void directory_question_answered(struct directory_question *q, int server, int code,
                                 const char *words)
{
    if (q->bind)
        bind_ended(q, server, code, words);
    else if (is_check(q))
        directory_question_finish(q, DIRECTORY_NOT_FOUND, server, "");
    else
        search_ended(q, server, code, words);
}

/* ---- referrals ---- */

static void chase_run(uv_work_t *work)
{
    struct chase *h = work->data;
    const struct directory_client *c = h->client;
    h->code = directory_chase(directory_settings_of(c), directory_url_of(c, h->server), &h->request,
                              directory_settings_of(c)->timeout, &h->ld, &h->result, h->error);
}

static void chase_ended(uv_work_t *work, int status)
{
    struct chase *h = work->data;
    struct directory_question *q = h->question;
    (void)status;
    h->client->chases--;
    h->client->worker->busy_tasks--;
    if (q) {
        q->chase = NULL;
        for (LDAPMessage *e = ldap_first_entry(h->ld, h->result); e; e = ldap_next_entry(h->ld, e))
            directory_question_collect(q, h->ld, e);
        search_ended(q, h->server, h->code, h->error);
    }
    ldap_msgfree(h->result);
    if (h->ld)
        ldap_unbind_ext(h->ld, NULL, NULL);
    free(h);
}

static void start_chase(struct directory_question *q, int server)
{
    struct directory_client *c = q->client;
    if (c->chases == CHASES) {
        directory_question_finish(q, DIRECTORY_TEMPORARY, server,
                                  "too many referrals are being followed");
        return;
    }
    struct chase *h = xcalloc(1, sizeof *h + q->key_size);
    memcpy(h->texts, q->key, q->key_size);
    set_request(c, h->texts, &h->request);
    h->work.data = h;
    h->client = c;
    h->question = q;
    h->server = server;
    leave_connection(q);
    q->chase = h;
    q->matches = 0;
    buf_clear(&q->values);
    c->chases++;
    c->worker->busy_tasks++;
    uv_queue_work(&c->worker->uv, &h->work, chase_run, chase_ended);
}
