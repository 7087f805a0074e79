/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the ManageSieve front: see front_play.h. */
#include "front_play.h"
#include "proto/sieve_words.h"

/* All that is said are whole units. */
static void check(const struct front *f, struct str said)
{
    (void)f;
    size_t used;
    while (said.n) {
        assert(sieve_unit(said, false, &used) == SIEVE_WHOLE);
        said = (struct str){said.p + used, said.n - used};
    }
}

static const struct front_game game = {
    .protocol = "sieve",
    .capabilities = {"OWNER,A\"b", "SIEVE a,SIEVE b c,NOTIFY x"},
    .refusals = {"NO\r\n", "NO (TRYLATER)\r\n"},
    .check = check,
};
