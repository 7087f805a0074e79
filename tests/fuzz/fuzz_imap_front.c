/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the IMAP front: see front_play.h. */
#include "front_play.h"

static void check(const struct front *f, struct str said)
{
    (void)f;
    check_lines(said);
}

static const struct front_game game = {
    .protocol = "imap",
    .capabilities = {"IMAP4rev1 LITERAL+ ID", "IMAP4rev1 LITERAL- ID"},
    .refusals = {"* CAPABILITY IMAP4rev1\r\n* NO x\r\nNO [INUSE] no\r\n", "NO no\r\n"},
    .check = check,
};
