/* SPDX-License-Identifier: ISC
 *
 * The POP3 client that logs in on a node: greeting, CAPA where something depends on it, STLS, the
 * client's address by XCLIENT (as Dovecot knows it), then USER and PASS, or AUTH. Where the node
 * takes PIPELINING, all of the login goes out at once. Nothing that a node said before TLS is kept.
 * Called by session.c and the health checks through the row in protocol.c. */
#include "proto/pop3.h"

#include "proto/back.h"

#include <assert.h>
#include <string.h>

/* Which answer comes next. */
enum {
    STATE_GREETING,
    STATE_CAPA,
    STATE_CAPA_LIST, /* its lines, up to the "." */
    STATE_STLS,
    STATE_HANDSHAKE, /* none: the next call comes after it */
    STATE_XCLIENT,
    STATE_USER,
    STATE_PASS,
    STATE_AUTH,      /* the + that asks for the message */
    STATE_AUTH_SENT, /* the end; before it a + may say why a token is refused */
    STATE_AUTH_TOLD, /* the end, after that + */
    STATE_QUIT
};

enum { COMMAND_MAX = 255 }; /* bytes of a command with its CR LF (RFC 2449, 4.) */

/* What of a node's capabilities matters here: bits of the names below, then one for each SASL
 * mechanism. */
enum {
    CAN_STLS = 1u << 0,
    CAN_XCLIENT = 1u << 1,
    CAN_PIPELINING = 1u << 2,
    CAN_USER = 1u << 3,
    CAN_SASL = 1u << 4 /* shifted by an enum sasl_mech */
};

static const char *const capability_names[] = {"STLS", "XCLIENT", "PIPELINING", "USER"};

static unsigned announced(const struct back *b)
{
    struct str all = buf_str(&b->capabilities), entry;
    unsigned can = 0;
    while ((entry = proto_entry(&all, ',')).n) {
        struct str word = str_word(&entry);
        for (unsigned i = 0; i < sizeof capability_names / sizeof *capability_names; i++)
            if (str_is(word, capability_names[i]))
                can |= 1u << i;
        if (str_is(word, "SASL"))
            can |= back_mechanisms(entry) * CAN_SASL;
    }
    return can;
}

/* ---- the login ---- */

/* Whether the message may go along with AUTH (RFC 5034, 4.). */
static bool fits_auth(const struct sasl_login *m)
{
    return strlen("AUTH  \r\n") + strlen(sasl_name(m->mech)) + sasl_size(m) <= COMMAND_MAX;
}

/* Whether every node takes the login and the password from USER and PASS as they are: with blanks
 * and long commands servers differ. */
static bool fits_user_pass(const struct back *b)
{
    size_t most = COMMAND_MAX - strlen("USER \r\n");
    struct str login = str_of(back_login(b)), password = buf_str(&b->setup.creds->secret);
    return login.n <= most && !memchr(login.p, ' ', login.n) && password.n <= most &&
           password.n > 0 && password.p[0] != ' ' && password.p[password.n - 1] != ' ';
}

/* A password that USER and PASS might spoil goes by AUTH where that is announced, else by them
 * nevertheless: then the node's own word decides. */
static bool uses_auth(const struct back *b, unsigned can)
{
    bool plain = can & (unsigned)CAN_SASL << SASL_PLAIN;
    return back_needs_sasl(b) || (plain && !(can & CAN_USER && fits_user_pass(b)));
}

static void write_command(const struct back *b, unsigned state, struct buf *out)
{
    struct sasl_login message = back_message(b);
    char text[ADDR_TEXT];
    switch (state) {
    case STATE_XCLIENT:
        buf_addf(out, "XCLIENT ADDR=%s PORT=%u SESSION=%s", addr_host(b->setup.client, text),
                 addr_port(b->setup.client), b->setup.session_id);
        break;
    case STATE_USER:
        buf_addf(out, "USER %s", back_login(b));
        break;
    case STATE_PASS:
        buf_adds(out, "PASS ");
        buf_add(out, message.secret.p, message.secret.n);
        break;
    default:
        buf_addf(out, "AUTH %s", sasl_name(message.mech));
        if (state == STATE_AUTH_SENT) {
            buf_adds(out, " ");
            sasl_initial(out, &message);
        }
    }
    buf_adds(out, "\r\n");
}

/* What comes after the command of STATE, one of XCLIENT and USER. */
static unsigned next_state(const struct back *b, unsigned state)
{
    struct sasl_login message = back_message(b);
    if (state == STATE_USER)
        return STATE_PASS;
    if (!uses_auth(b, announced(b)))
        return STATE_USER;
    return fits_auth(&message) ? STATE_AUTH_SENT : STATE_AUTH;
}

/* Sends the login from the command of STATE on: that one only, or with PIPELINING all. */
static enum back_want send_login(struct back *b, unsigned state, struct buf *out)
{
    bool more = announced(b) & CAN_PIPELINING;
    b->state = state;
    for (;;) {
        write_command(b, state, out);
        b->waiting++;
        if (!more || !(state == STATE_XCLIENT || state == STATE_USER))
            return BACK_MORE;
        state = next_state(b, state);
    }
}

/* The answer to XCLIENT or USER has come. */
static enum back_want go_on(struct back *b, struct buf *out)
{
    unsigned state = next_state(b, b->state);
    if (--b->waiting == 0)
        return send_login(b, state, out);
    b->state = state;
    return BACK_MORE;
}

static enum back_want log_in(struct back *b, struct buf *out)
{
    unsigned can = announced(b);
    const struct addr *client = b->setup.client;
    if (b->setup.creds->mech == SASL_EXTERNAL && !b->setup.master_user)
        return back_fail(b, "EXTERNAL needs a master user");
    if (back_needs_sasl(b) && !(can & (unsigned)CAN_SASL << back_message(b).mech))
        return back_fail(b, "the node offers no way to log in with these credentials");
    bool identify =
        b->setup.identify && can & CAN_XCLIENT && client->len && client->sa.sa_family != AF_UNIX;
    return send_login(b, identify ? STATE_XCLIENT : next_state(b, STATE_XCLIENT), out);
}

/* ---- what comes before it ---- */

/* What is next, when all that has to be known of the node is known. */
static enum back_want proceed(struct back *b, struct buf *out)
{
    if (b->setup.starttls && !b->setup.tls)
        return announced(b) & CAN_STLS ? back_say(b, out, STATE_STLS, "STLS\r\n")
                                       : back_fail(b, "the node does not offer STLS");
    if (!b->setup.creds)
        return back_say(b, out, STATE_QUIT, "QUIT\r\n");
    return log_in(b, out);
}

/* After the greeting, or TLS. */
static enum back_want begin(struct back *b, struct buf *out)
{
    const struct back_setup *s = &b->setup;
    bool ask = !s->creds || s->identify || (s->starttls && !s->tls) || back_needs_sasl(b) ||
               !fits_user_pass(b);
    return ask ? back_say(b, out, STATE_CAPA, "CAPA\r\n") : proceed(b, out);
}

/* ---- what the node says ---- */

/* Each entry is ended by a comma, so that the words of one stay together. */
static enum back_want keep_capability(struct back *b, struct str entry)
{
    if (!memchr(entry.p, ',', entry.n))
        buf_add(&b->capabilities, entry.p, entry.n);
    return buf_adds(&b->capabilities, ",") ? BACK_MORE
                                           : back_fail(b, "the node's capabilities are too long");
}

/* Dovecot greets a proxy that it trusts with the word XCLIENT, and does not name it in CAPA. */
static enum back_want on_greeting(struct back *b, struct str line, struct buf *out)
{
    if (str_starts(line, "+OK [XCLIENT]"))
        keep_capability(b, str_of("XCLIENT"));
    return begin(b, out);
}

static enum back_want on_end(struct back *b, struct str line, bool ok)
{
    buf_add(&b->reply, line.p, line.n);
    buf_adds(&b->reply, "\r\n");
    return ok ? BACK_OK : BACK_REFUSED;
}

/* A + and what stands behind it. */
static enum back_want on_continue(struct back *b, struct str text, struct buf *out)
{
    struct sasl_login message;
    if (b->state == STATE_AUTH) {
        message = back_message(b);
        sasl_initial(out, &message);
        return back_say(b, out, STATE_AUTH_SENT, "\r\n");
    }
    if (b->state != STATE_AUTH_SENT || !back_is_token(b))
        return back_fail(b, "the node asks for more without a reason");
    /* The client will say what ends the exchange to us; the node hears it now (RFC 7628, 3.2.3;
     * Google asks for an empty line). */
    struct str challenge = str_word(&text);
    buf_add(&b->challenge, challenge.p, challenge.n);
    return back_say(b, out, STATE_AUTH_TOLD,
                    b->setup.creds->mech == SASL_OAUTHBEARER ? "AQ==\r\n" : "\r\n");
}

static enum back_want on_ok(struct back *b, struct str line, struct buf *out)
{
    switch (b->state) {
    case STATE_GREETING:
        return on_greeting(b, line, out);
    case STATE_CAPA:
        return back_say(b, out, STATE_CAPA_LIST, "");
    case STATE_STLS:
        b->state = STATE_HANDSHAKE;
        return BACK_STARTTLS;
    case STATE_XCLIENT:
    case STATE_USER:
        return go_on(b, out);
    case STATE_AUTH:
        return back_fail(b, "the node accepts a login that was not sent");
    case STATE_QUIT:
        return BACK_LEFT;
    default:
        return on_end(b, line, true);
    }
}

static enum back_want on_err(struct back *b, struct str line, struct buf *out)
{
    switch (b->state) {
    case STATE_GREETING:
        return back_fail(b, "the node does not greet with +OK");
    case STATE_CAPA: /* a node as old as RFC 1939 */
        return proceed(b, out);
    case STATE_STLS:
        return back_fail(b, "the node refuses STLS");
    case STATE_XCLIENT: /* it does not trust us: its log will be poorer, the user is no less he */
        return go_on(b, out);
    case STATE_QUIT:
        return BACK_LEFT;
    default:
        return on_end(b, line, false);
    }
}

static bool is_status(struct str line, const char *status)
{
    size_t n = strlen(status);
    return str_starts(line, status) && (line.n == n || line.p[n] == ' ');
}

static bool has_control(struct str line)
{
    for (size_t i = 0; i < line.n; i++)
        if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 0x7f)
            return true;
    return false;
}

static enum back_want on_line(struct back *b, struct str line, struct buf *out)
{
    if (has_control(line))
        return back_fail(b, "the node sends control characters");
    if (b->state == STATE_CAPA_LIST)
        return str_is(line, ".") ? proceed(b, out) : keep_capability(b, line);
    if (is_status(line, "+OK"))
        return on_ok(b, line, out);
    if (is_status(line, "-ERR"))
        return on_err(b, line, out);
    if (is_status(line, "+"))
        return on_continue(b, (struct str){line.p + 1, line.n - 1}, out);
    return back_fail(b, "the node's answer is malformed");
}

enum back_want pop3_back_read(struct back *b, struct buf *in, struct buf *out)
{
    enum back_want want = BACK_MORE;
    if (b->state == STATE_HANDSHAKE) {
        assert(b->setup.tls);
        buf_clear(&b->capabilities);
        want = begin(b, out);
    }
    return back_read_lines(b, want, in, out, on_line);
}

/* ---- what a client may be told of a node ---- */

/* The registered extensions that hold behind the login, whoever answers before it. Not STLS, SASL,
 * USER and XCLIENT, which are between the node and us; not UTF8 and LANG, whose commands would have
 * to be carried on; not IMPLEMENTATION, which is nobody's business. */
bool pop3_announce(struct str entry)
{
    static const char *const words[] = {"TOP",        "UIDL",   "RESP-CODES", "AUTH-RESP-CODE",
                                        "PIPELINING", "EXPIRE", "LOGIN-DELAY"};
    struct str word = str_word(&entry);
    if (has_control(entry))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_is(word, words[i]))
            return true;
    return false;
}
