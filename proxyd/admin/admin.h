/* SPDX-License-Identifier: ISC
 *
 * The admin listener (operator's contract, section 7): who asks for what, over HTTP. For main.c,
 * and on its loop, which serves nobody else. */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "config.h"
#include "listen_set.h"

#include <uv.h>

/* Serves CONFIG's admin listeners, whose sockets SET has (keeping references), on LOOP; in the
 * place of those before. */
void admin_serve(uv_loop_t *loop, struct config *config, struct listen_set *set);

/* From now on the process is not ready for anything: load balancers are to go elsewhere. */
void admin_drain(void);

/* Another process answers from now on. */
void admin_hand_over(void);

/* Ends it; the loop has to be run until nothing is left. Harmless where nothing was begun. */
void admin_end(void);

#endif
