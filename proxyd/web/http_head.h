/* SPDX-License-Identifier: ISC
 *
 * The head of an HTTP/1 message (RFC 9112): bytes in, a parsed head out. llhttp reads the grammar;
 * before and behind it stands what makes a head mean the same to everybody: lines end in CR LF and
 * nothing else, there is one Host, one way to tell where the body ends, and no field that is
 * folded. Whoever does not keep to that is refused, never corrected. Sans-I/O; called for clients'
 * requests and for nodes' answers. */
#ifndef WEB_HTTP_HEAD_H
#define WEB_HTTP_HEAD_H

#include "base/str.h"

enum { HTTP_FIELDS_MAX = 100 };

/* Fields that mean something to us. */
enum http_field_id {
    HTTP_FIELD_OTHER,
    HTTP_FIELD_ACCEPT,
    HTTP_FIELD_AUTHORIZATION,
    HTTP_FIELD_CONNECTION,
    HTTP_FIELD_CONTENT_LENGTH,
    HTTP_FIELD_CONTENT_TYPE,
    HTTP_FIELD_COOKIE,
    HTTP_FIELD_EXPECT,
    HTTP_FIELD_FORWARDED,
    HTTP_FIELD_HOP, /* belongs to one connection: Keep-Alive, TE, Proxy-Connection ... */
    HTTP_FIELD_HOST,
    HTTP_FIELD_IF_MODIFIED_SINCE,
    HTTP_FIELD_IF_NONE_MATCH,
    HTTP_FIELD_LOCATION,
    HTTP_FIELD_OURS, /* a node believes it only from us: X-Webmail-*, X-Real-IP, Proxy ... */
    HTTP_FIELD_REQUEST_ID,
    HTTP_FIELD_SET_COOKIE,
    HTTP_FIELD_TRANSFER_ENCODING,
    HTTP_FIELD_UPGRADE,
    HTTP_FIELD_USER_AGENT,
    HTTP_FIELD_WWW_AUTHENTICATE,
    HTTP_FIELD_X_FORWARDED, /* -Port, -Server ... */
    HTTP_FIELD_X_FORWARDED_FOR,
    HTTP_FIELD_X_FORWARDED_HOST,
    HTTP_FIELD_X_FORWARDED_PROTO,
};

struct http_field {
    struct str name, value; /* without blanks around it */
    enum http_field_id id;
    bool nominated; /* by Connection: belongs to one connection too */
};

/* Where the body ends (RFC 9112, 6.3). */
enum http_framing {
    HTTP_NO_BODY,
    HTTP_COUNTED, /* `length` bytes */
    HTTP_CHUNKED,
    HTTP_UNTIL_CLOSE /* answers only */
};

/* A parsed head. Its slices point into the bytes that were parsed. */
struct http_head {
    /* a request */
    struct str method;
    struct str target;    /* in origin form ("/path?query"), or "*" */
    struct str host;      /* of Host or of the target, with the port if it has one; empty: none */
    bool is_head, is_get; /* the method */
    bool is_idempotent;   /* so is it, and it may be asked again when it got lost */
    bool expects;         /* 100-continue */
    /* an answer */
    unsigned status;
    struct str reason;
    /* both */
    unsigned minor; /* HTTP/1.minor: 0 or 1 */
    enum http_framing framing;
    bool has_length; /* there is a Content-Length: `length` is what it says (of a HEAD's answer,
                        too, which has no body) */
    uint64_t length;
    bool keep;          /* the connection can be used again, as far as this head says */
    struct str upgrade; /* what it is to be, or is, upgraded to; empty: nothing */
    uint32_t kinds;     /* which of enum http_field_id there may be: a bit each */
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t field_count;
};

/* Adds a field of that kind. There has to be room. */
static inline struct http_field *http_head_add(struct http_head *h, enum http_field_id id,
                                               struct str name, struct str value)
{
    struct http_field *f = &h->fields[h->field_count++];
    *f = (struct http_field){.name = name, .value = value, .id = id};
    h->kinds |= (uint32_t)1 << id;
    return f;
}

/* Whether H may have a field of that kind. */
static inline bool http_head_may_have(const struct http_head *h, enum http_field_id id)
{
    return h->kinds >> id & 1;
}

/* Looks for the end of the head at the start of ALL, from *SEEN on, which is kept from call to
 * call and is 0 at first: the head's length with its empty line; 0: not whole yet; -1: there is a
 * line end that is none (RFC 9112, 2.2) or a folded line (5.2), and nothing good will come of it.
 */
ssize_t http_head_end(struct str all, size_t *seen);

/* Parses a request's head, whole as http_head_end found it. 0, or the status to refuse it with
 * (400, 417, 431, 501, 505); the connection cannot be used any more then. */
unsigned http_head_request(struct http_head *h, struct str head);

/* Parses an answer's head, to a request by HEAD where IS_HEAD says so; 0, or in a few words what is
 * wrong. */
const char *http_head_answer(struct http_head *h, struct str head, bool is_head);

/* Parses the fields of a trailer section (no start line, with its empty line) into H's fields;
 * false: not as they ought to be. */
bool http_head_trailers(struct http_head *h, struct str section);

/* The first field of that kind or name; NULL: none. */
const struct http_field *http_head_find(const struct http_head *h, enum http_field_id id);
const struct http_field *http_head_named(const struct http_head *h, const char *name);

/* Cuts off *REST what stands before the next C, or all of it, and C; without blanks around it. */
struct str http_piece(struct str *rest, char c);

/* Cuts the next element off *LIST (RFC 9110, 5.6.1: commas between, blanks around do not count);
 * empty at the end. */
struct str http_list_next(struct str *list);

/* The value of the cookie NAME, which may stand in more than one Cookie field; .p NULL: none. Of
 * two of the same name the first counts. */
struct str http_head_cookie(const struct http_head *h, const char *name);

/* Whether these credentials, or the challenge for them, hold for a connection and not for a request
 * (NTLM and Negotiate, RFC 4559, 6). */
bool http_is_bound(struct str credentials);

/* Whether TEXT is a token (RFC 9110, 5.6.2). */
bool http_is_token(struct str text);

/* Whether TEXT is host[:port] (RFC 9110, 7.2), of letters that mean the same to everybody. */
bool http_is_host(struct str text);

/* HOST without its port, if it has one. */
struct str http_host_name(struct str host);

/* What a status is called ("Not Found"). */
const char *http_status_words(unsigned status);

#endif
