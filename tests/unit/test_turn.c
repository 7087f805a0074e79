/* SPDX-License-Identifier: ISC
 *
 * proto/turn.c: after which pieces a session is between two answers. A dialogue is a text of lines:
 * "> " is said by the client, "< " by the node, each in one piece with CR LF behind it (or nothing
 * where it ends in `~`; `|` is CR LF within it); "+" says that nothing is asked or being answered
 * then, "=" that no answer has begun, "-" neither. */
#include "proto/proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct str unfold(struct str line, char *out)
{
    size_t n = 0;
    for (size_t i = 2; i < line.n && line.p[i] != '~'; i++) {
        if (line.p[i] == '|')
            out[n++] = '\r';
        out[n++] = line.p[i] == '|' ? '\n' : line.p[i];
    }
    if (line.p[line.n - 1] != '~') {
        memcpy(out + n, "\r\n", 2);
        n += 2;
    }
    return (struct str){out, n};
}

static void play(const char *name, const char *dialogue)
{
    const struct protocol *p = protocol_find(name);
    struct str rest = str_of(dialogue), line;
    struct turn turn;
    char piece[200];
    turn_start(&turn);
    for (size_t used; str_line(rest, &line, &used); rest.p += used, rest.n -= used) {
        if (line.p[0] == '>')
            p->asked(&turn, unfold(line, piece));
        else if (line.p[0] == '<')
            p->told(&turn, unfold(line, piece));
        else if (line.p[0] != (turn_is_over(&turn) ? '+' : turn_is_between(&turn) ? '=' : '-'))
            fail_msg("%s: expected %c after: %.*s", name, line.p[0], (int)(line.p - dialogue),
                     dialogue);
    }
}

static void imap(void **state)
{
    (void)state;
    play("imap", "+\n"
                 "> a NOOP\n=\n< * 1 EXISTS\n-\n< a OK done\n+\n< * 2 EXISTS\n+\n< * 3~\n-\n"
                 "< 4 EXISTS\n+\n> b FETCH 1 BODY[]~\n=\n> |~\n=\n< b OK done\n-\n"
                 "> c SELECT x\n< * 1 EXISTS|c NO no\n+\n");
    play("imap", "> a FETCH 1 (BODY[])\n< * 1 FETCH (BODY[] {100}\n-\n< * 2 FETCH|x\n-\n"
                 "< )|a OK done\n+\n");
    play("imap", "> a FETCH 1 (BODY[])\n< * 1 FETCH (BODY[] {100}~\n-\n< |~\n-\n< x OK\n-\n"
                 "< a OK~\n-\n< ||~\n-\n> b NOOP\n< b OK done\n+\n");
    play("imap", "< * 1 FETCH (BODY[] {100}\n-\n< * OK\n-\n> b NOOP\n< b BAD no\n+\n");
    play("imap", "> a NOOP|b NOOP\n< a OK done\n-\n< b OK done\n+\n");
}

static void imap_idle(void **state)
{
    (void)state;
    play("imap", "> a IDLE\n=\n< + idling\n+\n< * 1 EXISTS\n+\n< * 2 FETCH (BODY[] {9}\n-\n"
                 "< + x\n-\n> DONE\n-\n< a OK done\n+\n");
    play("imap", "> a IDLE\n< + idling\n> DONE|b IDLE\n=\n< a OK done|+ idling\n+\n");
    play("imap", "> a APPEND x {2}\n< + OK\n-\n> hi\n< a OK done\n-\n> b NOOP\n< b OK done\n+\n");
}

static void imap_compressed(void **state)
{
    (void)state;
    play("imap", "> a COMPRESS DEFLATE\n< a OK on\n-\n> b NOOP\n< b OK done\n-\n");
}

static void imap_unseen(void **state)
{
    (void)state;
    struct turn turn;
    turn_start(&turn);
    turn_told_unseen(&turn);
    assert_false(turn_is_between(&turn));
    turn_imap_told(&turn, str_of("x\r\n"));
    assert_false(turn_is_between(&turn));
    turn_imap_asked(&turn, str_of("a NOOP\r\n"));
    turn_imap_told(&turn, str_of("a OK done\r\n"));
    assert_true(turn_is_between(&turn));
    turn_asked_unseen(&turn);
    turn_imap_told(&turn, str_of("a OK done\r\n"));
    assert_false(turn_is_between(&turn));
}

static void pop3(void **state)
{
    (void)state;
    play("pop3",
         "+\n> STAT\n=\n< +OK 1 2\n+\n> LIST 1\n< +OK~\n-\n<  1 2\n+\n> DELE 9\n< -ERR no\n+\n"
         "> RETR 1\n< +OK\n-\n< -ERR\n-\n< x|.x\n-\n< .\n+\n> TOP 1 0\n< +OK|x|||.\n+\n"
         "> RETR 9\n< -ERR no such\n+\n> LIST\n< +OK\n-\n< 1 2\n-\n< .~\n-\n< |~\n-\n");
    play("pop3", "> RETR 1\n< +OK\n> NOOP\n-\n< -ERR in a mail\n-\n< .\n+\n< +OK\n-\n");
    play("pop3", "> STAT|LIST\n< +OK 1 2\n-\n< +OK|1 2|.\n+\n");
}

static void smtp(void **state)
{
    (void)state;
    play("submission", "+\n> MAIL FROM:<>\n=\n< 250 ok\n+\n> EHLO x\n< 250-x\n-\n< 250 y\n+\n"
                       "> DATA\n< 354 go\n-\n> mail~\n-\n> |.\n-\n< 250\n+\n> QUIT\n< 221~\n-\n");
}

static void sieve(void **state)
{
    (void)state;
    play("sieve", "+\n> LISTSCRIPTS\n=\n< \"a\" ACTIVE\n-\n< OK \"done\"\n+\n"
                  "> GETSCRIPT \"a\"\n< {20}\n-\n< OK\n-\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imap),
        cmocka_unit_test(imap_idle),
        cmocka_unit_test(imap_compressed),
        cmocka_unit_test(imap_unseen),
        cmocka_unit_test(pop3),
        cmocka_unit_test(smtp),
        cmocka_unit_test(sieve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
