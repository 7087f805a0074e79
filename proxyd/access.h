/* SPDX-License-Identifier: ISC
 *
 * Lists of networks to allow and to deny, compiled so that asking takes the same few steps whether
 * there are ten rules or a million. Knows neither levels nor what a denied client is told: that is
 * limit.c's. Made with the configuration, and like it never changed. */
#ifndef ACCESS_H
#define ACCESS_H

#include "base/addr.h"

struct access_rule {
    struct network network; /* one of IPv6 has no address of IPv4 in it, not even ::/0 */
    bool allow;             /* else: deny */
};

struct access;

/* Compiles the COUNT rules, which must outlive it. The caller's, to be freed. */
struct access *access_new(const struct access_rule *rules, size_t count);
void access_free(struct access *a);

/* The first rule, as they were listed, that has all of NETWORK in it; NULL: none. Of A, which may
 * be NULL. From any thread. */
const struct access_rule *access_find(const struct access *a, const struct network *network);

#endif
