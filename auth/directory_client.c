/* SPDX-License-Identifier: ISC
 *
 * A worker's side of a connector: see directory_client.h. What is asked is sent at the end of the
 * worker's round (dispatch), so that no answer ever comes within the asking. A patrol looks after
 * servers that have fallen silent, servers that are well again, and idle connections. */
#include "auth/directory_client.h"

#include "auth/directory_connect.h"
#include "base/log.h"
#include "base/ring.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    QUESTIONS_MAX = 4096, /* waiting or under way in a worker */
    BUCKETS = 1024,
    IN_FLIGHT = 64,       /* on a connection: slapd closes one with more than 100 */
    BUSY = 8,             /* so many on each connection: one connection more */
    ATTEMPTS = 2,         /* to connect, under way in a channel */
    CHASES = 4,           /* searches that follow referrals, under way */
    TRIES = 3,            /* of a question whose connection was lost */
    PATROL = 250,         /* ms */
    IDLE = 5 * 60 * 1000, /* ms without a question: connections end */
    LENT = 512
};

enum { SEARCHES, BINDS, CHANNELS };

struct connection {
    struct watch watch;
    struct ring ring; /* of the channel's */
    struct directory_client *client;
    struct channel *channel;
    LDAP *ld;   /* NULL: closed */
    int server; /* index */
    struct ring sent;
    unsigned load;        /* of these */
    uint64_t heard, used; /* ms: when something came, when something was sent */
    bool retiring;        /* ends with its last question */
    bool blocked;         /* the server takes no more at the moment */
    struct post post;     /* to be freed after this round */
};

struct channel {
    struct ring waiting, connections, trying;
    unsigned count, max, in_flight;
    unsigned attempts;   /* of `trying`: those that may still come to something in time */
    uint64_t grow_after; /* ms: a connection more was refused, while others are well */
};

struct directory_client {
    struct worker_guest guest;
    struct worker *worker;
    struct directory *directory;
    struct channel channels[CHANNELS];
    struct directory_question *by_key[BUCKETS];
    unsigned questions, chases;
    struct post dispatch;
    struct timer patrol;
    uint64_t active; /* ms: the last question */
    char buffer[DIRECTORY_VALUES_MAX + 1];
};

struct directory_question {
    struct ring ring; /* waiting, or sent on a connection; alone while referrals are followed */
    struct directory_client *client;
    struct directory_question *same_bucket;
    struct directory_ask *asks;
    struct connection *connection; /* NULL: not sent */
    struct chase *chase;
    struct timer deadline;
    uint64_t asked; /* ns */
    uint64_t sent;  /* ms */
    unsigned tries, matches;
    int id; /* of its message */
    bool bind, referred, finishing;
    uint32_t hash;
    struct buf values;
    char lent[LENT];
    char *password; /* of a bind */
    size_t password_size;
    size_t key_size;
    char key[];
};

/* An attempt to connect, in the pool. */
struct attempt {
    struct ring ring; /* of the channel's */
    uv_work_t work;
    struct directory_client *client;
    struct channel *channel;
    int server;
    uint64_t started; /* ms */
    uint64_t limit;
    LDAP *ld;
    char error[DIRECTORY_ERROR_MAX];
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

static const struct directory_settings *settings_of(const struct directory_client *c)
{
    return &c->directory->settings;
}

static const char *url_of(const struct directory_client *c, int server)
{
    return settings_of(c)->servers.list[server];
}

/* ---- servers ---- */

/* One clock for all workers. */
static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static void log_server(const struct directory_client *c, enum log_level level, int server,
                       const char *message)
{
    struct log_line l;
    if (!log_begin(&l, level, log_level("ldap"), "ldap"))
        return;
    log_str(&l, "connector", settings_of(c)->name);
    log_str(&l, "server", url_of(c, server));
    log_str(&l, "message", message);
    log_end(&l);
}

static void note_trouble(struct directory *d, int server, const char *why)
{
    pthread_mutex_lock(&d->lock);
    snprintf(d->trouble[server], sizeof d->trouble[server], "%s", why);
    pthread_mutex_unlock(&d->lock);
}

static void server_failed(struct directory_client *c, int server, const char *why)
{
    note_trouble(c->directory, server, why);
    uint64_t retry = now_ms() + settings_of(c)->retry_interval;
    bool was_well = atomic_exchange(&c->directory->retry_at[server], retry) == 0;
    log_server(c, was_well ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, server, why);
}

static void server_answers(struct directory_client *c, int server)
{
    if (atomic_exchange(&c->directory->retry_at[server], 0) == 0)
        return;
    note_trouble(c->directory, server, "");
    log_server(c, LOG_LEVEL_INFO, server, "answers");
}

/* The first server that is well; else, or before it, the first that may be tried again: which one
 * comes first is for the caller to say. -1: none. */
static int pick_server(const struct directory_client *c, bool any)
{
    uint64_t now = now_ms();
    int again = -1;
    for (int i = 0; i < (int)settings_of(c)->servers.count; i++) {
        uint64_t retry = atomic_load(&c->directory->retry_at[i]);
        if (retry == 0 || (any && retry <= now))
            return i;
        if (again < 0 && retry <= now)
            again = i;
    }
    return again;
}

/* ---- the life of a question ---- */

static struct directory_question **bucket_of(struct directory_client *c, uint32_t hash)
{
    return &c->by_key[hash % BUCKETS];
}

static struct directory_question *find_same(struct directory_client *c, uint32_t hash,
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

/* Out of all lists; nothing comes to it any more. */
static void detach(struct directory_question *q)
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

static void free_question(struct directory_question *q)
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
    detach(q);
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
    free_question(q);
}

static void finish_with(struct directory_question *q, enum directory_result result, int server,
                        const char *error)
{
    struct directory_answer answer = {.result = result};
    if (server >= 0)
        answer.server = url_of(q->client, server);
    snprintf(answer.error, sizeof answer.error, "%s", error);
    finish(q, &answer);
}

/* No server answers: what the cache still knows of it must do. */
static void finish_unanswered(struct directory_question *q, const char *error)
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

static void dispatch_soon(struct directory_client *c)
{
    worker_soon(c->worker, &c->dispatch);
}

static void wait_again(struct directory_question *q, const char *why)
{
    leave_connection(q);
    q->matches = 0;
    q->referred = false;
    buf_clear(&q->values);
    if (++q->tries >= TRIES) {
        finish_unanswered(q, why);
        return;
    }
    ring_add_first(&q->client->channels[q->bind].waiting, &q->ring);
    dispatch_soon(q->client);
}

/* ---- connections ---- */

static void free_connection(struct post *post)
{
    free(OUTER(post, connection, post));
}

static void close_connection(struct connection *n)
{
    ring_remove(&n->ring);
    n->channel->count--;
    int fd = -1;
    ldap_get_option(n->ld, LDAP_OPT_DESC, &fd);
    worker_unwatch(fd);
    ldap_unbind_ext(n->ld, NULL, NULL);
    n->ld = NULL;
    worker_soon(n->client->worker, &n->post); /* this round's events may still name it */
}

/* What was under way on it waits for another one. */
static void lose(struct connection *n, const char *why)
{
    close_connection(n);
    while (!ring_is_empty(&n->sent))
        wait_again(OUTER(n->sent.prev, directory_question, ring), why);
}

static void retire_if_done(struct connection *n)
{
    if (n->ld && n->retiring && n->load == 0)
        close_connection(n);
}

/* A server that is silent or busy: all connections to it are left. */
static void leave_server(struct directory_client *c, int server, const char *why)
{
    server_failed(c, server, why);
    for (int i = 0; i < CHANNELS; i++)
        RING_EACH(ring, &c->channels[i].connections)
    if (OUTER(ring, connection, ring)->server == server)
        lose(OUTER(ring, connection, ring), why);
}

/* A better server is there: connections to those behind it end. */
static void retire_behind(struct channel *channel, int server)
{
    RING_EACH(ring, &channel->connections)
    {
        struct connection *n = OUTER(ring, connection, ring);
        if (n->server > server) {
            n->retiring = true;
            retire_if_done(n);
        }
    }
}

static void ready(struct watch *watch, uint32_t events);

static void add_connection(struct directory_client *c, struct channel *channel, int server,
                           LDAP *ld)
{
    struct connection *n = xcalloc(1, sizeof *n);
    int fd = -1;
    *n = (struct connection){.watch.ready = ready,
                             .client = c,
                             .channel = channel,
                             .ld = ld,
                             .server = server,
                             .heard = now_ms(),
                             .used = now_ms(),
                             .post.run = free_connection};
    ring_init(&n->sent);
    ring_add_last(&channel->connections, &n->ring);
    channel->count++;
    ldap_get_option(ld, LDAP_OPT_DESC, &fd);
    if (worker_watch(c->worker, fd, &n->watch) != 0)
        close_connection(n);
}

/* ---- connecting ---- */

static void attempt_run(uv_work_t *work)
{
    struct attempt *a = work->data;
    const struct directory_client *c = a->client;
    a->ld = directory_connect(settings_of(c), url_of(c, a->server),
                              a->channel == &c->channels[BINDS], a->limit, a->error);
}

static bool has_connection_to(const struct channel *channel, int server)
{
    RING_EACH(ring, &channel->connections)
    if (OUTER(ring, connection, ring)->server == server)
        return true;
    return false;
}

static void attempt_ended(uv_work_t *work, int status)
{
    struct attempt *a = work->data;
    struct directory_client *c = a->client;
    (void)status;
    if (a->started)
        a->channel->attempts--;
    ring_remove(&a->ring);
    c->worker->busy_tasks--;
    if (a->ld) {
        server_answers(c, a->server);
        add_connection(c, a->channel, a->server, a->ld);
        retire_behind(a->channel, a->server);
    } else if (has_connection_to(a->channel, a->server)) {
        a->channel->grow_after = now_ms() + settings_of(c)->retry_interval;
        log_server(c, LOG_LEVEL_WARNING, a->server, a->error);
    } else {
        server_failed(c, a->server, a->error);
    }
    dispatch_soon(c);
    free(a);
}

/* With other servers to go to, half of the time has to do: one deadline stands for all. */
static uint64_t patience(const struct directory_client *c)
{
    const struct directory_settings *s = settings_of(c);
    return s->servers.count > 1 ? s->timeout / 2 : s->timeout;
}

static void connect_to(struct directory_client *c, struct channel *channel, int server)
{
    struct attempt *a = xcalloc(1, sizeof *a);
    _Atomic uint64_t *retry_at = &c->directory->retry_at[server];
    if (atomic_load(retry_at) != 0) /* one trial at a time of a server that failed */
        atomic_store(retry_at, now_ms() + patience(c) + settings_of(c)->retry_interval);
    a->work.data = a;
    a->client = c;
    a->channel = channel;
    a->server = server;
    a->limit = patience(c);
    a->started = now_ms();
    ring_add_last(&channel->trying, &a->ring);
    channel->attempts++;
    c->worker->busy_tasks++;
    uv_queue_work(&c->worker->uv, &a->work, attempt_run, attempt_ended);
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
    const struct directory_settings *s = settings_of(c);
    r->base = key + 1;
    r->filter = r->base + strlen(r->base) + 1;
    r->scope = scopes[s->search_scope];
    r->size_limit = s->multiple_matches == DIRECTORY_MATCHES_FIRST ? 1 : 2;
    set_attributes(s, *key == 'p', r->attributes);
    if (*key == 'c')
        set_check(r);
}

/* Hands the question to libldap; an LDAP result code. */
static int transmit(struct directory_question *q, LDAP *ld)
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

static void send_on(struct connection *n, struct directory_question *q)
{
    int rc = transmit(q, n->ld);
    if (rc == LDAP_FILTER_ERROR || rc == LDAP_PARAM_ERROR || rc == LDAP_ENCODING_ERROR) {
        finish_with(q, DIRECTORY_TEMPORARY, -1, ldap_err2string(rc));
        return;
    }
    n->blocked = rc == LDAP_BUSY;
    if (rc != LDAP_SUCCESS) {
        if (!n->blocked)
            lose(n, ldap_err2string(rc));
        return;
    }
    n->used = q->sent = now_ms();
    n->load++;
    q->connection = n;
    ring_remove(&q->ring);
    ring_add_last(&n->sent, &q->ring);
}

static struct connection *least_busy(const struct channel *channel)
{
    struct connection *best = NULL;
    RING_EACH(ring, &channel->connections)
    {
        struct connection *n = OUTER(ring, connection, ring);
        if (!n->retiring && !n->blocked && n->load < channel->in_flight &&
            (!best || n->load < best->load))
            best = n;
    }
    return best;
}

static bool has_live(const struct channel *channel)
{
    RING_EACH(ring, &channel->connections)
    if (!OUTER(ring, connection, ring)->retiring)
        return true;
    return channel->attempts;
}

/* One connection more, where there is work for it and a server. */
static void grow(struct directory_client *c, struct channel *channel)
{
    struct connection *n = least_busy(channel);
    bool work = !ring_is_empty(&channel->waiting) || (n && n->load >= BUSY);
    bool full = channel->attempts >= ATTEMPTS || channel->count + channel->attempts >= channel->max;
    if (!work || full || (has_live(channel) && now_ms() < channel->grow_after))
        return;
    int server = pick_server(c, false);
    if (server >= 0)
        connect_to(c, channel, server);
}

static void dispatch(struct post *post)
{
    struct directory_client *c = OUTER(post, directory_client, dispatch);
    for (struct channel *channel = c->channels; channel < c->channels + CHANNELS; channel++) {
        struct connection *n;
        while (!ring_is_empty(&channel->waiting) && (n = least_busy(channel)) != NULL)
            send_on(n, OUTER(channel->waiting.next, directory_question, ring));
        grow(c, channel);
        while (!ring_is_empty(&channel->waiting) && !has_live(channel))
            finish_unanswered(OUTER(channel->waiting.next, directory_question, ring),
                              "no server answers");
    }
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

static void collect(struct directory_question *q, LDAP *ld, LDAPMessage *entry)
{
    const struct directory_attributes *a = &settings_of(q->client)->attributes;
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
    bool first = settings_of(q->client)->multiple_matches == DIRECTORY_MATCHES_FIRST;
    if (q->values.full)
        finish_with(q, DIRECTORY_TEMPORARY, server, "the entry is too large");
    else if (q->matches == 0)
        finish_with(q, DIRECTORY_NOT_FOUND, server, "");
    else
        finish_with(q, q->matches == 1 || first ? DIRECTORY_FOUND : DIRECTORY_AMBIGUOUS, server,
                    "");
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
        finish_with(q, DIRECTORY_NOT_FOUND, server, "");
    else
        finish_with(q, DIRECTORY_TEMPORARY, server, words);
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
    finish_with(q, code == LDAP_SUCCESS ? DIRECTORY_FOUND : result, server, words);
}

static void result_came(struct connection *n, struct directory_question *q, LDAPMessage *message)
{
    char words[DIRECTORY_ERROR_MAX], *more = NULL;
    int code = LDAP_OTHER;
    ldap_parse_result(n->ld, message, &code, NULL, &more, NULL, NULL, 0);
    snprintf(words, sizeof words, "%s%s%.150s%s", ldap_err2string(code), more && *more ? " (" : "",
             more ? more : "", more && *more ? ")" : "");
    ldap_memfree(more);
    if (code != LDAP_BUSY && code != LDAP_UNAVAILABLE)
        atomic_store(&n->client->directory->heard, now_ms());
    if (code == LDAP_BUSY || code == LDAP_UNAVAILABLE)
        leave_server(n->client, n->server, words);
    else if (q->bind)
        bind_ended(q, n->server, code, words);
    else if (is_check(q))
        finish_with(q, DIRECTORY_NOT_FOUND, n->server, "");
    else
        search_ended(q, n->server, code, words);
}

static void message_came(struct connection *n, LDAPMessage *message)
{
    struct directory_question *q = NULL;
    int id = ldap_msgid(message), type = ldap_msgtype(message);
    RING_EACH(ring, &n->sent)
    if (OUTER(ring, directory_question, ring)->id == id) {
        q = OUTER(ring, directory_question, ring);
        break;
    }
    if (id == 0)
        lose(n, "the server ends the connection"); /* RFC 4511, 4.4.1 */
    else if (q && type == LDAP_RES_SEARCH_ENTRY)
        collect(q, n->ld, message);
    else if (q && type == LDAP_RES_SEARCH_REFERENCE)
        q->referred = true;
    else if (q)
        result_came(n, q, message);
}

/* Bytes that libldap has not looked at: in the socket, in its TLS. */
static int unread(const struct connection *n)
{
    Sockbuf *sb = NULL;
    int fd = -1, bytes = 0;
    ldap_get_option(n->ld, LDAP_OPT_DESC, &fd);
    ldap_get_option(n->ld, LDAP_OPT_SOCKBUF, &sb);
    ioctl(fd, FIONREAD, &bytes);
    return bytes + (sb && ber_sockbuf_ctrl(sb, LBER_SB_OPT_DATA_READY, NULL) > 0);
}

/* All that has come, for there is no event but for what is new. That ldap_result has nothing to
 * give does not mean that all is read: answers to abandoned searches it drops one a call. Returns
 * what ldap_result did. */
static int read_all(struct connection *n)
{
    struct timeval none = {0, 0};
    LDAPMessage *message;
    int rc = 0;
    for (int left = -1, before; n->ld; left = before) {
        rc = ldap_result(n->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &none, &message);
        if (rc < 0)
            break;
        before = -1;
        if (rc == 0 && ((before = unread(n)) == 0 || before == left))
            break;
        if (rc > 0) {
            n->heard = now_ms();
            message_came(n, message);
            ldap_msgfree(message);
        }
    }
    return rc;
}

static void ready(struct watch *watch, uint32_t events)
{
    struct connection *n = OUTER(watch, connection, watch);
    n->blocked = false;
    int rc = read_all(n);
    if (n->ld && (rc < 0 || events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
        lose(n, "the server has closed the connection");
    retire_if_done(n);
    dispatch_soon(n->client);
}

/* ---- referrals ---- */

static void chase_run(uv_work_t *work)
{
    struct chase *h = work->data;
    const struct directory_client *c = h->client;
    h->code = directory_chase(settings_of(c), url_of(c, h->server), &h->request,
                              settings_of(c)->timeout, &h->ld, &h->result, h->error);
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
            collect(q, h->ld, e);
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
        finish_with(q, DIRECTORY_TEMPORARY, server, "too many referrals are being followed");
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

/* ---- time ---- */

/* Often enough that what is silent is left in time. */
static uint64_t patrol_interval(const struct directory_client *c)
{
    uint64_t often = patience(c) / 4;
    return often < PATROL ? often : PATROL;
}

/* For the time that a server has, or nearly, where SLACK ms are of no matter. */
static bool is_silent(const struct connection *n, uint64_t slack)
{
    if (n->load == 0)
        return false;
    uint64_t since = OUTER(n->sent.next, directory_question, ring)->sent;
    return now_ms() - (n->heard > since ? n->heard : since) + slack >= patience(n->client);
}

/* The only question to a server that has fallen silent is over before a patrol finds that out. */
static void deadline_over(struct timer *timer)
{
    struct directory_question *q = OUTER(timer, directory_question, deadline);
    struct directory_client *c = q->client;
    struct connection *n = q->connection;
    int silent = n && is_silent(n, patrol_interval(c)) ? n->server : -1;
    if (n && q->bind) /* a bind cannot be abandoned, and no other may follow it (RFC 4511, 4.2.1) */
        close_connection(n);
    else if (n)
        ldap_abandon_ext(n->ld, q->id, NULL, NULL);
    finish_unanswered(q, "no answer in time");
    if (silent >= 0)
        leave_server(c, silent, "is silent");
    else if (n)
        retire_if_done(n);
}

static void look_at_connections(struct directory_client *c, struct channel *channel)
{
    RING_EACH(ring, &channel->connections)
    {
        struct connection *n = OUTER(ring, connection, ring);
        if (is_silent(n, 0)) {
            leave_server(c, n->server, "is silent");
            return; /* others of the ring may be gone too */
        }
        if (n->load == 0 && now_ms() - n->used >= IDLE)
            close_connection(n);
    }
}

/* Resolving a name has no time limit of its own: whoever is not connected in time is given up, and
 * the thread of the pool comes back when it may. */
static void look_at_attempts(struct directory_client *c, struct channel *channel)
{
    RING_EACH(ring, &channel->trying)
    {
        struct attempt *a = OUTER(ring, attempt, ring);
        if (a->started == 0 || now_ms() - a->started < a->limit + patrol_interval(c))
            continue;
        a->started = 0;
        channel->attempts--;
        server_failed(c, a->server, "cannot be connected to in time");
        dispatch_soon(c);
    }
}

/* Back to a server before those that are in use, when it is well or may be tried again. */
static void look_for_better(struct directory_client *c, struct channel *channel)
{
    int server = pick_server(c, true);
    if (server < 0 || channel->attempts || ring_is_empty(&channel->connections))
        return;
    RING_EACH(ring, &channel->connections)
    if (OUTER(ring, connection, ring)->server <= server)
        return;
    connect_to(c, channel, server);
}

static bool is_idle(const struct directory_client *c)
{
    bool idle = c->questions == 0 && c->chases == 0 && now_ms() - c->active >= IDLE;
    for (int i = 0; i < CHANNELS; i++)
        idle &= c->channels[i].count == 0 && ring_is_empty(&c->channels[i].trying);
    return idle;
}

static void end_client(struct worker_guest *guest)
{
    struct directory_client *c = OUTER(guest, directory_client, guest);
    for (int i = 0; i < CHANNELS; i++)
        RING_EACH(ring, &c->channels[i].connections)
        {
            struct connection *n = OUTER(ring, connection, ring);
            RING_EACH(sent, &n->sent)
            {
                detach(OUTER(sent, directory_question, ring));
                free_question(OUTER(sent, directory_question, ring));
            }
            ldap_unbind_ext(n->ld, NULL, NULL);
            free(n);
        }
    worker_timer_clear(c->worker, &c->patrol);
    directory_unref(c->directory);
    free(c);
}

static void patrol(struct timer *timer)
{
    struct directory_client *c = OUTER(timer, directory_client, patrol);
    for (int i = 0; i < CHANNELS; i++) {
        look_at_connections(c, &c->channels[i]);
        look_at_attempts(c, &c->channels[i]);
        look_for_better(c, &c->channels[i]);
    }
    if (is_idle(c) && !ring_has(&c->dispatch.ring)) {
        worker_forget(c->worker, &c->guest);
        end_client(&c->guest);
        return;
    }
    worker_timer(c->worker, &c->patrol, patrol_interval(c));
}

/* ---- the interface ---- */

struct directory_client *directory_client(struct directory *directory, struct worker *w)
{
    struct worker_guest *guest = worker_guest(w, directory);
    if (guest)
        return OUTER(guest, directory_client, guest);
    struct directory_client *c = xcalloc(1, sizeof *c);
    const struct directory_settings *s = &directory->settings;
    c->guest.owner = directory_ref(directory);
    c->guest.end = end_client;
    c->worker = w;
    c->directory = directory;
    c->channels[SEARCHES] = (struct channel){.max = s->connections, .in_flight = IN_FLIGHT};
    c->channels[BINDS] = (struct channel){.max = s->bind_connections, .in_flight = 1};
    for (int i = 0; i < CHANNELS; i++) {
        ring_init(&c->channels[i].waiting);
        ring_init(&c->channels[i].connections);
        ring_init(&c->channels[i].trying);
    }
    c->dispatch.run = dispatch;
    c->patrol.fire = patrol;
    worker_keep(w, &c->guest);
    worker_timer(w, &c->patrol, patrol_interval(c));
    return c;
}

char *directory_client_buffer(struct directory_client *client)
{
    return client->buffer;
}

static struct directory_question *new_question(struct directory_client *c, uint32_t hash,
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
    q->deadline.fire = deadline_over;
    worker_timer(c->worker, &q->deadline, settings_of(c)->timeout);
    ring_add_last(&c->channels[q->bind].waiting, &q->ring);
    return q;
}

bool directory_client_ask(struct directory_client *client, struct str key, struct str password,
                          struct directory_ask *ask, char error[256])
{
    uint32_t hash = (uint32_t)XXH3_64bits(key.p, key.n);
    bool bind = *key.p == 'b';
    struct directory_question *q = bind ? NULL : find_same(client, hash, key);
    client->active = now_ms();
    if (!q && client->questions >= QUESTIONS_MAX) {
        snprintf(error, 256, "too many questions are waiting");
        return false;
    }
    if (!q && !has_live(&client->channels[bind]) && pick_server(client, false) < 0) {
        snprintf(error, 256, "no server answers");
        return false;
    }
    if (!q)
        q = new_question(client, hash, key, password);
    if (ask) {
        ask->question = q;
        ask->next = q->asks;
        q->asks = ask;
    }
    dispatch_soon(client);
    return true;
}

void directory_cancel(struct directory_ask *ask)
{
    struct directory_question *q = ask->question;
    if (!q)
        return;
    struct directory_ask **p = &q->asks;
    while (*p != ask)
        p = &(*p)->next;
    *p = ask->next;
    ask->question = NULL;
    struct connection *n = q->connection;
    if (q->asks || q->finishing || (n && q->bind))
        return;
    if (n)
        ldap_abandon_ext(n->ld, q->id, NULL, NULL);
    detach(q);
    free_question(q);
    if (n)
        retire_if_done(n);
}
