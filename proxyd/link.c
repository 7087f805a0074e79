/* SPDX-License-Identifier: ISC
 *
 * The way to a node: see link.h. Its states follow one another as in enum link_state; only a
 * connect that fails goes back, to the next address. */
#include "link.h"

#include "proto/proxy_header.h"
#include "stats.h"
#include "trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum link_result fail(struct link *link, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum link_result fail(struct link *link, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(link->error, sizeof link->error, format, args);
    va_end(args);
    return LINK_FAILED;
}

void link_start(struct link *link, struct worker *w, const struct config_service *service,
                struct node *node, struct stream *stream, const struct back_setup *setup,
                void (*ready)(struct watch *, uint32_t))
{
    link->worker = w;
    link->service = service;
    link->node = node;
    link->stream = stream;
    link->ready = ready;
    link->state = LINK_RESOLVE;
    link->tried = 0;
    link->greeted = false;
    link->started = uv_hrtime();
    link->error[0] = 0;
    link->deadline = w->now + service->backend.connect_timeout;
    buf_init(&link->in, link->in_space, sizeof link->in_space, PROTO_IN_MAX);
    buf_init(&link->out, link->out_space, sizeof link->out_space, PROTO_OUT_MAX);
    back_init(&link->back, setup);
}

void link_free(struct link *link)
{
    if (!link->worker)
        return;
    node_resolve_cancel(link->node, &link->resolve);
    if (ring_has(&link->resolve.post.ring))
        worker_unpost(link->worker, &link->resolve.post);
    back_free(&link->back);
    buf_free(&link->in);
    buf_free(&link->out);
    link->worker = NULL;
}

/* ---- connecting ---- */

static enum link_result do_resolve(struct link *link)
{
    int rc = node_resolve(link->node, &link->addresses, &link->resolve, link->worker);
    if (rc < 0)
        return fail(link, "cannot resolve %s: %s", node_host(link->node), uv_strerror(rc));
    if (rc == 0)
        link->state = LINK_CONNECT;
    return LINK_MORE;
}

/* The master's password must not cross a network in the clear. */
static bool is_unsafe(const struct link *link, const struct addr *addr)
{
    const struct config_backend *backend = &link->service->backend;
    return link->back.setup.master_user && backend->tls_mode == TLS_NONE && !addr_is_local(addr);
}

/* Begins with the next address until one does not fail at once. */
static enum link_result connect_next(struct link *link, int error)
{
    const struct config_backend *backend = &link->service->backend;
    stream_close(link->stream);
    link->back.setup.tls = false;
    while (link->tried < link->addresses.count) {
        const struct addr *addr = &link->addresses.list[link->tried++];
        const struct addr *source = &backend->source_address;
        if (is_unsafe(link, addr))
            return fail(link, "a master login to another machine needs TLS (backend.tls)");
        struct addr any = {0};
        if (source->len && source->sa.sa_family != addr->sa.sa_family)
            source = &any;
        error = stream_connect(link->stream, link->worker, addr, source, link->ready);
        link->deadline = link->worker->now + backend->connect_timeout;
        if (error == 0)
            return LINK_MORE;
    }
    return fail(link, "cannot connect: %s", strerror(error));
}

static enum link_result do_connect(struct link *link)
{
    struct stream *st = link->stream;
    if (link->tried == 0 && connect_next(link, ENOENT) == LINK_FAILED)
        return LINK_FAILED;
    if (st->failed)
        return connect_next(link, st->error);
    if (!st->connecting)
        link->state = LINK_HEADER;
    return LINK_MORE;
}

/* ---- what comes before the protocol ---- */

static enum link_result do_header(struct link *link)
{
    const struct config_backend *backend = &link->service->backend;
    const struct back_setup *setup = &link->back.setup;
    static const struct addr none;
    int version = backend->client_address == CLIENT_ADDRESS_PROXY_V1   ? 1
                  : backend->client_address == CLIENT_ADDRESS_PROXY_V2 ? 2
                                                                       : 0;
    if (version) {
        proxy_header_write(&link->out, version, setup->client ? setup->client : &none,
                           setup->local ? setup->local : &none);
        stream_write(link->stream, buf_str(&link->out).p, buf_len(&link->out));
        buf_clear(&link->out);
    }
    if (backend->tls_mode == TLS_IMPLICIT)
        stream_tls_client(link->stream, backend->tls_client, node_host(link->node));
    link->state = backend->tls_mode == TLS_IMPLICIT ? LINK_TLS : LINK_TALK;
    return LINK_MORE;
}

static enum link_result do_tls(struct link *link)
{
    char words[100];
    int rc = stream_handshake(link->stream);
    stream_push(link->stream);
    if (rc == STREAM_FAILED)
        return fail(link, "TLS: %s", stream_error_text(link->stream, words, sizeof words));
    if (rc == 0) {
        link->back.setup.tls = true;
        link->state = LINK_TALK;
    }
    return LINK_MORE;
}

/* ---- the protocol ---- */

static enum link_result start_tls(struct link *link)
{
    const struct config_backend *backend = &link->service->backend;
    if (buf_len(&link->in))
        return fail(link, "the node sent bytes behind STARTTLS in the clear");
    stream_tls_client(link->stream, backend->tls_client, node_host(link->node));
    link->state = LINK_TLS;
    return LINK_MORE;
}

static bool send_answers(struct link *link)
{
    struct str out = buf_str(&link->out);
    trace_bytes(link->client, TRACE_TO_NODE, out.p, out.n);
    bool good = !link->out.full && stream_write(link->stream, out.p, out.n);
    buf_clear(&link->out);
    stream_push(link->stream);
    return good;
}

/* Reads once more what the node has sent: bytes, 0 at its end, or a STREAM_ result. */
static ssize_t read_more(struct link *link)
{
    char *room = buf_room(&link->in, 512);
    if (!room)
        return STREAM_FAILED;
    ssize_t n = stream_read(link->stream, room, link->in.cap - link->in.end);
    if (n > 0) {
        buf_added(&link->in, (uint32_t)n);
        trace_bytes(link->client, TRACE_FROM_NODE, room, (size_t)n);
    }
    return n;
}

static enum link_result ended(struct link *link, ssize_t n)
{
    struct stream *st = link->stream;
    if (link->in.full)
        return fail(link, "the node says too much before the login");
    if (!link->greeted && link->tried < link->addresses.count)
        return connect_next(link, st->error);
    if (!link->greeted && n == STREAM_FAILED)
        return fail(link, "cannot connect: %s", strerror(st->error));
    return fail(link, "the node closed the connection");
}

/* From now on another time limit holds; of a check and of other engines, their own. */
static void greeted(struct link *link)
{
    uint64_t limit = link->service->backend.response_timeout;
    stats_connected(link->service->stats, uv_hrtime() - link->started);
    link->greeted = true;
    link->deadline = link->back.setup.creds && limit ? link->worker->now + limit : 0;
}

/* Says what the back makes of the input so far, then reads more, until the node has to be waited
 * for. */
static enum link_result do_talk(struct link *link)
{
    for (unsigned reads = 0;; reads++) {
        enum back_want want =
            node_protocol(link->node)->back_read(&link->back, &link->in, &link->out);
        bool answered_partly = link->greeted && buf_len(&link->out) == 0;
        if (!send_answers(link))
            return fail(link, "the node closed the connection");
        switch (want) {
        case BACK_STARTTLS:
            return start_tls(link);
        case BACK_OK:
        case BACK_LEFT:
            return LINK_OK;
        case BACK_REFUSED:
            return LINK_REFUSED;
        case BACK_FAILED:
            return fail(link, "%s", link->back.error);
        case BACK_MORE:
            break;
        }
        if (reads == STREAM_TURN) {
            worker_soon(link->worker, &link->resolve.post);
            return LINK_MORE;
        }
        ssize_t n = read_more(link);
        if (n == STREAM_AGAIN) {
            if (answered_partly)
                stream_acknowledge(link->stream);
            return LINK_MORE;
        }
        if (n <= 0) {
            enum link_result result = ended(link, n);
            if (result == LINK_MORE)
                link->state = LINK_CONNECT;
            return result;
        }
        if (!link->greeted)
            greeted(link);
    }
}

enum link_result link_step(struct link *link)
{
    static enum link_result (*const states[])(struct link *) = {
        [LINK_RESOLVE] = do_resolve, [LINK_CONNECT] = do_connect, [LINK_HEADER] = do_header,
        [LINK_TLS] = do_tls,         [LINK_TALK] = do_talk,
    };
    for (;;) {
        enum link_state state = link->state;
        enum link_result result = states[state](link);
        if (result != LINK_MORE || link->state == state)
            return result;
    }
}

enum link_result link_timed_out(struct link *link)
{
    link->deadline = 0;
    if (link->state == LINK_RESOLVE)
        return fail(link, "cannot resolve %s in time", node_host(link->node));
    if (!link->greeted && link->tried < link->addresses.count) {
        link->state = LINK_CONNECT;
        return connect_next(link, ETIMEDOUT) == LINK_MORE ? link_step(link) : LINK_FAILED;
    }
    return fail(link, link->state == LINK_CONNECT ? "cannot connect in time"
                                                  : "the node does not answer in time");
}
