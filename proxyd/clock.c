/* SPDX-License-Identifier: ISC
 *
 * The machine's clock: see clock.h. */
#include "clock.h"

#include "base/log.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum { LOOK = 1000 /* ms between two looks */, JUMP = 1000 /* ms that are no mere correction */ };

static struct {
    uv_timer_t timer;
    int64_t ahead; /* ms: the clock, of the time since the machine's start */
} watch;

static int64_t read_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* False: too much time went by between the readings to tell. */
static bool read_ahead(int64_t *ahead)
{
    int64_t before = read_ms(CLOCK_MONOTONIC), clock = read_ms(CLOCK_REALTIME);
    *ahead = clock - before;
    return read_ms(CLOCK_MONOTONIC) - before < JUMP / 10;
}

static void look(uv_timer_t *timer)
{
    int64_t now, jump;
    (void)timer;
    if (!read_ahead(&now))
        return;
    jump = now - watch.ahead;
    watch.ahead = now;
    if (llabs(jump) >= JUMP)
        log_message(LOG_LEVEL_WARNING, "clock", "the machine's clock was set %.1f s %s",
                    (double)llabs(jump) / 1e3, jump > 0 ? "forward" : "back");
}

void clock_watch(uv_loop_t *loop)
{
    read_ahead(&watch.ahead);
    uv_timer_init(loop, &watch.timer);
    uv_unref((uv_handle_t *)&watch.timer);
    uv_timer_start(&watch.timer, look, LOOK, LOOK);
}
