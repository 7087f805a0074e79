/* SPDX-License-Identifier: ISC
 *
 * The admin listener: see admin.h. A table says who answers for which path. */
#include "admin/admin.h"

#include "admin/history.h"
#include "admin/http_server.h"
#include "admin/metrics.h"
#include "admin/ready.h"
#include "admin/status.h"
#include "admin/status_page.h"
#include "base/mem.h"
#include "crew.h"
#include "recent.h"

#include <stdlib.h>
#include <string.h>

static struct {
    struct config *config;
    struct http_server *server;
    struct listen_socket **sockets;
    size_t socket_count;
    bool draining;
    uv_loop_t *loop;
    uint64_t started; /* ms of the loop */
    uv_timer_t timer; /* for samples */
} admin;

/* ---- health ---- */

static void answer_health(const char *rest, struct http_response *r)
{
    (void)rest;
    buf_adds(&r->body, "ok\n");
}

static bool is_meant(const struct config_service *service, const char *name)
{
    return *name == 0 || strcmp(service->name, name + 1) == 0;
}

/* REST is "" for all services, or "/SERVICE". */
static void answer_ready(const char *rest, struct http_response *r)
{
    bool known = *rest == 0, ready = !admin.draining;
    if (admin.draining)
        buf_adds(&r->body, "draining\n");
    for (size_t i = 0; i < admin.config->service_count; i++)
        if (is_meant(&admin.config->services[i], rest)) {
            known = true;
            ready = ready_service(&admin.config->services[i], &r->body) && ready;
        }
    if (!known)
        buf_adds(&r->body, "no such service\n");
    else if (ready)
        buf_adds(&r->body, "ready\n");
    r->status = !known ? 404 : ready ? 200 : 503;
}

/* ---- all there is to know ---- */

/* The room that the last page took is asked for at once: growing to it costs as much as writing. */
static void answer_metrics(const char *rest, struct http_response *r)
{
    static uint32_t room = 16 * 1024;
    struct snapshot s;
    (void)rest;
    buf_room(&r->body, room);
    snapshot_take(&s, admin.config, admin.draining);
    s.longest_round = crew_longest_round();
    metrics_write(&r->body, &s);
    snapshot_free(&s);
    room = buf_len(&r->body) + buf_len(&r->body) / 8;
    r->type = METRICS_TYPE;
}

static void answer_status(const char *rest, struct http_response *r)
{
    struct snapshot s;
    (void)rest;
    snapshot_take(&s, admin.config, admin.draining);
    status_page_write(&r->body, &s);
    snapshot_free(&s);
    r->type = "text/html; charset=utf-8";
    r->headers = STATUS_PAGE_POLICY;
}

static void answer_style(const char *rest, struct http_response *r)
{
    (void)rest;
    buf_add(&r->body, status_page_style.p, status_page_style.n);
    r->type = "text/css; charset=utf-8";
}

static void answer_script(const char *rest, struct http_response *r)
{
    (void)rest;
    buf_add(&r->body, status_page_script.p, status_page_script.n);
    r->type = "text/javascript; charset=utf-8";
}

static void answer_json(const char *rest, struct http_response *r)
{
    (void)rest;
    json_t *object = status_json(admin.config, (double)(uv_now(admin.loop) - admin.started) / 1000);
    json_object_set_new(object, "draining", json_boolean(admin.draining));
    char *text = json_dumps(object, JSON_INDENT(1));
    buf_adds(&r->body, text);
    buf_adds(&r->body, "\n");
    free(text);
    json_decref(object);
    r->type = "application/json";
}

static void answer_top(const char *rest, struct http_response *r)
{
    (void)rest;
    r->status = 302;
    r->headers = "Location: /status\r\n";
}

/* ---- paths ---- */

static const struct {
    const char *path;
    bool more; /* something may follow it */
    void (*answer)(const char *rest, struct http_response *r);
} pages[] = {
    {"/healthz", false, answer_health},   {"/readyz", true, answer_ready},
    {"/metrics", false, answer_metrics},  {"/status", false, answer_status},
    {"/status.json", false, answer_json}, {"/status.css", false, answer_style},
    {"/status.js", false, answer_script}, {"/", false, answer_top},
};

static void answer(const char *path, struct http_response *r)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        size_t n = strlen(pages[i].path);
        const char *rest = strncmp(path, pages[i].path, n) == 0 ? path + n : "?";
        if (*rest == 0 || (*rest == '/' && pages[i].more)) {
            pages[i].answer(rest, r);
            return;
        }
    }
    r->status = 404;
    buf_adds(&r->body,
             "There are /healthz, /readyz, /readyz/SERVICE, /metrics, /status, /status.json.\n");
}

/* ---- beginning and end ---- */

static void forget_sockets(void)
{
    http_server_forget(admin.server);
    while (admin.socket_count)
        listen_socket_unref(admin.sockets[--admin.socket_count]);
}

static void sample(uv_timer_t *timer)
{
    (void)timer;
    history_sample(admin.config);
    node_sample();
    recent_age();
}

static void begin(uv_loop_t *loop)
{
    admin.server = http_server_new(loop, answer);
    admin.loop = loop;
    admin.started = uv_now(loop);
    uv_timer_init(loop, &admin.timer);
}

void admin_serve(uv_loop_t *loop, struct config *config, struct listen_set *set)
{
    if (!admin.server)
        begin(loop);
    forget_sockets();
    if (admin.config)
        config_unref(admin.config);
    admin.config = config_ref(config);
    admin.sockets =
        xrealloc(admin.sockets, (config->admin.listener_count + 1) * sizeof *admin.sockets);
    for (struct listen_socket *sock; (sock = listen_set_admin(set, admin.socket_count)) != NULL;) {
        admin.sockets[admin.socket_count++] = sock;
        http_server_listen(admin.server, listen_socket_fd(sock));
    }
    if (admin.socket_count && !uv_is_active((uv_handle_t *)&admin.timer))
        uv_timer_start(&admin.timer, sample, 0, HISTORY_STROKE);
    else if (!admin.socket_count)
        uv_timer_stop(&admin.timer);
}

void admin_drain(void)
{
    admin.draining = true;
}

void admin_hand_over(void)
{
    forget_sockets();
}

void admin_end(void)
{
    if (!admin.server)
        return;
    forget_sockets();
    http_server_free(admin.server);
    admin.server = NULL;
    uv_close((uv_handle_t *)&admin.timer, NULL);
    free(admin.sockets);
    config_unref(admin.config);
}
