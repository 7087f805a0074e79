/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the IMAP back: see back_play.h. */
#include "back_play.h"

/* A literal's bytes may be any; but none is needed before the login. */
static void check_commands(const struct back *b, struct str said)
{
    struct str line;
    size_t used;
    while (is_early(b) && str_line(said, &line, &used)) {
        assert(str_is(line, "c CAPABILITY") || str_is(line, "t STARTTLS") ||
               str_is(line, "q LOGOUT"));
        said = (struct str){said.p + used, said.n - used};
    }
    assert(said.n == 0 || said.p[said.n - 1] == '\n');
}

/* Every line that reaches the client is whole and ours to send: the tagged one is the last. */
static void check_reply(const struct back *b, bool ok, struct str said)
{
    struct str rest = buf_str(&b->reply), line = {"", 0};
    size_t used;
    while (str_line(rest, &line, &used)) {
        assert(line.n + 2 == used && !memchr(line.p, '\r', line.n) && !memchr(line.p, 0, line.n));
        rest = (struct str){rest.p + used, rest.n - used};
        assert((rest.n == 0) != str_starts(line, "* "));
    }
    assert(rest.n == 0 && str_starts(line, "OK") == ok);
    assert(was_said(said, "l LOGIN ") || was_said(said, "l AUTHENTICATE "));
}

static const struct back_game game = {
    .protocol = "imap",
    .starttls = "t STARTTLS\r\n",
    .quit = "q LOGOUT\r\n",
    .check_commands = check_commands,
    .check_reply = check_reply,
};
