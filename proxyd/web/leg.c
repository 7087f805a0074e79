/* SPDX-License-Identifier: ISC
 *
 * To a node and back: see leg.h. What a worker keeps for it is a guest of the worker's (`keeper`):
 * pools of memory, and the kept connections, the one used last first. */
#include "web/leg.h"

#include "link.h"

#include <stdlib.h>

enum {
    BUCKETS = 64,
    KEPT_MAX = 512,    /* connections kept by a worker */
    KEPT_TIME = 60000, /* ms for which one is kept */
    SWEEP = 5000       /* ms between two looks for older ones */
};

/* What a connection needs until it stands. */
struct approach {
    struct link link;
    struct addr local;
};

struct conn {
    struct stream stream;
    struct ring ring; /* of the kept ones */
    struct keeper *keeper;
    struct leg *leg;   /* who uses it; NULL: it is kept */
    struct conn **own; /* the place where it is kept for one client alone */
    struct node *node; /* a reference, as is config */
    struct config *config;
    const struct config_service *service;
    struct approach *approach; /* NULL: it stands */
    uint64_t since;            /* ms; since when it is kept */
    bool bound;                /* what was said on it holds for one client, now and later */
    struct post post;          /* to be freed at the end of the round */
};

struct keeper {
    struct worker_guest guest;
    struct worker *worker;
    struct pool conns, approaches;
    struct ring kept[BUCKETS];
    size_t count;
    struct timer timer;
};

static const char owner; /* its address names the guest */

/* What the link's back is told: no login is needed. */
static const struct creds no_login;

/* ---- connections ---- */

static void free_approach(struct conn *c)
{
    if (!c->approach)
        return;
    link_free(&c->approach->link);
    pool_put(&c->keeper->approaches, c->approach);
    c->approach = NULL;
}

/* No longer one of the kept ones. */
static void unkeep(struct conn *c)
{
    if (c->own)
        *c->own = NULL;
    c->own = NULL;
    if (!ring_has(&c->ring))
        return;
    ring_remove(&c->ring);
    c->keeper->count--;
}

static void let_go(struct conn *c)
{
    unkeep(c);
    free_approach(c);
    stream_close(&c->stream);
    node_unref(c->node);
    config_unref(c->config);
}

static void release(struct post *post)
{
    struct conn *c = OUTER(post, conn, post);
    pool_put(&c->keeper->conns, c);
}

/* The memory waits for the end of the round: an event of it may still name the connection. */
static void close_conn(struct conn *c)
{
    let_go(c);
    c->post.run = release;
    worker_soon(c->keeper->worker, &c->post);
}

/* Whether a node that was asked nothing says nothing. What TLS says for itself (new tickets) does
 * not count. */
static bool is_silent(struct conn *c)
{
    char byte;
    return !c->stream.readable || stream_read(&c->stream, &byte, 1) == STREAM_AGAIN;
}

static void conn_ready(struct watch *watch, uint32_t events)
{
    struct conn *c = OUTER(watch, conn, stream.watch);
    if (c->stream.fd < 0)
        return; /* closed earlier in this round */
    stream_events(&c->stream, events);
    if (c->leg)
        c->leg->ready(c->leg);
    else if (!is_silent(c))
        close_conn(c); /* the node left, or talks without being asked */
}

/* ---- the keeper ---- */

static void end_keeper(struct worker_guest *guest)
{
    struct keeper *k = OUTER(guest, keeper, guest);
    for (size_t i = 0; i < BUCKETS; i++)
        while (!ring_is_empty(&k->kept[i])) {
            struct conn *c = OUTER(k->kept[i].next, conn, ring);
            let_go(c);
            pool_put(&k->conns, c);
        }
    worker_timer_clear(k->worker, &k->timer);
    pool_free(&k->conns);
    pool_free(&k->approaches);
    free(k);
}

static void close_older(struct keeper *k, uint64_t than)
{
    for (size_t i = 0; i < BUCKETS; i++)
        while (!ring_is_empty(&k->kept[i])) {
            struct conn *c = OUTER(k->kept[i].prev, conn, ring);
            if (c->since > than)
                break;
            close_conn(c);
        }
}

static void sweep(struct timer *timer)
{
    struct keeper *k = OUTER(timer, keeper, timer);
    close_older(k, k->worker->now - KEPT_TIME);
    if (k->count)
        worker_timer(k->worker, timer, SWEEP);
}

static struct keeper *keeper_of(struct worker *w)
{
    struct worker_guest *guest = worker_guest(w, &owner);
    if (guest)
        return OUTER(guest, keeper, guest);
    struct keeper *k = xcalloc(1, sizeof *k);
    k->worker = w;
    k->guest = (struct worker_guest){.owner = &owner, .end = end_keeper};
    k->timer.fire = sweep;
    pool_init(&k->conns, sizeof(struct conn));
    pool_init(&k->approaches, sizeof(struct approach));
    for (size_t i = 0; i < BUCKETS; i++)
        ring_init(&k->kept[i]);
    worker_keep(w, &k->guest);
    return k;
}

static struct ring *bucket_of(struct keeper *k, const struct node *node)
{
    return &k->kept[(uintptr_t)node / 64 % BUCKETS];
}

static bool fits(const struct conn *c, const struct leg *leg)
{
    return c->node == leg->node && c->service == leg->client->service;
}

static struct conn *find_kept(struct keeper *k, const struct leg *leg)
{
    RING_EACH (ring, bucket_of(k, leg->node)) {
        struct conn *c = OUTER(ring, conn, ring);
        if (fits(c, leg))
            return c;
    }
    return NULL;
}

static void keep(struct conn *c)
{
    struct keeper *k = c->keeper;
    if (k->count >= KEPT_MAX)
        close_older(k, k->worker->now - SWEEP);
    if (k->count >= KEPT_MAX) {
        close_conn(c);
        return;
    }
    c->leg = NULL;
    c->since = k->worker->now;
    ring_add_first(bucket_of(k, c->node), &c->ring);
    if (k->count++ == 0 && !ring_has(&k->timer.ring))
        worker_timer(k->worker, &k->timer, SWEEP);
}

/* ---- the way there ---- */

static enum leg_result fail(struct leg *leg, unsigned status, const char *error)
{
    leg->status = status;
    snprintf(leg->error, sizeof leg->error, "%s", error);
    return LEG_FAILED;
}

static void granted(struct post *post)
{
    struct leg *leg = OUTER(post, leg, ticket.post);
    leg->ready(leg);
}

static void link_posted(struct post *post)
{
    struct link *link = OUTER(post, link, resolve.post);
    struct conn *c = OUTER(link->stream, conn, stream);
    c->leg->ready(c->leg);
}

static enum leg_result linked(struct leg *leg, enum link_result result, bool late)
{
    struct link *link = &leg->conn->approach->link;
    leg->deadline = link->deadline;
    if (result == LINK_MORE)
        return LEG_MORE;
    if (result == LINK_FAILED)
        return fail(leg, late ? 504 : 502, link->error);
    free_approach(leg->conn);
    leg->deadline = 0;
    leg->state = LEG_TALK;
    return LEG_READY;
}

static bool says_who(const struct client *client)
{
    enum config_client_address how = client->service->backend.client_address;
    return how == CLIENT_ADDRESS_PROXY_V1 || how == CLIENT_ADDRESS_PROXY_V2;
}

static enum leg_result connect_new(struct leg *leg)
{
    struct client *client = leg->client;
    struct keeper *k = keeper_of(client->worker);
    struct conn *c = pool_get(&k->conns);
    struct approach *a = pool_get(&k->approaches);
    c->keeper = k;
    c->leg = leg;
    c->stream.fd = -1;
    c->node = node_ref(leg->node);
    c->config = config_ref(client->config);
    c->service = client->service;
    c->approach = a;
    leg->conn = c;
    leg->reused = false;
    leg->state = LEG_CONNECT;
    if (leg->local)
        a->local = *leg->local;
    client_find_local(client, &a->local);
    const struct back_setup setup = {
        .creds = &no_login, .client = &client->address, .local = &a->local};
    a->link.resolve.post.run = link_posted;
    link_start(&a->link, client->worker, c->service, leg->node, &c->stream, &setup, conn_ready);
    return linked(leg, link_step(&a->link), false);
}

/* Takes what was kept, if it can be used; what cannot is closed. */
static bool take(struct leg *leg, struct conn *c, bool careful)
{
    unkeep(c);
    if (!is_silent(c) || (careful && !stream_is_quiet(&c->stream))) {
        close_conn(c);
        return false;
    }
    c->leg = leg;
    leg->conn = c;
    leg->reused = true;
    leg->deadline = 0;
    leg->state = LEG_TALK;
    return true;
}

static enum leg_result find_connection(struct leg *leg)
{
    struct conn *c = *leg->own;
    if (c && !fits(c, leg))
        leg_close_own(leg->own);
    else if (c && take(leg, c, !leg->idempotent))
        return LEG_READY;
    if (!says_who(leg->client))
        while ((c = find_kept(keeper_of(leg->client->worker), leg)))
            if (take(leg, c, !leg->idempotent))
                return LEG_READY;
    return connect_new(leg);
}

/* ---- what the owner calls ---- */

enum leg_result leg_start(struct leg *leg, struct client *client, const struct web_route *route,
                          struct conn **own, bool idempotent)
{
    const struct config_service *service = client->service;
    leg->client = client;
    leg->own = own;
    leg->idempotent = idempotent;
    leg->node =
        node_get(service->group, route->name[0] ? route->name : NULL, route->host, route->port);
    if (!leg->node)
        return fail(leg, 503, "too many nodes are in use");
    leg->ticket = (struct node_ticket){.post.run = granted, .runs = leg->runs};
    leg->state = LEG_WAIT;
    leg->deadline = client->worker->now + service->backend.queue_timeout;
    switch (node_enter(leg->node, &leg->ticket, client->worker)) {
    case TICKET_GRANTED:
        return find_connection(leg);
    case TICKET_WAITING:
        return LEG_MORE;
    default:
        return fail(leg, node_is_up(leg->node) ? 503 : 502, "the queue of the node is full");
    }
}

enum leg_result leg_step(struct leg *leg)
{
    bool late = leg->deadline && leg->client->worker->now >= leg->deadline;
    switch (leg->state) {
    case LEG_WAIT:
        if (leg->ticket.state == TICKET_GRANTED)
            return find_connection(leg);
        if (!late)
            return LEG_MORE;
        node_count_rejected(leg->node);
        return fail(leg, node_is_up(leg->node) ? 503 : 502, "waited too long for the node");
    case LEG_CONNECT: {
        struct link *link = &leg->conn->approach->link;
        return linked(leg, late ? link_timed_out(link) : link_step(link), late);
    }
    default:
        return LEG_READY;
    }
}

enum leg_result leg_again(struct leg *leg)
{
    close_conn(leg->conn);
    leg->conn = NULL;
    return connect_new(leg);
}

struct stream *leg_stream(struct leg *leg)
{
    return &leg->conn->stream;
}

void leg_done(struct leg *leg, bool good, bool own)
{
    struct conn *c = leg->conn;
    c->bound = c->bound || own || says_who(leg->client);
    leg->conn = NULL;
    c->leg = NULL;
    node_leave(&leg->ticket);
    leg->state = LEG_NONE;
    if (!good || !is_silent(c) || c->stream.ended || stream_pending(&c->stream)) {
        close_conn(c);
    } else if (c->bound) {
        c->own = leg->own;
        *leg->own = c;
    } else {
        keep(c);
    }
}

void leg_upgraded(struct leg *leg)
{
    node_leave(&leg->ticket);
}

void leg_end(struct leg *leg)
{
    if (leg->conn)
        close_conn(leg->conn);
    node_leave(&leg->ticket);
    node_unref(leg->node);
    leg->conn = NULL;
    leg->node = NULL;
    leg->state = LEG_NONE;
}

void leg_close_own(struct conn **own)
{
    if (*own)
        close_conn(*own);
}
