/* SPDX-License-Identifier: ISC
 *
 * Accepting connections: see listener.h. Every worker has the sockets in its own epoll set with
 * EPOLLEXCLUSIVE, so that one connection wakes one worker. */
#include "listener.h"

#include "check.h"
#include "mail/mail.h"
#include "memory.h"
#include "session.h"
#include "web/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { PAUSE = 100 /* ms */ };

struct listener {
    struct watch watch;
    struct worker *worker;
    int fd;
    const struct config_service *service;
    const struct config_listener *conf;
};

/* A worker's listeners. */
struct listeners {
    struct config *config;
    struct listen_set *set;
    struct timer timer; /* while accepting pauses */
    bool paused;        /* logged, and not yet over */
    size_t count;
    struct listener list[];
};

static const struct engine *const engines[] = {
    [ENGINE_SESSION] = &session_engine, [ENGINE_WEB] = &web_engine, [ENGINE_MAIL] = &mail_engine};

static atomic_uint session_limit = UINT_MAX;
static const char *_Atomic paused; /* why, while accepting pauses */

void listener_set_limit(unsigned sessions)
{
    session_limit = sessions;
}

/* ---- accepting ---- */

static void watch_listeners(struct listeners *ls, struct worker *w)
{
    for (size_t i = 0; i < ls->count; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE,
                                    .data.ptr = &ls->list[i].watch};
        if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, ls->list[i].fd, &event) < 0)
            log_message(LOG_LEVEL_ERROR, "listener", "epoll: %s", strerror(errno));
    }
}

static void unwatch_listeners(struct listeners *ls, struct worker *w)
{
    for (size_t i = 0; i < ls->count; i++)
        epoll_ctl(w->epoll, EPOLL_CTL_DEL, ls->list[i].fd, NULL);
}

const char *listener_paused(void)
{
    return paused;
}

/* Why nobody new should come in, whatever accept4 says; or NULL. */
static const char *find_shortage(void)
{
    if (client_total() >= session_limit)
        return "too many sessions for the limit of open files";
    return memory_is_short() ? "memory is short" : NULL;
}

/* New connections wait in the kernel's queue until there is again what they need. WHY stays. */
static void pause_accepting(struct worker *w, const char *why)
{
    struct listeners *ls = w->listeners;
    if (!ls->paused)
        log_message(LOG_LEVEL_ERROR, "listener", "accepting pauses: %s", why);
    ls->paused = true;
    paused = why;
    unwatch_listeners(ls, w);
    worker_timer(w, &ls->timer, PAUSE);
}

static void resume(struct timer *timer)
{
    struct listeners *ls = OUTER(timer, listeners, timer);
    struct worker *w = ls->list[0].worker;
    if (find_shortage()) {
        worker_timer(w, timer, PAUSE);
        return;
    }
    paused = NULL;
    watch_listeners(ls, w);
}

static void accept_one(struct watch *watch, uint32_t events)
{
    struct listener *l = (struct listener *)watch;
    struct listeners *ls = l->worker->listeners;
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    struct addr client;
    (void)events;
    const char *shortage = find_shortage();
    if (shortage) {
        pause_accepting(l->worker, shortage);
        return;
    }
    int fd = accept4(l->fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(l->worker, strerrordesc_np(errno));
        return;
    }
    if (ls->paused)
        log_message(LOG_LEVEL_INFO, "listener", "accepting again");
    ls->paused = false;
    addr_from_sockaddr(&client, (struct sockaddr *)&sa, n);
    client_start(l->worker, engines[l->service->protocol->engine], ls->config, l->service, l->conf,
                 fd, &client);
}

/* ---- orders ---- */

static void drop_listeners(struct worker *w)
{
    struct listeners *ls = w->listeners;
    if (!ls)
        return;
    unwatch_listeners(ls, w);
    worker_timer_clear(w, &ls->timer);
    config_unref(ls->config);
    listen_set_unref(ls->set);
    free(ls);
    w->listeners = NULL;
}

static struct listeners *make_listeners(struct worker *w, struct config *config,
                                        struct listen_set *set)
{
    struct listeners *ls = xcalloc(1, sizeof *ls + listen_set_count(set) * sizeof *ls->list);
    ls->config = config;
    ls->set = set;
    ls->timer.fire = resume;
    for (size_t i = 0; i < config->service_count; i++)
        for (size_t k = 0; k < config->services[i].listener_count; k++) {
            ls->list[ls->count] = (struct listener){
                .watch.ready = accept_one,
                .worker = w,
                .fd = listen_set_fd(set, ls->count),
                .service = &config->services[i],
                .conf = &config->services[i].listeners[k],
            };
            ls->count++;
        }
    return ls;
}

/* What the main thread wants of a worker. */
struct order {
    struct post post;
    struct worker *worker;
    struct config *config;
    struct listen_set *set;
    bool checks;
    uint64_t ms;
};

static void order_free(struct order *order)
{
    if (order->config)
        config_unref(order->config);
    listen_set_unref(order->set);
    free(order);
}

static bool order_send(struct worker *w, void (*run)(struct post *), struct config *config,
                       struct listen_set *set, bool checks, uint64_t ms)
{
    struct order *order = xcalloc(1, sizeof *order);
    order->post.run = run;
    order->worker = w;
    order->config = config ? config_ref(config) : NULL;
    order->set = set ? listen_set_ref(set) : NULL;
    order->checks = checks;
    order->ms = ms;
    if (worker_post(w, &order->post))
        return true;
    order_free(order);
    return false;
}

static void serve(struct post *post)
{
    struct order *order = (struct order *)post;
    struct worker *w = order->worker;
    drop_listeners(w);
    w->leaving = false;
    w->listeners = make_listeners(w, config_ref(order->config), listen_set_ref(order->set));
    watch_listeners(w->listeners, w);
    if (order->checks)
        check_start(w, order->config);
    order_free(order);
}

static void retire(struct post *post)
{
    struct order *order = (struct order *)post;
    drop_listeners(order->worker);
    check_stop(order->worker);
    order->worker->leaving = true;
    client_step_all(order->worker); /* who has nothing to do leaves now */
    order_free(order);
}

static void stop_sessions(struct post *post)
{
    struct order *order = (struct order *)post;
    client_stop_all(order->worker, REASON_SHUTDOWN, order->ms);
    order_free(order);
}

bool listener_serve(struct worker *w, struct config *config, struct listen_set *set, bool checks)
{
    return order_send(w, serve, config, set, checks, 0);
}

void listener_retire(struct worker *w)
{
    order_send(w, retire, NULL, NULL, false, 0);
}

void listener_stop_sessions(struct worker *w, uint64_t ms)
{
    order_send(w, stop_sessions, NULL, NULL, false, ms);
}
