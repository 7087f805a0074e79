/* SPDX-License-Identifier: ISC
 *
 * For tests that need somebody to deliver to: a real worker, from before the first test until after
 * the last. Includes cmocka. */
#ifndef WORKER_CASE_H
#define WORKER_CASE_H

#include "worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct worker *worker;

static inline void worker_case_idle(void)
{
}

static inline void worker_case_leave(struct post *post)
{
    (void)post;
    worker->leaving = true;
}

/* What cmocka_run_group_tests calls first, and last. */
static inline int worker_case_start(void **state)
{
    (void)state;
    worker = worker_start(worker_case_idle);
    return 0;
}

static inline int worker_case_stop(void **state)
{
    static struct post post = {.run = worker_case_leave};
    (void)state;
    worker_post(worker, &post);
    worker_join(worker);
    return 0;
}

#endif
