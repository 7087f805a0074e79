/* SPDX-License-Identifier: ISC
 *
 * Logins on hold by hand (`proxyctl hold`), and who waits for the end of one: told at once when
 * a login is released. What a map says of `hold` is route.c's; both wait here. Logins are full
 * addresses in lower case (route_email). Functions may be called from any thread unless they say
 * otherwise. */
#ifndef HOLD_H
#define HOLD_H

#include "base/names.h"
#include "worker.h"

enum { HOLDS_MAX = 10000 };

enum hold_result { HOLD_DONE, HOLD_ALREADY, HOLD_TOO_MANY };

enum hold_result hold_add(const char *email);

/* False: EMAIL is not on hold. */
bool hold_remove(const char *email);

bool hold_has(const char *email);

/* All that are on hold: the caller frees them; and takes what another process had. */
struct names hold_list(void);
void hold_add_all(const struct names *emails);

/* Waits for the end of a hold; part of what waits. All zero at the start, but for post.run. */
struct hold_wait {
    struct post post; /* `run` is the waiter's: EMAIL was released */
    struct worker *worker;
    struct ring ring;
    const char *email;
};

/* Has WAIT's post run in W, whose thread this is, once EMAIL (which stays the caller's) is
 * released. Returns whether it is on hold by hand now; if not, nothing is waited for. */
bool hold_wait(struct hold_wait *wait, struct worker *w, const char *email);

/* Stops waiting; harmless when WAIT is not. For the thread of its worker. */
void hold_forget(struct hold_wait *wait);

#endif
