/* SPDX-License-Identifier: ISC
 *
 * What stands behind the verbs of SMTP and LMTP: paths and parameters of MAIL and RCPT, the names
 * of EHLO, HELO and LHLO, BDAT, XCLIENT; and xtext. Everything is told as slices of the line, which
 * is without its CR LF; nothing is kept. A control character (a bare CR, HT and NUL among them) is
 * wrong wherever it stands, also behind xtext. Called by whatever speaks SMTP in this folder. */
#ifndef PROTO_SMTP_PATH_H
#define PROTO_SMTP_PATH_H

#include "base/addr.h"
#include "base/buf.h"

enum { SMTP_MAILBOX_MAX = 255 }; /* bytes of a mailbox as the maps know it */

/* What came of the arguments of a command; the answers that fit (RFC 5321, 4.2; RFC 3463). */
enum smtp_path_result {
    SMTP_PATH_OK,
    SMTP_PATH_BAD_SYNTAX,  /* not of the command's form: 501 5.5.4 */
    SMTP_PATH_BAD_MAILBOX, /* no mailbox between the brackets: 501 5.1.7 (MAIL), 5.1.3 (RCPT) */
    SMTP_PATH_BAD_VALUE,   /* a parameter has a wrong value, none, or stands twice: 501 5.5.4 */
    SMTP_PATH_UNKNOWN      /* a parameter is not known for this command: 555 5.5.4 */
};

/* ---- MAIL and RCPT ---- */

/* A path (RFC 5321, 4.1.2; RFC 6531, 3.3) without its brackets and without a source route. */
struct smtp_path {
    struct str address; /* to be said to others between brackets; empty: <> */
    struct str local;   /* as it stands, with its quotes */
    struct str domain;  /* a name or an address literal in []; empty: <> and <Postmaster> */
    bool utf8;          /* not all ASCII: needs SMTPUTF8 with MAIL, else 553 5.6.7 */
};

enum smtp_param {
    SMTP_PARAM_SIZE,     /* RFC 1870 */
    SMTP_PARAM_BODY,     /* RFC 6152, RFC 3030 */
    SMTP_PARAM_SMTPUTF8, /* RFC 6531; has no value */
    SMTP_PARAM_RET,      /* RFC 3461, as ENVID, NOTIFY and ORCPT */
    SMTP_PARAM_ENVID,
    SMTP_PARAM_AUTH, /* RFC 4954 */
    SMTP_PARAM_NOTIFY,
    SMTP_PARAM_ORCPT,
    SMTP_PARAM_COUNT
};

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };

/* Parameters, each at most once; their values were checked. */
struct smtp_params {
    unsigned given;                     /* bits 1u << SMTP_PARAM_* */
    struct str value[SMTP_PARAM_COUNT]; /* as they stand, to be passed on */
    uint64_t size;                      /* of SIZE=; what is beyond 64 bits: UINT64_MAX */
    enum smtp_body body;
    struct str wrong; /* the name, of SMTP_PATH_BAD_VALUE and SMTP_PATH_UNKNOWN */
};

/* The name on the wire ("SIZE"). */
const char *smtp_param_name(enum smtp_param param);

/* Takes apart what stands behind MAIL ("FROM:<...> ...") and behind RCPT ("TO:<...> ..."). Blanks
 * behind the colon are passed over. RCPT takes no <>, and Postmaster alone without a domain.
 * PATH and PARAMS mean nothing but `wrong` when the result is not SMTP_PATH_OK. */
enum smtp_path_result smtp_path_mail(struct str args, struct smtp_path *path,
                                     struct smtp_params *params);
enum smtp_path_result smtp_path_rcpt(struct str args, struct smtp_path *path,
                                     struct smtp_params *params);

/* Writes PATH as the maps know it to OUT (SMTP_MAILBOX_MAX + 1 bytes), with a NUL: the domain in
 * lower case, the local part without quotes where that is the same address, else with no more
 * backslashes than it needs. "" of <>, no @ without a domain. False, and OUT is "", when it is too
 * long (501 5.1.7, 5.1.3). */
bool smtp_path_mailbox(const struct smtp_path *path, char *out);

/* Whether there is a route in the place of MAILBOX's user ("user%site", "site!user", "user@site"):
 * a server that trusts who brings it could take it for its own to relay, as Postfix does. */
bool smtp_path_has_route(const char *mailbox);

/* ---- others ---- */

/* Whether NAME is one that EHLO, HELO and LHLO may have and that can be said to others: a domain
 * (underscores pass, as they are common) or an address literal (RFC 5321, 4.1.3), at most 255
 * bytes, ASCII. */
bool smtp_path_is_helo(struct str name);

/* The arguments of BDAT (RFC 3030, 2.): the bytes that follow, at most INT64_MAX (so that two can
 * be added), and whether they are the last. */
bool smtp_path_bdat(struct str args, uint64_t *size, bool *last);

/* Appends TEXT as xtext (RFC 3461, 4.). */
void smtp_path_xtext(struct buf *out, struct str text);

/* Writes what the xtext TEXT means to OUT (SIZE bytes; TEXT.n are enough) and returns the bytes
 * written; -1 when it is no xtext or too long. There may be any bytes in it. */
ssize_t smtp_path_xtext_decode(char *out, size_t size, struct str text);

/* ---- XCLIENT ---- */

enum smtp_xclient_attr {
    SMTP_XCLIENT_NAME,
    SMTP_XCLIENT_ADDR,
    SMTP_XCLIENT_PORT,
    SMTP_XCLIENT_PROTO, /* SMTP, ESMTP or LMTP */
    SMTP_XCLIENT_HELO,
    SMTP_XCLIENT_LOGIN,
    SMTP_XCLIENT_DESTADDR,
    SMTP_XCLIENT_DESTPORT,
    SMTP_XCLIENT_COUNT
};

/* Attributes of one XCLIENT (Postfix' XCLIENT_README), each at most once; what is not given keeps
 * what it was before. */
struct smtp_xclient {
    unsigned given;                       /* bits 1u << SMTP_XCLIENT_* */
    unsigned unavailable;                 /* those given as [UNAVAILABLE] or [TEMPUNAVAIL] */
    unsigned temporary;                   /* those given as [TEMPUNAVAIL] */
    struct str value[SMTP_XCLIENT_COUNT]; /* of the others, xtext; at most 255 bytes in clear */
    struct addr client, local; /* ADDR and PORT, DESTADDR and DESTPORT; len 0 without an address,
                                  port 0 without a port */
    uint16_t client_port, local_port; /* for those who say a port alone */
    struct str wrong;                 /* the name, of SMTP_PATH_BAD_VALUE and SMTP_PATH_UNKNOWN */
};

/* The name on the wire ("NAME"). */
const char *smtp_xclient_name(enum smtp_xclient_attr attr);

/* Takes apart what stands behind XCLIENT: at least one attribute. Every answer but OK: 501 5.5.4.
 */
enum smtp_path_result smtp_path_xclient(struct str args, struct smtp_xclient *x);

#endif
