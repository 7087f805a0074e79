/* SPDX-License-Identifier: ISC
 *
 * Orders about clients: see control_clients.h. A survey goes to a worker, walks there for a while,
 * and comes back to the main thread, again and again until that worker's clients are through; then
 * to the next worker. It is never in two places at once, so it needs no lock. */
#include "admin/control_clients.h"

#include "admin/desk.h"
#include "admin/text.h"
#include "base/mem.h"
#include "crew.h"
#include "node.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum {
    LOOKED_AT = 1000, /* clients in a row, before the worker has something else to do */
    STOPPED = 20,     /* likewise: ending one costs more than looking at it */
    ROWS = 100        /* brought to the main thread at once */
};

/* What is told of a client. */
struct row {
    char id[sizeof((struct client *)NULL)->id];
    char service[64], login[LOGIN_MAX + 1], node[MAP_HOST_MAX + 32], address[ADDR_TEXT];
    const char *state;
    uint64_t age; /* ms */
    uint64_t bytes_in, bytes_out;
};

struct survey {
    struct control_task task;
    struct post post;
    struct control_filter filter;
    struct control_stop stop; /* or it is a list */
    bool is_list;
    struct worker *workers[CREW_MAX];
    size_t worker_count, at;
    struct client_walk walk;
    bool walking; /* at workers[at] */
    bool leaving; /* no more is wanted: the walk is to end */
    size_t found;
    size_t row_count;
    struct row rows[ROWS];
};

/* ---- in the worker ---- */

static bool fits(const struct survey *s, const struct client *c)
{
    const struct control_filter *f = &s->filter;
    char email[ROUTE_EMAIL];
    if (f->session[0] && strcmp(f->session, c->id) != 0)
        return false;
    if (f->service[0] && strcmp(f->service, c->service->name) != 0)
        return false;
    if (f->node[0] && (!c->node || !node_is_called(c->node, f->node)))
        return false;
    if (!f->email[0])
        return true;
    if (!c->user)
        return false;
    route_email(c->config, c->user, email);
    return strcmp(f->email, email) == 0;
}

static void note(struct survey *s, const struct client *c, struct client_told told)
{
    struct row *row = &s->rows[s->row_count++];
    memcpy(row->id, c->id, sizeof row->id);
    snprintf(row->service, sizeof row->service, "%s", c->service->name);
    snprintf(row->login, sizeof row->login, "%s", c->user ? c->user : "");
    snprintf(row->node, sizeof row->node, "%s", c->node ? node_name(c->node) : "");
    addr_format(&c->address, row->address);
    row->state = told.state;
    row->age = c->worker->now - c->started;
    row->bytes_in = told.bytes_in;
    row->bytes_out = told.bytes_out;
}

/* Spreads any number of clients evenly over the time: the fractions of multiples of the golden
 * ratio (Knuth, 6.4). */
static uint64_t moment(const struct survey *s)
{
    uint32_t fraction = (uint32_t)s->found * 2654435769u;
    return s->stop.over * fraction >> 32;
}

static void end(struct survey *s, struct client *c)
{
    if (s->stop.over)
        client_stop_in(c, s->stop.reason, moment(s));
    else
        client_stop(c, s->stop.reason);
}

/* Whether C is meant; then it is dealt with. */
static bool look_at(struct survey *s, struct client *c)
{
    struct client_told told = client_tell(c);
    if (told.phase == CLIENT_LEAVES || !fits(s, c))
        return false;
    if (s->stop.served_only && told.phase != CLIENT_SERVED)
        return false;
    s->found++;
    if (s->is_list)
        note(s, c, told);
    else
        end(s, c);
    return true;
}

/* Whether the worker has done enough for now. */
static bool is_enough(const struct survey *s, size_t looked_at, size_t found)
{
    if (s->is_list)
        return s->row_count == ROWS || looked_at == LOOKED_AT;
    return found == STOPPED || looked_at == LOOKED_AT;
}

static void come_back(struct survey *s);

static void walk(struct post *post)
{
    struct survey *s = OUTER(post, survey, post);
    struct worker *w = s->workers[s->at];
    size_t looked_at = 0, found = 0;
    if (!s->walking)
        client_walk_begin(&s->walk, w);
    s->walking = true;
    while (!s->leaving && !is_enough(s, looked_at, found)) {
        struct client *c = client_walk_next(&s->walk);
        s->leaving = c == NULL;
        looked_at++;
        found += c && look_at(s, c);
    }
    if (!s->leaving && !s->row_count) {
        worker_soon(w, &s->post);
        return;
    }
    if (s->leaving)
        client_walk_end(&s->walk);
    s->walking = !s->leaving;
    come_back(s);
}

/* ---- in the main thread ---- */

static void back(struct post *post);

static void come_back(struct survey *s)
{
    s->post.run = back;
    desk_post(&s->post);
}

static bool is_wanted(const struct survey *s)
{
    return s->task.conn || !s->is_list;
}

/* Sends S to the worker that it is at, or to the next one that is there; false: there is none. */
static bool go(struct survey *s)
{
    s->post.run = walk;
    s->leaving = !is_wanted(s);
    for (; s->at < s->worker_count; s->at++)
        if (s->walking || (!s->leaving && crew_has(s->workers[s->at])))
            if (worker_post(s->workers[s->at], &s->post))
                return true;
    return false;
}

static void finish(struct survey *s)
{
    struct control_conn *c = s->task.conn;
    if (c && !s->is_list && s->stop.must_find && s->found == 0)
        control_fail(c, 1, "there is nobody to be %s", s->stop.counted);
    else if (c)
        control_end(
            c, EX_OK,
            json_pack("{s:I}", s->is_list ? "sessions" : s->stop.counted, (json_int_t)s->found));
    free(s);
}

static json_t *json_row(const struct row *row)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:s,s:f,s:I,s:I}", "session", text_json(row->id),
                     "service", text_json(row->service), "login", text_json(row->login), "client",
                     text_json(row->address), "node", text_json(row->node), "state", row->state,
                     "seconds", (double)row->age / 1e3, "bytes_in", (json_int_t)row->bytes_in,
                     "bytes_out", (json_int_t)row->bytes_out);
}

/* Says what was brought; false: the client takes no more for now. */
static bool say_rows(struct survey *s)
{
    size_t said = 0;
    while (said < s->row_count && s->task.conn &&
           control_say(s->task.conn, json_row(&s->rows[said])))
        said++;
    if (!s->task.conn)
        said = s->row_count;
    s->row_count -= said;
    memmove(s->rows, s->rows + said, s->row_count * sizeof *s->rows);
    return s->row_count == 0;
}

static void go_on(struct survey *s)
{
    if (!say_rows(s))
        return; /* until `ready` */
    if (!s->walking)
        s->at++;
    if (!go(s))
        finish(s);
}

static void back(struct post *post)
{
    struct survey *s = OUTER(post, survey, post);
    s->post.run = NULL;
    go_on(s);
}

static void ready(struct control_task *task)
{
    struct survey *s = OUTER(task, survey, task);
    if (!s->post.run)
        go_on(s);
}

/* A survey that is with a worker, or lies on the desk, finds out when it comes back. */
static void cancel(struct control_task *task)
{
    struct survey *s = OUTER(task, survey, task);
    task->conn = NULL;
    if (!s->post.run)
        go_on(s);
}

static void begin(struct control_conn *c, struct survey *s)
{
    s->task = (struct control_task){.ready = ready, .cancel = cancel};
    s->worker_count = crew_workers(s->workers);
    control_keep(c, &s->task);
    if (!go(s))
        finish(s);
}

void control_list_clients(struct control_conn *c, const struct control_filter *filter)
{
    struct survey *s = xcalloc(1, sizeof *s);
    s->filter = *filter;
    s->is_list = true;
    begin(c, s);
}

void control_stop_clients(struct control_conn *c, const struct control_filter *filter,
                          const struct control_stop *stop)
{
    struct survey *s = xcalloc(1, sizeof *s);
    s->filter = *filter;
    s->stop = *stop;
    begin(c, s);
}
