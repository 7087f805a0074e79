/* SPDX-License-Identifier: ISC
 *
 * The POP3 server that a mail client talks with until its login is whole (RFC 1939, RFC 2449 CAPA,
 * RFC 2595 STLS, RFC 5034 AUTH, RFC 3206 response codes). There is no APOP, for nobody here knows
 * a password in the clear, and no UTF8, for it would have to be said to the node as well. After the
 * login nothing is read here. Called by session.c through the row in protocol.c. */
#include "proto/front.h"
#include "proto/pop3.h"

#include <string.h>

enum {
    STATE_COMMAND,
    STATE_USER /* creds->login is known, PASS may come */
};

/* ---- what can be done now ---- */

/* Adds the mechanisms that are usable now, each between BEFORE and BEHIND. */
static void write_mechanisms(const struct front *f, struct buf *out, const char *before,
                             const char *behind)
{
    for (enum sasl_mech m = 0; m < SASL_MECH_COUNT; m++)
        if (front_usable(f) & 1u << m)
            buf_addf(out, "%s%s%s", before, sasl_name(m), behind);
}

/* Words that depend on TLS and on our own settings, whatever a node or an operator says. */
static bool is_our_word(struct str word)
{
    static const char *const ours[] = {"SASL",       "STLS",           "USER",
                                       "RESP-CODES", "AUTH-RESP-CODE", "UTF8"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (str_is(word, ours[i]))
            return true;
    return false;
}

/* Whether an entry before the one at ENTRY.p has the same keyword. */
static bool is_repeated(struct str list, char separator, struct str entry)
{
    struct str word = str_word(&entry), before;
    while ((before = proto_entry(&list, separator)).p != word.p)
        if (str_eq_nocase(str_word(&before), word))
            return true;
    return false;
}

static void write_nodes_capabilities(const struct front *f, struct buf *out)
{
    struct str all = str_of(f->setup.capabilities), rest = all, entry;
    char separator = strchr(f->setup.capabilities, ',') ? ',' : ' ';
    while ((entry = proto_entry(&rest, separator)).n) {
        struct str copy = entry;
        if (is_our_word(str_word(&copy)) || is_repeated(all, separator, entry))
            continue;
        buf_add(out, entry.p, entry.n);
        buf_adds(out, "\r\n");
    }
}

static void write_capabilities(const struct front *f, struct buf *out)
{
    write_nodes_capabilities(f, out);
    if (front_usable(f) & PASSWORD_MECHS)
        buf_adds(out, "USER\r\n");
    if (front_usable(f)) {
        buf_adds(out, "SASL");
        write_mechanisms(f, out, " ", "");
        buf_adds(out, "\r\n");
    }
    if (f->setup.starttls && !f->setup.tls)
        buf_adds(out, "STLS\r\n");
    buf_adds(out, "RESP-CODES\r\nAUTH-RESP-CODE\r\n");
}

/* ---- answers ---- */

void pop3_greet(struct front *f, struct buf *out)
{
    buf_addf(out, "+OK %s ready\r\n", f->setup.hostname);
}

void pop3_goodbye(struct buf *out, const char *text)
{
    buf_addf(out, "-ERR %s\r\n", text);
}

static void challenge(struct buf *out, const char *base64, size_t n)
{
    buf_addf(out, "+ %.*s\r\n", (int)n, base64);
}

static const struct front_words words = {
    .unavailable = "-ERR This mechanism is not available",
    .privacy = "-ERR [AUTH] Start TLS first",
    .cancelled = "-ERR AUTH cancelled",
    .invalid = "-ERR Invalid SASL response",
    .auth_failed = "-ERR [AUTH] Authentication failed",
    .temporary = "-ERR [SYS/TEMP] Temporary failure, try again later",
    .node_down = "-ERR [SYS/TEMP] The mailbox cannot be reached, try again later",
    .busy = "-ERR [SYS/TEMP] Too busy, try again later",
    .too_many = "-ERR Too many failed logins",
    .challenge = challenge,
};

enum front_want pop3_answer(struct front *f, enum verdict verdict, const struct back *b,
                            struct buf *out)
{
    return front_answer(f, &words, verdict, b, out);
}

/* ---- commands ---- */

static enum front_want run_capa(struct front *f, struct str args, struct buf *out)
{
    (void)args;
    front_say(f, out, "+OK Capabilities follow");
    write_capabilities(f, out);
    return front_say(f, out, ".");
}

static enum front_want run_noop(struct front *f, struct str args, struct buf *out)
{
    (void)f, (void)args;
    return front_say(f, out, "+OK");
}

static enum front_want run_quit(struct front *f, struct str args, struct buf *out)
{
    (void)f, (void)args;
    front_say(f, out, "+OK Logging out");
    return FRONT_QUIT;
}

/* Nothing said before the handshake counts behind it (RFC 2595, 4.): a USER least of all. */
static enum front_want run_stls(struct front *f, struct str args, struct buf *out)
{
    (void)args;
    if (f->setup.tls)
        return front_error(f, out, "-ERR TLS is on already");
    if (!f->setup.starttls)
        return front_error(f, out, "-ERR TLS is not available");
    creds_wipe(f->creds);
    f->state = STATE_COMMAND;
    front_say(f, out, "+OK Begin TLS negotiation");
    return FRONT_STARTTLS;
}

static enum front_want run_user(struct front *f, struct str args, struct buf *out)
{
    f->state = STATE_COMMAND;
    if (!(f->setup.mechanisms & PASSWORD_MECHS))
        return front_error(f, out, "-ERR USER is not available");
    if (!f->setup.plaintext)
        return front_needs_privacy(f, &words, out);
    creds_wipe(f->creds);
    if (!str_has_control(args)) /* else PASS finds no name: kept up to a NUL, it would be another */
        creds_set(f->creds, args, str_of(""));
    f->state = STATE_USER;
    return front_say(f, out, "+OK");
}

static enum front_want run_pass(struct front *f, struct str args, struct buf *out)
{
    if (f->state != STATE_USER)
        return front_error(f, out, "-ERR USER comes first");
    f->state = STATE_COMMAND;
    creds_set(f->creds, str_of(f->creds->login), args);
    return FRONT_LOGIN;
}

/* Cuts off what stands before the first space, and the space. */
static struct str cut_word(struct str *rest)
{
    const char *space = rest->n ? memchr(rest->p, ' ', rest->n) : NULL;
    struct str word = {rest->p, space ? (size_t)(space - rest->p) : rest->n};
    *rest = (struct str){space ? space + 1 : NULL, space ? rest->n - word.n - 1 : 0};
    return word;
}

/* AUTH alone is older than CAPA: it lists the mechanisms. */
static enum front_want run_auth(struct front *f, struct str args, struct buf *out)
{
    f->state = STATE_COMMAND;
    if (args.n == 0) {
        front_say(f, out, "+OK Mechanisms follow");
        write_mechanisms(f, out, "", "\r\n");
        return front_say(f, out, ".");
    }
    struct str response = args, name = cut_word(&response);
    return front_authenticate(f, &words, name, response, out);
}

static const struct command {
    const char *name;
    bool arguments;
    enum front_want (*run)(struct front *f, struct str args, struct buf *out);
} commands[] = {
    {"USER", true, run_user},  {"PASS", true, run_pass},  {"AUTH", true, run_auth},
    {"CAPA", false, run_capa}, {"STLS", false, run_stls}, {"NOOP", false, run_noop},
    {"QUIT", false, run_quit},
};

static enum front_want command_line(struct front *f, struct str line, struct buf *out)
{
    struct str args = line, name = cut_word(&args);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (str_is(name, commands[i].name)) {
            if (!commands[i].arguments && args.n)
                return front_error(f, out, "-ERR Unexpected arguments");
            return commands[i].run(f, args, out);
        }
    return front_error(f, out, "-ERR Unknown command, or not before the login");
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

/* RFC 2449, 4. lets a command have 255 octets; tokens and some passwords have more, so that all
 * lines may be as long as a token's. */
enum front_want pop3_read(struct front *f, struct buf *in, struct buf *out)
{
    for (;;) {
        struct str line = buf_str(in);
        size_t used = 0;
        bool whole = str_line(line, &line, &used);
        if (f->errors >= f->setup.max_errors)
            return front_last_words(f, out, "-ERR Too many errors", "too many errors");
        if (!f->talked && proto_is_tls(line))
            return front_last_words(f, out, "-ERR This port does not begin with TLS",
                                    "TLS from the start");
        if (line.n > PROTO_LINE_MAX + (whole ? 0u : 1u)) /* only a whole one is without its CR */
            return front_last_words(f, out, "-ERR Line too long", "line too long");
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
