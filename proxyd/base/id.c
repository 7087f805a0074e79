/* SPDX-License-Identifier: ISC
 *
 * Names for sessions: see id.h. They count up from a random start. */
#include "base/id.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

static _Atomic uint64_t next;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        abort();
    next = seed;
}

void id_make(char *id)
{
    static const char digits[] = "0123456789abcdef";
    pthread_once(&once, start);
    uint64_t n = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
    for (int i = ID_SIZE - 2; i >= 0; i--, n >>= 4)
        id[i] = digits[n & 15];
    id[ID_SIZE - 1] = 0;
}
