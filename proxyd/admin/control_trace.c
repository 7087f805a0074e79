/* SPDX-License-Identifier: ISC
 *
 * Showing a dialogue: see control_trace.h. Lines that the client of the socket does not take in
 * time are counted, and the count is told with the next line. */
#include "admin/control_trace.h"

#include "admin/desk.h"
#include "admin/text.h"
#include "base/mem.h"
#include "base/ring.h"
#include "route.h"
#include "trace.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

struct watch_task {
    struct control_task task;
    struct ring ring; /* in `tasks` */
    unsigned watcher;
    uv_timer_t timer;
    uint64_t lines, dropped; /* the latter: not told yet */
};

static struct ring tasks = {&tasks, &tasks};

static struct watch_task *find(unsigned watcher)
{
    RING_EACH (ring, &tasks) {
        struct watch_task *t = OUTER(ring, watch_task, ring);
        if (t->watcher == watcher)
            return t;
    }
    return NULL;
}

static json_t *json_time(uint64_t ms)
{
    char text[40];
    struct tm tm;
    time_t seconds = (time_t)(ms / 1000);
    gmtime_r(&seconds, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof text - n, ".%03uZ", (unsigned)(ms % 1000));
    return json_string(text);
}

static json_t *json_line(const struct trace_line *line)
{
    static const struct {
        const char *from, *to;
    } ways[] = {[TRACE_FROM_CLIENT] = {"client", "proxyd"},
                [TRACE_TO_CLIENT] = {"proxyd", "client"},
                [TRACE_FROM_NODE] = {"node", "proxyd"},
                [TRACE_TO_NODE] = {"proxyd", "node"},
                [TRACE_EVENT] = {NULL, NULL},
                [TRACE_UP] = {"client", "node"},
                [TRACE_DOWN] = {"node", "client"}};
    return json_pack("{s:o,s:s,s:o,s:s?,s:s?,s:o}", "time", json_time(line->time), "session",
                     line->session, "service", text_json(line->service), "from",
                     ways[line->way].from, "to", ways[line->way].to, "text", text_json(line->text));
}

static void show(struct watch_task *t, const struct trace_line *line)
{
    json_t *object = json_line(line);
    t->dropped += line->dropped;
    if (t->dropped)
        json_object_set_new(object, "dropped", json_integer((json_int_t)t->dropped));
    if (control_say(t->task.conn, object)) {
        t->dropped = 0;
        t->lines++;
    } else {
        t->dropped++;
    }
}

static void came(struct post *post)
{
    struct trace_line *line = OUTER(post, trace_line, post);
    struct watch_task *t = find(line->watcher);
    if (t)
        show(t, line);
    trace_line_free(line);
}

static void timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void end(struct watch_task *t)
{
    ring_remove(&t->ring);
    trace_end(t->watcher);
    uv_close((uv_handle_t *)&t->timer, timer_closed);
}

static void cancel(struct control_task *task)
{
    end(OUTER(task, watch_task, task));
}

static void time_over(uv_timer_t *timer)
{
    struct watch_task *t = timer->data;
    control_end(
        t->task.conn, EX_OK,
        json_pack("{s:I,s:I}", "lines", (json_int_t)t->lines, "dropped", (json_int_t)t->dropped));
    end(t);
}

void control_trace(struct control_conn *c, const char *who, uint64_t ms)
{
    struct addr address;
    char email[ROUTE_EMAIL] = "";
    struct watch_task *t = xcalloc(1, sizeof *t);
    if (!addr_numeric(&address, str_of(who), 0))
        route_email(control_config(), who, email);
    t->watcher = trace_begin(email, &address, desk_post, came);
    if (!t->watcher) {
        free(t);
        control_fail(c, EX_TEMPFAIL, "%d dialogues are being watched: no more", TRACES_MAX);
        return;
    }
    t->task.cancel = cancel;
    ring_add_last(&tasks, &t->ring);
    uv_timer_init(control_loop(), &t->timer);
    t->timer.data = t;
    uv_timer_start(&t->timer, time_over, ms, 0);
    control_keep(c, &t->task);
}
