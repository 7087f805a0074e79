/* SPDX-License-Identifier: ISC
 *
 * Holding: see control_hold.h. A hold of somebody whom there is not would be believed to be one of
 * somebody whom there is: so the maps are asked first, in a worker, as for a login. */
#include "admin/control_hold.h"

#include "admin/control_clients.h"
#include "admin/desk.h"
#include "base/mem.h"
#include "crew.h"
#include "hold.h"
#include "revoke.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct inquiry {
    struct control_task task;
    struct post post;
    struct config *config; /* a reference */
    struct worker *worker;
    struct creds creds;
    struct route route;
    size_t service; /* the one that is asked */
    bool known;
};

/* ---- in the main thread ---- */

static void inquiry_free(struct inquiry *q)
{
    creds_wipe(&q->creds);
    config_unref(q->config);
    free(q);
}

static void hold(struct control_conn *c, const char *login)
{
    const struct control_stop stop = {
        .reason = REASON_HELD, .served_only = true, .counted = "closed"};
    struct control_filter filter = {0};
    route_email(control_config(), login, filter.email);
    if (hold_add(filter.email) == HOLD_TOO_MANY) {
        control_fail(c, EX_TEMPFAIL, "%d logins are on hold: no more", HOLDS_MAX);
        return;
    }
    revoke_login(filter.email);
    control_stop_clients(c, &filter, &stop);
}

static void answered(struct post *post)
{
    struct inquiry *q = OUTER(post, inquiry, post);
    struct control_conn *c = q->task.conn;
    if (c && q->known)
        hold(c, q->creds.login);
    else if (c)
        control_fail(c, 1, "no map knows '%s'", q->creds.login);
    inquiry_free(q);
}

static void cancel(struct control_task *task)
{
    task->conn = NULL; /* it is freed when it comes back */
}

/* ---- in the worker ---- */

static void come_back(struct inquiry *q)
{
    route_cancel(&q->route);
    q->worker->busy_tasks--;
    q->post.run = answered;
    desk_post(&q->post);
}

static void ask_on(struct inquiry *q);

static void told(struct route *r)
{
    struct inquiry *q = OUTER(r, inquiry, route);
    q->known = r->result != ROUTE_FAILED || r->verdict == VERDICT_TEMPORARY;
    q->service++;
    ask_on(q);
}

/* Asks the services from `service` on, up to one that knows. */
static void ask_on(struct inquiry *q)
{
    if (q->known || q->service == q->config->service_count) {
        come_back(q);
        return;
    }
    route_cancel(&q->route);
    q->route = (struct route){.check = ROUTE_CHECK_NEVER, .done = told};
    if (route_start(&q->route, q->worker, q->config, &q->config->services[q->service], &q->creds) !=
        ROUTE_PENDING)
        told(&q->route);
}

static void start(struct post *post)
{
    struct inquiry *q = OUTER(post, inquiry, post);
    q->worker->busy_tasks++;
    ask_on(q);
}

/* ---- the order ---- */

void control_hold(struct control_conn *c, const char *login)
{
    static const struct str any = STR("any"); /* so that only the login can be malformed */
    struct worker *workers[CREW_MAX];
    size_t count = crew_workers(workers);
    struct inquiry *q = xcalloc(1, sizeof *q);
    q->config = config_ref(control_config());
    q->post.run = start;
    q->task.cancel = cancel;
    creds_init(&q->creds, NULL, 0);
    creds_set(&q->creds, str_of(login), any);
    control_keep(c, &q->task);
    for (size_t i = 0; i < count; i++) {
        q->worker = workers[i];
        if (worker_post(q->worker, &q->post))
            return;
    }
    control_fail(c, EX_TEMPFAIL, "the process is ending");
    inquiry_free(q);
}
