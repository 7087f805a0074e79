/* SPDX-License-Identifier: ISC
 *
 * Whose turn it is: see turn.h. Called by session.c through the rows in protocol.c. */
#include "proto/turn.h"

#include <string.h>

enum { LOOK_MAX = 16 * 1024 }; /* bytes of a piece that is looked at as a whole */

static const struct str none = {"", 0};

void turn_start(struct turn *t)
{
    *t = (struct turn){.asked_whole = true, .told_whole = true};
}

void turn_asked_unseen(struct turn *t)
{
    t->owed = true;
    t->asked_whole = false;
    t->lines = TURN_LINES_UNKNOWN;
    t->tag[0] = 0;
}

void turn_told_unseen(struct turn *t)
{
    t->open = t->doubt = true;
    t->told_whole = false;
}

static void answered(struct turn *t)
{
    t->owed = t->open = t->doubt = false;
}

/* ---- pieces ---- */

static bool ends_line(struct str piece)
{
    return piece.p[piece.n - 1] == '\n';
}

/* The line that PIECE ends with, without its end; WHOLE: what came before had ended a line. Empty
 * where one of its ends is not there. */
static struct str last_line(struct str piece, bool whole)
{
    size_t n = piece.n - 1;
    if (!ends_line(piece))
        return none;
    const char *before = n ? memrchr(piece.p, '\n', n) : NULL;
    const char *start = before ? before + 1 : piece.p;
    if (!before && !whole)
        return none;
    n = (size_t)(piece.p + n - start);
    return (struct str){start, n && start[n - 1] == '\r' ? n - 1 : n};
}

static bool has_one_line(struct str piece)
{
    return memchr(piece.p, '\n', piece.n) == piece.p + piece.n - 1;
}

/* Whether a line might end with the size of a literal. */
static bool may_have_literal(const struct turn *t, struct str piece)
{
    if (piece.n > LOOK_MAX || (!t->told_whole && (*piece.p == '\r' || *piece.p == '\n')))
        return true;
    const char *end = piece.p + piece.n;
    for (const char *p = piece.p; (p = memchr(p, '}', (size_t)(end - p))); p++)
        if (p + 1 == end || p[1] == '\r' || p[1] == '\n')
            return true;
    return false;
}

/* ---- IMAP ---- */

/* Remembers the tag of LINE, a command, and what has to be known of it. */
static void take_command(struct turn *t, struct str line)
{
    struct str tag = str_word(&line), name = str_word(&line);
    t->tag[0] = 0;
    if (tag.n > 0 && tag.n <= TURN_TAG_MAX && !str_has_control(tag) && *tag.p != '*' &&
        *tag.p != '+') {
        memcpy(t->tag, tag.p, tag.n);
        t->tag[tag.n] = 0;
    }
    t->idle = str_is(name, "IDLE");
    t->blind |= str_is(name, "COMPRESS"); /* RFC 4978: these are no lines any more */
}

void turn_imap_asked(struct turn *t, struct str piece)
{
    struct str line = last_line(piece, t->asked_whole);
    t->owed = true;
    t->asked_whole = ends_line(piece);
    if (t->idle && str_is(line, "DONE"))
        t->idle = false;
    else
        take_command(t, line);
}

/* Whether LINE answers the client's last command. */
static bool is_tagged(const struct turn *t, struct str line)
{
    struct str tag = str_word(&line), status = str_word(&line);
    return t->tag[0] && str_eq(tag, str_of(t->tag)) &&
           (str_is(status, "OK") || str_is(status, "NO") || str_is(status, "BAD"));
}

/* IDLE (RFC 2177) is on: the node may say something, and need not. */
static bool begins_idle(const struct turn *t, struct str piece, struct str last)
{
    return t->idle && ((t->told_whole && *piece.p == '+') || (last.n && *last.p == '+'));
}

/* A mail might have a line that looks like the tagged answer; who wrote it would have had to guess
 * the tag, and the node to stop there. */
void turn_imap_told(struct turn *t, struct str piece)
{
    struct str line = last_line(piece, t->told_whole);
    if (is_tagged(t, line)) {
        answered(t);
        t->idle = false;
    } else {
        t->doubt |= may_have_literal(t, piece);
        t->owed = t->owed && !begins_idle(t, piece, line);
        t->open = t->owed;
    }
    t->told_whole = ends_line(piece);
}

/* ---- POP3 ---- */

/* How many lines a good answer to the command LINE has (RFC 1939, RFC 2449). */
static enum turn_lines lines_of(struct str line)
{
    static const char *const one[] = {"STAT", "NOOP", "DELE", "RSET", "QUIT"};
    struct str name = str_word(&line);
    for (size_t i = 0; i < sizeof one / sizeof *one; i++)
        if (str_is(name, one[i]))
            return TURN_LINES_ONE;
    if (str_is(name, "LIST") || str_is(name, "UIDL"))
        return str_word(&line).n ? TURN_LINES_ONE : TURN_LINES_MANY;
    return TURN_LINES_MANY;
}

void turn_pop3_asked(struct turn *t, struct str piece)
{
    bool known = turn_is_over(t) && t->asked_whole && has_one_line(piece);
    t->lines = known ? lines_of(last_line(piece, true)) : TURN_LINES_UNKNOWN;
    t->owed = true;
    t->begun = false;
    t->asked_whole = ends_line(piece);
}

/* No line of a mail is a dot alone: a dot more stands before it. */
static bool ends_mail(const struct turn *t, struct str piece)
{
    static const char end[] = "\r\n.\r\n";
    size_t n = sizeof end - 1;
    return piece.n >= n ? memcmp(piece.p + piece.n - n, end, n) == 0
                        : t->told_whole && str_eq(piece, str_of(end + 2));
}

void turn_pop3_told(struct turn *t, struct str piece)
{
    bool first = t->owed && !t->begun;
    if (first && t->lines == TURN_LINES_MANY && *piece.p == '-')
        t->lines = TURN_LINES_ONE;
    bool one = t->lines == TURN_LINES_ONE && t->owed && has_one_line(piece);
    if (one || (t->lines != TURN_LINES_ONE && ends_mail(t, piece))) {
        answered(t);
    } else {
        t->doubt |= !t->owed; /* more than was asked for */
        t->open = true;
    }
    t->begun = true;
    t->told_whole = ends_line(piece);
}

/* ---- SMTP ---- */

void turn_smtp_asked(struct turn *t, struct str piece)
{
    (void)piece;
    t->owed = true;
}

/* All that a server says are answers. One that begins with 3 wants more of the client. */
void turn_smtp_told(struct turn *t, struct str piece)
{
    struct str line = last_line(piece, t->told_whole);
    if (line.n >= 3 && *line.p != '3' && (line.n == 3 || line.p[3] == ' '))
        answered(t);
    else
        t->open = true;
    t->told_whole = ends_line(piece);
}

/* ---- ManageSieve ---- */

void turn_sieve_asked(struct turn *t, struct str piece)
{
    (void)piece;
    t->owed = true;
}

/* A script may have any lines: behind a literal nothing is known any more. */
void turn_sieve_told(struct turn *t, struct str piece)
{
    struct str line = last_line(piece, t->told_whole), word = str_word(&line);
    t->doubt |= may_have_literal(t, piece);
    if (!t->doubt && (str_is(word, "OK") || str_is(word, "NO")))
        answered(t);
    else
        t->open = true;
    t->told_whole = ends_line(piece);
}
