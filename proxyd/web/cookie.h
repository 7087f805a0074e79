/* SPDX-License-Identifier: ISC
 *
 * What browsers keep for us, so that no front end has to: the route cookie, which says who it is
 * and where his node is, sealed by AES-256-GCM; and the login page's token, by which a post is
 * known to come from a page of ours. Any front end with the same keys opens them. Nobody else makes
 * or changes one, and one that is not ours, or too old, is as good as none. Usable from any thread.
 */
#ifndef WEB_COOKIE_H
#define WEB_COOKIE_H

#include "base/buf.h"
#include "base/str.h"

enum {
    COOKIE_KEY = 32,          /* bytes of a key */
    COOKIE_KEYS_MAX = 16,     /* while keys are rotated there are two */
    COOKIE_PART_MAX = 255,    /* bytes of a name, host or login */
    COOKIE_ROOM = 1024,       /* bytes that opening one needs */
    COOKIE_TEXT = 1152,       /* of a sealed cookie with its NUL, at most */
    COOKIE_VISIT_TEXT = 25,   /* of a visit's name with its NUL */
    COOKIE_TOKEN_TEXT = 56,   /* of a token with its NUL */
    COOKIE_CLOCKS_DIFFER = 60 /* seconds that another front end's clock may be ahead */
};

struct cookie_keys;

/* The keys that TEXT has, lines of 64 hexadecimal digits; empty lines and spaces at their ends do
 * not count. NULL with *WRONG where it is none of that: a few words, and in *LINE which line. */
struct cookie_keys *cookie_keys_new(const char *text, const char **wrong, unsigned *line);

/* The key of this process, which is made by chance when it is first asked for, and lives as long as
 * the process. */
struct cookie_keys *cookie_keys_own(void);

/* Appends that key, in base64, to OUT for a process to come; takes that of a process before
 * (anything else is ignored). Before there are threads. */
void cookie_add_own_key(struct buf *out);
void cookie_set_own_key(struct str base64);

/* Wipes and frees KEYS, but not those of the process. NULL is allowed. */
void cookie_keys_free(struct cookie_keys *keys);

struct cookie_route {
    uint64_t time;   /* of the login, in ms since 1970 */
    struct str name; /* of the node, as in `nodes`; empty: none there */
    struct str host;
    uint16_t port;
    struct str login; /* as it was typed */
};

/* Seals ROUTE for the service called SERVICE, by the first key, into TEXT: characters that a cookie
 * may have. False where a part is longer than COOKIE_PART_MAX. */
bool cookie_seal(struct cookie_keys *keys, const char *service, const struct cookie_route *route,
                 char text[COOKIE_TEXT]);

/* Opens TEXT, sealed for SERVICE by any of KEYS, at most LIFETIME seconds before NOW. The parts of
 * ROUTE are in ROOM. */
bool cookie_open(struct cookie_keys *keys, const char *service, struct str text, uint64_t now,
                 uint64_t lifetime, char room[COOKIE_ROOM], struct cookie_route *route);

/* A name for one visit to the login page, by chance: a cookie of its own. */
void cookie_visit(char visit[COOKIE_VISIT_TEXT]);

/* Whether TEXT could be one. */
bool cookie_is_visit(struct str text);

/* The token for the login page of that VISIT at NOW. */
void cookie_token(struct cookie_keys *keys, struct str visit, uint64_t now,
                  char token[COOKIE_TOKEN_TEXT]);

/* Whether TOKEN is one for VISIT, at most LIFETIME seconds before NOW. */
bool cookie_token_fits(struct cookie_keys *keys, struct str visit, struct str token, uint64_t now,
                       uint64_t lifetime);

#endif
