/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the ManageSieve back: see back_play.h. */
#include "back_play.h"
#include "proto/sieve_words.h"

static void check_commands(const struct back *b, struct str said)
{
    size_t used;
    while (said.n) {
        assert(sieve_unit(said, true, &used) == SIEVE_WHOLE);
        if (is_early(b))
            assert(str_starts(said, "STARTTLS\r\n") || str_starts(said, "LOGOUT\r\n"));
        said = (struct str){said.p + used, said.n - used};
    }
}

static void check_reply(const struct back *b, bool ok, struct str said)
{
    assert(str_starts(buf_str(&b->reply), ok ? "OK" : "NO"));
    assert(was_said(said, "AUTHENTICATE "));
}

static const struct back_game game = {
    .protocol = "sieve",
    .starttls = "STARTTLS\r\n",
    .quit = "LOGOUT\r\n",
    .check_commands = check_commands,
    .check_reply = check_reply,
};
