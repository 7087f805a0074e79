/* SPDX-License-Identifier: ISC
 *
 * Orders about clients: asks one worker after the other, some clients at a time, so that neither a
 * worker nor the main thread is kept for long by 20,000 of them. For the main thread. */
#ifndef ADMIN_CONTROL_CLIENTS_H
#define ADMIN_CONTROL_CLIENTS_H

#include "admin/control.h"
#include "client.h"
#include "route.h"

/* Which clients are meant: all that is not empty has to fit. */
struct control_filter {
    char email[ROUTE_EMAIL];         /* the login, by route_email */
    char node[CONTROL_TEXT_MAX + 1]; /* node_is_called */
    char service[CONTROL_TEXT_MAX + 1];
    char session[CONTROL_TEXT_MAX + 1];
};

/* What becomes of them. */
struct control_stop {
    enum client_reason reason;
    bool served_only;    /* who only waits may go on waiting */
    uint64_t over;       /* ms in the course of which they end */
    const char *counted; /* the key in the answer for how many there were */
    bool must_find;      /* nobody: the answer is an error */
};

/* Answers C with a line for each client. */
void control_list_clients(struct control_conn *c, const struct control_filter *filter);

/* Has the clients end, even if C leaves meanwhile, and answers C when all know it. */
void control_stop_clients(struct control_conn *c, const struct control_filter *filter,
                          const struct control_stop *stop);

#endif
