/* SPDX-License-Identifier: ISC
 *
 * What session.c and the protocols say to each other. A protocol has a front (we are the server of
 * a mail client) and a back (we are the client of a node); both are told bytes and answer bytes:
 * no sockets, no TLS, no clock, no log in here. A protocol is two files and a row in protocol.c.
 *
 * The rules for all of them: a command that is not whole yet leaves the input untouched; what was
 * taken from the input was acted upon; at most one `want` is answered a call, and the caller calls
 * again until it is MORE. */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include "auth/sasl.h"
#include "base/addr.h"
#include "base/buf.h"
#include "proto/turn.h"

enum {
    PROTO_IN_MAX = 16 * 1024,      /* bytes of input kept before the login, on either side */
    PROTO_OUT_MAX = 32 * 1024,     /* bytes of answers not yet sent */
    PROTO_LINE_MAX = 12 * 1024,    /* of one line: a token in base64 fits (RFC 4954, 4.: 12,288) */
    PROTO_TAG_MAX = 64,            /* of an IMAP command's tag */
    PROTO_CAPABILITIES_MAX = 4096, /* of what is announced */
    PROTO_HELO_MAX = 255,          /* of an SMTP client's name (RFC 5321, 4.5.3.1.2) */
};

/* ---- the front ---- */

/* What a front wants next. */
enum front_want {
    FRONT_MORE,     /* more input */
    FRONT_STARTTLS, /* the answer is in OUT: send it, then a TLS handshake, then front->setup.tls =
                       true; a byte behind the command in the clear ends the session (the caller's
                       part) */
    FRONT_LOGIN,    /* `creds` are filled in; go on with `answer`, not before */
    FRONT_REFUSED, /* a login was refused on the spot (`reason`; the answer is in OUT): log it, call
                      again */
    FRONT_QUIT,    /* the client has said goodbye; the answer is in OUT */
    FRONT_CLOSE /* too many errors or nothing to be talked with (`reason`); last words are in OUT */
};

/* How a login ended, as the client is to be told (operator's contract, section 6). */
enum verdict {
    VERDICT_OK,           /* the node let him in; its words are passed on */
    VERDICT_NODE_REFUSED, /* the node's own refusal; its words are passed on */
    VERDICT_AUTH_FAILED,  /* wrong password or unknown login, not told apart */
    VERDICT_TEMPORARY,    /* a map or directory does not answer, or answers ambiguously */
    VERDICT_NODE_DOWN,    /* the node is down or talks nonsense */
    VERDICT_BUSY          /* its queue is full, or the login waited too long */
};

/* What a front has to know; set by the session before `greet`, `tls`, `plaintext`, and `external`
 * again after a handshake. All strings outlive the front. */
struct front_setup {
    const char *hostname;
    const char
        *capabilities;    /* what the nodes can do; the front adds and hides what depends on TLS */
    unsigned mechanisms;  /* bits 1u << SASL_*; SASL_EXTERNAL counts only with `external` */
    bool starttls;        /* can be offered */
    bool tls;             /* is on */
    bool plaintext;       /* passwords may come over the line as it is (TLS, or allowed) */
    bool early;           /* the client has talked already; only asked for with `greeting_first` */
    const char *external; /* the name in the client's certificate, or NULL */
    unsigned max_errors, max_auth_errors;
};

enum { PASSWORD_MECHS = 1u << SASL_PLAIN | 1u << SASL_LOGIN };

/* A front at work. What a protocol keeps between two calls is in here, for all protocols alike. */
struct front {
    struct front_setup setup;
    struct creds *creds;
    struct sasl sasl;     /* the exchange under way */
    unsigned state;       /* the protocol's own enum; 0 at the start */
    unsigned errors;      /* unknown or malformed commands so far */
    unsigned auth_errors; /* refused logins so far */
    unsigned continued;   /* IMAP: continuations sent for the command at the start of the input */
    bool talked;          /* a first line has come */
    bool in_exchange;     /* the next line answers a SASL challenge */
    char tag[PROTO_TAG_MAX + 1];   /* IMAP: of the command being answered */
    char helo[PROTO_HELO_MAX + 1]; /* SMTP: what the client calls himself; "": nothing usable */
    uint64_t skip;                 /* SMTP: bytes of a refused chunk that are still to come */
    struct buf pending; /* the final answer, kept while the client answers an error challenge */
    const char *reason; /* of FRONT_REFUSED and FRONT_CLOSE: a few words for the log */
};

/* ---- the back ---- */

/* What a back wants next. */
enum back_want {
    BACK_MORE,     /* more input */
    BACK_STARTTLS, /* the node said yes: a TLS handshake, setup.tls = true, then call again; bytes
                      behind the yes in the clear end the attempt (the caller's part) */
    BACK_OK,      /* logged in: `reply` is the node's answer, and what is left of the input is to be
                     carried */
    BACK_REFUSED, /* the node refused the login: `reply` is its answer */
    BACK_FAILED,  /* the node cannot be talked with: `error` says why, in a few words */
    BACK_LEFT     /* a check is done: `capabilities` were learned, goodbye was said and answered */
};

struct back_setup {
    const struct creds
        *creds;        /* NULL: only a check, which greets, asks for capabilities and leaves */
    const char *login; /* the login on the node, or NULL: the one in creds */
    const char *master_user, *master_password; /* or NULL: the client's own credentials go along */
    bool starttls;    /* TLS has to be started first; a node that has none fails */
    bool tls;         /* is on */
    bool identify;    /* tell the node the client's address where it announces how */
    bool verified;    /* we know already that it is he: XCLIENT LOGIN may say so */
    bool mail;        /* SMTP: nobody logs in: mail is to be handed over */
    const char *helo; /* SMTP: what we call ourselves (front_helo; a check: our host) */
    const char *said; /* SMTP: how the client has greeted: "SMTP" by HELO, "ESMTP", "LMTP" */
    const char *name; /* SMTP: of the client's address: a host name or "[TEMPUNAVAIL]"; or
                         NULL */
    const struct addr *client; /* for `identify` */
    const struct addr *local;  /* where the client came in; len 0: not known */
    const char *session_id;
};

struct back {
    struct back_setup setup;
    unsigned state;          /* the protocol's own enum; 0 at the start */
    unsigned waiting;        /* answers that are still to come */
    bool lmtp;               /* SMTP: the node speaks LMTP */
    struct buf capabilities; /* as the node announced them last, `separator` between */
    struct buf reply;        /* the node's words at the end: IMAP: untagged lines, then the tagged
                                one without its tag; POP3: the line; SMTP: all lines. With
                                CR LF. */
    struct buf challenge;    /* a token mechanism's error challenge, base64, or empty */
    const char *error;       /* of BACK_FAILED */
    char capabilities_space[512], reply_space[512]; /* enough for most nodes */
};

/* ---- a protocol ---- */

/* What serves its clients (proxyd/client.h). Options may be for services of some of these only. */
enum protocol_engine {
    ENGINE_SESSION, /* session.c: log in, then carry */
    ENGINE_WEB,     /* web/: HTTP, request by request */
    ENGINE_MAIL     /* mail/: port 25 and LMTP, recipient by recipient */
};

struct protocol {
    enum protocol_engine engine;
    const char *name;         /* as in `protocol:` and as a service's key */
    const char *alpn;         /* RFC 7301 name */
    uint16_t port;            /* of a node, where nothing else says it */
    const char *capabilities; /* announced while no node's are known */
    char separator;           /* between capabilities that nodes announce; a comma where they have
                                 parameters */
    bool greeting_first;      /* who talks before the greeting is no mail client (RFC 5321, 3.1) */
    const char *pulse;        /* a line that may be said at any time and means nothing; or NULL */

    /* Writes the greeting. */
    void (*greet)(struct front *f, struct buf *out);
    /* Takes commands from IN, answers in OUT. After FRONT_LOGIN call `answer` first. */
    enum front_want (*read)(struct front *f, struct buf *in, struct buf *out);
    /* Tells the client how the login ended. B has the node's words for VERDICT_OK and
     * VERDICT_NODE_REFUSED, else it may be NULL. FRONT_MORE, or FRONT_CLOSE after max_auth_errors.
     */
    enum front_want (*answer)(struct front *f, enum verdict verdict, const struct back *b,
                              struct buf *out);
    /* A last line at a command boundary before we close: IMAP `* BYE`, POP3 `-ERR`, SMTP `421`.
     * TEXT is ours. */
    void (*goodbye)(struct buf *out, const char *text);
    /* The same for a client that is not let in at all, RATE: for connections come too often. NULL:
     * goodbye does. */
    void (*turn_away)(struct buf *out, const char *text, bool rate);

    /* Takes what the node says from IN, answers in OUT. The first call may have no input at all. */
    enum back_want (*back_read)(struct back *b, struct buf *in, struct buf *out);
    /* After the login: PIECE (not empty) goes to the node, comes from it; see turn.h. */
    void (*asked)(struct turn *t, struct str piece);
    void (*told)(struct turn *t, struct str piece);
    /* Whether a client may be told before the login that a node announced WORD. */
    bool (*announce)(struct str word);
};

/* The protocol of that name, or NULL; and all of them, ended by NULL. */
const struct protocol *protocol_find(const char *name);
const struct protocol *const *protocol_all(void);

/* What all fronts and backs begin with. Neither may be moved. */
void front_init(struct front *f, const struct front_setup *setup, struct creds *creds);
void front_free(struct front *f);
void back_init(struct back *b, const struct back_setup *setup);
void back_free(struct back *b);

/* The mechanisms (bits 1u << SASL_*) that are allowed and can be used now: a password or a bearer
 * token needs `plaintext`, EXTERNAL needs a certificate. */
unsigned front_usable(const struct front *f);

/* What a node is told as the name of the client: his own, or ours where that is none. */
const char *front_helo(const struct front *f);

/* Notes REASON and returns FRONT_CLOSE; notes ERROR and returns BACK_FAILED. */
enum front_want front_close(struct front *f, const char *reason);
enum back_want back_fail(struct back *b, const char *error);

/* The line of the node's reply that answers; empty where there is none. And whether it says that
 * the credentials are wrong: not that something is out of order, or in use, or comes too often (RFC
 * 5530, 3.; RFC 2449, 8.1; RFC 3206, 4.; RFC 4954, 6.; RFC 5804, 1.3). */
struct str back_answer(const struct back *b);
bool back_blames_login(const struct back *b);

/* The login on the node; whether it is a token that is passed on; whether only a SASL message can
 * say it (two identities, or no password); and that message. */
const char *back_login(const struct back *b);
bool back_is_token(const struct back *b);
bool back_needs_sasl(const struct back *b);
struct sasl_login back_message(const struct back *b);

/* Whether LINE is the first line of an HTTP request (RFC 9112, 3.: it ends in " HTTP/" DIGIT ...).
 */
bool proto_is_http(struct str line);

/* Whether IN, the first that a client sends, begins a TLS handshake (RFC 8446, 5.1). */
bool proto_is_tls(struct str in);

/* Cuts the next capability off LIST, which has SEPARATOR between or behind them: blanks around one
 * do not count. Empty at the end. */
struct str proto_entry(struct str *list, char separator);

/* Whether ENTRY can stand in a list with SEPARATOR, and in an answer: it is no end of either. With
 * blanks between them it has to be an atom of IMAP. */
bool proto_is_capability(struct str entry, char separator);

/* Whether ENTRY (in any case) is in LIST. */
bool proto_has(struct str list, char separator, struct str entry);

/* The capabilities of ANNOUNCED that P lets through (`announce`), each once, into OUT, which is
 * empty: P's separator stands behind each of them. */
void proto_filter(const struct protocol *p, struct str announced, struct buf *out);

#endif
