/* SPDX-License-Identifier: ISC
 *
 * A worker's side of a connector: see directory_client.h. What is asked is sent at the end of the
 * worker's round (dispatch), so that no answer ever comes within the asking. A patrol looks after
 * servers that have fallen silent, servers that are well again, and idle connections. */
#include "auth/directory_client.h"

#include "auth/directory_parts.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    QUESTIONS_MAX = 4096, /* waiting or under way in a worker */
    IN_FLIGHT = 64,       /* on a connection: slapd closes one with more than 100 */
    BUSY = 8,             /* so many on each connection: one connection more */
    ATTEMPTS = 2,         /* to connect, under way in a channel */
    PATROL = 250,         /* ms */
    IDLE = 5 * 60 * 1000  /* ms without a question: connections end */
};

void directory_client_dispatch(struct directory_client *c)
{
    worker_soon(c->worker, &c->dispatch);
}

static void send_on(struct connection *n, struct directory_question *q)
{
    int rc = directory_question_send(q, n->ld);
    if (rc == LDAP_FILTER_ERROR || rc == LDAP_PARAM_ERROR || rc == LDAP_ENCODING_ERROR) {
        directory_question_finish(q, DIRECTORY_TEMPORARY, -1, ldap_err2string(rc));
        return;
    }
    n->blocked = rc == LDAP_BUSY;
    if (rc != LDAP_SUCCESS) {
        if (!n->blocked)
            directory_connection_lose(n, ldap_err2string(rc));
        return;
    }
    n->used = q->sent = directory_now();
    n->load++;
    q->connection = n;
    ring_remove(&q->ring);
    ring_add_last(&n->sent, &q->ring);
}

static struct connection *least_busy(const struct channel *channel)
{
    struct connection *best = NULL;
    RING_EACH (ring, &channel->connections) {
        struct connection *n = OUTER(ring, connection, ring);
        if (!n->retiring && !n->blocked && n->load < channel->in_flight &&
            (!best || n->load < best->load))
            best = n;
    }
    return best;
}

static bool has_live(const struct channel *channel)
{
    RING_EACH (ring, &channel->connections)
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
    if (!work || full || (has_live(channel) && directory_now() < channel->grow_after))
        return;
    int server = directory_server_pick(c, false);
    if (server >= 0)
        directory_connection_open(c, channel, server);
}

static void dispatch(struct post *post)
{
    struct directory_client *c = OUTER(post, directory_client, dispatch);
    for (struct channel *channel = c->channels; channel < c->channels + DIRECTORY_CHANNELS;
         channel++) {
        struct connection *n;
        while (!ring_is_empty(&channel->waiting) && (n = least_busy(channel)) != NULL)
            send_on(n, OUTER(channel->waiting.next, directory_question, ring));
        grow(c, channel);
        while (!ring_is_empty(&channel->waiting) && !has_live(channel))
            directory_question_unanswered(OUTER(channel->waiting.next, directory_question, ring),
                                          "no server answers");
    }
}

/* ---- time ---- */

/* Often enough that what is silent is left in time. */
static uint64_t patrol_interval(const struct directory_client *c)
{
    uint64_t often = directory_server_patience(c) / 4;
    return often < PATROL ? often : PATROL;
}

/* For the time that a server has, or nearly, where SLACK ms are of no matter. */
static bool is_silent(const struct connection *n, uint64_t slack)
{
    if (n->load == 0)
        return false;
    uint64_t since = OUTER(n->sent.next, directory_question, ring)->sent;
    return directory_now() - (n->heard > since ? n->heard : since) + slack >=
           directory_server_patience(n->client);
}

/* The only question to a server that has fallen silent is over before a patrol finds that out. */
static void deadline_over(struct timer *timer)
{
    struct directory_question *q = OUTER(timer, directory_question, deadline);
    struct directory_client *c = q->client;
    struct connection *n = q->connection;
    int silent = n && is_silent(n, patrol_interval(c)) ? n->server : -1;
    if (n && q->bind) /* a bind cannot be abandoned, and no other may follow it (RFC 4511, 4.2.1) */
        directory_connection_close(n);
    else if (n)
        ldap_abandon_ext(n->ld, q->id, NULL, NULL);
    directory_question_unanswered(q, "no answer in time");
    if (silent >= 0)
        directory_connection_leave_server(c, silent, "is silent");
    else if (n)
        directory_connection_retire(n);
}

static void look_at_connections(struct directory_client *c, struct channel *channel)
{
    RING_EACH (ring, &channel->connections) {
        struct connection *n = OUTER(ring, connection, ring);
        if (is_silent(n, 0)) {
            directory_connection_leave_server(c, n->server, "is silent");
            return; /* others of the ring may be gone too */
        }
        if (n->load == 0 && directory_now() - n->used >= IDLE)
            directory_connection_close(n);
    }
}

/* Resolving a name has no time limit of its own: whoever is not connected in time is given up, and
 * the thread of the pool comes back when it may. */
static void look_at_attempts(struct directory_client *c, struct channel *channel)
{
    RING_EACH (ring, &channel->trying) {
        struct attempt *a = OUTER(ring, attempt, ring);
        if (a->started == 0 || directory_now() - a->started < a->limit + patrol_interval(c))
            continue;
        a->started = 0;
        channel->attempts--;
        directory_server_failed(c, a->server, "cannot be connected to in time");
        directory_client_dispatch(c);
    }
}

/* Back to a server before those that are in use, when it is well or may be tried again. */
static void look_for_better(struct directory_client *c, struct channel *channel)
{
    int server = directory_server_pick(c, true);
    if (server < 0 || channel->attempts || ring_is_empty(&channel->connections))
        return;
    RING_EACH (ring, &channel->connections)
        if (OUTER(ring, connection, ring)->server <= server)
            return;
    directory_connection_open(c, channel, server);
}

static bool is_idle(const struct directory_client *c)
{
    bool idle = c->questions == 0 && c->chases == 0 && directory_now() - c->active >= IDLE;
    for (int i = 0; i < DIRECTORY_CHANNELS; i++)
        idle &= c->channels[i].count == 0 && ring_is_empty(&c->channels[i].trying);
    return idle;
}

/* Nobody waits for these: checks, and binds of those who have gone. */
static void drop_questions(struct ring *questions)
{
    while (!ring_is_empty(questions)) {
        struct directory_question *q = OUTER(questions->next, directory_question, ring);
        directory_question_detach(q);
        directory_question_free(q);
    }
}

static void end_client(struct worker_guest *guest)
{
    struct directory_client *c = OUTER(guest, directory_client, guest);
    for (int i = 0; i < DIRECTORY_CHANNELS; i++) {
        drop_questions(&c->channels[i].waiting);
        RING_EACH (ring, &c->channels[i].connections) {
            struct connection *n = OUTER(ring, connection, ring);
            drop_questions(&n->sent);
            ldap_unbind_ext(n->ld, NULL, NULL);
            free(n);
        }
    }
    worker_timer_clear(c->worker, &c->patrol);
    directory_unref(c->directory);
    free(c);
}

static void patrol(struct timer *timer)
{
    struct directory_client *c = OUTER(timer, directory_client, patrol);
    for (int i = 0; i < DIRECTORY_CHANNELS; i++) {
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
    c->channels[DIRECTORY_SEARCHES] =
        (struct channel){.max = s->connections, .in_flight = IN_FLIGHT};
    c->channels[DIRECTORY_BINDS] = (struct channel){.max = s->bind_connections, .in_flight = 1};
    for (int i = 0; i < DIRECTORY_CHANNELS; i++) {
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

static struct directory_question *ask_anew(struct directory_client *c, uint32_t hash,
                                           struct str key, struct str password)
{
    struct directory_question *q = directory_question_new(c, hash, key, password);
    q->deadline.fire = deadline_over;
    worker_timer(c->worker, &q->deadline, directory_settings_of(c)->timeout);
    return q;
}

bool directory_client_ask(struct directory_client *client, struct str key, struct str password,
                          struct directory_ask *ask, char error[256])
{
    uint32_t hash = (uint32_t)XXH3_64bits(key.p, key.n);
    bool bind = *key.p == 'b';
    struct directory_question *q = bind ? NULL : directory_question_same(client, hash, key);
    client->active = directory_now();
    if (!q && client->questions >= QUESTIONS_MAX) {
        snprintf(error, 256, "too many questions are waiting");
        return false;
    }
    if (!q && !has_live(&client->channels[bind]) && directory_server_pick(client, false) < 0) {
        snprintf(error, 256, "no server answers");
        return false;
    }
    if (!q)
        q = ask_anew(client, hash, key, password);
    if (ask) {
        ask->question = q;
        ask->next = q->asks;
        q->asks = ask;
    }
    directory_client_dispatch(client);
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
    if (n && n->ld) /* else it is being lost, and Q would have waited for another one */
        ldap_abandon_ext(n->ld, q->id, NULL, NULL);
    directory_question_detach(q);
    directory_question_free(q);
    if (n)
        directory_connection_retire(n);
}
