/* SPDX-License-Identifier: ISC
 *
 * What an administrator looks for when something is wrong just now: the last logins that failed,
 * and who has moved most bytes in the last minutes. Both are bounded, whatever comes; of talkers
 * the large ones are found without remembering all others (Metwally, Agrawal and El Abbadi, 2005).
 * From any thread; only who has just failed, or moved much, waits for anybody. */
#ifndef RECENT_H
#define RECENT_H

#include "base/addr.h"

enum { RECENT_FAILURES = 50, RECENT_TALKERS = 10, RECENT_LOGIN = 64, RECENT_REASON = 120 };

struct recent_failure {
    uint64_t when; /* seconds since 1970 */
    char service[32], login[RECENT_LOGIN], client[ADDR_TEXT], session[17];
    char reason[RECENT_REASON];
};

struct recent_talker {
    char login[RECENT_LOGIN];
    uint64_t bytes; /* a second, of the last minute or so */
};

/* Notes that a login has failed. SERVICE, LOGIN (or NULL), SESSION and REASON are cut where they
 * are long. */
void recent_failure(const char *service, const char *login, const struct addr *client,
                    const char *session, const char *reason);

/* Fills LIST (RECENT_FAILURES of them) in, the newest first; how many there are. */
size_t recent_failures(struct recent_failure *list);

/* Notes that LOGIN has moved BYTES, after many of them or at a session's end. */
void recent_bytes(const char *login, uint64_t bytes);

/* Fills LIST (RECENT_TALKERS of them) in, the largest first; how many there are. */
size_t recent_talkers(struct recent_talker *list);

/* What was long ago counts for less: to be called every RECENT_STROKE ms. */
enum { RECENT_STROKE = 5000 };
void recent_age(void);

#endif
