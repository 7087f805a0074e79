/* SPDX-License-Identifier: ISC
 *
 * The words and lines of SMTP: see smtp.h. Knows no state of a session. Called by whatever speaks
 * SMTP in this folder. */
#include "proto/smtp.h"

#include "proto/smtp_path.h"

#include <string.h>

/* ---- what a client says ---- */

static const struct str verbs[SMTP_UNKNOWN] = {
    [SMTP_AUTH] = STR("AUTH"),         [SMTP_BDAT] = STR("BDAT"),       [SMTP_DATA] = STR("DATA"),
    [SMTP_EHLO] = STR("EHLO"),         [SMTP_ETRN] = STR("ETRN"),       [SMTP_EXPN] = STR("EXPN"),
    [SMTP_HELO] = STR("HELO"),         [SMTP_HELP] = STR("HELP"),       [SMTP_MAIL] = STR("MAIL"),
    [SMTP_NOOP] = STR("NOOP"),         [SMTP_QUIT] = STR("QUIT"),       [SMTP_RCPT] = STR("RCPT"),
    [SMTP_LHLO] = STR("LHLO"),         [SMTP_RSET] = STR("RSET"),       [SMTP_VRFY] = STR("VRFY"),
    [SMTP_STARTTLS] = STR("STARTTLS"), [SMTP_XCLIENT] = STR("XCLIENT"),
};

static struct str trim(struct str s)
{
    while (s.n && (*s.p == ' ' || *s.p == '\t'))
        s = (struct str){s.p + 1, s.n - 1};
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

enum smtp_verb smtp_command(struct str line, struct str *args)
{
    enum smtp_verb verb = 0;
    struct str word = str_word(&line);
    *args = trim(line);
    while (verb < SMTP_UNKNOWN && !str_eq_nocase(word, verbs[verb]))
        verb++;
    return verb;
}

/* Some servers refuse an underscore (RFC 5321, 4.1.2 has none), and the client would not know why.
 */
bool smtp_is_helo(struct str name)
{
    return smtp_path_is_helo(name) && !memchr(name.p, '_', name.n);
}

/* ---- what a server says ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool smtp_reply(struct str line, struct smtp_reply *r)
{
    const char *p = line.p;
    if (line.n < 3 || p[0] < '2' || p[0] > '5' || !is_digit(p[1]) || !is_digit(p[2]))
        return false;
    if (line.n > 3 && p[3] != ' ' && p[3] != '-')
        return false;
    size_t head = line.n > 3 ? 4 : 3;
    r->code = (unsigned)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
    r->more = line.n > 3 && p[3] == '-';
    r->text = (struct str){p + head, line.n - head};
    return true;
}

bool smtp_has_control(struct str line)
{
    if (!str_has_control(line))
        return false;
    for (size_t i = 0; i < line.n; i++)
        if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 0x7f)
            return true;
    return false;
}

void smtp_end_list(struct buf *out)
{
    struct str all = buf_str(out);
    const char *lf = all.n > 1 ? memrchr(all.p, '\n', all.n - 1) : NULL;
    size_t at = lf ? (size_t)(lf - all.p) + 1 : 0;
    if (!out->full && all.n > at + 3)
        out->data[out->start + at + 3] = ' ';
}

void smtp_goodbye(struct buf *out, const char *text)
{
    buf_addf(out, "421 4.3.2 %s\r\n", text);
}

/* ---- what a client may be told of a node ---- */

/* Between the node and us alone; what is nobody's standard (X...) is mostly of that kind too:
 * XCLIENT, XFORWARD, X-ANONYMOUSTLS. */
static bool is_hidden(struct str word)
{
    return str_starts(word, "X") || str_is(word, "AUTH") || str_is(word, "STARTTLS");
}

static bool is_keyword(struct str word)
{
    for (size_t i = 0; i < word.n; i++) {
        char c = word.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || is_digit(c) ||
              (c == '-' && i > 0)))
            return false;
    }
    return word.n > 0;
}

/* All other extensions hold behind the login, for then it is the node that answers. */
bool smtp_announce(struct str entry)
{
    struct str rest = entry, word = str_word(&rest);
    for (size_t i = 0; i < entry.n; i++)
        if (entry.p[i] < ' ' || entry.p[i] > '~' || entry.p[i] == ',')
            return false;
    return is_keyword(word) && !is_hidden(word);
}
