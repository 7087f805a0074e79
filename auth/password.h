/* SPDX-License-Identifier: ISC
 *
 * Comparing a password with a stored one: clear text or a hash with its {SCHEME} before it, as in
 * the operator's contract, section 4. Slow on purpose for the good schemes: then call it in the
 * thread pool (password_is_quick). Thread-safe. Compares in constant time. */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "base/str.h"

enum password_result {
    PASSWORD_MATCH,
    PASSWORD_WRONG,
    PASSWORD_UNUSABLE /* unknown scheme or a value that is none of its scheme: never matches */
};

/* Whether GIVEN is the password stored as STORED: clear text without a scheme, or {CLEAR}
 * {CLEARTEXT} {PLAIN} {SHA} {SSHA} {SHA256} {SSHA256} {SHA512} {SSHA512} {MD5} {SMD5} {CRYPT}
 * {ARGON2} (scheme names in any case; digests in base64, with the salt behind the digest; CRYPT by
 * crypt(3); ARGON2, also called ARGON2I and ARGON2ID, in the form $argon2id$...). An empty password
 * never matches. */
enum password_result password_check(struct str stored, struct str given);

/* Whether password_check could ever say MATCH for STORED, without the cost of a hash. */
bool password_usable(struct str stored);

/* Whether password_check for STORED (or NULL: password_pretend now) takes a few microseconds only,
 * as clear text and plain digests do: then it need not go to the thread pool. */
bool password_is_quick(const char *stored);

/* Takes as long as password_check took for the last stored password (before there was one: as
 * SHA512-CRYPT takes), for a login that nobody has: so that time does not tell. */
void password_pretend(struct str given);

#endif
