/* SPDX-License-Identifier: ISC
 *
 * Stored passwords: see password.h. A scheme is a row of a table with the two functions that every
 * row has: could this value ever match, and does it. */
#include "auth/password.h"

#include "base/mem.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    STORED_MAX = 1024, /* bytes of a stored password with its scheme */
    CRYPT_DES = 13,    /* bytes of crypt(3)'s oldest hash, with its salt */
    CRYPT_HASH = 22    /* bytes behind the last $ of its other ones, at least */
};

/* What is compared in the place of a password that does not exist: what was compared last. Whoever
 * stores slow hashes, fast ones or clear text is spared a difference in time all the same. */
static struct {
    pthread_mutex_t lock;
    size_t size;
    char stored[STORED_MAX];
} model = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Until a password has been compared: SHA512-CRYPT in its 5,000 rounds, the most common of the slow
 * ones. */
static const char first_model[] =
    "{CRYPT}$6$mWzq0DVkKTgXSjoP$"
    "uVMg.4oDj.Nn2fCZj1mmO502jyVFTdHGG5XQpwC2orMSeKSg.ooTcmUcDhAqMGGjc689gs1YDVigxEMYbM8460";

struct scheme {
    const char *name;
    bool (*usable)(const struct scheme *scheme, struct str value);
    bool (*matches)(const struct scheme *scheme, struct str value, struct str given);
    const EVP_MD *(*digest)(void); /* of the digests */
    bool salted;
};

static bool same(const void *a, size_t an, const void *b, size_t bn)
{
    return an == bn && CRYPTO_memcmp(a, b, an) == 0;
}

/* ---- clear text ---- */

static bool plain_usable(const struct scheme *scheme, struct str value)
{
    (void)scheme;
    return value.n > 0;
}

static bool plain_matches(const struct scheme *scheme, struct str value, struct str given)
{
    (void)scheme;
    return same(value.p, value.n, given.p, given.n);
}

/* ---- digests: base64 of the digest of password and salt, and the salt ---- */

/* Decodes VALUE to OUT (STORED_MAX bytes). The size of the salt, or -1. */
static ssize_t digest_decode(const struct scheme *scheme, struct str value, unsigned char *out)
{
    ssize_t n = base64_decode(out, value), salt = n - EVP_MD_get_size(scheme->digest());
    return n > 0 && (scheme->salted ? salt > 0 : salt == 0) ? salt : -1;
}

static bool digest_usable(const struct scheme *scheme, struct str value)
{
    unsigned char bytes[STORED_MAX];
    bool usable = digest_decode(scheme, value, bytes) >= 0;
    mem_wipe(bytes, sizeof bytes);
    return usable;
}

static bool digest_matches(const struct scheme *scheme, struct str value, struct str given)
{
    unsigned char bytes[STORED_MAX], got[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    ssize_t salt = digest_decode(scheme, value, bytes);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool matches = ctx && salt >= 0 && EVP_DigestInit_ex(ctx, scheme->digest(), NULL) &&
                   EVP_DigestUpdate(ctx, given.p, given.n) &&
                   EVP_DigestUpdate(ctx, bytes + EVP_MD_get_size(scheme->digest()), (size_t)salt) &&
                   EVP_DigestFinal_ex(ctx, got, &n) && same(bytes, n, got, n);
    EVP_MD_CTX_free(ctx);
    mem_wipe(bytes, sizeof bytes);
    mem_wipe(got, sizeof got);
    return matches;
}

/* ---- crypt(3) ---- */

/* VALUE with a NUL behind it; false where that would be another value. */
static bool text_of(char text[STORED_MAX + 1], struct str value)
{
    if (value.n > STORED_MAX || memchr(value.p, 0, value.n))
        return false;
    memcpy(text, value.p, value.n);
    text[value.n] = 0;
    return true;
}

static bool crypt_usable(const struct scheme *scheme, struct str value)
{
    char text[STORED_MAX + 1];
    (void)scheme;
    if (!text_of(text, value))
        return false;
    const char *dollar = strrchr(text, '$');
    bool whole = dollar ? strlen(dollar + 1) >= CRYPT_HASH : value.n >= CRYPT_DES;
    int salt = crypt_checksalt(text);
    mem_wipe(text, sizeof text);
    return whole && salt != CRYPT_SALT_INVALID && salt != CRYPT_SALT_METHOD_DISABLED;
}

static bool crypt_matches(const struct scheme *scheme, struct str value, struct str given)
{
    char stored[STORED_MAX + 1], typed[STORED_MAX + 1];
    (void)scheme;
    bool good = text_of(stored, value) && text_of(typed, given);
    struct crypt_data *data = xcalloc(1, sizeof *data); /* 32 KiB */
    const char *made = good ? crypt_r(typed, stored, data) : NULL;
    /* What crypt cannot hash it answers with "*0" or "*1", never with the setting itself. */
    bool matches = made && same(made, strlen(made), stored, value.n);
    mem_wipe(data, sizeof *data);
    free(data);
    mem_wipe(typed, sizeof typed);
    mem_wipe(stored, sizeof stored);
    return matches;
}

/* ---- Argon2 ---- */

static bool argon2_usable(const struct scheme *scheme, struct str value)
{
    char text[STORED_MAX + 1];
    (void)scheme;
    if (sodium_init() < 0 || !text_of(text, value))
        return false;
    /* That also tells, for the cost of reading it, whether the value is one: */
    bool usable = crypto_pwhash_str_needs_rehash(text, crypto_pwhash_OPSLIMIT_MIN,
                                                 crypto_pwhash_MEMLIMIT_MIN) >= 0;
    mem_wipe(text, sizeof text);
    return usable;
}

static bool argon2_matches(const struct scheme *scheme, struct str value, struct str given)
{
    char text[STORED_MAX + 1];
    (void)scheme;
    bool matches = sodium_init() >= 0 && text_of(text, value) &&
                   crypto_pwhash_str_verify(text, given.p, given.n) == 0;
    mem_wipe(text, sizeof text);
    return matches;
}

/* ---- all schemes ---- */

#define PLAIN  plain_usable, plain_matches, NULL, false
#define DIGEST digest_usable, digest_matches
#define CRYPT  crypt_usable, crypt_matches, NULL, false
#define ARGON2 argon2_usable, argon2_matches, NULL, false

static const struct scheme schemes[] = {
    {"", PLAIN}, /* no scheme */
    {"CLEAR", PLAIN},
    {"CLEARTEXT", PLAIN},
    {"PLAIN", PLAIN},
    {"SHA", DIGEST, EVP_sha1, false},
    {"SSHA", DIGEST, EVP_sha1, true},
    {"SHA256", DIGEST, EVP_sha256, false},
    {"SSHA256", DIGEST, EVP_sha256, true},
    {"SHA512", DIGEST, EVP_sha512, false},
    {"SSHA512", DIGEST, EVP_sha512, true},
    {"MD5", DIGEST, EVP_md5, false},
    {"SMD5", DIGEST, EVP_md5, true},
    {"CRYPT", CRYPT},
    {"ARGON2", ARGON2},
    {"ARGON2I", ARGON2}, /* as Dovecot names them */
    {"ARGON2ID", ARGON2},
};

/* Cuts the {SCHEME} off *STORED. NULL: there is one, but none that is known. */
static const struct scheme *cut_scheme(struct str *stored)
{
    struct str name = {stored->p, 0};
    if (stored->n > STORED_MAX)
        return NULL;
    if (stored->n && *stored->p == '{') {
        const char *end = memchr(stored->p, '}', stored->n);
        if (!end || end == stored->p + 1)
            return NULL;
        name = (struct str){stored->p + 1, (size_t)(end - stored->p) - 1};
        *stored = (struct str){end + 1, stored->n - name.n - 2};
    }
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (str_is(name, schemes[i].name))
            return &schemes[i];
    return NULL;
}

bool password_usable(struct str stored)
{
    const struct scheme *scheme = cut_scheme(&stored);
    return scheme && scheme->usable(scheme, stored);
}

static void set_model(struct str stored)
{
    pthread_mutex_lock(&model.lock);
    memcpy(model.stored, stored.p, stored.n);
    model.size = stored.n;
    pthread_mutex_unlock(&model.lock);
}

enum password_result password_check(struct str stored, struct str given)
{
    struct str value = stored;
    const struct scheme *scheme = cut_scheme(&value);
    if (!scheme || !scheme->usable(scheme, value))
        return PASSWORD_UNUSABLE;
    set_model(scheme->matches == plain_matches ? str_of("{PLAIN}-") : stored);
    bool matches = scheme->matches(scheme, value, given);
    return matches && given.n > 0 ? PASSWORD_MATCH : PASSWORD_WRONG;
}

/* The model, copied to COPY (STORED_MAX bytes). */
static struct str get_model(char *copy)
{
    pthread_mutex_lock(&model.lock);
    struct str stored = {copy, model.size};
    memcpy(copy, model.stored, model.size);
    pthread_mutex_unlock(&model.lock);
    return stored.n ? stored : str_of(first_model);
}

void password_pretend(struct str given)
{
    char copy[STORED_MAX];
    password_check(get_model(copy), given);
    mem_wipe(copy, sizeof copy);
}

bool password_is_quick(const char *stored)
{
    char copy[STORED_MAX];
    struct str value = stored ? str_of(stored) : get_model(copy);
    const struct scheme *scheme = cut_scheme(&value);
    if (!stored)
        mem_wipe(copy, sizeof copy);
    return !scheme || (scheme->usable != crypt_usable && scheme->usable != argon2_usable);
}
