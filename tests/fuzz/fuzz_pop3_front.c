/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the POP3 front: see front_play.h. */
#include "front_play.h"

static void check(const struct front *f, struct str said)
{
    (void)f;
    check_lines(said);
}

static const struct front_game game = {
    .protocol = "pop3",
    .capabilities = {"TOP UIDL", "TOP, UIDL, EXPIRE 60, TOP"},
    .refusals = {"-ERR no\r\n", "-ERR [IN-USE] no\r\n"},
    .check = check,
};
