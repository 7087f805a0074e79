/* SPDX-License-Identifier: ISC
 *
 * The Received field (RFC 5321, 4.4) that a message gets here: the one thing that is added to it.
 */
#include "mail/parts.h"

#include <time.h>

/* As RFC 3848 and RFC 6531 (4.3) have them. */
static const char *protocol(const struct mail *m)
{
    static const char *const names[2][2][2] = {{{"ESMTP", "ESMTPS"}, {"UTF8SMTP", "UTF8SMTPS"}},
                                               {{"LMTP", "LMTPS"}, {"UTF8LMTP", "UTF8LMTPS"}}};
    if (!m->server.extended)
        return "SMTP";
    return names[m->lmtp][m->server.utf8][m->client.stream.handshaken];
}

static void write_address(const struct addr *a, struct buf *out)
{
    char text[ADDR_TEXT];
    if (a->sa.sa_family == AF_UNIX)
        buf_adds(out, "local");
    else
        buf_add_texts(out, "[", a->sa.sa_family == AF_INET6 ? "IPv6:" : "", addr_host(a, text),
                      "]");
}

/* Made once in a second: it takes longer than all the rest. */
static void write_date(struct buf *out)
{
    static _Thread_local struct {
        time_t second;
        char text[48];
    } last;
    time_t now = time(NULL);
    struct tm tm;
    if (now != last.second) {
        localtime_r(&now, &tm);
        strftime(last.text, sizeof last.text, "%a, %d %b %Y %H:%M:%S %z", &tm);
        last.second = now;
    }
    buf_adds(out, last.text);
}

static void write_client(const struct mail *m, struct buf *out)
{
    const struct addr *address = &m->client.address;
    bool named = m->name && *m->name != '['; /* [TEMPUNAVAIL] is no name */
    if (m->server.helo[0])
        buf_adds(out, m->server.helo);
    else
        write_address(address, out);
    buf_add_texts(out, " (", named ? m->name : "", named ? " " : "");
    write_address(address, out);
    buf_adds(out, ")");
}

void received_write(const struct mail *m, struct buf *out)
{
    const struct client *c = &m->client;
    const char *tls = stream_tls_version(&c->stream);
    buf_adds(out, "Received: from ");
    write_client(m, out);
    buf_add_texts(out, "\r\n\tby ", c->config->global.hostname, " (proxyd) with ", protocol(m));
    if (tls)
        buf_add_texts(out, " (", tls, ")");
    buf_add_texts(out, "\r\n\tid ", c->id, "; ");
    write_date(out);
    buf_adds(out, "\r\n");
}
