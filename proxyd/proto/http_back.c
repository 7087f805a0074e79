/* SPDX-License-Identifier: ISC
 *
 * Checks of nodes that speak HTTP: see http.h. */
#include "proto/http.h"

#include <string.h>

enum http_back_state { BACK_ASK, BACK_STATUS };

bool http_announce(struct str word)
{
    (void)word;
    return false;
}

static void answer(struct buf *out, const char *status, unsigned seconds, const char *text)
{
    buf_addf(out,
             "HTTP/1.1 %s\r\nContent-Type: text/plain\r\n"
             "Content-Length: %zu\r\nRetry-After: %u\r\nConnection: close\r\n\r\n%s\n",
             status, strlen(text) + 1, seconds, text);
}

void http_goodbye(struct buf *out, const char *text)
{
    answer(out, "503 Service Unavailable", 10, text);
}

void http_turn_away(struct buf *out, const char *text, bool rate)
{
    answer(out, rate ? "429 Too Many Requests" : "503 Service Unavailable", 60, text);
}

/* "HTTP/1.", a digit, a blank, three digits (RFC 9112, 4). */
static bool is_status_line(struct str line)
{
    const char *p = line.p;
    return line.n >= 12 && str_starts(line, "HTTP/1.") && p[8] == ' ' && p[9] >= '1' &&
           p[9] <= '5' && (line.n == 12 || p[12] == ' ');
}

enum back_want http_back_read(struct back *b, struct buf *in, struct buf *out)
{
    struct str line;
    size_t used;
    if (b->setup.creds)
        return BACK_OK;
    if (b->state == BACK_ASK) {
        buf_addf(out,
                 "HEAD / HTTP/1.1\r\nHost: %s\r\nUser-Agent: proxyd\r\n"
                 "Connection: close\r\n\r\n",
                 b->setup.helo);
        b->state = BACK_STATUS;
    }
    if (!str_line(buf_str(in), &line, &used))
        return BACK_MORE;
    return is_status_line(line) ? BACK_LEFT : back_fail(b, "the node does not speak HTTP/1");
}
