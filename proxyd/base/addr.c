/* SPDX-License-Identifier: ISC
 *
 * Addresses and networks: see addr.h. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool split_port(struct str text, size_t colon, uint16_t *port)
{
    uint64_t v;
    struct str digits = {text.p + colon + 1, text.n - colon - 1};
    if (!str_number(digits, 65535, &v) || v == 0)
        return false;
    *port = (uint16_t)v;
    return true;
}

bool addr_split(struct str text, struct str *host, uint16_t *port)
{
    *port = 0;
    *host = text;
    if (text.n == 0)
        return false;
    if (str_starts(text, "unix:"))
        return text.n > 6 && text.p[5] == '/';
    if (text.p[0] == '[') {
        const char *end = memchr(text.p, ']', text.n);
        if (!end)
            return false;
        size_t after = (size_t)(end - text.p) + 1;
        *host = (struct str){text.p + 1, after - 2};
        return memchr(host->p, ':', host->n) && /* brackets are for IPv6 only */
               (after == text.n || (text.p[after] == ':' && split_port(text, after, port)));
    }
    const char *colon = memchr(text.p, ':', text.n);
    if (!colon || memchr(colon + 1, ':', text.n - (size_t)(colon + 1 - text.p)))
        return true; /* no port, or a bare IPv6 address */
    *host = (struct str){text.p, (size_t)(colon - text.p)};
    return host->n > 0 && split_port(text, host->n, port);
}

static bool copy_text(char *out, size_t size, struct str s)
{
    if (s.n >= size || memchr(s.p, 0, s.n))
        return false;
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return true;
}

bool addr_numeric(struct addr *a, struct str host, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    memset(a, 0, sizeof *a);
    if (str_starts(host, "unix:")) {
        a->un.sun_family = AF_UNIX;
        a->len = sizeof a->un;
        return copy_text(a->un.sun_path, sizeof a->un.sun_path,
                         (struct str){host.p + 5, host.n - 5});
    }
    if (!copy_text(text, sizeof text, host))
        return false;
    if (inet_pton(AF_INET, text, &a->in.sin_addr) == 1) {
        a->in.sin_family = AF_INET;
        a->in.sin_port = htons(port);
        a->len = sizeof a->in;
        return true;
    }
    if (inet_pton(AF_INET6, text, &a->in6.sin6_addr) == 1) {
        a->in6.sin6_family = AF_INET6;
        a->in6.sin6_port = htons(port);
        a->len = sizeof a->in6;
        return true;
    }
    return false;
}

bool addr_is_hostname(struct str host)
{
    size_t label = 0;
    bool letter = false;
    if (host.n == 0 || host.n > 253)
        return false;
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool edge = label == 0 || i + 1 == host.n || host.p[i + 1] == '.';
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
            continue;
        }
        if (!alpha && !(c >= '0' && c <= '9') && !((c == '-' || c == '_') && !(edge && c == '-')))
            return false;
        letter |= alpha;
        if (++label > 63)
            return false;
    }
    return letter; /* only digits and dots: a mistyped address */
}

void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa, socklen_t len)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    memset(a, 0, sizeof *a);
    a->len = len < sizeof a->un ? len : (socklen_t)sizeof a->un;
    memcpy(&a->sa, sa, a->len);
    if (a->len < sizeof a->in6 || a->sa.sa_family != AF_INET6 ||
        memcmp(&a->in6.sin6_addr, mapped, sizeof mapped) != 0)
        return;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = a->in6.sin6_port};
    memcpy(&in.sin_addr, a->in6.sin6_addr.s6_addr + 12, 4);
    memset(&a->un, 0, sizeof a->un);
    a->in = in;
    a->len = sizeof in;
}

uint16_t addr_port(const struct addr *a)
{
    if (a->len && a->sa.sa_family == AF_INET)
        return ntohs(a->in.sin_port);
    return a->len && a->sa.sa_family == AF_INET6 ? ntohs(a->in6.sin6_port) : 0;
}

/* The length of a unix socket's address depends on who made it. */
bool addr_equal(const struct addr *a, const struct addr *b)
{
    if (a->len && b->len && a->sa.sa_family == AF_UNIX && b->sa.sa_family == AF_UNIX)
        return strncmp(a->un.sun_path, b->un.sun_path, sizeof a->un.sun_path) == 0;
    return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

/* The 16 bytes that networks compare; false for what is no IP address. */
static bool ip_bytes(const struct addr *a, unsigned char *bytes)
{
    if (a->len && a->sa.sa_family == AF_INET) {
        memset(bytes, 0, 10);
        memset(bytes + 10, 0xff, 2);
        memcpy(bytes + 12, &a->in.sin_addr, 4);
        return true;
    }
    if (a->len && a->sa.sa_family == AF_INET6) {
        memcpy(bytes, &a->in6.sin6_addr, 16);
        return true;
    }
    return false;
}

bool addr_is_local(const struct addr *a)
{
    if (a->len && a->sa.sa_family == AF_UNIX)
        return true;
    if (a->len && a->sa.sa_family == AF_INET)
        return ntohl(a->in.sin_addr.s_addr) >> 24 == 127;
    return a->len && a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

/* As inet_ntop, which takes a hundred times as long by printf; once for every request. */
static const char *dotted(const unsigned char bytes[4], char *text)
{
    char *p = text;
    for (int i = 0; i < 4; i++) {
        unsigned n = bytes[i];
        if (n >= 100)
            *p++ = (char)('0' + n / 100);
        if (n >= 10)
            *p++ = (char)('0' + n / 10 % 10);
        *p++ = (char)('0' + n % 10);
        *p++ = i < 3 ? '.' : 0;
    }
    return text;
}

const char *addr_host(const struct addr *a, char *text)
{
    if (a->len && a->sa.sa_family == AF_INET)
        return dotted((const unsigned char *)&a->in.sin_addr, text);
    if (a->len && a->sa.sa_family == AF_INET6)
        return inet_ntop(AF_INET6, &a->in6.sin6_addr, text, ADDR_TEXT);
    text[0] = 0;
    if (a->len)
        snprintf(text, ADDR_TEXT, "unix%s%.108s", a->un.sun_path[0] ? ":" : "", a->un.sun_path);
    return text;
}

const char *addr_format(const struct addr *a, char *text)
{
    char host[ADDR_TEXT];
    addr_host(a, host);
    if (a->len && a->sa.sa_family == AF_INET)
        snprintf(text, ADDR_TEXT, "%.46s:%u", host, addr_port(a));
    else if (a->len && a->sa.sa_family == AF_INET6)
        snprintf(text, ADDR_TEXT, "[%.46s]:%u", host, addr_port(a));
    else
        memcpy(text, host, sizeof host);
    return text;
}

static bool prefix_zero_after(const unsigned char *bytes, unsigned prefix)
{
    for (unsigned bit = prefix; bit < 128; bit++)
        if (bytes[bit / 8] & (0x80 >> bit % 8))
            return false;
    return true;
}

bool network_parse(struct network *n, struct str text)
{
    const char *slash = memchr(text.p, '/', text.n);
    struct str host = {text.p, slash ? (size_t)(slash - text.p) : text.n};
    struct addr a;
    if (!addr_numeric(&a, host, 0) || !ip_bytes(&a, n->bytes))
        return false;
    unsigned bits = a.sa.sa_family == AF_INET ? 32 : 128;
    uint64_t prefix = bits;
    if (slash && !str_number((struct str){slash + 1, text.n - host.n - 1}, bits, &prefix))
        return false;
    n->prefix = (uint8_t)(prefix + 128 - bits);
    return prefix_zero_after(n->bytes, n->prefix);
}

bool network_of(struct network *n, const struct addr *a)
{
    n->prefix = 128;
    return ip_bytes(a, n->bytes);
}

static bool network_has(const struct network *n, const unsigned char *bytes)
{
    unsigned whole = n->prefix / 8, rest = n->prefix % 8;
    if (memcmp(n->bytes, bytes, whole) != 0)
        return false;
    return rest == 0 || ((n->bytes[whole] ^ bytes[whole]) >> (8 - rest)) == 0;
}

bool network_match(const struct network *networks, size_t count, const struct addr *a)
{
    unsigned char bytes[16];
    if (!ip_bytes(a, bytes))
        return false;
    for (size_t i = 0; i < count; i++)
        if (network_has(&networks[i], bytes))
            return true;
    return false;
}
