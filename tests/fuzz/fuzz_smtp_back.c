/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the SMTP back: see back_play.h. */
#include "back_play.h"
#include "proto/smtp.h"

static bool is_harmless(struct str line)
{
    return str_is(line, "EHLO client.example.org") || str_is(line, "STARTTLS") ||
           str_is(line, "QUIT");
}

static void check_commands(const struct back *b, struct str said)
{
    struct str line;
    size_t used;
    while (str_line(said, &line, &used)) {
        assert(!str_has_control(line) && used == line.n + 2);
        assert(!str_starts(line, "XCLIENT") || b->setup.identify);
        assert(!str_starts(line, "XCLIENT LOGIN") || b->setup.verified);
        assert(!is_early(b) || is_harmless(line));
        said = (struct str){said.p + used, said.n - used};
    }
    assert(said.n == 0);
}

/* The reply is a whole one: lines of one code. */
static void check_reply(const struct back *b, bool ok, struct str said)
{
    struct str rest = buf_str(&b->reply), line;
    struct smtp_reply r = {.more = true};
    size_t used;
    while (str_line(rest, &line, &used)) {
        assert(r.more && smtp_reply(line, &r));
        assert(ok ? r.code == 235 : r.code >= 400 && r.code != 421);
        rest = (struct str){rest.p + used, rest.n - used};
    }
    assert(rest.n == 0 && !r.more);
    assert(was_said(said, "AUTH ") || (ok && was_said(said, "XCLIENT LOGIN=")));
}

static const struct back_game game = {
    .protocol = "submission",
    .starttls = "STARTTLS\r\n",
    .quit = "QUIT\r\n",
    .check_commands = check_commands,
    .check_reply = check_reply,
};
