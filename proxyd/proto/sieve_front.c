/* SPDX-License-Identifier: ISC
 *
 * The ManageSieve server that a client talks with until its login is whole (RFC 5804). Does not
 * know scripts: after the login nothing is read here. Called by session.c through the row in
 * protocol.c. */
#include "proto/front.h"
#include "proto/sieve.h"
#include "proto/sieve_words.h"

#include <string.h>

enum {
    STATE_COMMAND,
    STATE_HANDSHAKE /* none: the next call comes after it, and tells the capabilities again */
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

static void challenge(struct buf *out, const char *base64, size_t n)
{
    sieve_open(out, n, false);
    buf_add(out, base64, n);
    sieve_close(out, n);
    buf_adds(out, "\r\n");
}

static const struct front_words words = {
    .unavailable = "NO \"This mechanism is not available\"",
    .privacy = "NO (ENCRYPT-NEEDED) \"Start TLS first\"",
    .cancelled = "NO \"AUTHENTICATE cancelled\"",
    .invalid = "NO \"Invalid SASL response\"",
    .auth_failed = "NO \"Authentication failed\"",
    .temporary = "NO (TRYLATER) \"Temporary failure, try again later\"",
    .node_down = "NO (TRYLATER) \"The mailbox cannot be reached, try again later\"",
    .busy = "NO (TRYLATER) \"Too busy, try again later\"",
    .too_many = "BYE \"Too many failed logins\"",
    .challenge = challenge,
};

enum front_want sieve_answer(struct front *f, enum verdict verdict, const struct back *b,
                             struct buf *out)
{
    return front_answer(f, &words, verdict, b, out);
}

/* ---- commands ---- */

static enum front_want run_capability(struct front *f, struct str args, struct buf *out)
{
    (void)args;
    write_capabilities(f, out);
    return front_say(f, out, "OK \"Capabilities listed\"");
}

/* RFC 5804, 2.13: an argument comes back as it was. */
static enum front_want run_noop(struct front *f, struct str args, struct buf *out)
{
    struct sieve_string tag;
    if (sieve_end(args))
        return front_say(f, out, "OK \"Done\"");
    if (!sieve_string(&args, &tag) || !sieve_end(args))
        return front_error(f, out, "NO \"Expected a string\"");
    buf_adds(out, "OK (TAG ");
    if (tag.quoted)
        buf_adds(out, "\"");
    else
        buf_addf(out, "{%zu}\r\n", tag.text.n);
    buf_add(out, tag.text.p, tag.text.n);
    return front_say(f, out, tag.quoted ? "\") \"Done\"" : ") \"Done\"");
}

static enum front_want run_logout(struct front *f, struct str args, struct buf *out)
{
    (void)f, (void)args;
    front_say(f, out, "OK \"Logging out\"");
    return FRONT_QUIT;
}

static enum front_want run_starttls(struct front *f, struct str args, struct buf *out)
{
    (void)args;
    if (f->setup.tls)
        return front_error(f, out, "NO \"TLS is on already\"");
    if (!f->setup.starttls)
        return front_error(f, out, "NO \"TLS is not available\"");
    f->state = STATE_HANDSHAKE;
    front_say(f, out, "OK \"Begin TLS negotiation\"");
    return FRONT_STARTTLS;
}

static enum front_want run_authenticate(struct front *f, struct str args, struct buf *out)
{
    struct sieve_string name, response = {{NULL, 0}, true};
    if (!sieve_string(&args, &name) ||
        !(sieve_end(args) || (sieve_string(&args, &response) && sieve_end(args))))
        return front_error(f, out, "NO \"Expected a mechanism and, perhaps, its first response\"");
    return front_authenticate(f, &words, name.text, response.text, out);
}

/* A response is a string and nothing else. What is no string is not decoded either. */
static enum front_want response_line(struct front *f, struct str line, struct buf *out)
{
    struct sieve_string s;
    if (sieve_string(&line, &s) && sieve_end(line))
        return front_sasl(f, &words, s.text, out);
    f->in_exchange = false;
    creds_wipe(f->creds);
    return front_error(f, out, "NO \"Expected a string\"");
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
        return front_error(f, out, "NO \"Expected a command\"");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (str_is(name, commands[i].name)) {
            if (!commands[i].arguments && !sieve_end(line))
                return front_error(f, out, "NO \"Unexpected arguments\"");
            return commands[i].run(f, line, out);
        }
    return front_error(f, out, "NO \"Unknown command, or not before the login\"");
}

/* ---- reading ---- */

static enum front_want take(struct front *f, struct str line, struct buf *out)
{
    if (!f->talked && proto_is_http((struct str){line.p, line.n - 1}))
        return front_close(f, "HTTP on a mail port");
    f->talked = true;
    if (f->in_exchange)
        return response_line(f, line, out);
    if (front_is_challenged(f))
        return front_challenge_answered(f, &words, out);
    return command_line(f, line, out);
}

/* RFC 5804, 2.2: after the handshake the server speaks first. */
static void after_handshake(struct front *f, struct buf *out)
{
    f->state = STATE_COMMAND;
    write_capabilities(f, out);
    front_say(f, out, "OK \"TLS negotiation successful\"");
}

enum front_want sieve_read(struct front *f, struct buf *in, struct buf *out)
{
    if (f->state == STATE_HANDSHAKE)
        after_handshake(f, out);
    for (;;) {
        struct str line = buf_str(in);
        enum sieve_unit unit = sieve_unit(line, true, &line.n);
        if (f->errors >= f->setup.max_errors)
            return front_last_words(f, out, "BYE \"Too many errors\"", "too many errors");
        if (unit == SIEVE_LONG)
            return front_last_words(f, out, "BYE \"Command too long\"", "line too long");
        if (unit == SIEVE_MORE)
            return FRONT_MORE;
        if (memchr(line.p, 0, line.n))
            return front_last_words(f, out, "BYE \"NUL in a command\"", "NUL in a command");
        enum front_want want = take(f, line, out);
        buf_take(in, (uint32_t)line.n);
        if (out->full)
            return front_close(f, "answers are not taken");
        if (want != FRONT_MORE)
            return want;
    }
}
