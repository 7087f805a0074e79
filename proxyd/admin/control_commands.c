/* SPDX-License-Identifier: ISC
 *
 * What the orders on the control socket do: a function each, which answers at once or keeps a task.
 * Called by control.c. */
#include "admin/control.h"

#include "admin/control_clients.h"
#include "admin/control_hold.h"
#include "admin/control_trace.h"
#include "admin/status.h"
#include "hold.h"
#include "limit.h"
#include "node.h"
#include "revoke.h"
#include "route.h"

#include <string.h>
#include <sysexits.h>

static struct control_filter filter_of(const struct control_request *r)
{
    struct control_filter filter = {0};
    if (r->user[0])
        route_email(control_config(), r->user, filter.email);
    strcpy(filter.node, r->node);
    strcpy(filter.service, r->service);
    strcpy(filter.session, r->session);
    return filter;
}

static void run_status(struct control_conn *c, const struct control_request *r)
{
    (void)r;
    control_end(c, EX_OK, status_json(control_config(), control_seconds()));
}

static void run_sessions(struct control_conn *c, const struct control_request *r)
{
    const struct control_filter filter = filter_of(r);
    control_list_clients(c, &filter);
}

static void run_kick(struct control_conn *c, const struct control_request *r)
{
    const struct control_stop stop = {
        .reason = REASON_KICKED, .counted = "kicked", .must_find = true};
    const struct control_filter filter = filter_of(r);
    if (r->user[0])
        revoke_login(filter.email);
    else if (r->node[0])
        revoke_node(r->node, 0);
    control_stop_clients(c, &filter, &stop);
}

static void run_drain(struct control_conn *c, const struct control_request *r)
{
    const struct control_stop stop = {
        .reason = REASON_DRAINED, .served_only = true, .over = r->over, .counted = "closed"};
    const struct control_filter filter = filter_of(r);
    if (!node_drain(r->node)) {
        control_fail(c, 1, "there is no node '%s'", r->node);
    } else if (r->close) {
        revoke_node(r->node, r->over);
        control_stop_clients(c, &filter, &stop);
    } else {
        control_end(c, EX_OK, NULL);
    }
}

static void run_undrain(struct control_conn *c, const struct control_request *r)
{
    revoke_node_end(r->node);
    if (node_undrain(r->node))
        control_end(c, EX_OK, NULL);
    else
        control_fail(c, 1, "'%s' is not drained", r->node);
}

static void run_hold(struct control_conn *c, const struct control_request *r)
{
    control_hold(c, r->user);
}

static void run_release(struct control_conn *c, const struct control_request *r)
{
    const struct control_filter filter = filter_of(r);
    if (hold_remove(filter.email))
        control_end(c, EX_OK, NULL);
    else
        control_fail(c, 1, "'%s' is not on hold", r->user);
}

static void run_reload(struct control_conn *c, const struct control_request *r)
{
    (void)r;
    control_await_reload(c);
}

static void run_flush(struct control_conn *c, const struct control_request *r)
{
    route_flush(control_config(), r->user[0] ? r->user : NULL);
    control_end(c, EX_OK, NULL);
}

static void run_trace(struct control_conn *c, const struct control_request *r)
{
    control_trace(c, r->who, r->lasts);
}

/* "192.0.2.7", "2001:db8::/64" as the status has it, or "all". */
static bool read_address(const char *text, struct addr *address)
{
    struct str host = str_of(text);
    const char *slash = strchr(text, '/');
    if (slash && strcmp(slash, "/64") == 0)
        host.n = (size_t)(slash - text);
    return addr_numeric(address, host, 0) && address->sa.sa_family != AF_UNIX;
}

static void run_pardon(struct control_conn *c, const struct control_request *r)
{
    struct addr address;
    bool all = strcmp(r->who, "all") == 0;
    if (!all && !read_address(r->who, &address)) {
        control_fail(c, EX_USAGE, "'%s' is no address", r->who);
        return;
    }
    size_t count = limit_pardon(all ? NULL : &address);
    if (count)
        control_end(c, EX_OK, json_pack("{s:I}", "pardoned", (json_int_t)count));
    else
        control_fail(c, 1, "nothing is held against %s", all ? "anybody" : r->who);
}

void control_run(struct control_conn *c, const struct control_request *r)
{
    static void (*const commands[CONTROL_COMMANDS])(struct control_conn *,
                                                    const struct control_request *) = {
        [CONTROL_STATUS] = run_status,   [CONTROL_SESSIONS] = run_sessions,
        [CONTROL_KICK] = run_kick,       [CONTROL_DRAIN] = run_drain,
        [CONTROL_UNDRAIN] = run_undrain, [CONTROL_HOLD] = run_hold,
        [CONTROL_RELEASE] = run_release, [CONTROL_RELOAD] = run_reload,
        [CONTROL_FLUSH] = run_flush,     [CONTROL_TRACE] = run_trace,
        [CONTROL_PARDON] = run_pardon,
    };
    commands[r->command](c, r);
}
