/* SPDX-License-Identifier: ISC
 *
 * The SMTP client that logs in on a submission node: greeting, EHLO, STARTTLS, the client's address
 * by XCLIENT (as Postfix defines it), then AUTH. A node that asks for no password but trusts our
 * word is told by XCLIENT LOGIN, where we know that it is he. Nothing that a node said before TLS
 * is kept. Where mail is to be handed over, nobody logs in. Called by the engines and the health
 * checks through the rows in protocol.c. */
#include "proto/smtp.h"

#include "proto/back.h"
#include "proto/smtp_path.h"

#include <assert.h>
#include <string.h>

/* Which answer comes next. */
enum {
    STATE_GREETING,
    STATE_EHLO,
    STATE_HELO, /* of a node that knows no EHLO */
    STATE_STARTTLS,
    STATE_HANDSHAKE,     /* none: the next call comes after it */
    STATE_XCLIENT,       /* the greeting anew, */
    STATE_EHLO_AGAIN,    /* and then AUTH; */
    STATE_XCLIENT_LOGIN, /* the same where XCLIENT has been the login: */
    STATE_EHLO_LOGGED_IN,
    STATE_MESSAGE,  /* the 334 that asks for the SASL message, */
    STATE_LOGIN,    /* for the login, */
    STATE_PASSWORD, /* for the password */
    STATE_SENT,     /* the end; before it a 334 may say why a token is refused */
    STATE_TOLD,     /* the end, after that 334 */
    STATE_QUIT
};

/* What a node can be told by XCLIENT: bits of the names below, the most important one first. */
enum {
    TELL_LOGIN = 1u << 0,
    TELL_ADDR = 1u << 1,
    TELL_PORT = 1u << 2,
    TELL_NAME = 1u << 3,
    TELL_PROTO = 1u << 4,
    TELL_SESSION = 1u << 5,
    TELL_HELO = 1u << 6,
    TELL_DESTADDR = 1u << 7,
    TELL_DESTPORT = 1u << 8
};

static const char *const attribute_names[] = {"LOGIN",   "ADDR", "PORT",     "NAME",    "PROTO",
                                              "SESSION", "HELO", "DESTADDR", "DESTPORT"};
enum { ATTRIBUTE_COUNT = sizeof attribute_names / sizeof *attribute_names };

/* What of a node's capabilities matters here. */
struct offer {
    bool starttls;
    unsigned mechanisms; /* bits 1u << SASL_* */
    unsigned attributes; /* of XCLIENT: bits TELL_* */
};

static unsigned read_attributes(struct str names)
{
    struct str name;
    unsigned all = 0;
    while ((name = str_word(&names)).n)
        for (unsigned i = 0; i < ATTRIBUTE_COUNT; i++)
            if (str_is(name, attribute_names[i]))
                all |= 1u << i;
    return all;
}

static struct offer announced(const struct back *b)
{
    struct str all = buf_str(&b->capabilities), entry;
    struct offer offer = {0};
    while ((entry = proto_entry(&all, ',')).n) {
        struct str word = str_word(&entry);
        if (str_is(word, "STARTTLS"))
            offer.starttls = true;
        else if (str_is(word, "AUTH"))
            offer.mechanisms |= back_mechanisms(entry);
        else if (str_is(word, "XCLIENT"))
            offer.attributes |= read_attributes(entry);
    }
    return offer;
}

/* ---- the client's address ---- */

static enum back_want say_ehlo(struct back *b, struct buf *out, unsigned state)
{
    buf_add_texts(out, b->lmtp ? "LHLO " : "EHLO ", b->setup.helo, "\r\n");
    return back_say(b, out, state, "");
}

static bool is_ip(const struct addr *a)
{
    return a->len && (a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6);
}

static void write_address(const struct addr *a, struct buf *out)
{
    char text[ADDR_TEXT];
    buf_adds(out, a->sa.sa_family == AF_INET6 ? "IPV6:" : "");
    buf_adds(out, addr_host(a, text));
}

/* What the client speaks, in words that the node's protocol has: nobody is told LMTP by SMTP. */
static const char *said(const struct back *b)
{
    bool lmtp = b->setup.said && strcmp(b->setup.said, "LMTP") == 0;
    return !b->setup.said || (lmtp && !b->lmtp) ? "ESMTP" : b->setup.said;
}

/* NAME: where nobody has told it, the node's name for us must not stay. */
static void write_attribute(const struct back *b, unsigned which, struct buf *out)
{
    switch (which) {
    case TELL_LOGIN:
        smtp_path_xtext(out, str_of(back_login(b)));
        break;
    case TELL_ADDR:
        write_address(b->setup.client, out);
        break;
    case TELL_PORT:
        buf_addf(out, "%u", addr_port(b->setup.client));
        break;
    case TELL_NAME:
        smtp_path_xtext(out, str_of(b->setup.name ? b->setup.name : "[UNAVAILABLE]"));
        break;
    case TELL_PROTO:
        buf_adds(out, said(b));
        break;
    case TELL_SESSION:
        smtp_path_xtext(out, str_of(b->setup.session_id));
        break;
    case TELL_HELO:
        smtp_path_xtext(out, str_of(b->setup.helo));
        break;
    case TELL_DESTADDR:
        write_address(b->setup.local, out);
        break;
    case TELL_DESTPORT:
        buf_addf(out, "%u", addr_port(b->setup.local));
    }
}

/* Adds an attribute to LINE; false where the command has no room for it. */
static bool add_attribute(const struct back *b, unsigned i, struct buf *line)
{
    char space[SMTP_COMMAND_MAX];
    struct buf one;
    buf_init(&one, space, sizeof space, sizeof space);
    buf_addf(&one, " %s=", attribute_names[i]);
    write_attribute(b, 1u << i, &one);
    return !one.full && buf_add(line, buf_str(&one).p, buf_len(&one));
}

static enum back_want say_xclient(struct back *b, unsigned attributes, struct buf *out)
{
    char space[SMTP_COMMAND_MAX - 2]; /* CR LF */
    struct buf line;
    buf_init(&line, space, sizeof space, sizeof space);
    buf_adds(&line, "XCLIENT");
    for (unsigned i = 0; i < ATTRIBUTE_COUNT; i++)
        if (attributes & 1u << i && !add_attribute(b, i, &line) && 1u << i == TELL_LOGIN)
            return back_fail(b, "the login is too long for XCLIENT");
    buf_add(out, buf_str(&line).p, buf_len(&line));
    return back_say(b, out, attributes & TELL_LOGIN ? STATE_XCLIENT_LOGIN : STATE_XCLIENT, "\r\n");
}

/* ---- the login ---- */

/* Whether the message may go along with AUTH (RFC 4954, 4.). */
static bool fits_auth(const struct sasl_login *m)
{
    return strlen("AUTH  \r\n") + strlen(sasl_name(m->mech)) + sasl_size(m) <= SMTP_COMMAND_MAX;
}

/* The mechanism for these credentials, if the node has it. */
static bool choose(const struct back *b, unsigned offered, enum sasl_mech *mech)
{
    if (b->setup.creds->mech == SASL_EXTERNAL && !b->setup.master_user)
        return false;
    *mech = back_message(b).mech;
    if (!(offered & 1u << *mech) && !back_needs_sasl(b))
        *mech = SASL_LOGIN;
    return offered & 1u << *mech;
}

static enum back_want send_message(struct back *b, struct buf *out)
{
    struct sasl_login message = back_message(b);
    sasl_initial(out, &message);
    return back_say(b, out, STATE_SENT, "\r\n");
}

static enum back_want send_text(struct back *b, unsigned state, struct str text, struct buf *out)
{
    sasl_encode(out, text);
    return back_say(b, out, state, "\r\n");
}

static enum back_want log_in(struct back *b, struct buf *out)
{
    if (b->setup.mail)
        return BACK_OK;
    struct sasl_login message = back_message(b);
    enum sasl_mech mech;
    if (!choose(b, announced(b).mechanisms, &mech))
        return back_fail(b, "the node offers no way to log in with these credentials");
    if (mech == SASL_LOGIN)
        return back_say(b, out, STATE_LOGIN, "AUTH LOGIN\r\n");
    buf_add_texts(out, "AUTH ", sasl_name(mech));
    if (!fits_auth(&message))
        return back_say(b, out, STATE_MESSAGE, "\r\n");
    buf_adds(out, " ");
    return send_message(b, out);
}

/* What is next, when all that has to be known of the node is known. */
static enum back_want proceed(struct back *b, struct buf *out)
{
    const struct back_setup *s = &b->setup;
    struct offer offer = announced(b);
    enum sasl_mech mech;
    if (s->starttls && !s->tls)
        return offer.starttls ? back_say(b, out, STATE_STARTTLS, "STARTTLS\r\n")
                              : back_fail(b, "the node does not offer STARTTLS");
    if (!s->creds && !s->mail)
        return back_say(b, out, STATE_QUIT, "QUIT\r\n");
    unsigned attributes = s->identify ? offer.attributes : 0;
    if (!is_ip(s->client))
        attributes &= TELL_LOGIN;
    if (!is_ip(s->local))
        attributes &= ~(unsigned)(TELL_DESTADDR | TELL_DESTPORT);
    if (s->mail || !s->verified || choose(b, offer.mechanisms, &mech))
        attributes &= ~(unsigned)TELL_LOGIN;
    return attributes & (TELL_LOGIN | TELL_ADDR) ? say_xclient(b, attributes, out) : log_in(b, out);
}

/* ---- what the node says ---- */

/* The lines of the reply but for the first, which greets, each ended by a comma, so that the words
 * of one stay together. */
static bool learn(struct back *b)
{
    struct str rest = buf_str(&b->reply), line;
    struct smtp_reply r;
    size_t used;
    buf_clear(&b->capabilities);
    for (bool first = true; str_line(rest, &line, &used); first = false) {
        rest = (struct str){rest.p + used, rest.n - used};
        if (first || !smtp_reply(line, &r) || memchr(r.text.p, ',', r.text.n))
            continue;
        buf_add(&b->capabilities, r.text.p, r.text.n);
        buf_adds(&b->capabilities, ",");
    }
    return !b->capabilities.full;
}

/* A node that knows no EHLO has no extensions, and nobody can log in there (RFC 5321, 3.2). */
static enum back_want on_helo(struct back *b, unsigned code, struct buf *out)
{
    if (code != 250)
        return back_fail(b, "the node refuses HELO");
    buf_clear(&b->capabilities);
    return proceed(b, out);
}

static enum back_want on_ehlo(struct back *b, unsigned code, struct buf *out)
{
    if (code >= 500 && !b->lmtp && !b->setup.creds && b->state == STATE_EHLO) {
        buf_add_texts(out, "HELO ", b->setup.helo, "\r\n");
        return back_say(b, out, STATE_HELO, "");
    }
    if (code != 250)
        return back_fail(b, "the node refuses EHLO");
    if (!learn(b))
        return back_fail(b, "the node's capabilities are too long");
    if (b->state == STATE_EHLO)
        return proceed(b, out);
    if (b->state == STATE_EHLO_AGAIN)
        return log_in(b, out);
    buf_clear(&b->reply);
    buf_adds(&b->reply, "235 2.7.0 Authentication successful\r\n");
    return BACK_OK;
}

/* A node that does not trust us has a poorer log; the user is no less he, unless he is only what we
 * say. */
static enum back_want on_xclient(struct back *b, unsigned code, struct buf *out)
{
    bool only = b->state == STATE_XCLIENT_LOGIN;
    if (code < 300)
        return say_ehlo(b, out, only ? STATE_EHLO_LOGGED_IN : STATE_EHLO_AGAIN);
    return only ? back_fail(b, "the node refuses XCLIENT LOGIN") : log_in(b, out);
}

/* The client will say what ends the exchange to us; the node hears it now (RFC 7628, 3.2.3; Google
 * asks for an empty line). */
static enum back_want on_error_challenge(struct back *b, struct str text, struct buf *out)
{
    struct str challenge = str_word(&text);
    buf_add(&b->challenge, challenge.p, challenge.n);
    return back_say(b, out, STATE_TOLD,
                    b->setup.creds->mech == SASL_OAUTHBEARER ? "AQ==\r\n" : "\r\n");
}

static enum back_want on_continue(struct back *b, struct str text, struct buf *out)
{
    switch (b->state) {
    case STATE_MESSAGE:
        return send_message(b, out);
    case STATE_LOGIN:
        return send_text(b, STATE_PASSWORD, str_of(back_login(b)), out);
    case STATE_PASSWORD:
        return send_text(b, STATE_SENT, back_message(b).secret, out);
    case STATE_SENT:
        if (back_is_token(b))
            return on_error_challenge(b, text, out);
    }
    return back_fail(b, "the node asks for more without a reason");
}

static enum back_want on_login(struct back *b, const struct smtp_reply *r, struct buf *out)
{
    bool sent = b->state == STATE_SENT || b->state == STATE_TOLD;
    if (r->code == 334)
        return on_continue(b, r->text, out);
    if (r->code >= 400)
        return BACK_REFUSED;
    if (r->code != 235)
        return back_fail(b, "the node's answer is malformed");
    return sent ? BACK_OK : back_fail(b, "the node accepts a login that was not sent");
}

static enum back_want on_reply(struct back *b, const struct smtp_reply *r, struct buf *out)
{
    if (b->state == STATE_QUIT)
        return BACK_LEFT;
    if (r->code == 421)
        return back_fail(b, "the node closes the connection with 421");
    switch (b->state) {
    case STATE_GREETING:
        return r->code == 220 ? say_ehlo(b, out, STATE_EHLO)
                              : back_fail(b, "the node does not greet with 220");
    case STATE_STARTTLS:
        b->state = STATE_HANDSHAKE;
        return r->code == 220 ? BACK_STARTTLS : back_fail(b, "the node refuses STARTTLS");
    case STATE_EHLO:
    case STATE_EHLO_AGAIN:
    case STATE_EHLO_LOGGED_IN:
        return on_ehlo(b, r->code, out);
    case STATE_HELO:
        return on_helo(b, r->code, out);
    case STATE_XCLIENT:
    case STATE_XCLIENT_LOGIN:
        return on_xclient(b, r->code, out);
    default:
        return on_login(b, r, out);
    }
}

/* All lines of the reply that is coming are kept: they are the client's, or EHLO's list. */
static bool keep_line(struct back *b, struct str line)
{
    struct str before = buf_str(&b->reply);
    if (before.n && memcmp(before.p, line.p, 3) != 0)
        return false;
    buf_add(&b->reply, line.p, line.n);
    buf_adds(&b->reply, "\r\n");
    return true;
}

static enum back_want on_line(struct back *b, struct str line, struct buf *out)
{
    struct smtp_reply r;
    if (smtp_has_control(line))
        return back_fail(b, "the node sends control characters");
    if (!smtp_reply(line, &r) || !keep_line(b, line))
        return back_fail(b, "the node's answer is malformed");
    if (b->reply.full)
        return back_fail(b, "the node's answer is too long");
    if (r.more)
        return BACK_MORE;
    enum back_want want = on_reply(b, &r, out);
    if (want == BACK_MORE || want == BACK_STARTTLS)
        buf_clear(&b->reply);
    return want;
}

enum back_want smtp_back_read(struct back *b, struct buf *in, struct buf *out)
{
    enum back_want want = BACK_MORE;
    if (b->state == STATE_HANDSHAKE) {
        assert(b->setup.tls);
        want = say_ehlo(b, out, STATE_EHLO);
    }
    return back_read_lines(b, want, in, out, on_line);
}

enum back_want lmtp_back_read(struct back *b, struct buf *in, struct buf *out)
{
    b->lmtp = true;
    return smtp_back_read(b, in, out);
}
