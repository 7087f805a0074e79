/* SPDX-License-Identifier: ISC
 *
 * Nodes: see node.h. What there is to be seen of them is node_list.c's. */
#include "node_internal.h"

#include "base/mem.h"
#include "config.h"
#include "stats.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    NODES_MAX = 4096,        /* in a group */
    ADDRESSES_FRESH = 30000, /* ms until a name is resolved again */
    FAILURE_FRESH = 1000,    /* ms for which a resolver's error is not asked about again */
    CHECKS_UNUSED = 60       /* of a node that only a map names, after its last session */
};

struct node_groups node_groups = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- groups and nodes ---- */

static struct node_group *group_get(const struct config_service *service,
                                    const struct protocol *protocol)
{
    for (struct node_group *g = node_groups.first; g; g = g->next)
        if (strcmp(g->service, service->name) == 0 && g->protocol == protocol)
            return g;
    struct node_group *g = xcalloc(1, sizeof *g);
    g->service = xstrdup(service->name);
    g->protocol = protocol;
    g->next = node_groups.first;
    node_groups.first = g;
    return g;
}

static struct node **bucket_of(struct node_group *g, const char *host, uint16_t port)
{
    return &g->table[XXH3_64bits_withSeed(host, strlen(host), port) % NODE_BUCKETS];
}

static void node_free(struct node *node)
{
    pthread_mutex_destroy(&node->lock);
    for (struct node_label *label = node->label, *next; label; label = next) {
        next = label->next;
        free(label);
    }
    free(node->capabilities);
    free(node->host);
    free(node);
}

/* Makes room in a full table: nodes that nobody uses go, and that only a map has named. */
static void evict(struct node_group *g)
{
    for (size_t i = 0; i < NODE_BUCKETS; i++)
        for (struct node **at = &g->table[i]; *at;) {
            struct node *node = *at;
            if (node->configured || atomic_load(&node->references) > 0 || node->resolution) {
                at = &node->next;
                continue;
            }
            *at = node->next;
            g->count--;
            node_free(node);
        }
}

static void set_name(struct node *node, const char *name)
{
    struct node_label *label = xmalloc(sizeof *label + strlen(name) + 1);
    strcpy(label->text, name);
    label->next = node->label;
    atomic_store(&node->label, label);
}

/* "192.0.2.1:143", "[::1]:143", "host.name:143" */
static char *place_of(const char *host, uint16_t port)
{
    return xasprintf(strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

static bool is_to_be_drained(const struct node *node);

static struct node *node_new(struct node_group *g, const char *name, const char *host,
                             uint16_t port)
{
    struct node *node = xcalloc(1, sizeof *node);
    node->group = g;
    node->host = xstrdup(host);
    node->port = port;
    node->up = true;
    char *place = place_of(host, port);
    set_name(node, name ? name : place);
    free(place);
    node->drained = is_to_be_drained(node);
    node->numeric = addr_numeric(&node->addresses.list[0], str_of(host), port);
    node->addresses.count = node->numeric;
    pthread_mutex_init(&node->lock, NULL);
    return node;
}

static struct node *get_locked(struct node_group *g, const char *name, const char *host,
                               uint16_t port)
{
    struct node **bucket = bucket_of(g, host, port);
    for (struct node *node = *bucket; node; node = node->next)
        if (node->port == port && strcmp(node->host, host) == 0)
            return node;
    if (g->count == NODES_MAX)
        evict(g);
    if (g->count == NODES_MAX)
        return NULL;
    struct node *node = node_new(g, name, host, port);
    node->next = *bucket;
    *bucket = node;
    g->count++;
    return node;
}

struct node *node_get(struct node_group *group, const char *name, const char *host, uint16_t port)
{
    pthread_mutex_lock(&node_groups.lock);
    struct node *node = get_locked(group, name, host, port);
    if (node) {
        node->wanted = true;
        node->unused = 0;
        atomic_fetch_add(&node->references, 1);
    }
    pthread_mutex_unlock(&node_groups.lock);
    return node;
}

struct node *node_ref(struct node *node)
{
    atomic_fetch_add(&node->references, 1);
    return node;
}

void node_unref(struct node *node)
{
    if (node)
        atomic_fetch_sub(&node->references, 1);
}

const char *node_name(const struct node *node)
{
    return atomic_load(&node->label)->text;
}

const char *node_host(const struct node *node)
{
    return node->host;
}

uint16_t node_port(const struct node *node)
{
    return node->port;
}

const char *node_service(const struct node *node)
{
    return node->group->service;
}

const struct protocol *node_protocol(const struct node *node)
{
    return node->group->protocol;
}

/* A node whose `ports` leave this protocol out is not one of the service's. */
static bool serves(const struct config_node *node, const struct config_service *service)
{
    for (size_t i = 0; i < node->port_count; i++)
        if (node->ports[i].protocol == config_backend_protocol(service) ||
            strcmp(node->ports[i].name, service->name) == 0)
            return true;
    return node->port_count == 0;
}

static void configure_node(struct config *config, struct config_service *service,
                           struct node_group *g, const char *host, uint16_t port)
{
    struct config_target target = config_target(config, service, host, port);
    struct node *node = get_locked(g, target.name, target.host, target.port);
    if (!node)
        return;
    if (target.name && !node->configured && strcmp(node_name(node), target.name) != 0) {
        set_name(node, target.name);
        node->drained = is_to_be_drained(node);
    }
    node->failover = false;
    node->configured = node->wanted = true;
}

/* May be one of the service's nodes too. */
static void configure_failover(struct config *config, struct config_service *service)
{
    const struct config_address *a = &service->failover;
    struct config_target target = config_target(config, service, a->host, a->port);
    struct node *node = get_locked(service->group, target.name, target.host, target.port);
    bool only = node && !node->configured;
    configure_node(config, service, service->group, a->host, a->port);
    if (node)
        node->failover = only;
}

static struct node_group *configure_group(const struct config_service *service,
                                          const struct protocol *protocol)
{
    struct node_group *g = group_get(service, protocol);
    g->stats = service->stats;
    g->current = true;
    g->max_connections = service->protocol->engine == ENGINE_WEB ? service->backend.max_requests
                                                                 : service->backend.max_connections;
    g->queue_size = service->backend.queue_size;
    g->fall = service->backend.check.fall;
    g->rise = service->backend.check.rise;
    g->check_interval = service->backend.check.interval;
    return g;
}

/* A relay speaks SMTP, whatever the nodes speak. */
static void configure_relay(struct config *config, struct config_service *service)
{
    const struct config_address *relay = &service->mail.relay;
    const struct protocol *smtp = protocol_find("smtp");
    if (!relay->host)
        return;
    service->relay_group = configure_group(service, smtp);
    configure_node(config, service, service->relay_group, relay->host,
                   relay->port ? relay->port : smtp->port);
}

static void configure_service(struct config *config, struct config_service *service)
{
    service->group = configure_group(service, config_backend_protocol(service));
    for (size_t i = 0; i < config->node_count && service->map_count; i++)
        if (serves(&config->nodes[i], service))
            configure_node(config, service, service->group, config->nodes[i].name, 0);
    if (service->failover.host)
        configure_failover(config, service);
    configure_relay(config, service);
}

static void let_in(struct node *node);
static void merge_capabilities(struct node_group *g);

/* Nobody finds out any more how it is: so it counts as up, for who comes there nevertheless. */
static void forget_health(struct node *node)
{
    node->wanted = false;
    node->up = true;
    node->streak = 0;
    free(node->capabilities);
    node->capabilities = NULL;
    node->trouble[0] = 0;
    let_in(node);
}

static void unconfigure_nodes(struct node_group *g)
{
    for (size_t i = 0; i < NODE_BUCKETS; i++)
        for (struct node *node = g->table[i]; node; node = node->next) {
            node->wanted = node->wanted && !node->configured;
            node->configured = false;
        }
}

/* The limits may have changed, and nodes have gone. */
static void settle_nodes(struct node_group *g)
{
    for (size_t i = 0; i < NODE_BUCKETS; i++)
        for (struct node *node = g->table[i]; node; node = node->next) {
            pthread_mutex_lock(&node->lock);
            if (!node->wanted)
                forget_health(node);
            if (g->check_interval == 0)
                node->up = true; /* nobody would ever find out that it is back */
            let_in(node);
            pthread_mutex_unlock(&node->lock);
        }
    merge_capabilities(g);
}

void node_configure(struct config *config)
{
    pthread_mutex_lock(&node_groups.lock);
    for (struct node_group *g = node_groups.first; g; g = g->next) {
        g->current = false;
        unconfigure_nodes(g);
    }
    for (size_t i = 0; i < config->service_count; i++)
        configure_service(config, &config->services[i]);
    for (struct node_group *g = node_groups.first; g; g = g->next)
        settle_nodes(g);
    pthread_mutex_unlock(&node_groups.lock);
}

/* ---- capabilities ---- */

static bool all_have(const struct node_group *g, struct str entry)
{
    for (size_t i = 0; i < NODE_BUCKETS; i++)
        for (const struct node *n = g->table[i]; n; n = n->next)
            if (n->capabilities && n->up &&
                !proto_has(str_of(n->capabilities), g->protocol->separator, entry))
                return false;
    return true;
}

static const char *any_capabilities(const struct node_group *g)
{
    for (size_t i = 0; i < NODE_BUCKETS; i++)
        for (const struct node *n = g->table[i]; n; n = n->next)
            if (n->capabilities && n->up)
                return n->capabilities;
    return NULL;
}

/* Texts are kept for ever: sessions point to them. There are few different ones. */
static const char *keep_text(struct str text)
{
    for (size_t i = 0; i < node_groups.text_count; i++)
        if (str_eq(str_of(node_groups.texts[i]), text))
            return node_groups.texts[i];
    if (node_groups.text_count == NODE_TEXTS_MAX)
        return NULL;
    return node_groups.texts[node_groups.text_count++] = xstrndup(text.p, text.n);
}

static void merge_capabilities(struct node_group *g)
{
    char space[PROTO_CAPABILITIES_MAX];
    struct buf out;
    const char *first = any_capabilities(g);
    if (!first)
        return;
    buf_init(&out, space, sizeof space, sizeof space);
    struct str rest = str_of(first);
    for (struct str entry; (entry = proto_entry(&rest, g->protocol->separator)).n;)
        if (all_have(g, entry)) {
            buf_add(&out, entry.p, entry.n);
            buf_add(&out, &g->protocol->separator, 1);
        }
    const char *text = out.full ? NULL : keep_text(buf_str(&out));
    if (text)
        atomic_store(&g->capabilities, text);
}

const char *node_capabilities(const struct node_group *group)
{
    return atomic_load(&group->capabilities);
}

/* ---- addresses ---- */

struct resolution {
    uv_getaddrinfo_t request;
    struct worker *worker;
    struct node *node;
};

static void take_addresses(struct node *node, const struct addrinfo *list)
{
    node->addresses.count = 0;
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
        if (node->addresses.count < NODE_ADDRESSES_MAX)
            addr_from_sockaddr(&node->addresses.list[node->addresses.count++], ai->ai_addr,
                               ai->ai_addrlen);
}

static void wake_resolve_waiters(struct node *node)
{
    struct node_resolve *wait = node->resolve_waiters;
    node->resolve_waiters = NULL;
    for (struct node_resolve *next; wait; wait = next) {
        next = wait->next;
        wait->next = NULL;
        wait->waiting = false;
        worker_post(wait->worker, &wait->post);
    }
}

/* One that was cancelled leaves all as if nobody had asked. */
static void resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct resolution *r = request->data;
    struct node *node = r->node;
    bool cancelled = status == UV_ECANCELED;
    pthread_mutex_lock(&node->lock);
    if (status == 0)
        take_addresses(node, list);
    node->resolve_error = cancelled ? 0 : status;
    node->resolved = cancelled ? 0 : r->worker->now;
    node->resolution = NULL;
    wake_resolve_waiters(node);
    pthread_mutex_unlock(&node->lock);
    if (status && !cancelled)
        log_message(LOG_LEVEL_WARNING, "node", "%s: cannot resolve %s: %s", node_name(node),
                    node->host, uv_strerror(status));
    r->worker->busy_tasks--;
    uv_freeaddrinfo(list);
    node_unref(node);
    free(r);
}

static void start_resolving(struct node *node, struct worker *w)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    char port[8];
    struct resolution *r = xcalloc(1, sizeof *r);
    snprintf(port, sizeof port, "%u", node->port);
    r->request.data = r;
    r->worker = w;
    r->node = node;
    int error = uv_getaddrinfo(&w->uv, &r->request, resolved, node->host, port, &hints);
    if (error) { /* a name that is too long, for one */
        node->resolve_error = error;
        node->resolved = w->now;
        free(r);
        return;
    }
    node->resolution = r;
    w->busy_tasks++;
    atomic_fetch_add(&node->references, 1);
}

int node_resolve(struct node *node, struct node_addresses *out, struct node_resolve *wait,
                 struct worker *w)
{
    int result = 0;
    pthread_mutex_lock(&node->lock);
    uint64_t age = w->now - node->resolved,
             fresh = node->resolve_error ? FAILURE_FRESH : ADDRESSES_FRESH;
    if (!node->numeric && !node->resolution && (node->resolved == 0 || age >= fresh))
        start_resolving(node, w);
    if (node->addresses.count) {
        *out = node->addresses;
    } else if (node->resolution) {
        if (!wait->waiting &&
            !ring_has(&wait->post.ring)) { /* else asked again before it was woken */
            wait->worker = w;
            wait->waiting = true;
            wait->next = node->resolve_waiters;
            node->resolve_waiters = wait;
        }
        result = 1;
    } else {
        result = node->resolve_error;
    }
    pthread_mutex_unlock(&node->lock);
    return result;
}

/* A name that nobody waits for any more leaves libuv's queue: where names are not resolved at all,
 * each takes one of its few threads for many seconds. One that has a thread keeps it, and one of
 * another worker's loop stays. */
static void give_up_resolving(struct node *node, const struct worker *w)
{
    struct resolution *r = node->resolution;
    if (r && r->worker == w && !node->resolve_waiters)
        uv_cancel((uv_req_t *)&r->request);
}

void node_resolve_cancel(struct node *node, struct node_resolve *wait)
{
    if (!wait->worker)
        return;
    pthread_mutex_lock(&node->lock);
    for (struct node_resolve **at = &node->resolve_waiters; *at; at = &(*at)->next)
        if (*at == wait) {
            *at = wait->next;
            wait->waiting = false;
            give_up_resolving(node, wait->worker);
            break;
        }
    pthread_mutex_unlock(&node->lock);
    worker_unpost(wait->worker, &wait->post);
}

/* ---- the gate ---- */

static void queue_add(struct node *node, struct node_ticket *t)
{
    t->state = TICKET_WAITING;
    t->next = NULL;
    t->prev = node->last;
    if (node->last)
        node->last->next = t;
    else
        node->first = t;
    node->last = t;
    node->waiting++;
}

static void queue_remove(struct node *node, struct node_ticket *t)
{
    if (t->prev)
        t->prev->next = t->next;
    else
        node->first = t->next;
    if (t->next)
        t->next->prev = t->prev;
    else
        node->last = t->prev;
    node->waiting--;
}

static bool has_place(const struct node *node)
{
    unsigned max = atomic_load(&node->group->max_connections);
    return node->up && (max == 0 || node->active < max);
}

/* Who is next; a drained node takes nobody new. */
static struct node_ticket *next_in(const struct node *node)
{
    struct node_ticket *t = node->first;
    while (t && node->drained && !t->runs)
        t = t->next;
    return t;
}

static void let_in(struct node *node)
{
    for (struct node_ticket *t; has_place(node) && (t = next_in(node));) {
        queue_remove(node, t);
        node->active++;
        t->state = TICKET_GRANTED;
        stats_queued(node->group->stats, uv_hrtime() - t->asked);
        worker_post(t->worker, &t->post);
    }
}

enum node_ticket_state node_enter(struct node *node, struct node_ticket *t, struct worker *w)
{
    pthread_mutex_lock(&node->lock);
    assert(t->state == TICKET_NONE);
    t->worker = w;
    t->node = node;
    if (has_place(node) && (t->runs || !node->drained)) {
        node->active++;
        t->state = TICKET_GRANTED;
    } else if (node->waiting < atomic_load(&node->group->queue_size)) {
        t->asked = uv_hrtime();
        queue_add(node, t);
    }
    enum node_ticket_state state = t->state;
    pthread_mutex_unlock(&node->lock);
    if (state == TICKET_GRANTED)
        stats_queued(node->group->stats, 0);
    else if (state == TICKET_NONE)
        node_count_rejected(node);
    return state;
}

void node_leave(struct node_ticket *t)
{
    struct node *node = t->node;
    if (!node)
        return;
    pthread_mutex_lock(&node->lock);
    if (t->state == TICKET_WAITING) {
        queue_remove(node, t);
    } else if (t->state == TICKET_GRANTED) {
        node->active--;
        let_in(node);
    }
    t->state = TICKET_NONE;
    pthread_mutex_unlock(&node->lock);
    worker_unpost(t->worker, &t->post);
    t->node = NULL;
}

void node_count_rejected(struct node *node)
{
    atomic_fetch_add_explicit(&node->rejected, 1, memory_order_relaxed);
}

bool node_is_wanted(struct node *node)
{
    pthread_mutex_lock(&node->lock);
    bool wanted = node->waiting > 0;
    pthread_mutex_unlock(&node->lock);
    return wanted;
}

/* ---- health ---- */

static void log_health(const struct node *node, const char *error)
{
    struct log_line l;
    if (!log_begin(&l, error ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, log_level("node"), "node"))
        return;
    log_str(&l, "service", node->group->service);
    log_str(&l, "node", node_name(node));
    log_str(&l, "state", error ? "down" : "up");
    log_str(&l, "reason", error);
    log_end(&l);
}

/* Whether they are others than before. */
static bool set_capabilities(struct node *node, struct str announced)
{
    char space[PROTO_CAPABILITIES_MAX];
    struct buf out;
    buf_init(&out, space, sizeof space, sizeof space);
    proto_filter(node->group->protocol, announced, &out);
    if (out.full || (node->capabilities && str_eq(buf_str(&out), str_of(node->capabilities))))
        return false;
    free(node->capabilities);
    node->capabilities = xstrndup(buf_str(&out).p, buf_len(&out));
    return true;
}

/* Whether the node has turned, up or down. */
static bool take_result(struct node *node, bool good)
{
    const struct node_group *g = node->group;
    node->streak = good == node->up ? 0 : node->streak + 1;
    if (node->streak == 0 || node->streak < atomic_load(good ? &g->rise : &g->fall))
        return false;
    node->up = good;
    node->streak = 0;
    let_in(node);
    return true;
}

/* Logins wait for the lock of the groups, and merging takes its time where there are many nodes. */
void node_checked(struct node *node, const char *error, struct str capabilities)
{
    pthread_mutex_lock(&node_groups.lock);
    pthread_mutex_lock(&node->lock);
    bool turned = node->wanted && take_result(node, error == NULL);
    bool learned = node->wanted && !error && set_capabilities(node, capabilities);
    snprintf(node->trouble, sizeof node->trouble, "%s", error ? error : "");
    pthread_mutex_unlock(&node->lock);
    if (turned || learned)
        merge_capabilities(node->group);
    pthread_mutex_unlock(&node_groups.lock);
    if (turned)
        log_health(node, error);
}

bool node_is_up(const struct node *node)
{
    return node->up;
}

/* ---- drained by hand ---- */

bool node_is_called(const struct node *node, const char *key)
{
    struct str wanted = str_of(key);
    if (str_is(wanted, node_name(node)) || str_is(wanted, node->host))
        return true;
    char *place = place_of(node->host, node->port);
    bool same = str_is(wanted, place);
    free(place);
    return same;
}

static bool is_to_be_drained(const struct node *node)
{
    for (size_t i = 0; i < node_groups.drained.count; i++)
        if (node_is_called(node, node_groups.drained.list[i]))
            return true;
    return false;
}

/* Has every node look whether it is to be drained; returns how many there are called KEY. */
static size_t mark_all(const char *key)
{
    size_t called = 0;
    for (struct node_group *g = node_groups.first; g; g = g->next)
        for (size_t i = 0; i < NODE_BUCKETS; i++)
            for (struct node *node = g->table[i]; node; node = node->next) {
                called += g->current && node_is_called(node, key);
                pthread_mutex_lock(&node->lock);
                node->drained = is_to_be_drained(node);
                let_in(node);
                pthread_mutex_unlock(&node->lock);
            }
    return called;
}

static char *key_of(const char *text)
{
    char *key = xstrdup(text);
    str_lower(key, strlen(key));
    return key;
}

bool node_drain(const char *text)
{
    char *key = key_of(text);
    pthread_mutex_lock(&node_groups.lock);
    bool added = names_add(&node_groups.drained, key), known = mark_all(key) > 0;
    if (!known && added) {
        names_remove(&node_groups.drained, key);
        mark_all(key);
    }
    pthread_mutex_unlock(&node_groups.lock);
    free(key);
    return known;
}

bool node_undrain(const char *text)
{
    char *key = key_of(text);
    pthread_mutex_lock(&node_groups.lock);
    bool removed = names_remove(&node_groups.drained, key);
    mark_all(key);
    pthread_mutex_unlock(&node_groups.lock);
    free(key);
    return removed;
}

bool node_is_drained(const struct node *node)
{
    return node->drained;
}

struct names node_drained(void)
{
    pthread_mutex_lock(&node_groups.lock);
    struct names copy = names_copy(&node_groups.drained);
    pthread_mutex_unlock(&node_groups.lock);
    return copy;
}

void node_drain_again(const struct names *keys)
{
    pthread_mutex_lock(&node_groups.lock);
    for (size_t i = 0; i < keys->count; i++)
        names_add(&node_groups.drained, keys->list[i]);
    mark_all("");
    pthread_mutex_unlock(&node_groups.lock);
}

/* ---- checks ---- */

/* Counts the checks of a node that nobody uses; false when it is time to stop. */
static bool is_used(struct node *node)
{
    bool used = node->configured;
    pthread_mutex_lock(&node->lock);
    node->unused = node->active + node->waiting ? 0 : node->unused + 1;
    used = used || node->unused <= CHECKS_UNUSED;
    if (!used)
        forget_health(node);
    pthread_mutex_unlock(&node->lock);
    return used;
}

static bool check_is_due(struct node *node, uint64_t now)
{
    struct node_group *g = node->group;
    if (!g->current || g->check_interval == 0 || !node->wanted || now < node->next_check)
        return false;
    node->next_check = now + g->check_interval;
    if (!is_used(node)) {
        merge_capabilities(g);
        return false;
    }
    atomic_fetch_add(&node->references, 1);
    return true;
}

struct node *node_check_due(uint64_t now)
{
    struct node *found = NULL;
    pthread_mutex_lock(&node_groups.lock);
    for (struct node_group *g = node_groups.first; g && !found; g = g->next)
        for (size_t i = 0; i < NODE_BUCKETS && !found; i++)
            for (struct node *node = g->table[i]; node && !found; node = node->next)
                if (check_is_due(node, now))
                    found = node;
    pthread_mutex_unlock(&node_groups.lock);
    return found;
}
