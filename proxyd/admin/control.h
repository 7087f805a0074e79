/* SPDX-License-Identifier: ISC
 *
 * The control socket: proxyctl's connections, on the main thread's loop. A request is a line
 * (control_request.h). An answer is any number of lines, each a JSON object, of which the last one
 * has `status`, the status that proxyctl exits with, and `error` where that is not 0. Then the next
 * request may come. Connections, their number, what is kept for them and how long they may be
 * silent are bounded. control.c knows nothing of what the commands do: control_commands.c does.
 * Everything here is for the main thread. */
#ifndef ADMIN_CONTROL_H
#define ADMIN_CONTROL_H

#include "admin/control_request.h"
#include "admin/control_socket.h"

#include <jansson.h>
#include <uv.h>

/* ---- for main.c ---- */

/* Begins, on LOOP. RELOAD has the configuration read again, soon; false: it does not. */
void control_start(uv_loop_t *loop, bool (*reload)(void));

/* From now on CONFIG (keeping a reference) is what is talked about, and SOCKET, which is taken and
 * may be NULL, where. */
void control_serve(struct config *config, struct control_socket *socket);

/* The socket in use, or NULL. */
struct control_socket *control_socket(void);

/* A reload begins to read; it ends, well or with these PROBLEMS: who asked for it before it began
 * is told. */
void control_reload_begins(void);
void control_reload_ends(bool good, const struct problems *problems);

/* Ends; the loop has to run for a while longer. */
void control_stop(void);

/* ---- for the commands ---- */

struct control_conn;

/* What a command has under way that does not end at once; part of its own struct. */
struct control_task {
    struct control_conn *conn; /* NULL once it was cancelled */
    /* All that was said is with the client: say more. NULL: there is no need to know. */
    void (*ready)(struct control_task *task);
    /* The client has left: free it. */
    void (*cancel)(struct control_task *task);
};

/* C's command goes on as TASK until control_end. */
void control_keep(struct control_conn *c, struct control_task *task);

/* The newest configuration; the loop; how long the process has run. */
struct config *control_config(void);
uv_loop_t *control_loop(void);
double control_seconds(void);

/* Adds OBJECT, which is taken, as a line to the answer; false: the client takes no more for now,
 * and nothing was said. */
bool control_say(struct control_conn *c, json_t *object);

/* Ends the answer with OBJECT, which is taken (NULL: an empty one), or with words. */
void control_end(struct control_conn *c, int status, json_t *object);
void control_fail(struct control_conn *c, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The answer comes with the end of the next reload. */
void control_await_reload(struct control_conn *c);

/* Does what R says; control_commands.c. */
void control_run(struct control_conn *c, const struct control_request *r);

#endif
