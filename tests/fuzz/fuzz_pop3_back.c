/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the POP3 back: see back_play.h. */
#include "back_play.h"

static void check_commands(const struct back *b, struct str said)
{
    struct str line;
    size_t used;
    while (str_line(said, &line, &used)) {
        assert(!str_has_control(line) && used == line.n + 2);
        if (is_early(b))
            assert(str_is(line, "CAPA") || str_is(line, "STLS") || str_is(line, "QUIT"));
        said = (struct str){said.p + used, said.n - used};
    }
    assert(said.n == 0);
}

static void check_reply(const struct back *b, bool ok, struct str said)
{
    assert(str_starts(buf_str(&b->reply), ok ? "+OK" : "-ERR"));
    assert(!ok || was_said(said, "PASS ") || was_said(said, "AUTH "));
}

static const struct back_game game = {
    .protocol = "pop3",
    .starttls = "STLS\r\n",
    .quit = "QUIT\r\n",
    .check_commands = check_commands,
    .check_reply = check_reply,
};
