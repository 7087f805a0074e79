/* SPDX-License-Identifier: ISC
 *
 * What all backs begin with, and what they have in common: see proto.h and back.h. */
#include "proto/back.h"

void back_init(struct back *b, const struct back_setup *setup)
{
    b->setup = *setup;
    b->state = b->waiting = 0;
    b->lmtp = false;
    b->error = NULL;
    buf_init(&b->capabilities, b->capabilities_space, sizeof b->capabilities_space, PROTO_LINE_MAX);
    buf_init(&b->reply, b->reply_space, sizeof b->reply_space, PROTO_IN_MAX);
    buf_init(&b->challenge, NULL, 0, PROTO_LINE_MAX);
}

void back_free(struct back *b)
{
    buf_free(&b->capabilities);
    buf_free(&b->reply);
    buf_free(&b->challenge);
}

enum back_want back_fail(struct back *b, const char *error)
{
    b->error = error;
    return BACK_FAILED;
}

/* ---- talking with the node ---- */

enum back_want back_say(struct back *b, struct buf *out, unsigned state, const char *command)
{
    buf_adds(out, command);
    b->state = state;
    return BACK_MORE;
}

unsigned back_mechanisms(struct str names)
{
    enum sasl_mech mech;
    struct str name;
    unsigned all = 0;
    while ((name = str_word(&names)).n)
        if (sasl_find(name, ~0u, &mech))
            all |= 1u << mech;
    return all;
}

enum back_want back_read_lines(struct back *b, enum back_want want, struct buf *in, struct buf *out,
                               enum back_want (*on_line)(struct back *b, struct str line,
                                                         struct buf *out))
{
    struct str line;
    size_t used;
    while (want == BACK_MORE && str_line(buf_str(in), &line, &used)) {
        want = used <= PROTO_LINE_MAX ? on_line(b, line, out)
                                      : back_fail(b, "the node's line is too long");
        buf_take(in, (uint32_t)used);
    }
    if (want == BACK_MORE && buf_len(in) >= PROTO_LINE_MAX)
        return back_fail(b, "the node's line is too long");
    return out->full ? back_fail(b, "the node does not take what it asked for") : want;
}

/* ---- how a login went ---- */

/* Whether LINE stands before the one that answers: untagged in IMAP, "535-..." in SMTP. */
static bool is_prelude(struct str line)
{
    return str_starts(line, "* ") ||
           (line.n > 3 && line.p[3] == '-' && *line.p >= '0' && *line.p <= '9');
}

struct str back_answer(const struct back *b)
{
    struct str rest = buf_str(&b->reply), line = rest;
    size_t used;
    while (str_line(rest, &line, &used) && is_prelude(line))
        rest = (struct str){rest.p + used, rest.n - used};
    return line;
}

bool back_blames_login(const struct back *b)
{
    static const char *const others[] = {"[UNAVAILABLE]", "[INUSE]",    "[LIMIT]",
                                         "[SERVERBUG]",   "[IN-USE]",   "[LOGIN-DELAY]",
                                         "[SYS/TEMP]",    "[SYS/PERM]", "(TRYLATER)"};
    struct str line = back_answer(b), status = str_word(&line), code = str_word(&line);
    bool blames = !(status.n >= 3 && *status.p == '4'); /* SMTP: 454, 421 */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        blames &= !str_is(code, others[i]);
    return blames;
}

/* ---- what it says ---- */

const char *back_login(const struct back *b)
{
    return b->setup.login ? b->setup.login : b->setup.creds->login;
}

bool back_is_token(const struct back *b)
{
    return b->setup.creds->mech == SASL_XOAUTH2 || b->setup.creds->mech == SASL_OAUTHBEARER;
}

bool back_needs_sasl(const struct back *b)
{
    return back_is_token(b) || b->setup.master_user || b->setup.creds->authcid[0];
}

struct sasl_login back_message(const struct back *b)
{
    const struct creds *c = b->setup.creds;
    struct str secret = buf_str(&c->secret);
    if (back_is_token(b))
        return (struct sasl_login){c->mech, "", "", secret};
    if (b->setup.master_user)
        return (struct sasl_login){SASL_PLAIN, back_login(b), b->setup.master_user,
                                   str_of(b->setup.master_password)};
    if (c->authcid[0])
        return (struct sasl_login){SASL_PLAIN, back_login(b), c->authcid, secret};
    return (struct sasl_login){SASL_PLAIN, "", back_login(b), secret};
}
