/* SPDX-License-Identifier: ISC
 *
 * Health checks: see check.h. A check is a link (link.h) without credentials: it connects as a
 * login would, greets, asks for the capabilities and leaves. */
#include "check.h"

#include "link.h"

#include <stdlib.h>
#include <string.h>

enum {
    TICK = 50,         /* ms between two looks at what is due */
    CHECKS_MAX = 64,   /* under way at once */
    PROBES = 20,       /* ticks between two looks at the directories */
    ANSWER_TIME = 5000 /* ms for all that comes after the greeting */
};

struct check {
    struct check *next, *prev;
    struct checker *checker;
    struct config *config; /* which has the link's service */
    struct node *node;
    struct stream stream;
    struct link link;
    struct timer timer;
    uint64_t end; /* ms: when it is over, whatever the node still says; 0: it has not greeted yet */
};

/* All checks of a worker. */
struct checker {
    struct worker *worker;
    struct config *config;
    struct timer timer;
    struct check *first;
    unsigned count;
    unsigned ticks;
};

static void drop(struct check *c)
{
    struct checker *checker = c->checker;
    link_free(&c->link);
    stream_close(&c->stream);
    worker_timer_clear(checker->worker, &c->timer);
    node_unref(c->node);
    config_unref(c->config);
    if (c->next)
        c->next->prev = c->prev;
    if (c->prev)
        c->prev->next = c->next;
    else
        checker->first = c->next;
    checker->count--;
    free(c);
}

static void finish(struct check *c, const char *error)
{
    node_checked(c->node, error, buf_str(&c->link.back.capabilities));
    drop(c);
}

/* Up to the greeting the link knows how long. */
static void set_timer(struct check *c)
{
    struct worker *w = c->checker->worker;
    if (!c->link.deadline && !c->end)
        c->end = w->now + ANSWER_TIME;
    uint64_t due = c->link.deadline ? c->link.deadline : c->end;
    worker_timer(w, &c->timer, due > w->now ? due - w->now : 0);
}

static void judge(struct check *c, enum link_result result)
{
    if (result == LINK_FAILED)
        finish(c, c->link.error);
    else if (result != LINK_MORE)
        finish(c, NULL);
    else
        set_timer(c);
}

static void ready(struct watch *watch, uint32_t events)
{
    struct check *c = OUTER(watch, check, stream.watch);
    stream_events(&c->stream, events);
    judge(c, link_step(&c->link));
}

static void resolved(struct post *post)
{
    struct check *c = OUTER(post, check, link.resolve.post);
    judge(c, link_step(&c->link));
}

static void fire(struct timer *timer)
{
    struct check *c = OUTER(timer, check, timer);
    judge(c, link_timed_out(&c->link));
}

static const struct config_service *service_of(const struct config *config, const struct node *node)
{
    for (size_t i = 0; i < config->service_count; i++)
        if (strcmp(config->services[i].name, node_service(node)) == 0)
            return &config->services[i];
    return NULL;
}

static void begin(struct checker *checker, struct node *node)
{
    const struct config_service *service = service_of(checker->config, node);
    if (!service || !service->protocol->back_read) { /* of a configuration that this worker has not
                                                       heard of yet; or has no checks */
        node_unref(node);
        return;
    }
    struct check *c = xcalloc(1, sizeof *c);
    const struct back_setup setup = {.starttls = service->backend.tls_mode == TLS_STARTTLS,
                                     .helo = checker->config->global.hostname};
    c->checker = checker;
    c->config = config_ref(checker->config);
    c->node = node;
    c->stream.fd = -1;
    c->timer.fire = fire;
    c->link.resolve.post.run = resolved;
    c->next = checker->first;
    if (c->next)
        c->next->prev = c;
    checker->first = c;
    checker->count++;
    link_start(&c->link, checker->worker, service, node, &c->stream, &setup, ready);
    judge(c, link_step(&c->link));
}

/* Directories are only asked for the sake of who asks us whether they answer. */
static void probe(struct checker *checker)
{
    const struct config *config = checker->config;
    for (size_t i = 0; i < config->ldap_count && config->admin.listener_count; i++)
        directory_probe(config->directories[i], checker->worker);
}

static void look(struct timer *timer)
{
    struct checker *checker = OUTER(timer, checker, timer);
    struct worker *w = checker->worker;
    for (struct node *node; checker->count < CHECKS_MAX && (node = node_check_due(w->now));)
        begin(checker, node);
    if (checker->ticks++ % PROBES == 0)
        probe(checker);
    worker_timer(w, timer, TICK);
}

void check_start(struct worker *w, struct config *config)
{
    check_stop(w);
    struct checker *checker = xcalloc(1, sizeof *checker);
    checker->worker = w;
    checker->config = config_ref(config);
    checker->timer.fire = look;
    w->checker = checker;
    look(&checker->timer);
}

void check_stop(struct worker *w)
{
    struct checker *checker = w->checker;
    if (!checker)
        return;
    while (checker->first)
        drop(checker->first);
    worker_timer_clear(w, &checker->timer);
    config_unref(checker->config);
    free(checker);
    w->checker = NULL;
}
