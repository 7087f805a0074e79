/* SPDX-License-Identifier: ISC
 *
 * The ManageSieve client that logs in on a node (RFC 5804): the capabilities, with which a node
 * greets, STARTTLS, the client's address by XCLIENT (as Dovecot knows it), then AUTHENTICATE.
 * Nothing that a node said before TLS is kept. Called by session.c and the health checks through
 * the row in protocol.c. */
#include "proto/sieve.h"

#include "proto/back.h"
#include "proto/sieve_words.h"

#include <assert.h>
#include <string.h>

/* Which answer comes next. */
enum {
    STATE_GREETING, /* the capabilities, up to an OK; also after TLS */
    STATE_STARTTLS,
    STATE_HANDSHAKE, /* none: the next call comes after it */
    STATE_XCLIENT,
    STATE_SENT, /* the end of the login; before it a string may say why a token is refused */
    STATE_TOLD, /* the end, after that string */
    STATE_LOGOUT
};

/* What of a node's capabilities matters here. */
struct offer {
    bool starttls, xclient;
    unsigned mechanisms; /* bits 1u << SASL_* */
};

static struct offer announced(const struct back *b)
{
    struct str all = buf_str(&b->capabilities), entry;
    struct offer offer = {0};
    while ((entry = proto_entry(&all, ',')).n) {
        struct str word = str_word(&entry);
        offer.starttls |= str_is(word, "STARTTLS");
        offer.xclient |= str_is(word, "XCLIENT");
        if (str_is(word, "SASL"))
            offer.mechanisms |= back_mechanisms(entry);
    }
    return offer;
}

/* ---- what we say ---- */

static enum back_want log_in(struct back *b, struct buf *out)
{
    struct sasl_login message = back_message(b);
    size_t n = sasl_size(&message);
    if (b->setup.creds->mech == SASL_EXTERNAL && !b->setup.master_user)
        return back_fail(b, "EXTERNAL needs a master user");
    if (!(announced(b).mechanisms & 1u << message.mech))
        return back_fail(b, "the node offers no way to log in with these credentials");
    buf_addf(out, "AUTHENTICATE \"%s\" ", sasl_name(message.mech));
    sieve_open(out, n, true);
    sasl_initial(out, &message);
    sieve_close(out, n);
    return back_say(b, out, STATE_SENT, "\r\n");
}

static enum back_want identify(struct back *b, struct buf *out)
{
    char text[ADDR_TEXT];
    const struct addr *client = b->setup.client;
    buf_addf(out, "XCLIENT ADDR=%s PORT=%u SESSION=%s\r\n", addr_host(client, text),
             addr_port(client), b->setup.session_id);
    return back_say(b, out, STATE_XCLIENT, "");
}

/* What is next, now that the node has told its capabilities. */
static enum back_want proceed(struct back *b, struct buf *out)
{
    const struct back_setup *s = &b->setup;
    struct offer offer = announced(b);
    if (s->starttls && !s->tls)
        return offer.starttls ? back_say(b, out, STATE_STARTTLS, "STARTTLS\r\n")
                              : back_fail(b, "the node does not offer STARTTLS");
    if (!s->creds)
        return back_say(b, out, STATE_LOGOUT, "LOGOUT\r\n");
    bool by_ip = s->client->len && s->client->sa.sa_family != AF_UNIX;
    return s->identify && offer.xclient && by_ip ? identify(b, out) : log_in(b, out);
}

/* ---- what the node says ---- */

/* Adds NAME with VALUE as one entry, unless a comma would make it two. */
static void keep_entry(struct back *b, struct str name, struct str value)
{
    if (!sieve_is_quotable(name) || !sieve_is_quotable(value) || memchr(name.p, ',', name.n) ||
        memchr(value.p, ',', value.n))
        return;
    buf_add(&b->capabilities, name.p, name.n);
    buf_adds(&b->capabilities, " ");
    buf_add(&b->capabilities, value.p, value.n);
    buf_adds(&b->capabilities, ",");
}

/* The extensions of SIEVE and NOTIFY are entries of their own: of those, not of the whole list,
 * clients are told what all nodes have. */
static enum back_want on_capability(struct back *b, struct str line)
{
    struct sieve_string name, value = {{"", 0}, true};
    if (!sieve_string(&line, &name) || name.text.n == 0 ||
        !(sieve_end(line) || (sieve_string(&line, &value) && sieve_end(line))))
        return back_fail(b, "the node's capabilities are malformed");
    struct str words = value.text, word;
    bool list = str_is(name.text, "SIEVE") || str_is(name.text, "NOTIFY");
    if (!list || !(word = str_word(&words)).n)
        keep_entry(b, name.text, value.text);
    else
        do
            keep_entry(b, name.text, word);
        while ((word = str_word(&words)).n);
    return b->capabilities.full ? back_fail(b, "the node's capabilities are too long") : BACK_MORE;
}

/* The client will say what ends the exchange to us; the node hears it now (RFC 7628, 3.2.3; Google
 * asks for an empty message). */
static enum back_want on_error_challenge(struct back *b, struct str line, struct buf *out)
{
    struct sieve_string s;
    if (!sieve_string(&line, &s) || !sieve_end(line) || !sieve_is_quotable(s.text))
        return back_fail(b, "the node's challenge is malformed");
    buf_add(&b->challenge, s.text.p, s.text.n);
    return back_say(b, out, STATE_TOLD,
                    b->setup.creds->mech == SASL_OAUTHBEARER ? "\"AQ==\"\r\n" : "\"\"\r\n");
}

static enum back_want on_string(struct back *b, struct str line, struct buf *out)
{
    if (b->state == STATE_GREETING)
        return on_capability(b, line);
    if (b->state == STATE_SENT && back_is_token(b))
        return on_error_challenge(b, line, out);
    return back_fail(b, "the node asks for more without a reason");
}

static enum back_want on_end(struct back *b, struct str line, bool ok)
{
    buf_add(&b->reply, line.p, line.n);
    return ok ? BACK_OK : BACK_REFUSED;
}

static enum back_want on_answer(struct back *b, struct str line, bool ok, struct buf *out)
{
    switch (b->state) {
    case STATE_GREETING:
        return ok ? proceed(b, out) : back_fail(b, "the node does not greet with OK");
    case STATE_STARTTLS:
        b->state = STATE_HANDSHAKE;
        return ok ? BACK_STARTTLS : back_fail(b, "the node refuses STARTTLS");
    case STATE_XCLIENT: /* if it does not trust us its log is poorer, and the user is no less he */
        return log_in(b, out);
    case STATE_LOGOUT:
        return BACK_LEFT;
    default:
        return on_end(b, line, ok);
    }
}

/* Of the node's words some reach the client, with the line ends that are in a literal. */
static bool is_text(struct str line)
{
    for (size_t i = 0; i < line.n; i++)
        if (((unsigned char)line.p[i] < ' ' && !memchr("\t\r\n", line.p[i], 3)) ||
            line.p[i] == 0x7f)
            return false;
    return true;
}

static enum back_want on_line(struct back *b, struct str line, struct buf *out)
{
    struct str rest = line, word;
    if (!is_text(line))
        return back_fail(b, "the node sends control characters");
    if (*line.p == '"' || *line.p == '{')
        return on_string(b, line, out);
    if (!sieve_word(&rest, &word))
        return back_fail(b, "the node's answer is malformed");
    if (str_is(word, "BYE"))
        return b->state == STATE_LOGOUT ? BACK_LEFT : back_fail(b, "the node says BYE");
    bool ok = str_is(word, "OK");
    if (!ok && !str_is(word, "NO"))
        return back_fail(b, "the node's answer is malformed");
    return on_answer(b, line, ok, out);
}

enum back_want sieve_back_read(struct back *b, struct buf *in, struct buf *out)
{
    enum back_want want = BACK_MORE;
    if (b->state == STATE_HANDSHAKE) {
        assert(b->setup.tls);
        buf_clear(&b->capabilities);
        b->state = STATE_GREETING;
    }
    while (want == BACK_MORE) {
        struct str line = buf_str(in);
        enum sieve_unit unit = sieve_unit(line, false, &line.n);
        if (unit == SIEVE_LONG)
            return back_fail(b, "the node's line is too long");
        if (unit == SIEVE_MORE)
            break;
        want = on_line(b, line, out);
        buf_take(in, (uint32_t)line.n);
    }
    return out->full ? back_fail(b, "the node does not take what it asked for") : want;
}

/* ---- what a client may be told of a node ---- */

/* What holds behind the login, whoever answers before it (RFC 5804, 1.7, RFC 6134). Not the words
 * that are between the node and us (SASL, STARTTLS, XCLIENT, UNAUTHENTICATE), not OWNER, who is
 * another one for each login, and not IMPLEMENTATION, which is nobody's business. */
bool sieve_announce(struct str entry)
{
    static const char *const words[] = {"SIEVE", "NOTIFY", "MAXREDIRECTS", "EXTLISTS", "VERSION"};
    struct str word = str_word(&entry);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_is(word, words[i]))
            return sieve_is_quotable(entry);
    return false;
}
