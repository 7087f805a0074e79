/* SPDX-License-Identifier: ISC
 *
 * The control socket as a file: bound for nobody but who we become, root, and a group where there
 * is one; in nobody's way who listens there, and left alone once it is a successor's. Called by
 * main.c, and by control.c, which talks on it. */
#ifndef ADMIN_CONTROL_SOCKET_H
#define ADMIN_CONTROL_SOCKET_H

#include "base/names.h"
#include "config.h"

struct control_socket;

/* Binds and listens on CONFIG's control_socket, as who we are now, for who we become. INHERITED
 * (-1: none) is the listening descriptor of the process before us, which is taken over as it is.
 * NULL where it cannot be: PROBLEMS has an error, or only a warning where the path is but the
 * default. */
struct control_socket *control_socket_open(const struct config *config, int inherited,
                                           struct problems *problems);

/* Binds and listens on "PATH.PID", PATH being CONFIG's control_socket: for a process of which a
 * successor has PATH now. What dead processes have left of that kind is removed. NULL where it
 * cannot be, which is logged. */
struct control_socket *control_socket_open_aside(const struct config *config);

/* The files of that kind beside PATH, whether somebody listens there or not; not too many of them.
 */
struct names control_socket_find_aside(const char *path);

/* Whether S (or NULL) is at the path that CONFIG asks for, and for the same group. */
bool control_socket_is_at(const struct control_socket *s, const struct config *config);
bool control_socket_is_for(const struct control_socket *s, const struct config *config);

/* The listening descriptor; S keeps it. */
int control_socket_fd(const struct control_socket *s);

/* The file belongs to another process from now on: it is not removed. Takes NULL. */
void control_socket_hand_over(struct control_socket *s);

/* Closes S, and removes its file if it is still ours. Takes NULL. */
void control_socket_close(struct control_socket *s);

#endif
