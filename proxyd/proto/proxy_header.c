/* SPDX-License-Identifier: ISC
 *
 * The PROXY protocol: see proxy_header.h. Version 1 is read as strictly as it is written by those
 * that write it: one blank between words, numbers without leading zeros, CR LF. A header that
 * cannot become one any more is BAD at its first wrong byte, so that nobody waits for the rest.
 * Called by listener.c (reading) and session.c (writing). */
#include "proto/proxy_header.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { V1_MAX = 107, V2_HEAD = 16 }; /* bytes of a whole line; of what comes before the addresses */

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Takes WORD off REST. */
static enum proxy_header take_word(struct str *rest, const char *word, size_t n)
{
    size_t there = rest->n < n ? rest->n : n;
    if (there && memcmp(rest->p, word, there) != 0)
        return PROXY_HEADER_BAD;
    if (there < n)
        return PROXY_HEADER_MORE;
    *rest = (struct str){rest->p + n, rest->n - n};
    return PROXY_HEADER_OK;
}

/* ---- version 1 ---- */

/* Takes what stands before END, and END; without END all of REST, and false. */
static bool take_field(struct str *rest, char end, struct str *field)
{
    const char *at = rest->n ? memchr(rest->p, end, rest->n) : NULL;
    *field = (struct str){rest->p, at ? (size_t)(at - rest->p) : rest->n};
    if (at)
        *rest = (struct str){at + 1, rest->n - field->n - 1};
    return at;
}

/* Whether TEXT is an address, or with PART could become one. */
static bool is_address(struct str text, int family, bool part)
{
    static const char *const tails[] = {"",      "0",       ":",  "::",   "0.0",
                                        "0.0.0", "0.0.0.0", ".0", ".0.0", ".0.0.0"};
    char whole[INET6_ADDRSTRLEN + 8];
    unsigned char bytes[16];
    if (text.n >= INET6_ADDRSTRLEN || (text.n && memchr(text.p, 0, text.n)))
        return false;
    for (size_t i = 0; i < (part ? sizeof tails / sizeof *tails : 1); i++) {
        snprintf(whole, sizeof whole, "%.*s%s", (int)text.n, text.p, tails[i]);
        if (inet_pton(family, whole, bytes) == 1)
            return true;
    }
    return false;
}

static enum proxy_header take_address(struct str *rest, int family, struct str *text)
{
    bool whole = take_field(rest, ' ', text);
    if (!is_address(*text, family, !whole))
        return PROXY_HEADER_BAD;
    return whole ? PROXY_HEADER_OK : PROXY_HEADER_MORE;
}

static enum proxy_header take_port(struct str *rest, char end, uint16_t *port)
{
    struct str text;
    uint64_t value;
    bool whole = take_field(rest, end, &text);
    if (!whole && text.n == 0)
        return PROXY_HEADER_MORE;
    if (!str_number(text, UINT16_MAX, &value) || (text.n > 1 && text.p[0] == '0'))
        return PROXY_HEADER_BAD;
    *port = (uint16_t)value;
    return whole ? PROXY_HEADER_OK : PROXY_HEADER_MORE;
}

/* UNKNOWN may be followed by anything up to the end of the line. */
static enum proxy_header take_unknown(struct str *rest)
{
    size_t n = 0;
    if (rest->n && *rest->p != ' ' && *rest->p != '\r')
        return PROXY_HEADER_BAD;
    while (n < rest->n && rest->p[n] != '\r' && rest->p[n] != '\n')
        n++;
    *rest = (struct str){rest->p + n, rest->n - n};
    enum proxy_header r = take_word(rest, "\r\n", 2);
    return r == PROXY_HEADER_OK ? PROXY_HEADER_LOCAL : r;
}

static void set_address(struct addr *to, struct str text, uint16_t port)
{
    struct addr a;
    addr_numeric(&a, text, port);
    addr_from_sockaddr(to, &a.sa, a.len);
}

static enum proxy_header take_addresses(struct str *rest, int family, struct addr *client,
                                        struct addr *local)
{
    struct str from, to;
    uint16_t from_port, to_port;
    enum proxy_header r;
    if ((r = take_address(rest, family, &from)) != PROXY_HEADER_OK ||
        (r = take_address(rest, family, &to)) != PROXY_HEADER_OK ||
        (r = take_port(rest, ' ', &from_port)) != PROXY_HEADER_OK ||
        (r = take_port(rest, '\r', &to_port)) != PROXY_HEADER_OK ||
        (r = take_word(rest, "\n", 1)) != PROXY_HEADER_OK)
        return r;
    set_address(client, from, from_port);
    set_address(local, to, to_port);
    return PROXY_HEADER_OK;
}

static enum proxy_header take_v1(struct str *rest, struct addr *client, struct addr *local)
{
    enum proxy_header r = take_word(rest, "PROXY ", 6);
    if (r != PROXY_HEADER_OK)
        return r;
    if ((r = take_word(rest, "TCP4 ", 5)) == PROXY_HEADER_OK)
        return take_addresses(rest, AF_INET, client, local);
    if (r == PROXY_HEADER_BAD && (r = take_word(rest, "TCP6 ", 5)) == PROXY_HEADER_OK)
        return take_addresses(rest, AF_INET6, client, local);
    if (r == PROXY_HEADER_BAD && (r = take_word(rest, "UNKNOWN", 7)) == PROXY_HEADER_OK)
        return take_unknown(rest);
    return r;
}

/* ---- version 2 ---- */

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };

/* Sets A from the SIZE bytes of an address and the two of a port. */
static void set_bytes(struct addr *a, const char *address, size_t size, const char *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    bool four = size == sizeof in.sin_addr;
    memcpy(four ? (void *)&in.sin_addr : (void *)&in6.sin6_addr, address, size);
    memcpy(four ? &in.sin_port : &in6.sin6_port, port, 2);
    if (four)
        addr_from_sockaddr(a, (const struct sockaddr *)&in, sizeof in);
    else
        addr_from_sockaddr(a, (const struct sockaddr *)&in6, sizeof in6);
}

static enum proxy_header take_v2(struct str *rest, struct addr *client, struct addr *local,
                                 uint16_t *to_come)
{
    const unsigned char *head = (const unsigned char *)rest->p;
    struct str copy = *rest;
    enum proxy_header r = take_word(&copy, signature, sizeof signature);
    if (r != PROXY_HEADER_OK)
        return r;
    if (copy.n && head[12] != V2_LOCAL && head[12] != V2_PROXY)
        return PROXY_HEADER_BAD;
    if (rest->n < V2_HEAD)
        return PROXY_HEADER_MORE;
    size_t size = head[12] == V2_LOCAL ? 0 : head[13] == V2_TCP4 ? 4 : head[13] == V2_TCP6 ? 16 : 0;
    size_t length = (size_t)head[14] << 8 | head[15];
    if (size && length < 2 * size + 4)
        return PROXY_HEADER_BAD;
    if (size && rest->n < V2_HEAD + 2 * size + 4)
        return PROXY_HEADER_MORE;
    const char *addresses = rest->p + V2_HEAD;
    size_t there = rest->n - V2_HEAD < length ? rest->n - V2_HEAD : length;
    *rest = (struct str){addresses + there, rest->n - V2_HEAD - there};
    *to_come = (uint16_t)(length - there);
    if (size == 0)
        return PROXY_HEADER_LOCAL;
    set_bytes(client, addresses, size, addresses + 2 * size);
    set_bytes(local, addresses + size, size, addresses + 2 * size + 2);
    return PROXY_HEADER_OK;
}

/* ---- both ---- */

enum proxy_header proxy_header_read(struct buf *in, struct addr *client, struct addr *local,
                                    uint16_t *to_come)
{
    *to_come = 0;
    if (buf_len(in) == 0)
        return PROXY_HEADER_MORE;
    struct str rest = buf_str(in);
    bool one = *rest.p == 'P';
    enum proxy_header r =
        one ? take_v1(&rest, client, local) : take_v2(&rest, client, local, to_come);
    if (r == PROXY_HEADER_MORE)
        return one && buf_len(in) >= V1_MAX ? PROXY_HEADER_BAD : PROXY_HEADER_MORE;
    size_t used = buf_len(in) - rest.n;
    if (r == PROXY_HEADER_BAD || (one && used > V1_MAX))
        return PROXY_HEADER_BAD;
    buf_take(in, (uint32_t)used);
    return r;
}

static void write_v1(struct buf *out, const struct addr *client, const struct addr *local, bool ip)
{
    char from[ADDR_TEXT], to[ADDR_TEXT];
    if (ip)
        buf_addf(out, "PROXY TCP%c %s %s %u %u\r\n", client->sa.sa_family == AF_INET ? '4' : '6',
                 addr_host(client, from), addr_host(local, to), addr_port(client),
                 addr_port(local));
    else
        buf_adds(out, "PROXY UNKNOWN\r\n");
}

static void write_v2(struct buf *out, const struct addr *client, const struct addr *local, bool ip)
{
    bool four = client->sa.sa_family == AF_INET;
    size_t size = four ? 4 : 16;
    char head[4] = {V2_LOCAL, 0, 0, 0};
    if (ip)
        memcpy(head, (char[4]){V2_PROXY, four ? V2_TCP4 : V2_TCP6, 0, (char)(2 * size + 4)}, 4);
    buf_add(out, signature, sizeof signature);
    buf_add(out, head, sizeof head);
    if (!ip)
        return;
    buf_add(out, four ? (void *)&client->in.sin_addr : (void *)&client->in6.sin6_addr, size);
    buf_add(out, four ? (void *)&local->in.sin_addr : (void *)&local->in6.sin6_addr, size);
    buf_add(out, four ? &client->in.sin_port : &client->in6.sin6_port, 2);
    buf_add(out, four ? &local->in.sin_port : &local->in6.sin6_port, 2);
}

void proxy_header_write(struct buf *out, int version, const struct addr *client,
                        const struct addr *local)
{
    bool ip = client->len && local->len && client->sa.sa_family == local->sa.sa_family &&
              client->sa.sa_family != AF_UNIX;
    (version == 1 ? write_v1 : write_v2)(out, client, local, ip);
}
