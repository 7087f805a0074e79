/* SPDX-License-Identifier: ISC
 *
 * The listening sockets of a configuration. They are opened once, by the main thread, and every
 * running worker accepts on them; those that the next configuration, or the next process, has too
 * are the same ones. So workers can come and go, and configurations and processes follow one
 * another, without a connection being lost. For the main thread unless it says otherwise. */
#ifndef LISTEN_SET_H
#define LISTEN_SET_H

#include "config.h"

struct listen_socket;
struct listen_set; /* counted references, from any thread */

/* Opens the sockets for CONFIG; those that OLD (or NULL) has at the same address are the same ones.
 * NULL when one cannot be bound: PROBLEMS says which. One reference for the caller. */
struct listen_set *listen_set_open(const struct config *config, const struct listen_set *old,
                                   struct problems *problems);
struct listen_set *listen_set_ref(struct listen_set *set);
void listen_set_unref(struct listen_set *set);

/* Sockets that another process has opened, at most MAX of them; for listen_set_open as OLD. */
struct listen_set *listen_set_new(size_t max);

/* Adds FD, which has to be a listening stream socket; else it is closed and logged. A BORROWED one
 * belongs to systemd: a socket file of it is never removed. */
void listen_set_add(struct listen_set *set, int fd, bool borrowed);

/* A descriptor of the caller's own for the socket of SET (or NULL) at ADDR, or -1. */
int listen_set_take(const struct listen_set *set, const struct addr *addr);

/* The sockets of admin.listen, in that order: the one at INDEX with a reference for the caller, who
 * accepts from its descriptor; NULL behind the last one. */
struct listen_socket *listen_set_admin(struct listen_set *set, size_t index);
int listen_socket_fd(const struct listen_socket *sock);
void listen_socket_unref(struct listen_socket *sock);

/* How many sockets SET has, in the order of the configuration's listeners, those of
 * services first; of one of them the
 * descriptor, and whether it is borrowed. From any thread. */
size_t listen_set_count(const struct listen_set *set);
int listen_set_fd(const struct listen_set *set, size_t index);
bool listen_set_is_borrowed(const struct listen_set *set, size_t index);

/* Whether socket files of SET go with it; false while, or once, they are another process's. Those
 * that listen_set_open makes do from the start, those of listen_set_add do not. */
void listen_set_own_files(struct listen_set *set, bool own);

/* Logs the borrowed sockets of SET (or NULL) that nobody but SET has. */
void listen_set_log_unused(const struct listen_set *set);

/* Whether the caller has the only reference: no worker accepts on SET any more. */
bool listen_set_is_idle(const struct listen_set *set);

#endif
