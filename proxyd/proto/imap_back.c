/* SPDX-License-Identifier: ISC
 *
 * The IMAP client that logs in on a node: greeting, capabilities, STARTTLS, the client's address by
 * ID (RFC 2971, with the field names that Dovecot knows), then LOGIN or AUTHENTICATE. With as few
 * round trips as the node's words allow: ID and the login go out together. Nothing that a node said
 * before TLS is kept. Called by session.c and the health checks through the row in protocol.c. */
#include "proto/imap.h"

#include "proto/back.h"

#include <assert.h>
#include <string.h>

enum {
    STATE_GREETING,
    STATE_CAPABILITY,
    STATE_STARTTLS,
    STATE_HANDSHAKE,     /* the next call comes after it */
    STATE_SEND_MESSAGE,  /* the login is under way: the next + asks for the SASL message, */
    STATE_SEND_LOGIN,    /* for the literal with the login, */
    STATE_SEND_PASSWORD, /* for the one with the password, */
    STATE_TOKEN_SENT,    /* or says why a token was refused */
    STATE_ANSWER,        /* of the login; no + may come any more */
    STATE_LOGOUT
};

/* What of a node's capabilities matters here: bits of the names below. */
enum {
    CAN_ID = 1u << 0,
    CAN_STARTTLS = 1u << 1,
    CAN_SASL_IR = 1u << 2,
    CAN_NOT_LOGIN = 1u << 3,
    CAN_LITERAL_PLUS = 1u << 4,
    CAN_LITERAL_MINUS = 1u << 5,
    CAN_PLAIN = 1u << 6,
    CAN_XOAUTH2 = 1u << 7,
    CAN_OAUTHBEARER = 1u << 8
};

static const struct str capability_names[] = {
    STR("ID"),
    STR("STARTTLS"),
    STR("SASL-IR"),
    STR("LOGINDISABLED"),
    STR("LITERAL+"),
    STR("LITERAL-"),
    STR("AUTH=PLAIN"),
    STR("AUTH=XOAUTH2"),
    STR("AUTH=OAUTHBEARER"),
};

static unsigned announced(const struct back *b)
{
    struct str rest = buf_str(&b->capabilities), word;
    unsigned can = 0;
    while (rest.n && (word = str_word(&rest)).n)
        for (unsigned i = 0; i < sizeof capability_names / sizeof *capability_names; i++)
            if (str_eq_nocase(word, capability_names[i]))
                can |= 1u << i;
    return can;
}

/* ---- the login ---- */

static struct str secret(const struct back *b)
{
    return buf_str(&b->setup.creds->secret);
}

/* Whether TEXT may stand between quotes (RFC 9051, 4.3: no 8-bit before UTF8=ACCEPT). */
static bool is_quotable(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < ' ' || text.p[i] > '~')
            return false;
    return true;
}

static bool fits_one_line(const struct back *b)
{
    return !back_needs_sasl(b) && is_quotable(str_of(back_login(b))) && is_quotable(secret(b));
}

static void write_quoted(struct buf *out, struct str text)
{
    buf_adds(out, "\"");
    size_t from = 0;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '"' || text.p[i] == '\\') {
            buf_add(out, text.p + from, i - from);
            buf_adds(out, "\\");
            from = i;
        }
    buf_add(out, text.p + from, text.n - from);
    buf_adds(out, "\"");
}

static void write_field(struct buf *out, const char *name, const char *value)
{
    buf_addf(out, "\"%s\" ", name);
    write_quoted(out, str_of(value));
    buf_adds(out, " ");
}

static bool is_ip(const struct addr *a)
{
    return a->len && (a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6);
}

static void write_address(struct buf *out, const char *ip_name, const char *port_name,
                          const struct addr *a)
{
    char text[ADDR_TEXT];
    if (!is_ip(a))
        return;
    write_field(out, ip_name, addr_host(a, text));
    buf_addf(out, "\"%s\" \"%u\" ", port_name, addr_port(a));
}

static void identify(struct back *b, struct buf *out)
{
    buf_adds(out, "i ID (");
    write_address(out, "x-originating-ip", "x-originating-port", b->setup.client);
    write_address(out, "x-connected-ip", "x-connected-port", b->setup.local);
    write_field(out, "x-session-id", b->setup.session_id);
    buf_adds(out, "\"name\" \"proxyd\")\r\n");
    b->waiting++;
}

static void send_message(struct back *b, struct buf *out)
{
    struct sasl_login message = back_message(b);
    sasl_initial(out, &message);
    buf_adds(out, "\r\n");
    b->state = back_is_token(b) ? STATE_TOKEN_SENT : STATE_ANSWER;
}

static enum back_want authenticate(struct back *b, unsigned can, struct buf *out)
{
    buf_adds(out, "l AUTHENTICATE ");
    buf_adds(out, sasl_name(back_is_token(b) ? b->setup.creds->mech : SASL_PLAIN));
    buf_adds(out, can & CAN_SASL_IR ? " " : "\r\n");
    b->state = STATE_SEND_MESSAGE;
    if (can & CAN_SASL_IR)
        send_message(b, out);
    return BACK_MORE;
}

static void send_login(struct back *b, struct buf *out, const char *plus)
{
    buf_addf(out, "%s {%zu%s}\r\n", back_login(b), secret(b).n, plus);
    b->state = STATE_SEND_PASSWORD;
}

static void send_password(struct back *b, struct buf *out)
{
    buf_add(out, secret(b).p, secret(b).n);
    buf_adds(out, "\r\n");
    b->state = STATE_ANSWER;
}

static enum back_want login_literals(struct back *b, unsigned can, struct buf *out)
{
    bool at_once = can & CAN_LITERAL_PLUS || (can & CAN_LITERAL_MINUS && secret(b).n <= 4096);
    const char *plus = at_once ? "+" : "";
    buf_addf(out, "l LOGIN {%zu%s}\r\n", strlen(back_login(b)), plus);
    b->state = STATE_SEND_LOGIN;
    if (at_once) {
        send_login(b, out, plus);
        send_password(b, out);
    }
    return BACK_MORE;
}

static enum back_want log_in(struct back *b, struct buf *out)
{
    unsigned can = announced(b), mech = CAN_PLAIN;
    if (b->setup.identify && can & CAN_ID)
        identify(b, out);
    b->waiting++;
    if (back_is_token(b))
        mech = b->setup.creds->mech == SASL_XOAUTH2 ? CAN_XOAUTH2 : CAN_OAUTHBEARER;
    else if (b->setup.creds->mech == SASL_EXTERNAL && !b->setup.master_user)
        return back_fail(b, "EXTERNAL needs a master user");
    bool can_login = !back_needs_sasl(b) && !(can & CAN_NOT_LOGIN);
    if (can_login && fits_one_line(b)) {
        buf_adds(out, "l LOGIN ");
        write_quoted(out, str_of(back_login(b)));
        buf_adds(out, " ");
        write_quoted(out, secret(b));
        buf_adds(out, "\r\n");
        b->state = STATE_ANSWER;
        return BACK_MORE;
    }
    if (can & mech)
        return authenticate(b, can, out);
    if (can_login)
        return login_literals(b, can, out);
    return back_fail(b, "the node offers no way to log in with these credentials");
}

/* ---- what comes before it ---- */

/* A login in one line asks for nothing but LOGINDISABLED, and a node that says so says it in its
 * greeting or refuses by itself. */
static bool needs_capabilities(const struct back *b)
{
    const struct back_setup *s = &b->setup;
    return !s->creds || s->starttls || s->identify || !fits_one_line(b);
}

/* A node that tells none, although RFC 3501 (6.1.1) wants it to, has LOGIN. */
static void assume_capabilities(struct back *b)
{
    if (buf_len(&b->capabilities) == 0)
        buf_adds(&b->capabilities, "IMAP4rev1");
}

/* The next command, now that the greeting, the capabilities or TLS are there. */
static enum back_want proceed(struct back *b, struct buf *out)
{
    if (buf_len(&b->capabilities) == 0 && needs_capabilities(b))
        return back_say(b, out, STATE_CAPABILITY, "c CAPABILITY\r\n");
    if (b->setup.starttls && !b->setup.tls)
        return announced(b) & CAN_STARTTLS ? back_say(b, out, STATE_STARTTLS, "t STARTTLS\r\n")
                                           : back_fail(b, "the node does not offer STARTTLS");
    if (!b->setup.creds)
        return back_say(b, out, STATE_LOGOUT, "q LOGOUT\r\n");
    return log_in(b, out);
}

/* ---- what the node says ---- */

static void keep_capabilities(struct back *b, const char *words, const char *end)
{
    buf_clear(&b->capabilities);
    buf_add(&b->capabilities, words, (size_t)(end - words));
}

/* The capabilities in an OK's response code, if they are there. */
static void learn_from_code(struct back *b, struct str text)
{
    static const char code[] = " [CAPABILITY ";
    const char *end = text.n ? memchr(text.p, ']', text.n) : NULL;
    if (end && str_starts(text, code))
        keep_capabilities(b, text.p + sizeof code - 1, end);
}

static enum back_want on_greeting(struct back *b, struct str line, struct buf *out)
{
    struct str rest = line, star = str_word(&rest), word = str_word(&rest);
    if (!str_is(star, "*"))
        return back_fail(b, "the node does not greet as an IMAP server");
    if (str_is(word, "BYE"))
        return back_fail(b, "the node greets with BYE");
    if (str_is(word, "PREAUTH"))
        return back_fail(b, "the node greets with PREAUTH");
    if (!str_is(word, "OK"))
        return back_fail(b, "the node does not greet with OK");
    learn_from_code(b, rest);
    return proceed(b, out);
}

/* Whether LINE goes on with a literal, be its size as it may; nothing that we ask for does. */
static bool has_literal(struct str line)
{
    size_t n = line.n;
    if (line.p[n - 1] != '}')
        return false;
    while (n > 1 && memchr("0123456789+", line.p[n - 2], 11))
        n--;
    return n > 1 && n < line.n && line.p[n - 2] == '{';
}

/* Lines for the client are kept once ours for ID is answered. A BYE is not one of them: the
 * connection that it speaks of is not the client's. */
static enum back_want on_untagged(struct back *b, struct str line)
{
    struct str rest = {line.p + 2, line.n - 2}, word = str_word(&rest);
    if (has_literal(line))
        return back_fail(b, "the node sends a literal");
    if (str_is(word, "BYE")) {
        b->error = "the node says BYE";
        return b->waiting || b->state == STATE_LOGOUT ? BACK_MORE : BACK_FAILED;
    }
    if (b->state == STATE_CAPABILITY && str_is(word, "CAPABILITY") && rest.n)
        keep_capabilities(b, rest.p + 1, rest.p + rest.n);
    if (b->waiting != 1)
        return BACK_MORE;
    buf_add(&b->reply, line.p, line.n);
    return buf_adds(&b->reply, "\r\n") ? BACK_MORE : back_fail(b, "the node's answer is too long");
}

static bool is_base64(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/' || c == '='))
            return false;
    }
    return true;
}

/* The client will say what ends the exchange to us; the node hears it now (RFC 7628, 3.2.3; Google
 * asks for an empty line). */
static enum back_want on_error_challenge(struct back *b, struct str text, struct buf *out)
{
    if (!is_base64(text) || !buf_add(&b->challenge, text.p, text.n))
        return back_fail(b, "the node's challenge is malformed");
    buf_adds(out, b->setup.creds->mech == SASL_OAUTHBEARER ? "AQ==\r\n" : "\r\n");
    b->state = STATE_ANSWER;
    return BACK_MORE;
}

static enum back_want on_continue(struct back *b, struct str line, struct buf *out)
{
    struct str text = {line.p + 1, line.n - 1};
    unsigned state = b->waiting == 1 ? b->state : STATE_ANSWER;
    if (state == STATE_SEND_MESSAGE)
        send_message(b, out);
    else if (state == STATE_SEND_LOGIN)
        send_login(b, out, "");
    else if (state == STATE_SEND_PASSWORD)
        send_password(b, out);
    else if (state == STATE_TOKEN_SENT)
        return on_error_challenge(b, str_word(&text), out);
    else
        return back_fail(b, "the node asks for more without a reason");
    return BACK_MORE;
}

static enum back_want on_login_answer(struct back *b, struct str answer, bool ok)
{
    if (ok && b->error)
        return back_fail(b, b->error);
    if (ok && b->state != STATE_ANSWER && b->state != STATE_TOKEN_SENT)
        return back_fail(b, "the node accepts a login that was not sent");
    b->waiting = 0;
    buf_add(&b->reply, answer.p, answer.n);
    if (!buf_adds(&b->reply, "\r\n"))
        return back_fail(b, "the node's answer is too long");
    return ok ? BACK_OK : BACK_REFUSED;
}

/* The tag of the command whose answer comes next. */
static const char *awaited_tag(const struct back *b)
{
    switch (b->state) {
    case STATE_CAPABILITY:
        return "c";
    case STATE_STARTTLS:
        return "t";
    case STATE_LOGOUT:
        return "q";
    default:
        return b->waiting > 1 ? "i" : "l";
    }
}

static enum back_want on_tagged(struct back *b, struct str line, struct buf *out)
{
    struct str rest = line, tag = str_word(&rest), word = str_word(&rest);
    struct str answer = {word.p, (size_t)(line.p + line.n - word.p)};
    bool ok = str_is(word, "OK");
    if (!str_eq(tag, str_of(awaited_tag(b))))
        return back_fail(b, "the node answers what was not asked");
    if (!ok && !str_is(word, "NO") && !str_is(word, "BAD"))
        return back_fail(b, "the node's answer is malformed");
    switch (b->state) {
    case STATE_CAPABILITY:
        assume_capabilities(b);
        return proceed(b, out);
    case STATE_STARTTLS:
        if (!ok)
            return back_fail(b, "the node refuses STARTTLS");
        b->state = STATE_HANDSHAKE;
        return BACK_STARTTLS;
    case STATE_LOGOUT:
        return BACK_LEFT;
    }
    if (b->waiting == 1)
        return on_login_answer(b, answer, ok);
    b->waiting--;
    return BACK_MORE;
}

/* Of the node's words some reach the client, as lines of ours. */
static bool is_text(struct str line)
{
    for (size_t i = 0; i < line.n; i++)
        if ((unsigned char)line.p[i] < ' ' && line.p[i] != '\t')
            return false;
    return true;
}

static enum back_want on_line(struct back *b, struct str line, struct buf *out)
{
    if (!is_text(line))
        return back_fail(b, "the node sends control characters");
    if (b->state == STATE_GREETING)
        return on_greeting(b, line, out);
    if (str_starts(line, "* "))
        return on_untagged(b, line);
    if (str_starts(line, "+"))
        return on_continue(b, line, out);
    return on_tagged(b, line, out);
}

enum back_want imap_back_read(struct back *b, struct buf *in, struct buf *out)
{
    enum back_want want = BACK_MORE;
    if (b->state == STATE_HANDSHAKE) {
        assert(b->setup.tls);
        buf_clear(&b->capabilities);
        want = proceed(b, out);
    }
    return back_read_lines(b, want, in, out, on_line);
}
