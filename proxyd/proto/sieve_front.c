/* SPDX-License-Identifier: ISC
 *
 * The ManageSieve server that a client talks with until its login is whole (RFC 5804). Does not
 * know scripts: after the login nothing is read here. Called by session.c through the row in
 * protocol.c. */
#include "proto/sieve.h"
#include "proto/sieve_words.h"

#include <string.h>

enum {
    STATE_COMMAND,
    STATE_HANDSHAKE, /* none: the next call comes after it, and tells the capabilities again */
    STATE_SASL,      /* the next string answers a SASL challenge */
    STATE_CHALLENGE /* the next string answers the node's error challenge; `pending` is sent then */
};

/* ---- what can be done now ---- */

/* Words that depend on TLS and on our own settings, whatever a node or an operator says. */
static bool is_our_word(struct str word)
{
    static const char *const ours[] = {"IMPLEMENTATION", "SASL",    "STARTTLS",
                                       "UNAUTHENTICATE", "XCLIENT", "OWNER"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (str_is(word, ours[i]))
            return true;
    return false;
}

/* Adds the values of the entries at the start of LIST that have this NAME, and cuts these off:
 * nodes' values come one an entry, so that what not all nodes have can be left out. */
static void write_values(struct str *list, struct str name, struct buf *out)
{
    const char *before = "";
    struct str rest = *list, entry, value;
    while ((entry = proto_entry(&rest, ',')).n && str_eq_nocase(str_word(&entry), name)) {
        *list = rest;
        while ((value = str_word(&entry)).n) {
            if (!sieve_is_quotable(value))
                continue;
            buf_adds(out, before);
            buf_add(out, value.p, value.n);
            before = " ";
        }
    }
}

/* RFC 5804, 1.7: SIEVE is there always, and has a value always. */
static void write_nodes_capabilities(const struct front *f, struct buf *out)
{
    struct str rest = str_of(f->setup.capabilities);
    bool sieve = false;
    for (;;) {
        struct str next = rest, values = proto_entry(&next, ','), name = str_word(&values);
        if (name.n == 0)
            break;
        if (is_our_word(name) || !sieve_is_quotable(name)) {
            rest = next;
            continue;
        }
        bool is_sieve = str_is(name, "SIEVE");
        buf_addf(out, "\"%.*s\"%s", (int)name.n, name.p, values.n || is_sieve ? " \"" : "");
        write_values(&rest, name, out);
        buf_adds(out, values.n || is_sieve ? "\"\r\n" : "\r\n");
        sieve |= is_sieve;
    }
    if (!sieve)
        buf_adds(out, "\"SIEVE\" \"\"\r\n");
}

static void write_mechanisms(const struct front *f, struct buf *out)
{
    const char *before = "";
    buf_adds(out, "\"SASL\" \"");
    for (enum sasl_mech m = 0; m < SASL_MECH_COUNT; m++)
        if (front_usable(f) & 1u << m) {
            buf_addf(out, "%s%s", before, sasl_name(m));
            before = " ";
        }
    buf_adds(out, "\"\r\n");
}

static void write_capabilities(const struct front *f, struct buf *out)
{
    buf_adds(out, "\"IMPLEMENTATION\" \"proxyd\"\r\n");
    write_mechanisms(f, out);
    write_nodes_capabilities(f, out);
    if (f->setup.starttls && !f->setup.tls)
        buf_adds(out, "\"STARTTLS\"\r\n");
}

/* ---- answers ---- */

void sieve_greet(struct front *f, struct buf *out)
{
    write_capabilities(f, out);
    buf_addf(out, "OK \"%s ready\"\r\n", f->setup.hostname);
}

void sieve_goodbye(struct buf *out, const char *text)
{
    buf_addf(out, "BYE \"%s\"\r\n", text);
}

static enum front_want last_words(struct front *f, struct buf *out, const char *text,
                                  const char *reason)
{
    sieve_goodbye(out, text);
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
    error(f, out, "NO (ENCRYPT-NEEDED) \"Start TLS first\"");
    return FRONT_REFUSED;
}

/* ---- commands ---- */

static enum front_want run_capability(struct front *f, struct str args, struct buf *out)
{
    (void)args;
    write_capabilities(f, out);
    return answer(out, "OK \"Capabilities listed\"");
}

/* RFC 5804, 2.13: an argument comes back as it was. */
static enum front_want run_noop(struct front *f, struct str args, struct buf *out)
{
    struct sieve_string tag;
    if (sieve_end(args))
        return answer(out, "OK \"Done\"");
    if (!sieve_string(&args, &tag) || !sieve_end(args))
        return error(f, out, "NO \"Expected a string\"");
    buf_adds(out, "OK (TAG ");
    if (tag.quoted)
        buf_adds(out, "\"");
    else
        buf_addf(out, "{%zu}\r\n", tag.text.n);
    buf_add(out, tag.text.p, tag.text.n);
    return answer(out, tag.quoted ? "\") \"Done\"" : ") \"Done\"");
}

static enum front_want run_logout(struct front *f, struct str args, struct buf *out)
{
    (void)f, (void)args;
    answer(out, "OK \"Logging out\"");
    return FRONT_QUIT;
}

static enum front_want run_starttls(struct front *f, struct str args, struct buf *out)
{
    (void)args;
    if (f->setup.tls)
        return error(f, out, "NO \"TLS is on already\"");
    if (!f->setup.starttls)
        return error(f, out, "NO \"TLS is not available\"");
    f->state = STATE_HANDSHAKE;
    answer(out, "OK \"Begin TLS negotiation\"");
    return FRONT_STARTTLS;
}

static enum front_want sasl_response(struct front *f, struct str response, struct buf *out)
{
    f->state = STATE_COMMAND;
    switch (sasl_step(&f->sasl, response)) {
    case SASL_CONTINUE:
        f->state = STATE_SASL;
        buf_addf(out, "\"%s\"\r\n", f->sasl.challenge);
        return FRONT_MORE;
    case SASL_DONE:
        return FRONT_LOGIN;
    case SASL_CANCELLED:
        creds_wipe(f->creds);
        return error(f, out, "NO \"AUTHENTICATE cancelled\"");
    default:
        creds_wipe(f->creds);
        return error(f, out, "NO \"Invalid SASL response\"");
    }
}

static enum front_want run_authenticate(struct front *f, struct str args, struct buf *out)
{
    enum sasl_mech mech;
    struct sieve_string name, response = {{NULL, 0}, true};
    if (!sieve_string(&args, &name) ||
        !(sieve_end(args) || (sieve_string(&args, &response) && sieve_end(args))))
        return error(f, out, "NO \"Expected a mechanism and, perhaps, its first response\"");
    if (!sasl_find(name.text, front_allowed(f), &mech))
        return error(f, out, "NO \"This mechanism is not available\"");
    if (!(front_usable(f) & 1u << mech))
        return needs_privacy(f, out);
    sasl_start(&f->sasl, mech, f->creds, f->setup.external);
    return sasl_response(f, response.text, out);
}

/* A response is a string and nothing else. What is no string is not decoded either. */
static enum front_want response_line(struct front *f, struct str line, struct buf *out)
{
    struct sieve_string s;
    if (sieve_string(&line, &s) && sieve_end(line))
        return sasl_response(f, s.text, out);
    f->state = STATE_COMMAND;
    creds_wipe(f->creds);
    return error(f, out, "NO \"Expected a string\"");
}

static const struct command {
    const char *name;
    bool arguments;
    enum front_want (*run)(struct front *f, struct str args, struct buf *out);
} commands[] = {
    {"AUTHENTICATE", true, run_authenticate},
    {"STARTTLS", false, run_starttls},
    {"CAPABILITY", false, run_capability},
    {"NOOP", true, run_noop},
    {"LOGOUT", false, run_logout},
};

static enum front_want command_line(struct front *f, struct str line, struct buf *out)
{
    struct str name;
    if (!sieve_word(&line, &name))
        return error(f, out, "NO \"Expected a command\"");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (str_is(name, commands[i].name)) {
            if (!commands[i].arguments && !sieve_end(line))
                return error(f, out, "NO \"Unexpected arguments\"");
            return commands[i].run(f, line, out);
        }
    return error(f, out, "NO \"Unknown command, or not before the login\"");
}

/* ---- the end of a login ---- */

static enum front_want after_refusal(struct front *f, struct buf *out)
{
    if (f->auth_errors < f->setup.max_auth_errors)
        return FRONT_MORE;
    return last_words(f, out, "Too many failed logins", "too many failed logins");
}

/* The node's refusal; one for now only says nothing of the password (RFC 5804, 1.3). A token
 * mechanism's error challenge is the client's to answer first. */
static enum front_want refuse(struct front *f, const struct back *b, struct buf *out)
{
    struct str reply = buf_str(&b->reply), challenge = buf_str(&b->challenge);
    if (!str_starts(reply, "NO (TRYLATER"))
        f->auth_errors++;
    if (challenge.n == 0) {
        buf_add(out, reply.p, reply.n);
        return after_refusal(f, out);
    }
    buf_add(&f->pending, reply.p, reply.n);
    sieve_open(out, challenge.n, false);
    buf_add(out, challenge.p, challenge.n);
    sieve_close(out, challenge.n);
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
        answer(out, "NO \"Authentication failed\"");
        return after_refusal(f, out);
    case VERDICT_NODE_DOWN:
        return answer(out, "NO (TRYLATER) \"The mailbox cannot be reached, try again later\"");
    case VERDICT_BUSY:
        return answer(out, "NO (TRYLATER) \"Too busy, try again later\"");
    default:
        return answer(out, "NO (TRYLATER) \"Temporary failure, try again later\"");
    }
}

enum front_want sieve_answer(struct front *f, enum verdict verdict, const struct back *b,
                             struct buf *out)
{
    enum front_want want = give_answer(f, verdict, b, out);
    return out->full || f->pending.full ? front_close(f, "answers are not taken") : want;
}

/* ---- reading ---- */

static enum front_want take(struct front *f, struct str line, struct buf *out)
{
    if (!f->talked && proto_is_http((struct str){line.p, line.n - 1}))
        return front_close(f, "HTTP on a mail port");
    f->talked = true;
    switch (f->state) {
    case STATE_SASL:
        return response_line(f, line, out);
    case STATE_CHALLENGE:
        return challenge_line(f, out);
    default:
        return command_line(f, line, out);
    }
}

/* RFC 5804, 2.2: after the handshake the server speaks first. */
static void after_handshake(struct front *f, struct buf *out)
{
    f->state = STATE_COMMAND;
    write_capabilities(f, out);
    answer(out, "OK \"TLS negotiation successful\"");
}

enum front_want sieve_read(struct front *f, struct buf *in, struct buf *out)
{
    if (f->state == STATE_HANDSHAKE)
        after_handshake(f, out);
    for (;;) {
        struct str line = buf_str(in);
        enum sieve_unit unit = sieve_unit(line, true, &line.n);
        if (f->errors >= f->setup.max_errors)
            return last_words(f, out, "Too many errors", "too many errors");
        if (unit == SIEVE_LONG)
            return last_words(f, out, "Command too long", "line too long");
        if (unit == SIEVE_MORE)
            return FRONT_MORE;
        if (memchr(line.p, 0, line.n))
            return last_words(f, out, "NUL in a command", "NUL in a command");
        enum front_want want = take(f, line, out);
        buf_take(in, (uint32_t)line.n);
        if (out->full)
            return front_close(f, "answers are not taken");
        if (want != FRONT_MORE)
            return want;
    }
}
