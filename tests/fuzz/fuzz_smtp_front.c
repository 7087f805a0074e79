/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the submission front: see front_play.h. */
#include "front_play.h"
#include "proto/smtp.h"

/* Lines are those of replies, and no reply is left open. */
static void check(const struct front *f, struct str said)
{
    struct smtp_reply r = {0};
    struct str line;
    size_t used;
    check_lines(said);
    while (str_line(said, &line, &used)) {
        assert(smtp_reply(line, &r));
        said = (struct str){said.p + used, said.n - used};
    }
    assert(!r.more);
    assert(f->helo[0] == 0 || smtp_is_helo(str_of(f->helo)));
}

static const struct front_game game = {
    .protocol = "submission",
    .capabilities = {"DSN SMTPUTF8", "SIZE 1000, DSN, REQUIRETLS, AUTH X"},
    .refusals = {"535-5.7.8 a\r\n535 5.7.8 no\r\n", "454 4.7.0 no\r\n"},
    .check = check,
};
