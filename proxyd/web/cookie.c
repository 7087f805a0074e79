/* SPDX-License-Identifier: ISC
 *
 * Sealed cookies and tokens: see cookie.h. A cookie is, in base64,
 *
 *     version (1 byte)  nonce (12)  { time (8)  port (2)  name  host  login  zeros }  tag (16)
 *
 * where what stands in braces is encrypted and all is authenticated, together with the service's
 * name; a part has its length in a byte before it, and up to two zeros spare the base64 its
 * padding. Opening one is on the way of every request: base/str.c reads base64 five times as fast
 * as libsodium, whose time does not depend on a secret; there is none in a cookie before it is
 * opened. A token is a time (8) and HMAC-SHA256 over it and the visit, by a key of its own made
 * from the cookie's. */
#include "web/cookie.h"

#include "base/mem.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    VERSION = 2,
    NONCE = 12,
    TAG = 16,
    TIME = 8,
    OUTSIDE = 1 + NONCE + TAG, /* bytes of a cookie that are not encrypted */
    PLAIN_MAX = TIME + 2 + 3 * (1 + COOKIE_PART_MAX) + 2,
    SEALED_MIN = OUTSIDE + TIME + 2 + 3,
    SEALED_MAX = OUTSIDE + PLAIN_MAX,
    VISIT = 18, /* bytes; 24 characters */
    MAC = 32,
    BASE64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING
};

_Static_assert((int)COOKIE_TEXT > ((int)SEALED_MAX * 4 + 2) / 3 + 1, "a sealed cookie fits");
_Static_assert((int)COOKIE_ROOM >= (int)PLAIN_MAX, "an opened cookie fits");

/* The contexts keep the key's schedule, which costs more than a cookie; one is used at a time. */
struct key {
    EVP_CIPHER_CTX *seal, *open;
    unsigned char token[COOKIE_KEY];
};

/* A cookie that was opened a while ago, as it came, and what was in it. The same one comes with
 * every request of its browser, and opening it costs as much as all else that is done for one. */
struct opened {
    size_t service, text, room; /* bytes of each in `bytes`, in this order */
    char bytes[];
};

enum { OPENED = 256 };

struct cookie_keys {
    pthread_mutex_t lock;
    struct opened *opened[OPENED]; /* each at the place that its text has, or NULL */
    unsigned count;
    struct key list[COOKIE_KEYS_MAX];
};

/* ---- keys ---- */

/* OpenSSL's functions fail here only where memory or chance is missing: nothing goes on then. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

static void chance(void *p, int n)
{
    must(RAND_bytes(p, n));
}

static void add_key(struct cookie_keys *keys, const unsigned char bytes[COOKIE_KEY])
{
    static const unsigned char purpose[] = "proxyd login token";
    struct key *key = &keys->list[keys->count++];
    key->seal = EVP_CIPHER_CTX_new();
    key->open = EVP_CIPHER_CTX_new();
    must(EVP_EncryptInit_ex(key->seal, EVP_aes_256_gcm(), NULL, bytes, NULL));
    must(EVP_DecryptInit_ex(key->open, EVP_aes_256_gcm(), NULL, bytes, NULL));
    must(HMAC(EVP_sha256(), bytes, COOKIE_KEY, purpose, sizeof purpose, key->token, NULL) != NULL);
}

static struct cookie_keys *keys_empty(void)
{
    struct cookie_keys *keys = xcalloc(1, sizeof *keys);
    pthread_mutex_init(&keys->lock, NULL);
    return keys;
}

static struct str next_line(const char **text)
{
    size_t n = strcspn(*text, "\n");
    struct str line = {*text, n};
    *text += n + ((*text)[n] == '\n');
    while (line.n && strchr(" \t\r", line.p[line.n - 1]))
        line.n--;
    return line;
}

/* Takes a key from LINE; what is wrong with it, or NULL. */
static const char *take_line(struct cookie_keys *keys, struct str line)
{
    unsigned char bytes[COOKIE_KEY];
    const char *end;
    size_t n;
    if (keys->count == COOKIE_KEYS_MAX)
        return "there are more than 16 keys";
    if (sodium_hex2bin(bytes, sizeof bytes, line.p, line.n, NULL, &n, &end) != 0 ||
        n != COOKIE_KEY || end != line.p + line.n)
        return "a key is 64 hexadecimal digits";
    add_key(keys, bytes);
    mem_wipe(bytes, sizeof bytes);
    return NULL;
}

struct cookie_keys *cookie_keys_new(const char *text, const char **wrong, unsigned *line)
{
    struct cookie_keys *keys = keys_empty();
    *wrong = NULL;
    *line = 0;
    while (*text && !*wrong) {
        struct str at = next_line(&text);
        ++*line;
        if (at.n)
            *wrong = take_line(keys, at);
    }
    if (!*wrong && keys->count == 0)
        *wrong = "there is no key";
    if (!*wrong)
        return keys;
    cookie_keys_free(keys);
    return NULL;
}

static struct cookie_keys *own;
static unsigned char own_bytes[COOKIE_KEY];
static bool own_set; /* by the process before */

static void make_own(void)
{
    own = keys_empty();
    if (!own_set)
        chance(own_bytes, sizeof own_bytes);
    add_key(own, own_bytes);
}

struct cookie_keys *cookie_keys_own(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_own);
    return own;
}

void cookie_add_own_key(struct buf *out)
{
    cookie_keys_own();
    char *room = buf_room(out, (uint32_t)base64_size(sizeof own_bytes));
    if (room)
        buf_added(out, (uint32_t)base64_encode(room, own_bytes, sizeof own_bytes));
}

void cookie_set_own_key(struct str base64)
{
    unsigned char bytes[(COOKIE_KEY + 2) / 3 * 3];
    own_set = base64.n == base64_size(sizeof own_bytes) &&
              base64_decode(bytes, base64) == sizeof own_bytes;
    if (own_set)
        memcpy(own_bytes, bytes, sizeof own_bytes);
    mem_wipe(bytes, sizeof bytes);
}

static void forget(struct opened **opened)
{
    struct opened *o = *opened;
    *opened = NULL;
    if (o)
        mem_wipe(o, sizeof *o + o->service + o->text + o->room);
    free(o);
}

void cookie_keys_free(struct cookie_keys *keys)
{
    if (!keys || keys == own)
        return;
    for (unsigned i = 0; i < keys->count; i++) {
        EVP_CIPHER_CTX_free(keys->list[i].seal);
        EVP_CIPHER_CTX_free(keys->list[i].open);
    }
    for (size_t i = 0; i < OPENED; i++)
        forget(&keys->opened[i]);
    pthread_mutex_destroy(&keys->lock);
    mem_wipe(keys, sizeof *keys);
    free(keys);
}

/* ---- bytes ---- */

static unsigned char *put_number(unsigned char *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0; value >>= 8)
        to[i] = (unsigned char)value;
    return to + bytes;
}

static uint64_t get_number(const unsigned char *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | from[i];
    return value;
}

static unsigned char *put_part(unsigned char *to, struct str part)
{
    *to++ = (unsigned char)part.n;
    if (part.n)
        memcpy(to, part.p, part.n);
    return to + part.n;
}

/* Cuts a part off what is left between *AT and END; false: it is not whole. */
static bool get_part(const char **at, const char *end, struct str *part)
{
    size_t n = *at < end ? (unsigned char)**at : 0;
    if (*at == end || (size_t)(end - *at) <= n)
        return false;
    *part = (struct str){*at + 1, n};
    *at += 1 + n;
    return true;
}

static bool is_recent(uint64_t time, uint64_t now, uint64_t lifetime)
{
    return time <= now + COOKIE_CLOCKS_DIFFER && now < time + lifetime;
}

/* ---- the route ---- */

/* Says what a cookie is for: who has one of another service's cannot use it here. */
static void name_service(EVP_CIPHER_CTX *c,
                         int (*update)(EVP_CIPHER_CTX *, unsigned char *, int *,
                                       const unsigned char *, int),
                         const char *service)
{
    static const unsigned char version = VERSION;
    int n;
    must(update(c, NULL, &n, &version, 1));
    must(update(c, NULL, &n, (const unsigned char *)service, (int)strlen(service)));
}

bool cookie_seal(struct cookie_keys *keys, const char *service, const struct cookie_route *route,
                 char text[COOKIE_TEXT])
{
    unsigned char plain[PLAIN_MAX], sealed[SEALED_MAX] = {VERSION};
    unsigned char *nonce = sealed + 1, *body = nonce + NONCE;
    EVP_CIPHER_CTX *c = keys->list[0].seal;
    int n;
    if (route->name.n > COOKIE_PART_MAX || route->host.n > COOKIE_PART_MAX ||
        route->login.n > COOKIE_PART_MAX)
        return false;
    unsigned char *end = put_number(put_number(plain, route->time, TIME), route->port, 2);
    end = put_part(put_part(put_part(end, route->name), route->host), route->login);
    while ((OUTSIDE + (end - plain)) % 3)
        *end++ = 0;
    chance(nonce, NONCE);
    pthread_mutex_lock(&keys->lock);
    must(EVP_EncryptInit_ex(c, NULL, NULL, NULL, nonce));
    name_service(c, EVP_EncryptUpdate, service);
    must(EVP_EncryptUpdate(c, body, &n, plain, (int)(end - plain)));
    must(EVP_EncryptFinal_ex(c, body + n, &(int){0}));
    must(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, body + n));
    pthread_mutex_unlock(&keys->lock);
    text[base64_encode(text, sealed, (size_t)(body + n + TAG - sealed))] = 0;
    return true;
}

/* Opens N bytes at BODY, with the tag behind them, into ROOM. */
static bool open_by(const struct key *key, const char *service, const unsigned char *nonce,
                    unsigned char *body, int n, unsigned char *room)
{
    EVP_CIPHER_CTX *c = key->open;
    int got;
    must(EVP_DecryptInit_ex(c, NULL, NULL, NULL, nonce));
    name_service(c, EVP_DecryptUpdate, service);
    must(EVP_DecryptUpdate(c, room, &got, body, n));
    must(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, body + n));
    return EVP_DecryptFinal_ex(c, room + n, &got) == 1;
}

/* What TEXT, at its place AT, had in it when it was opened last: bytes in ROOM; 0: not known. */
static size_t recall(const struct opened *at, struct str service, struct str text,
                     char room[COOKIE_ROOM])
{
    if (!at || at->service != service.n || at->text != text.n ||
        memcmp(at->bytes, service.p, service.n) != 0 ||
        memcmp(at->bytes + service.n, text.p, text.n) != 0)
        return 0;
    memcpy(room, at->bytes + service.n + text.n, at->room);
    return at->room;
}

static void remember(struct opened **at, struct str service, struct str text, const char *room,
                     size_t size)
{
    struct opened *o = xmalloc(sizeof *o + service.n + text.n + size);
    *o = (struct opened){service.n, text.n, size};
    memcpy(o->bytes, service.p, service.n);
    memcpy(o->bytes + service.n, text.p, text.n);
    memcpy(o->bytes + service.n + text.n, room, size);
    forget(at);
    *at = o;
}

/* Opens TEXT for the first time: bytes in ROOM; 0: it is none of ours. The lock is held. */
static size_t unseal(struct cookie_keys *keys, const char *service, struct str text,
                     char room[COOKIE_ROOM])
{
    unsigned char sealed[COOKIE_TEXT];
    bool opened = false;
    ssize_t n = base64_decode(sealed, text);
    if (n < SEALED_MIN || n > SEALED_MAX || sealed[0] != VERSION)
        return 0;
    size_t size = (size_t)n - OUTSIDE;
    for (unsigned i = 0; i < keys->count && !opened; i++)
        opened = open_by(&keys->list[i], service, sealed + 1, sealed + 1 + NONCE, (int)size,
                         (unsigned char *)room);
    return opened ? size : 0;
}

bool cookie_open(struct cookie_keys *keys, const char *service, struct str text, uint64_t now,
                 uint64_t lifetime, char room[COOKIE_ROOM], struct cookie_route *route)
{
    struct str name = str_of(service);
    if (text.n >= COOKIE_TEXT)
        return false;
    struct opened **place = &keys->opened[XXH3_64bits(text.p, text.n) % OPENED];
    pthread_mutex_lock(&keys->lock);
    size_t size = recall(*place, name, text, room);
    if (!size && (size = unseal(keys, service, text, room)) > 0)
        remember(place, name, text, room, size);
    pthread_mutex_unlock(&keys->lock);
    if (!size)
        return false;
    route->time = get_number((unsigned char *)room, TIME);
    route->port = (uint16_t)get_number((unsigned char *)room + TIME, 2);
    const char *at = room + TIME + 2, *end = room + size;
    return get_part(&at, end, &route->name) && get_part(&at, end, &route->host) &&
           get_part(&at, end, &route->login) && is_recent(route->time / 1000, now, lifetime);
}

/* ---- the login page ---- */

void cookie_visit(char visit[COOKIE_VISIT_TEXT])
{
    unsigned char bytes[VISIT];
    chance(bytes, sizeof bytes);
    sodium_bin2base64(visit, COOKIE_VISIT_TEXT, bytes, sizeof bytes, BASE64);
}

bool cookie_is_visit(struct str text)
{
    unsigned char bytes[VISIT];
    size_t n;
    return text.n == COOKIE_VISIT_TEXT - 1 &&
           sodium_base642bin(bytes, sizeof bytes, text.p, text.n, NULL, &n, NULL, BASE64) == 0;
}

static void mark(const struct key *key, struct str visit, const unsigned char time[TIME],
                 unsigned char mac[MAC])
{
    unsigned char message[TIME + COOKIE_VISIT_TEXT];
    memcpy(message, time, TIME);
    memcpy(message + TIME, visit.p, visit.n);
    must(HMAC(EVP_sha256(), key->token, COOKIE_KEY, message, TIME + visit.n, mac, NULL) != NULL);
}

void cookie_token(struct cookie_keys *keys, struct str visit, uint64_t now,
                  char token[COOKIE_TOKEN_TEXT])
{
    unsigned char bytes[TIME + MAC];
    put_number(bytes, now, TIME);
    mark(&keys->list[0], visit, bytes, bytes + TIME);
    sodium_bin2base64(token, COOKIE_TOKEN_TEXT, bytes, sizeof bytes, BASE64);
}

bool cookie_token_fits(struct cookie_keys *keys, struct str visit, struct str token, uint64_t now,
                       uint64_t lifetime)
{
    unsigned char bytes[TIME + MAC], mac[MAC];
    bool fits = false;
    size_t n;
    if (!cookie_is_visit(visit) ||
        sodium_base642bin(bytes, sizeof bytes, token.p, token.n, NULL, &n, NULL, BASE64) != 0 ||
        n != sizeof bytes)
        return false;
    for (unsigned i = 0; i < keys->count; i++) {
        mark(&keys->list[i], visit, bytes, mac);
        fits |= CRYPTO_memcmp(mac, bytes + TIME, MAC) == 0;
    }
    return fits && is_recent(get_number(bytes, TIME), now, lifetime);
}
