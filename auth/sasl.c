/* SPDX-License-Identifier: ISC
 *
 * SASL, both ends: see sasl.h. What a client sends is decoded straight into the secret's buffer of
 * its creds and taken apart there; what a node gets is encoded straight into the output: no copy
 * of a password or token stays anywhere else. Called by the protocols in proto/. */
#include "auth/sasl.h"

#include "base/mem.h"

#include <string.h>

enum { MESSAGE_MAX = 9216 }; /* bytes that a line of 12,288 can hold in base64 (RFC 4954, 4.) */

static const char *const names[SASL_MECH_COUNT] = {"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER",
                                                   "EXTERNAL"};

const char *sasl_name(enum sasl_mech mech)
{
    return names[mech];
}

bool sasl_find(struct str name, unsigned allowed, enum sasl_mech *mech)
{
    for (enum sasl_mech m = 0; m < SASL_MECH_COUNT; m++)
        if (allowed & 1u << m && str_is(name, names[m])) {
            *mech = m;
            return true;
        }
    return false;
}

/* ---- creds ---- */

void creds_init(struct creds *c, char *lent, uint32_t size)
{
    *c = (struct creds){0};
    buf_init(&c->secret, lent, size, MESSAGE_MAX);
}

void creds_wipe(struct creds *c)
{
    buf_free(&c->secret);
    mem_wipe(c->login, sizeof c->login);
    mem_wipe(c->authcid, sizeof c->authcid);
    c->mech = SASL_PLAIN;
    c->malformed = false;
}

/* Copies NAME, which may be FIELD itself, into one of the LOGIN_MAX + 1 bytes fields. */
static void set_name(struct creds *c, char *field, struct str name)
{
    size_t n = name.n <= LOGIN_MAX ? name.n : 0;
    if (n == 0 || str_has_control(name))
        c->malformed = true;
    if (n)
        memmove(field, name.p, n);
    field[n] = 0;
}

static void check_password(struct creds *c)
{
    struct str password = buf_str(&c->secret);
    if (password.n == 0 || password.n > SECRET_MAX || str_has_control(password))
        c->malformed = true;
}

void creds_set(struct creds *c, struct str login, struct str password)
{
    c->mech = SASL_PLAIN;
    c->malformed = false;
    set_name(c, c->login, login);
    buf_clear(&c->secret);
    buf_add(&c->secret, password.p, password.n);
    check_password(c);
}

/* ---- what a client says ---- */

/* Cuts what stands before the first END off REST, and END with it. */
static bool cut(struct str *rest, char end, struct str *piece)
{
    const char *at = rest->n ? memchr(rest->p, end, rest->n) : NULL;
    if (!at)
        return false;
    *piece = (struct str){rest->p, (size_t)(at - rest->p)};
    *rest = (struct str){at + 1, rest->n - piece->n - 1};
    return true;
}

static bool decode(struct buf *secret, struct str response)
{
    buf_clear(secret);
    uint32_t size = response.n <= MESSAGE_MAX / 3 * 4 ? (uint32_t)response.n / 4 * 3 : UINT32_MAX;
    char *room = buf_room(secret, size);
    ssize_t n = room ? base64_decode(room, response) : -1;
    if (n >= 0)
        buf_added(secret, (uint32_t)n);
    else if (room)
        mem_wipe(room, size);
    return n >= 0;
}

/* RFC 4616, 2.: [authzid] NUL authcid NUL password. */
static enum sasl_result take_plain(struct creds *c)
{
    struct str password = buf_str(&c->secret), authzid, authcid;
    if (!cut(&password, 0, &authzid) || !cut(&password, 0, &authcid))
        return SASL_ERROR;
    if (authzid.n == 0 || str_eq_nocase(authzid, authcid)) {
        set_name(c, c->login, authcid);
    } else {
        set_name(c, c->login, authzid);
        set_name(c, c->authcid, authcid);
    }
    buf_take(&c->secret, buf_len(&c->secret) - (uint32_t)password.n);
    check_password(c);
    return SASL_DONE;
}

static enum sasl_result take_login(struct sasl *s)
{
    struct creds *c = s->creds;
    c->mech = SASL_PLAIN;
    if (s->step == 2) {
        check_password(c);
        return SASL_DONE;
    }
    set_name(c, c->login, buf_str(&c->secret));
    s->step = 2;
    s->challenge = "UGFzc3dvcmQ6"; /* Password: */
    return SASL_CONTINUE;
}

/* The pairs of a token message, each ended by ^A, and the ^A behind them; one is the token. */
static enum sasl_result take_pairs(struct creds *c, struct str rest)
{
    static const char bearer[] = "auth=Bearer ";
    struct str pair;
    bool token = false;
    if (buf_len(&c->secret) > SECRET_MAX)
        c->malformed = true;
    while (cut(&rest, 1, &pair)) {
        if (pair.n == 0)
            return token && rest.n == 0 ? SASL_DONE : SASL_ERROR;
        if (str_starts(pair, bearer) && pair.n >= sizeof bearer)
            token = true;
        if (str_has_control(pair))
            c->malformed = true;
    }
    return SASL_ERROR;
}

/* user=NAME ^A auth=Bearer TOKEN ^A ^A, as Google defines it. */
static enum sasl_result take_xoauth2(struct creds *c)
{
    struct str rest = buf_str(&c->secret), user;
    if (!cut(&rest, 1, &user) || !str_starts(user, "user="))
        return SASL_ERROR;
    set_name(c, c->login, (struct str){user.p + 5, user.n - 5});
    return take_pairs(c, rest);
}

/* RFC 5801, 4.: in a saslname a comma is =2C and an equals sign =3D. */
static bool unescape_login(struct creds *c, struct str name)
{
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++, n++) {
        char byte = name.p[i];
        if (byte == '=') {
            struct str rest = {name.p + i, name.n - i};
            if (!str_starts(rest, "=2C") && !str_starts(rest, "=3D"))
                return false;
            byte = rest.p[1] == '2' ? ',' : '=';
            i += 2;
        }
        if (n < LOGIN_MAX)
            c->login[n] = byte;
    }
    set_name(c, c->login, (struct str){c->login, n});
    return true;
}

/* RFC 7628, 3.1: a GS2 header without channel binding, ^A, the pairs. The authzid may be left out
 * there; not here, for nothing else says whose mailbox it is. */
static enum sasl_result take_oauthbearer(struct creds *c)
{
    struct str rest = buf_str(&c->secret), flag, authzid, nothing;
    if (!cut(&rest, ',', &flag) || !(str_is(flag, "n") || str_is(flag, "y")) ||
        !cut(&rest, ',', &authzid) || !cut(&rest, 1, &nothing) || nothing.n)
        return SASL_ERROR;
    if (authzid.n && !str_starts(authzid, "a="))
        return SASL_ERROR;
    struct str name = {authzid.p + 2, authzid.n ? authzid.n - 2 : 0};
    return unescape_login(c, name) ? take_pairs(c, rest) : SASL_ERROR;
}

/* The certificate speaks for nobody but its own name. */
static enum sasl_result take_external(struct sasl *s)
{
    struct str authzid = buf_str(&s->creds->secret);
    if (authzid.n && !str_is(authzid, s->external))
        s->creds->malformed = true;
    set_name(s->creds, s->creds->login, str_of(s->external));
    buf_clear(&s->creds->secret);
    return SASL_DONE;
}

void sasl_start(struct sasl *s, enum sasl_mech mech, struct creds *creds, const char *external)
{
    creds_wipe(creds);
    creds->mech = mech;
    *s = (struct sasl){.mech = mech, .creds = creds, .external = external};
}

static enum sasl_result take(struct sasl *s)
{
    switch (s->mech) {
    case SASL_PLAIN:
        return take_plain(s->creds);
    case SASL_LOGIN:
        return take_login(s);
    case SASL_XOAUTH2:
        return take_xoauth2(s->creds);
    case SASL_OAUTHBEARER:
        return take_oauthbearer(s->creds);
    default:
        return take_external(s);
    }
}

enum sasl_result sasl_step(struct sasl *s, struct str response)
{
    if (s->mech == SASL_EXTERNAL && !s->external)
        return SASL_ERROR;
    if (s->step == 0 && !response.p) {
        s->step = 1;
        s->challenge = s->mech == SASL_LOGIN ? "VXNlcm5hbWU6" : ""; /* Username: */
        return SASL_CONTINUE;
    }
    if (str_is(response, "*"))
        return SASL_CANCELLED;
    if (s->step == 0 && str_is(response, "="))
        response.n = 0;
    return decode(&s->creds->secret, response) ? take(s) : SASL_ERROR;
}

/* ---- what a node gets ---- */

void sasl_encode(struct buf *out, struct str text)
{
    size_t size = base64_size(text.n);
    char *room = size <= UINT32_MAX ? buf_room(out, (uint32_t)size) : NULL;
    if (room)
        buf_added(out, (uint32_t)base64_encode(room, text.p, text.n));
}

static char *put(char *at, const char *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

/* The message is laid at the end of its room and encoded towards the start, which never overtakes
 * what is still to be read. */
static void encode_plain(struct buf *out, const struct sasl_login *login)
{
    size_t zid = strlen(login->authzid) + 1, cid = strlen(login->authcid) + 1;
    size_t n = zid + cid + login->secret.n, size = base64_size(n);
    char *room = size <= UINT32_MAX ? buf_room(out, (uint32_t)size) : NULL;
    if (!room)
        return;
    char *message = room + size - n;
    put(put(put(message, login->authzid, zid), login->authcid, cid), login->secret.p,
        login->secret.n);
    buf_added(out, (uint32_t)base64_encode(room, message, n));
}

size_t sasl_size(const struct sasl_login *login)
{
    size_t n = login->secret.n;
    if (login->mech == SASL_PLAIN)
        n += strlen(login->authzid) + strlen(login->authcid) + 2;
    return n ? base64_size(n) : 1;
}

void sasl_initial(struct buf *out, const struct sasl_login *login)
{
    if (login->mech == SASL_PLAIN)
        encode_plain(out, login);
    else if (login->secret.n == 0)
        buf_adds(out, "=");
    else
        sasl_encode(out, login->secret);
}
