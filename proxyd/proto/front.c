/* SPDX-License-Identifier: ISC
 *
 * What all fronts begin with, and what they have in common: see proto.h and front.h. */
#include "proto/front.h"

void front_init(struct front *f, const struct front_setup *setup, struct creds *creds)
{
    *f = (struct front){.setup = *setup, .creds = creds};
    buf_init(&f->pending, NULL, 0, PROTO_IN_MAX + PROTO_TAG_MAX + 1);
}

void front_free(struct front *f)
{
    buf_free(&f->pending);
}

/* The mechanisms that are allowed, be it only with TLS. */
static unsigned allowed(const struct front *f)
{
    unsigned all = f->setup.mechanisms;
    return f->setup.external ? all : all & ~(1u << SASL_EXTERNAL);
}

unsigned front_usable(const struct front *f)
{
    unsigned all = allowed(f);
    return f->setup.plaintext ? all : all & 1u << SASL_EXTERNAL;
}

const char *front_helo(const struct front *f)
{
    return f->helo[0] ? f->helo : f->setup.hostname;
}

enum front_want front_close(struct front *f, const char *reason)
{
    f->reason = reason;
    return FRONT_CLOSE;
}

/* ---- answers ---- */

enum front_want front_say(const struct front *f, struct buf *out, const char *text)
{
    buf_adds(out, f->tag);
    buf_adds(out, f->tag[0] ? " " : "");
    buf_adds(out, text);
    buf_adds(out, "\r\n");
    return FRONT_MORE;
}

enum front_want front_error(struct front *f, struct buf *out, const char *text)
{
    f->errors++;
    return front_say(f, out, text);
}

enum front_want front_last_words(struct front *f, struct buf *out, const char *text,
                                 const char *reason)
{
    buf_adds(out, text);
    buf_adds(out, "\r\n");
    return front_close(f, reason);
}

enum front_want front_needs_privacy(struct front *f, const struct front_words *w, struct buf *out)
{
    f->reason = "plaintext login not allowed";
    front_error(f, out, w->privacy);
    return FRONT_REFUSED;
}

/* ---- a SASL exchange ---- */

enum front_want front_sasl(struct front *f, const struct front_words *w, struct str response,
                           struct buf *out)
{
    enum sasl_result result = sasl_step(&f->sasl, response);
    f->in_exchange = result == SASL_CONTINUE;
    switch (result) {
    case SASL_CONTINUE:
        w->challenge(out, f->sasl.challenge, strlen(f->sasl.challenge));
        return FRONT_MORE;
    case SASL_DONE:
        return FRONT_LOGIN;
    default:
        creds_wipe(f->creds);
        return front_error(f, out, result == SASL_CANCELLED ? w->cancelled : w->invalid);
    }
}

enum front_want front_authenticate(struct front *f, const struct front_words *w, struct str name,
                                   struct str response, struct buf *out)
{
    enum sasl_mech mech;
    if (!sasl_find(name, allowed(f), &mech))
        return front_error(f, out, w->unavailable);
    if (!(front_usable(f) & 1u << mech))
        return front_needs_privacy(f, w, out);
    sasl_start(&f->sasl, mech, f->creds, f->setup.external);
    return front_sasl(f, w, response, out);
}

/* ---- the end of a login ---- */

static void pass_on(const struct front *f, const struct front_words *w, const struct back *b,
                    bool refused, struct buf *out)
{
    if (w->pass_on)
        w->pass_on(f, b, refused, out);
    else
        buf_add(out, buf_str(&b->reply).p, buf_len(&b->reply));
}

static enum front_want after_refusal(struct front *f, const struct front_words *w, struct buf *out)
{
    if (f->auth_errors < f->setup.max_auth_errors)
        return FRONT_MORE;
    return front_last_words(f, out, w->too_many, "too many failed logins");
}

static enum front_want refuse(struct front *f, const struct front_words *w, const struct back *b,
                              struct buf *out)
{
    struct str challenge = buf_str(&b->challenge);
    if (back_blames_login(b))
        f->auth_errors++;
    pass_on(f, w, b, true, challenge.n ? &f->pending : out);
    if (challenge.n == 0)
        return after_refusal(f, w, out);
    w->challenge(out, challenge.p, challenge.n);
    return FRONT_MORE;
}

bool front_is_challenged(const struct front *f)
{
    return buf_len(&f->pending);
}

enum front_want front_challenge_answered(struct front *f, const struct front_words *w,
                                         struct buf *out)
{
    buf_add(out, buf_str(&f->pending).p, buf_len(&f->pending));
    buf_free(&f->pending);
    return after_refusal(f, w, out);
}

static enum front_want give_answer(struct front *f, const struct front_words *w,
                                   enum verdict verdict, const struct back *b, struct buf *out)
{
    switch (verdict) {
    case VERDICT_OK:
        pass_on(f, w, b, false, out);
        return FRONT_MORE;
    case VERDICT_NODE_REFUSED:
        return refuse(f, w, b, out);
    case VERDICT_AUTH_FAILED:
        f->auth_errors++;
        front_say(f, out, w->auth_failed);
        return after_refusal(f, w, out);
    case VERDICT_NODE_DOWN:
        return front_say(f, out, w->node_down);
    case VERDICT_BUSY:
        return front_say(f, out, w->busy);
    default:
        return front_say(f, out, w->temporary);
    }
}

enum front_want front_answer(struct front *f, const struct front_words *w, enum verdict verdict,
                             const struct back *b, struct buf *out)
{
    enum front_want want = give_answer(f, w, verdict, b, out);
    return out->full || f->pending.full ? front_close(f, "answers are not taken") : want;
}
