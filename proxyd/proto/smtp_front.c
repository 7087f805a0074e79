/* SPDX-License-Identifier: ISC
 *
 * The submission server (RFC 6409) that a mail client talks with until its login is whole: SMTP
 * (RFC 5321) with STARTTLS (RFC 3207) and AUTH (RFC 4954). No message passes here: before the login
 * none is taken, and behind it nothing is read here. Called by session.c through the row in
 * protocol.c. */
#include "proto/front.h"
#include "proto/smtp.h"
#include "proto/smtp_path.h"

#include <string.h>

enum {
    STATE_START, /* EHLO or HELO has to come */
    STATE_READY  /* it has */
};

/* ---- what can be done now ---- */

/* Words that depend on TLS and on our own settings, whatever a node or an operator says. */
static bool is_our_word(const struct front *f, struct str word)
{
    static const char *const ours[] = {"AUTH", "STARTTLS", "XCLIENT", "XFORWARD"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (str_is(word, ours[i]))
            return true;
    return str_is(word, "REQUIRETLS") && !f->setup.tls; /* RFC 8689, 2. */
}

static void write_nodes_capabilities(const struct front *f, struct buf *out)
{
    struct str rest = str_of(f->setup.capabilities), entry;
    char separator = strchr(f->setup.capabilities, ',') ? ',' : ' ';
    while ((entry = proto_entry(&rest, separator)).n) {
        struct str copy = entry;
        if (is_our_word(f, str_word(&copy)))
            continue;
        buf_adds(out, "250-");
        buf_add(out, entry.p, entry.n);
        buf_adds(out, "\r\n");
    }
}

static void write_capabilities(const struct front *f, struct buf *out)
{
    write_nodes_capabilities(f, out);
    if (f->setup.starttls && !f->setup.tls)
        buf_adds(out, "250-STARTTLS\r\n");
    if (!front_usable(f))
        return;
    buf_adds(out, "250-AUTH");
    for (enum sasl_mech m = 0; m < SASL_MECH_COUNT; m++)
        if (front_usable(f) & 1u << m)
            buf_add_texts(out, " ", sasl_name(m));
    buf_adds(out, "\r\n");
}

/* ---- answers ---- */

void smtp_greet(struct front *f, struct buf *out)
{
    if (f->setup.early)
        buf_addf(out, "554 %s Wait for the greeting\r\n", f->setup.hostname);
    else
        buf_add_texts(out, "220 ", f->setup.hostname, " ESMTP proxyd\r\n");
}

static void challenge(struct buf *out, const char *base64, size_t n)
{
    buf_addf(out, "334 %.*s\r\n", (int)n, base64);
}

static const struct front_words words = {
    .unavailable = "504 5.5.4 This mechanism is not available",
    .privacy = "538 5.7.11 Encryption required, start TLS first",
    .cancelled = "501 5.7.0 Authentication cancelled",
    .invalid = "501 5.5.2 Invalid SASL response",
    .auth_failed = "535 5.7.8 Authentication failed",
    .temporary = "454 4.7.0 Temporary failure, try again later",
    .node_down = "454 4.7.0 The mail server cannot be reached, try again later",
    .busy = "454 4.3.2 Too busy, try again later",
    .too_many = "421 4.7.0 Too many failed logins",
    .challenge = challenge,
};

enum front_want smtp_answer(struct front *f, enum verdict verdict, const struct back *b,
                            struct buf *out)
{
    return front_answer(f, &words, verdict, b, out);
}

/* ---- commands ---- */

/* A name that cannot be passed on is no reason to refuse its owner (RFC 5321, 4.1.4). */
static void keep_helo(struct front *f, struct str name)
{
    size_t n = smtp_is_helo(name) ? name.n : 0;
    memcpy(f->helo, name.p, n);
    f->helo[n] = 0;
    f->state = STATE_READY;
}

static enum front_want run_ehlo(struct front *f, struct str args, struct buf *out)
{
    keep_helo(f, args);
    buf_add_texts(out, "250-", f->setup.hostname, "\r\n");
    write_capabilities(f, out);
    smtp_end_list(out);
    return FRONT_MORE;
}

static enum front_want run_helo(struct front *f, struct str args, struct buf *out)
{
    keep_helo(f, args);
    buf_add_texts(out, "250 ", f->setup.hostname, "\r\n");
    return FRONT_MORE;
}

static enum front_want run_noop(struct front *f, struct str args, struct buf *out)
{
    (void)f, (void)args;
    return front_say(f, out, "250 2.0.0 OK");
}

static enum front_want run_help(struct front *f, struct str args, struct buf *out)
{
    (void)f, (void)args;
    return front_say(f, out, "214 2.0.0 EHLO HELO STARTTLS AUTH NOOP RSET VRFY HELP QUIT");
}

static enum front_want run_vrfy(struct front *f, struct str args, struct buf *out)
{
    (void)f, (void)args;
    return front_say(f, out, "252 2.0.0 Cannot tell, but will take mail after the login");
}

static enum front_want run_quit(struct front *f, struct str args, struct buf *out)
{
    (void)f, (void)args;
    front_say(f, out, "221 2.0.0 Bye");
    return FRONT_QUIT;
}

static enum front_want run_other(struct front *f, struct str args, struct buf *out)
{
    (void)args;
    return front_error(f, out, "502 5.5.1 Command not implemented");
}

static enum front_want helo_first(struct front *f, struct buf *out)
{
    return front_error(f, out, "503 5.5.1 Say EHLO first");
}

/* MAIL and what belongs to it (RFC 4954, 6.; RFC 3207, 4.). */
static enum front_want run_mail(struct front *f, struct str args, struct buf *out)
{
    (void)args;
    if (f->state == STATE_START)
        return helo_first(f, out);
    if (!front_usable(f) && f->setup.starttls && !f->setup.tls)
        return front_error(f, out, "530 5.7.0 Must issue a STARTTLS command first");
    return front_error(f, out, "530 5.7.0 Authentication required");
}

/* The chunk comes unasked, refused or not (RFC 3030, 2.). */
static enum front_want run_bdat(struct front *f, struct str args, struct buf *out)
{
    bool last;
    if (!smtp_path_bdat(args, &f->skip, &last)) {
        f->skip = 0;
        return front_error(f, out, "501 5.5.4 Expected a size");
    }
    return run_mail(f, args, out);
}

/* Nothing said before the handshake counts behind it (RFC 3207, 4.2). */
static enum front_want run_starttls(struct front *f, struct str args, struct buf *out)
{
    (void)args;
    if (f->setup.tls)
        return front_error(f, out, "503 5.5.1 TLS is on already");
    if (!f->setup.starttls)
        return front_error(f, out, "502 5.5.1 TLS is not available");
    creds_wipe(f->creds);
    f->state = STATE_START;
    f->helo[0] = 0;
    front_say(f, out, "220 2.0.0 Begin TLS negotiation");
    return FRONT_STARTTLS;
}

static enum front_want run_auth(struct front *f, struct str args, struct buf *out)
{
    struct str name = str_word(&args), response = str_word(&args);
    if (f->state == STATE_START)
        return helo_first(f, out);
    if (args.n)
        return front_error(f, out, "501 5.5.4 Too many arguments");
    if (response.n == 0)
        response.p = NULL;
    return front_authenticate(f, &words, name, response, out);
}

enum arguments { ARGUMENTS_NONE, ARGUMENTS_SOME, ARGUMENTS_ANY };

static const struct command {
    enum arguments arguments;
    enum front_want (*run)(struct front *f, struct str args, struct buf *out);
} commands[SMTP_UNKNOWN] = {
    [SMTP_EHLO] = {ARGUMENTS_SOME, run_ehlo}, [SMTP_HELO] = {ARGUMENTS_SOME, run_helo},
    [SMTP_AUTH] = {ARGUMENTS_SOME, run_auth}, [SMTP_STARTTLS] = {ARGUMENTS_NONE, run_starttls},
    [SMTP_MAIL] = {ARGUMENTS_ANY, run_mail},  [SMTP_RCPT] = {ARGUMENTS_ANY, run_mail},
    [SMTP_DATA] = {ARGUMENTS_ANY, run_mail},  [SMTP_BDAT] = {ARGUMENTS_SOME, run_bdat},
    [SMTP_NOOP] = {ARGUMENTS_ANY, run_noop},  [SMTP_RSET] = {ARGUMENTS_NONE, run_noop},
    [SMTP_VRFY] = {ARGUMENTS_SOME, run_vrfy}, [SMTP_HELP] = {ARGUMENTS_ANY, run_help},
    [SMTP_QUIT] = {ARGUMENTS_NONE, run_quit}, [SMTP_EXPN] = {ARGUMENTS_ANY, run_other},
    [SMTP_ETRN] = {ARGUMENTS_ANY, run_other},
};

static enum front_want command_line(struct front *f, struct str line, struct buf *out)
{
    struct str args;
    enum smtp_verb verb = smtp_command(line, &args);
    const struct command *c = verb == SMTP_UNKNOWN ? NULL : &commands[verb];
    if (!c || !c->run)
        return front_error(f, out, "500 5.5.2 Unknown command");
    if (c->arguments == ARGUMENTS_NONE && args.n)
        return front_error(f, out, "501 5.5.4 Unexpected arguments");
    if (c->arguments == ARGUMENTS_SOME && args.n == 0)
        return front_error(f, out, "501 5.5.4 Expected an argument");
    return c->run(f, args, out);
}

/* ---- reading ---- */

static enum front_want take(struct front *f, struct str line, struct buf *out)
{
    if (!f->talked && proto_is_http(line))
        return front_close(f, "HTTP on a mail port");
    f->talked = true;
    if (f->in_exchange)
        return front_sasl(f, &words, line, out);
    if (front_is_challenged(f))
        return front_challenge_answered(f, &words, out);
    return command_line(f, line, out);
}

/* Bytes that the line may have, which is perhaps not whole yet. */
static size_t line_max(const struct front *f, struct str line)
{
    bool sasl = f->in_exchange || front_is_challenged(f);
    return sasl || str_starts(line, "AUTH ") ? PROTO_LINE_MAX : SMTP_EXTENDED_MAX;
}

static void skip_chunk(struct front *f, struct buf *in)
{
    uint32_t n = f->skip < buf_len(in) ? (uint32_t)f->skip : buf_len(in);
    buf_take(in, n);
    f->skip -= n;
}

enum front_want smtp_read(struct front *f, struct buf *in, struct buf *out)
{
    if (f->setup.early)
        return front_close(f, "talked before the greeting");
    for (;;) {
        skip_chunk(f, in);
        struct str line = buf_str(in);
        size_t used = 0;
        bool whole = str_line(line, &line, &used);
        if (f->errors >= f->setup.max_errors)
            return front_last_words(f, out, "421 4.7.0 Too many errors", "too many errors");
        if (line.n && memchr(line.p, 0, line.n))
            return front_last_words(f, out, "500 5.5.2 NUL in a command", "NUL in a command");
        if (line.n > line_max(f, line) + (whole ? 0u : 1u)) /* only a whole one is without its CR */
            return front_last_words(f, out, "500 5.5.6 Line too long", "line too long");
        if (!whole)
            return FRONT_MORE;
        enum front_want want = take(f, line, out);
        buf_take(in, (uint32_t)used);
        if (out->full)
            return front_close(f, "answers are not taken");
        if (want != FRONT_MORE)
            return want;
    }
}
