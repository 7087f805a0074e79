/* SPDX-License-Identifier: ISC
 *
 * The IMAP server that a mail client talks with until its login is whole (RFC 9051 and RFC 3501,
 * RFC 2971 ID, RFC 4959 SASL-IR, RFC 7888 literals). Does not know mailboxes: after the login
 * nothing is read here. Called by session.c through the row in protocol.c. */
#include "base/mem.h"
#include "proto/front.h"
#include "proto/imap.h"
#include "proto/imap_args.h"

#include <string.h>

/* ---- what can be done now ---- */

/* Words that depend on TLS and on our own settings, whatever a node announces. */
static bool is_our_word(struct str word)
{
    return memchr("AaLlSs", word.p[0], 6) &&
           (str_starts(word, "AUTH=") || str_is(word, "LOGINDISABLED") || str_is(word, "SASL-IR") ||
            str_is(word, "STARTTLS"));
}

static void write_capabilities(const struct front *f, struct buf *out)
{
    struct str rest = str_of(f->setup.capabilities), word;
    buf_adds(out, "CAPABILITY");
    while ((word = str_word(&rest)).n)
        if (!is_our_word(word)) {
            buf_adds(out, " ");
            buf_add(out, word.p, word.n);
        }
    buf_adds(out, " SASL-IR");
    if (f->setup.starttls && !f->setup.tls)
        buf_adds(out, " STARTTLS");
    if (!f->setup.plaintext || !(f->setup.mechanisms & PASSWORD_MECHS))
        buf_adds(out, " LOGINDISABLED");
    for (enum sasl_mech m = 0; m < SASL_MECH_COUNT; m++)
        if (front_usable(f) & 1u << m) {
            buf_adds(out, " AUTH=");
            buf_adds(out, sasl_name(m));
        }
}

void imap_greet(struct front *f, struct buf *out)
{
    buf_adds(out, "* OK [");
    write_capabilities(f, out);
    buf_adds(out, "] ");
    buf_adds(out, f->setup.hostname);
    buf_adds(out, " ready\r\n");
}

/* ---- answers ---- */

void imap_goodbye(struct buf *out, const char *text)
{
    buf_addf(out, "* BYE %s\r\n", text);
}

/* Without being asked for, the bytes of a literal cannot be told from commands. */
static enum front_want unless_literal(struct front *f, struct imap_args *a)
{
    if (!imap_args_literal_follows(a))
        return FRONT_MORE;
    imap_goodbye(a->out, "Unexpected literal");
    return front_close(f, "unexpected literal");
}

static enum front_want error(struct front *f, struct imap_args *a, const char *text)
{
    front_error(f, a->out, text);
    return unless_literal(f, a);
}

static void challenge(struct buf *out, const char *base64, size_t n)
{
    buf_addf(out, "+ %.*s\r\n", (int)n, base64);
}

/* Cuts the last line, which is the tagged one, off the node's words. */
static struct str last_line(struct str *words)
{
    const char *lf = words->n > 2 ? memrchr(words->p, '\n', words->n - 2) : NULL;
    size_t head = lf ? (size_t)(lf - words->p) + 1 : 0;
    struct str last = {words->p + head, words->n - head};
    words->n = head;
    return last;
}

/* The node's words under the client's tag. What a node can do before the login is no news for the
 * client, who goes on talking with us after a refusal. */
static void pass_on(const struct front *f, const struct back *b, bool refused, struct buf *out)
{
    struct str rest = buf_str(&b->reply), answer = last_line(&rest), line;
    size_t used;
    while (rest.n && str_line(rest, &line, &used)) {
        if (!refused || !str_starts(line, "* CAPABILITY"))
            buf_add(out, rest.p, used);
        rest = (struct str){rest.p + used, rest.n - used};
    }
    buf_adds(out, f->tag);
    buf_adds(out, " ");
    buf_add(out, answer.p, answer.n);
}

static const struct front_words words = {
    .unavailable = "NO [CANNOT] This mechanism is not available",
    .privacy = "NO [PRIVACYREQUIRED] Start TLS first",
    .cancelled = "BAD AUTHENTICATE cancelled",
    .invalid = "BAD Invalid SASL response",
    .auth_failed = "NO [AUTHENTICATIONFAILED] Authentication failed",
    .temporary = "NO [UNAVAILABLE] Temporary failure, try again later",
    .node_down = "NO [UNAVAILABLE] The mailbox cannot be reached, try again later",
    .busy = "NO [UNAVAILABLE] Too busy, try again later",
    .too_many = "* BYE Too many failed logins",
    .challenge = challenge,
    .pass_on = pass_on,
};

enum front_want imap_answer(struct front *f, enum verdict verdict, const struct back *b,
                            struct buf *out)
{
    return front_answer(f, &words, verdict, b, out);
}

static enum front_want not_parsed(struct front *f, struct imap_args *a, enum imap_parse result)
{
    switch (result) {
    case IMAP_PARSE_MORE:
        a->used = 0;
        return FRONT_MORE;
    case IMAP_PARSE_LONG:
        imap_goodbye(a->out, "Line too long");
        return front_close(f, "line too long");
    case IMAP_PARSE_TOOBIG:
        return error(f, a, "NO [TOOBIG] Literal too large");
    case IMAP_PARSE_PLUS:
        return error(f, a, "BAD [TOOBIG] Literal too large");
    default:
        return error(f, a, "BAD Invalid arguments");
    }
}

/* ---- commands ---- */

static enum front_want run_capability(struct front *f, struct imap_args *a)
{
    buf_adds(a->out, "* ");
    write_capabilities(f, a->out);
    buf_adds(a->out, "\r\n");
    return front_say(f, a->out, "OK CAPABILITY completed");
}

static enum front_want run_noop(struct front *f, struct imap_args *a)
{
    return front_say(f, a->out, "OK NOOP completed");
}

static enum front_want run_logout(struct front *f, struct imap_args *a)
{
    imap_goodbye(a->out, "Logging out");
    front_say(f, a->out, "OK LOGOUT completed");
    return FRONT_QUIT;
}

static enum front_want run_starttls(struct front *f, struct imap_args *a)
{
    if (f->setup.tls)
        return error(f, a, "BAD TLS is on already");
    if (!f->setup.starttls)
        return error(f, a, "BAD TLS is not available");
    front_say(f, a->out, "OK Begin TLS negotiation now");
    return FRONT_STARTTLS;
}

static enum imap_parse parse_id(struct imap_args *a)
{
    struct imap_string s;
    enum imap_parse r;
    if (!imap_args_char(a, ' '))
        return IMAP_PARSE_BAD;
    if (!imap_args_char(a, '('))
        return str_is(imap_args_word(a), "NIL") && imap_args_end(a) ? IMAP_PARSE_OK
                                                                    : IMAP_PARSE_BAD;
    while (!imap_args_char(a, ')')) {
        if ((r = imap_args_string(a, &s)) != IMAP_PARSE_OK)
            return r;
        if (memchr(s.p, 0, s.n))
            return IMAP_PARSE_BAD;
        imap_args_char(a, ' ');
    }
    return imap_args_end(a) ? IMAP_PARSE_OK : IMAP_PARSE_BAD;
}

static enum front_want run_id(struct front *f, struct imap_args *a)
{
    enum imap_parse result = parse_id(a);
    if (result != IMAP_PARSE_OK)
        return not_parsed(f, a, result);
    buf_adds(a->out, "* ID (\"name\" \"proxyd\")\r\n");
    return front_say(f, a->out, "OK ID completed");
}

static enum imap_parse parse_login(struct imap_args *a, struct imap_string *login,
                                   struct imap_string *password)
{
    enum imap_parse r;
    if (!imap_args_char(a, ' '))
        return IMAP_PARSE_BAD;
    if ((r = imap_args_string(a, login)) != IMAP_PARSE_OK)
        return r;
    if (!imap_args_char(a, ' '))
        return IMAP_PARSE_BAD;
    if ((r = imap_args_string(a, password)) != IMAP_PARSE_OK)
        return r;
    return imap_args_end(a) ? IMAP_PARSE_OK : IMAP_PARSE_BAD;
}

static enum front_want run_login(struct front *f, struct imap_args *a)
{
    struct imap_string login, password;
    bool offered = f->setup.mechanisms & PASSWORD_MECHS;
    a->ask = offered && f->setup.plaintext;
    enum imap_parse result = parse_login(a, &login, &password);
    if (result != IMAP_PARSE_OK && result != IMAP_PARSE_UNASKED)
        return not_parsed(f, a, result);
    if (!offered)
        return error(f, a, "NO [CANNOT] LOGIN is not available");
    if (!f->setup.plaintext)
        return front_needs_privacy(f, &words, a->out);
    creds_wipe(f->creds);
    creds_set(f->creds, imap_string_text(&login), imap_string_text(&password));
    return FRONT_LOGIN;
}

static enum front_want run_authenticate(struct front *f, struct imap_args *a)
{
    if (!imap_args_char(a, ' '))
        return error(f, a, "BAD Expected a mechanism");
    struct str name = imap_args_word(a), response = {NULL, 0};
    if (imap_args_char(a, ' '))
        response = a->line;
    enum front_want want = front_authenticate(f, &words, name, response, a->out);
    return want == FRONT_MORE ? unless_literal(f, a) : want;
}

static enum front_want response_line(struct front *f, struct imap_args *a)
{
    enum front_want want = front_sasl(f, &words, a->line, a->out);
    return want == FRONT_MORE ? unless_literal(f, a) : want;
}

static const struct command {
    const char *name;
    bool arguments;
    enum front_want (*run)(struct front *f, struct imap_args *a);
} commands[] = {
    {"LOGIN", true, run_login},    {"AUTHENTICATE", true, run_authenticate},
    {"ID", true, run_id},          {"CAPABILITY", false, run_capability},
    {"NOOP", false, run_noop},     {"STARTTLS", false, run_starttls},
    {"LOGOUT", false, run_logout},
};

/* RFC 9051, 9.: tag = 1*<any ASTRING-CHAR except "+">. */
static bool is_tag(struct str tag)
{
    if (tag.n == 0 || tag.n > PROTO_TAG_MAX)
        return false;
    for (size_t i = 0; i < tag.n; i++)
        if (tag.p[i] <= ' ' || tag.p[i] > '~' || memchr("(){%*\"\\+", tag.p[i], 8))
            return false;
    return true;
}

static enum front_want command_line(struct front *f, struct imap_args *a)
{
    struct str tag = imap_args_word(a);
    if (!is_tag(tag)) {
        memcpy(f->tag, "*", 2);
        return error(f, a, "BAD Expected a tag and a command");
    }
    memcpy(f->tag, tag.p, tag.n);
    f->tag[tag.n] = 0;
    imap_args_char(a, ' ');
    struct str name = imap_args_word(a);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (str_is(name, commands[i].name)) {
            if (!commands[i].arguments && !imap_args_end(a))
                return error(f, a, "BAD Unexpected arguments");
            return commands[i].run(f, a);
        }
    return error(f, a, "BAD Unknown command, or not before the login");
}

/* ---- reading ---- */

/* What stands at the start of the input; `used` is 0 when it is not whole yet. */
static enum front_want take(struct front *f, struct imap_args *a)
{
    enum imap_parse result = imap_args_begin(a);
    if (result != IMAP_PARSE_OK)
        return not_parsed(f, a, result);
    if (!f->talked && proto_is_http(a->line))
        return front_close(f, "HTTP on a mail port");
    f->talked = true;
    if (f->in_exchange)
        return response_line(f, a);
    if (front_is_challenged(f))
        return front_challenge_answered(f, &words, a->out);
    return command_line(f, a);
}

enum front_want imap_read(struct front *f, struct buf *in, struct buf *out)
{
    for (;;) {
        if (f->errors >= f->setup.max_errors) {
            imap_goodbye(out, "Too many errors");
            return front_close(f, "too many errors");
        }
        if (buf_len(in) == 0)
            return FRONT_MORE;
        if (!f->talked && proto_is_tls(buf_str(in))) {
            imap_goodbye(out, "This port does not begin with TLS");
            return front_close(f, "TLS from the start");
        }
        struct imap_args a = {.in = in->data + in->start,
                              .n = buf_len(in),
                              .continued = &f->continued,
                              .ask = true,
                              .announced = f->setup.capabilities,
                              .out = out};
        enum front_want want = take(f, &a);
        if (a.used) {
            buf_take(in, (uint32_t)a.used);
            f->continued = 0;
        }
        if (out->full)
            return front_close(f, "answers are not taken");
        if (want != FRONT_MORE || a.used == 0)
            return want;
    }
}

/* ---- what a client may be told of a node ---- */

/* Commands of nodes that a proxy cannot carry, or that are between it and them alone. */
static bool is_hidden(struct str word)
{
    return is_our_word(word) || str_starts(word, "COMPRESS=") || str_starts(word, "X-") ||
           str_starts(word, "XCLIENT") || str_starts(word, "XPROXY") ||
           str_is(word, "LOGIN-REFERRALS") || str_is(word, "MAILBOX-REFERRALS") ||
           str_is(word, "UNAUTHENTICATE");
}

bool imap_announce(struct str word)
{
    return proto_is_capability(word, ' ') && !is_hidden(word);
}
