/* SPDX-License-Identifier: ISC
 *
 * SASL (RFC 4422), both ends: what a client says to log in becomes a struct creds; for the node it
 * becomes the client's message again. PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login),
 * XOAUTH2, OAUTHBEARER (RFC 7628), EXTERNAL (RFC 4422 appendix A). No I/O, no allocation but for
 * the secret's buffer. Called by the protocols in proto/. */
#ifndef AUTH_SASL_H
#define AUTH_SASL_H

#include "base/buf.h"
#include "base/str.h"

enum sasl_mech {
    SASL_PLAIN, /* also for LOGIN, USER and PASS: a login and its password */
    SASL_LOGIN,
    SASL_XOAUTH2,
    SASL_OAUTHBEARER,
    SASL_EXTERNAL,
    SASL_MECH_COUNT
};

enum { LOGIN_MAX = 255, SECRET_MAX = 8192 }; /* bytes */

/* What a client has said to log in. */
struct creds {
    enum sasl_mech mech;
    char login[LOGIN_MAX + 1];   /* whose mailbox: what is routed */
    char authcid[LOGIN_MAX + 1]; /* PLAIN: who authenticates, where that is somebody else; or "" */
    struct buf secret;           /* the password; XOAUTH2 and OAUTHBEARER: the whole message */
    bool malformed;              /* not to be used: a control character, too long, empty ... */
};

/* Makes C empty, with LENT (SIZE bytes) for the secret. */
void creds_init(struct creds *c, char *lent, uint32_t size);

/* Wipes C: it is empty and can be filled again. */
void creds_wipe(struct creds *c);

/* Fills C with a login and its password (for LOGIN, USER and PASS). Sets `malformed` where the
 * operator's contract, section 3, says that it may never reach a map: a control character (CR, LF
 * and NUL among them), nothing at all, more than LOGIN_MAX bytes of login or SECRET_MAX of
 * password. */
void creds_set(struct creds *c, struct str login, struct str password);

/* The mechanism's name as on the wire ("PLAIN"). */
const char *sasl_name(enum sasl_mech mech);

/* The mechanism of NAME (any case) if its bit (1u << mech) is in ALLOWED. */
bool sasl_find(struct str name, unsigned allowed, enum sasl_mech *mech);

/* A server's exchange under way. */
struct sasl {
    enum sasl_mech mech;
    unsigned step;
    struct creds *creds;
    const char *external;  /* the name in the client's certificate, or NULL */
    const char *challenge; /* after SASL_CONTINUE: base64, "" for an empty one */
};

enum sasl_result {
    SASL_CONTINUE,  /* send `challenge`, then call sasl_step with the answer */
    SASL_DONE,      /* creds are whole (perhaps `malformed`) */
    SASL_CANCELLED, /* the client sent "*" */
    SASL_ERROR      /* no base64, or not a message of this mechanism */
};

/* Begins an exchange that fills CREDS. EXTERNAL is the name that the client's certificate proved.
 */
void sasl_start(struct sasl *s, enum sasl_mech mech, struct creds *creds, const char *external);

/* Takes the client's next line without CR LF: base64, "=" for an empty initial response, "*" to
 * cancel. A NULL RESPONSE.p at the start means that there was no initial response. */
enum sasl_result sasl_step(struct sasl *s, struct str response);

/* What a proxy says to the node. */
struct sasl_login {
    enum sasl_mech mech;
    const char *authzid, *authcid; /* authzid may be "" */
    struct str secret;             /* the password, or the whole token message */
};

/* Bytes that sasl_initial appends. */
size_t sasl_size(const struct sasl_login *login);

/* Appends the base64 of the message that MECH sends first (PLAIN, the token mechanisms: all of it;
 * an empty one as "="). LOGIN has none: its two answers are sasl_encode of the texts. */
void sasl_initial(struct buf *out, const struct sasl_login *login);

/* Appends the base64 of TEXT, straight into OUT: no copy stays elsewhere. */
void sasl_encode(struct buf *out, struct str text);

#endif
