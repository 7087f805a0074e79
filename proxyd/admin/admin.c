/* SPDX-License-Identifier: ISC
 *
 * The admin listener: see admin.h. A table says who answers for which path. */
#include "admin/admin.h"

#include "admin/http_server.h"
#include "admin/metrics.h"
#include "admin/ready.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static struct {
    struct config *config;
    struct http_server *server;
    struct listen_socket **sockets;
    size_t socket_count;
    bool draining;
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
    metrics_write(&r->body, &s);
    snapshot_free(&s);
    room = buf_len(&r->body) + buf_len(&r->body) / 8;
    r->type = METRICS_TYPE;
}

/* ---- paths ---- */

static const struct {
    const char *path;
    bool more; /* something may follow it */
    void (*answer)(const char *rest, struct http_response *r);
} pages[] = {
    {"/healthz", false, answer_health},
    {"/readyz", true, answer_ready},
    {"/metrics", false, answer_metrics},
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
    buf_adds(&r->body, "There are /healthz, /readyz, /readyz/SERVICE, /metrics.\n");
}

/* ---- beginning and end ---- */

static void forget_sockets(void)
{
    http_server_forget(admin.server);
    while (admin.socket_count)
        listen_socket_unref(admin.sockets[--admin.socket_count]);
}

void admin_serve(uv_loop_t *loop, struct config *config, struct listen_set *set)
{
    if (!admin.server)
        admin.server = http_server_new(loop, answer);
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
    free(admin.sockets);
    config_unref(admin.config);
}
