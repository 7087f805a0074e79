/* SPDX-License-Identifier: ISC
 *
 * Orders against route cookies. Who is logged in to webmail stands in his cookie and nowhere else,
 * so to end that (proxyctl kick, hold, drain --close) is to remember from when on cookies count:
 * those made before an order do not, and whoever has one logs in anew, where the maps then say.
 * Each process knows the orders that it was given, and its successor after USR2. Functions may be
 * called from any thread. */
#ifndef REVOKE_H
#define REVOKE_H

#include "base/buf.h"

enum {
    REVOKED_MAX = 10000
}; /* logins, and as many nodes: one more, and the oldest counts no more */

struct node;

/* ms since 1970: when a cookie is made. */
uint64_t revoke_now(void);

/* Cookies of the login EMAIL (route_email) made until now count no more; those for the nodes called
 * KEY (node_is_called) one after the other, each login's at its moment within the next OVER ms. */
void revoke_login(const char *email);
void revoke_node(const char *key, uint64_t over);

/* Those for KEY count again. */
void revoke_node_end(const char *key);

/* Whether there is an order at all, which costs nothing to ask. */
bool revoke_any(void);

/* Whether a cookie made at MADE of EMAIL for NODE counts no more. */
bool revoke_has(const char *email, const struct node *node, uint64_t made);

/* Adds all orders to OUT as lines that begin with WORD; takes one such line, without WORD, of
 * another process (what is none is ignored). */
void revoke_save(struct buf *out, const char *word);
void revoke_take(const char *line);

#endif
