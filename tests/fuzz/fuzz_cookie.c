/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for sealed cookies and tokens. The first byte chooses: what comes as a cookie or
 * as a token is none (nobody guesses a key); what is sealed comes out again, and no more once a bit
 * of it was turned; texts of keys. */
#include "web/cookie.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NOW = 1700000000, HOUR = 3600 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cookie_keys *make(struct cookie_keys **made, const char *text)
{
    const char *wrong;
    unsigned line;
    if (!*made)
        *made = cookie_keys_new(text, &wrong, &line);
    return *made;
}

static struct cookie_keys *keys(void)
{
    static struct cookie_keys *made;
    return make(&made, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
                       "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
}

/* Nothing is sealed by these: libFuzzer looks into memcmp, and learns what was sealed by others. */
static struct cookie_keys *unused_keys(void)
{
    static struct cookie_keys *made;
    return make(&made, "0f112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
}

static void try_open(struct str text)
{
    char room[COOKIE_ROOM], coded[4096];
    struct cookie_route route;
    assert(!cookie_open(unused_keys(), "webmail", text, NOW, HOUR, room, &route));
    if (text.n >= sizeof coded / 2)
        return;
    struct str again = {coded, base64_encode(coded, text.p, text.n)};
    assert(!cookie_open(unused_keys(), "webmail", again, NOW, HOUR, room, &route));
}

/* All of DATA but a byte is sealed; that byte says what is turned afterwards. */
static void try_seal(struct str data)
{
    char text[COOKIE_TEXT], room[COOKIE_ROOM];
    struct str login = {data.p + 1, data.n - 1};
    struct cookie_route route = {NOW * 1000ull, login, login, 25, login}, found;
    if (!cookie_seal(keys(), "webmail", &route, text)) {
        assert(login.n > COOKIE_PART_MAX);
        return;
    }
    assert(cookie_open(keys(), "webmail", str_of(text), NOW, HOUR, room, &found));
    assert(str_eq(found.login, login) && str_eq(found.host, login) && found.port == 25);
    text[(unsigned char)*data.p % strlen(text)] ^= 1 << (unsigned char)*data.p % 7;
    assert(!cookie_open(keys(), "webmail", str_of(text), NOW, HOUR, room, &found));
}

static void try_keys(struct str text)
{
    char *copy = strndup(text.p, text.n);
    const char *wrong;
    unsigned line;
    struct cookie_keys *made = cookie_keys_new(copy, &wrong, &line);
    assert(!made == (wrong != NULL));
    cookie_keys_free(made);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char visit[COOKIE_VISIT_TEXT];
    struct str text = {(const char *)data + 1, size - 1};
    if (size < 2)
        return 0;
    cookie_visit(visit);
    switch (data[0] % 4) {
    case 0:
        try_open(text);
        break;
    case 1:
        try_seal(text);
        break;
    case 2:
        assert(!cookie_token_fits(keys(), str_of(visit), text, NOW, HOUR));
        break;
    default:
        try_keys(text);
    }
    return 0;
}
