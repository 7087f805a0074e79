/* SPDX-License-Identifier: ISC
 *
 * The POP3 server that a mail client talks with until its login is whole (RFC 1939, RFC 2449 CAPA,
 * RFC 2595 STLS, RFC 5034 AUTH, RFC 3206 response codes). There is no APOP, for nobody here knows
 * a password in the clear, and no UTF8, for it would have to be said to the node as well. After the
 * login nothing is read here. Called by session.c through the row in protocol.c. */
#include "proto/pop3.h"

#include <string.h>

enum {
    STATE_COMMAND,
    STATE_USER,     /* creds->login is known, PASS may come */
    STATE_SASL,     /* the next line answers a SASL challenge */
    STATE_CHALLENGE /* the next line answers the node's error challenge; `pending` is sent then */
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

static enum front_want last_words(struct front *f, struct buf *out, const char *text,
                                  const char *reason)
{
    pop3_goodbye(out, text);
    return front_close(f, reason);
}

static enum front_want answer(struct buf *out, const char *text)
{
    buf_addf(out, "%s\r\n", text);
    return FRONT_MORE;
}

static enum front_want error(struct front *f, struct buf *out, const char *text)
{
    f->errors++;
    return answer(out, text);
}

/* A login that may not come over this line: `errors`, for it need not end otherwise. */
static enum front_want needs_privacy(struct front *f, struct buf *out)
{
    f->reason = "plaintext login not allowed";
    error(f, out, "-ERR [AUTH] Start TLS first");
    return FRONT_REFUSED;
}

/* ---- commands ---- */

static enum front_want run_capa(struct front *f, struct str args, struct buf *out)
{
    (void)args;
    answer(out, "+OK Capabilities follow");
    write_capabilities(f, out);
    return answer(out, ".");
}

static enum front_want run_noop(struct front *f, struct str args, struct buf *out)
{
    (void)f, (void)args;
    return answer(out, "+OK");
}

static enum front_want run_quit(struct front *f, struct str args, struct buf *out)
{
    (void)f, (void)args;
    answer(out, "+OK Logging out");
    return FRONT_QUIT;
}

/* Nothing said before the handshake counts behind it (RFC 2595, 4.): a USER least of all. */
static enum front_want run_stls(struct front *f, struct str args, struct buf *out)
{
    (void)args;
    if (f->setup.tls)
        return error(f, out, "-ERR TLS is on already");
    if (!f->setup.starttls)
        return error(f, out, "-ERR TLS is not available");
    creds_wipe(f->creds);
    f->state = STATE_COMMAND;
    answer(out, "+OK Begin TLS negotiation");
    return FRONT_STARTTLS;
}

static enum front_want run_user(struct front *f, struct str args, struct buf *out)
{
    f->state = STATE_COMMAND;
    if (!(f->setup.mechanisms & PASSWORD_MECHS))
        return error(f, out, "-ERR USER is not available");
    if (!f->setup.plaintext)
        return needs_privacy(f, out);
    creds_wipe(f->creds);
    if (!str_has_control(args)) /* else PASS finds no name: kept up to a NUL, it would be another */
        creds_set(f->creds, args, str_of(""));
    f->state = STATE_USER;
    return answer(out, "+OK");
}

static enum front_want run_pass(struct front *f, struct str args, struct buf *out)
{
    if (f->state != STATE_USER)
        return error(f, out, "-ERR USER comes first");
    f->state = STATE_COMMAND;
    creds_set(f->creds, str_of(f->creds->login), args);
    return FRONT_LOGIN;
}

static enum front_want sasl_line(struct front *f, struct str response, struct buf *out)
{
    f->state = STATE_COMMAND;
    switch (sasl_step(&f->sasl, response)) {
    case SASL_CONTINUE:
        f->state = STATE_SASL;
        buf_addf(out, "+ %s\r\n", f->sasl.challenge);
        return FRONT_MORE;
    case SASL_DONE:
        return FRONT_LOGIN;
    case SASL_CANCELLED:
        creds_wipe(f->creds);
        return error(f, out, "-ERR AUTH cancelled");
    default:
        creds_wipe(f->creds);
        return error(f, out, "-ERR Invalid SASL response");
    }
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
    enum sasl_mech mech;
    f->state = STATE_COMMAND;
    if (args.n == 0) {
        answer(out, "+OK Mechanisms follow");
        write_mechanisms(f, out, "", "\r\n");
        return answer(out, ".");
    }
    struct str response = args, name = cut_word(&response);
    if (!sasl_find(name, front_allowed(f), &mech))
        return error(f, out, "-ERR This mechanism is not available");
    if (!(front_usable(f) & 1u << mech))
        return needs_privacy(f, out);
    sasl_start(&f->sasl, mech, f->creds, f->setup.external);
    return sasl_line(f, response, out);
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
                return error(f, out, "-ERR Unexpected arguments");
            return commands[i].run(f, args, out);
        }
    return error(f, out, "-ERR Unknown command, or not before the login");
}

/* ---- the end of a login ---- */

static enum front_want after_refusal(struct front *f, struct buf *out)
{
    if (f->auth_errors < f->setup.max_auth_errors)
        return FRONT_MORE;
    return last_words(f, out, "Too many failed logins", "too many failed logins");
}

/* A refusal that says nothing of the password (RFC 2449, 8.1, RFC 3206, 4.). */
static bool is_no_auth_error(struct str reply)
{
    static const char *const codes[] = {"-ERR [SYS/TEMP]", "-ERR [SYS/PERM]", "-ERR [IN-USE]",
                                        "-ERR [LOGIN-DELAY]"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (str_starts(reply, codes[i]))
            return true;
    return false;
}

/* The node's refusal. A token mechanism's error challenge is the client's to answer first. */
static enum front_want refuse(struct front *f, const struct back *b, struct buf *out)
{
    struct str reply = buf_str(&b->reply), challenge = buf_str(&b->challenge);
    if (!is_no_auth_error(reply))
        f->auth_errors++;
    if (challenge.n == 0) {
        buf_add(out, reply.p, reply.n);
        return after_refusal(f, out);
    }
    buf_add(&f->pending, reply.p, reply.n);
    buf_adds(out, "+ ");
    buf_add(out, challenge.p, challenge.n);
    f->state = STATE_CHALLENGE;
    return answer(out, "");
}

static enum front_want challenge_line(struct front *f, struct buf *out)
{
    f->state = STATE_COMMAND;
    buf_add(out, buf_str(&f->pending).p, buf_len(&f->pending));
    buf_free(&f->pending);
    return after_refusal(f, out);
}

static enum front_want give_answer(struct front *f, enum verdict verdict, const struct back *b,
                                   struct buf *out)
{
    switch (verdict) {
    case VERDICT_OK:
        buf_add(out, buf_str(&b->reply).p, buf_len(&b->reply));
        return FRONT_MORE;
    case VERDICT_NODE_REFUSED:
        return refuse(f, b, out);
    case VERDICT_AUTH_FAILED:
        f->auth_errors++;
        answer(out, "-ERR [AUTH] Authentication failed");
        return after_refusal(f, out);
    case VERDICT_NODE_DOWN:
        return answer(out, "-ERR [SYS/TEMP] The mailbox cannot be reached, try again later");
    case VERDICT_BUSY:
        return answer(out, "-ERR [SYS/TEMP] Too busy, try again later");
    default:
        return answer(out, "-ERR [SYS/TEMP] Temporary failure, try again later");
    }
}

enum front_want pop3_answer(struct front *f, enum verdict verdict, const struct back *b,
                            struct buf *out)
{
    enum front_want want = give_answer(f, verdict, b, out);
    return out->full || f->pending.full ? front_close(f, "answers are not taken") : want;
}

/* ---- reading ---- */

static enum front_want take(struct front *f, struct str line, struct buf *out)
{
    if (!f->talked && proto_is_http(line))
        return front_close(f, "HTTP on a mail port");
    f->talked = true;
    switch (f->state) {
    case STATE_SASL:
        return sasl_line(f, line, out);
    case STATE_CHALLENGE:
        return challenge_line(f, out);
    default:
        return command_line(f, line, out);
    }
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
            return last_words(f, out, "Too many errors", "too many errors");
        if (!f->talked && proto_is_tls(line))
            return last_words(f, out, "This port does not begin with TLS", "TLS from the start");
        if (line.n > PROTO_LINE_MAX + (whole ? 0u : 1u)) /* only a whole one is without its CR */
            return last_words(f, out, "Line too long", "line too long");
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
