/* SPDX-License-Identifier: ISC
 *
 * Plays dialogues of port 25 and LMTP without a socket: couples the server (proto/smtp_server.c)
 * with the client of one node (smtp_back.c up to EHLO, then smtp_client.c) as mail/ does, one
 * recipient after the other. A recipient goes to the node unless a line V: says what it is
 * answered. */
#include "mail.h"

#include "base/mem.h"
#include "proto/smtp.h"
#include "proto/smtp_client.h"
#include "proto/smtp_data.h"
#include "proto/smtp_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER = 256 * 1024 };

#define RECEIVED "Received: from\r\n\tby\r\n\tid\r\n"

enum waits { WAITS_NOT, WAITS_ROUTE, WAITS_NODE, WAITS_MESSAGE, WAITS_TLS, WAITS_END };
enum node_is { NODE_NONE, NODE_GREETS, NODE_TLS, NODE_TALKS };

struct world {
    const struct dialogue *d;
    const char *mode;
    unsigned at;
    bool failed, begun;
    struct smtp_server server;
    struct smtp_client client;
    struct back back;
    struct back_setup back_setup;
    struct addr client_address, local;
    struct smtp_data data;
    struct buf from_client, to_client, from_node, to_node;
    char args[2][1024]; /* of MAIL and of the RCPT that waits */
    enum waits waits;
    enum node_is node;
};

static void fail(struct world *w, const char *what, struct str got)
{
    if (!w->failed)
        printf("%s:%u: %s (%s): %s: \"%.*s\"\n", w->d->file, w->d->lines[w->at].number, w->d->title,
               w->mode, what, (int)got.n, got.p);
    w->failed = true;
}

static bool is_true(const char *value)
{
    return strcmp(value, "true") == 0;
}

static void world_init(struct world *w, const struct dialogue *d, const char *mode)
{
    bool lmtp = strcmp(d->protocol->name, "lmtp") == 0;
    struct smtp_server_setup setup = {.hostname = "mail.example.org",
                                      .capabilities = d->protocol->capabilities,
                                      .size_max = 50 << 20,
                                      .max_errors = 20,
                                      .lmtp = lmtp,
                                      .starttls = true,
                                      .trusted = true};
    *w = (struct world){.d = d, .mode = mode};
    w->back_setup = (struct back_setup){.mail = true, .session_id = "s1"};
    for (unsigned i = 0; i < d->setting_count; i++) {
        const char *set = d->settings[i], *value = strchr(set, ' ') + 1;
        if (str_starts(str_of(set), "capabilities "))
            setup.capabilities = value;
        else if (str_starts(str_of(set), "starttls "))
            setup.starttls = is_true(value);
        else if (str_starts(str_of(set), "max_errors "))
            setup.max_errors = (unsigned)atoi(value);
        else if (str_starts(str_of(set), "identify "))
            w->back_setup.identify = is_true(value);
        else if (str_starts(str_of(set), "backend_starttls "))
            w->back_setup.starttls = is_true(value);
        else
            fail(w, "unknown setting", str_of(set));
    }
    addr_numeric(&w->client_address, str_of("192.0.2.1"), 4711);
    addr_numeric(&w->local, str_of("192.0.2.2"), 25);
    struct buf *all[] = {&w->from_client, &w->to_client, &w->from_node, &w->to_node};
    for (size_t i = 0; i < 4; i++)
        buf_init(all[i], NULL, 0, BUFFER);
    smtp_server_start(&w->server, &setup, &w->to_client);
}

static void node_leave(struct world *w)
{
    if (w->node == NODE_TALKS)
        smtp_client_free(&w->client);
    if (w->node != NODE_NONE)
        back_free(&w->back);
    w->node = NODE_NONE;
    w->begun = false;
    buf_clear(&w->from_node);
}

static void world_free(struct world *w)
{
    node_leave(w);
    struct buf *all[] = {&w->from_client, &w->to_client, &w->from_node, &w->to_node};
    for (size_t i = 0; i < 4; i++)
        buf_free(all[i]);
}

/* ---- what is coupled ---- */

static void answer(struct world *w, struct str text)
{
    buf_add(&w->to_client, text.p, text.n);
    w->waits = WAITS_NOT;
}

static void end_transaction(struct world *w)
{
    smtp_server_end(&w->server);
    w->begun = false;
}

static void hand_over(struct world *w)
{
    struct smtp_path path;
    struct smtp_params params;
    if (!w->begun) {
        smtp_path_mail(str_of(w->args[0]), &path, &params);
        smtp_client_mail(&w->client, &w->to_node, &path, &params);
        w->begun = true;
        if (!smtp_client_may_send(&w->client))
            return;
    }
    smtp_path_rcpt(str_of(w->args[1]), &path, &params);
    smtp_client_rcpt(&w->client, &w->to_node, &path, &params);
    w->args[1][0] = 0;
}

static void on_rcpt(struct world *w)
{
    w->server.owed--;
    w->server.accepted += w->client.code < 300;
    answer(w, buf_str(&w->client.reply));
}

static void on_reply(struct world *w)
{
    switch (w->client.awaited) {
    case SMTP_AWAITED_MAIL:
        if (w->client.code < 300 && w->args[1][0])
            hand_over(w);
        else if (w->client.code >= 300)
            fail(w, "no dialogue has a MAIL refused", buf_str(&w->client.reply));
        break;
    case SMTP_AWAITED_RCPT:
        on_rcpt(w);
        break;
    case SMTP_AWAITED_DATA:
        if (w->client.code == 354) {
            answer(w, str_of("354 End data with <CR><LF>.<CR><LF>\r\n"));
            smtp_data_start(&w->data, SMTP_DATA_DOTS);
            buf_adds(&w->to_node, RECEIVED);
            w->waits = WAITS_MESSAGE;
        } else {
            answer(w, buf_str(&w->client.reply));
            end_transaction(w);
        }
        break;
    case SMTP_AWAITED_FINAL:
        answer(w, buf_str(&w->client.reply));
        if (smtp_client_waiting(&w->client))
            w->waits = WAITS_NODE;
        else
            end_transaction(w);
        break;
    default:
        break;
    }
}

static void lose(struct world *w, const char *text)
{
    node_leave(w);
    if (w->server.owed)
        w->server.owed--;
    else
        end_transaction(w);
    if (w->waits != WAITS_NOT)
        answer(w, str_of(text));
}

static void step_node(struct world *w)
{
    if (w->node == NODE_GREETS) {
        switch (w->d->protocol->back_read(&w->back, &w->from_node, &w->to_node)) {
        case BACK_MORE:
            return;
        case BACK_STARTTLS:
            w->node = NODE_TLS;
            return;
        case BACK_OK:
            w->node = NODE_TALKS;
            smtp_client_init(&w->client, buf_str(&w->back.capabilities));
            hand_over(w);
            break;
        default:
            lose(w, "451 4.4.1 The mail server cannot be reached, try again later\r\n");
            return;
        }
    }
    enum smtp_told told = SMTP_TOLD_NONE;
    while (w->node == NODE_TALKS &&
           (told = smtp_client_read(&w->client, &w->from_node)) == SMTP_TOLD_REPLY)
        on_reply(w);
    if (told == SMTP_TOLD_BROKEN)
        lose(w, "451 4.4.2 The mail server has gone away, try again later\r\n");
}

static void take_message(struct world *w)
{
    struct str bytes = buf_str(&w->from_client);
    size_t n = smtp_data_scan(&w->data, bytes);
    buf_add(&w->to_node, bytes.p, n + (w->data.ended ? SMTP_DATA_END : 0));
    buf_take(&w->from_client, (uint32_t)(n + (w->data.ended ? SMTP_DATA_END : 0)));
    if (!w->data.ended)
        return;
    w->waits = WAITS_NODE;
    smtp_client_sent(&w->client, w->server.setup.lmtp ? w->server.accepted : 1);
}

static void keep_args(struct world *w, unsigned which)
{
    snprintf(w->args[which], sizeof w->args[which], "%.*s", (int)w->server.args.n,
             w->server.args.p);
}

static void act(struct world *w, enum smtp_want want)
{
    switch (want) {
    case SMTP_WANT_STARTTLS:
        w->waits = buf_len(&w->from_client) ? WAITS_END : WAITS_TLS;
        break;
    case SMTP_WANT_RESET:
        if (w->begun)
            smtp_client_rset(&w->client, &w->to_node);
        end_transaction(w);
        break;
    case SMTP_WANT_MAIL:
        keep_args(w, 0);
        break;
    case SMTP_WANT_RCPT:
        keep_args(w, 1);
        w->server.owed++;
        w->waits = WAITS_ROUTE;
        break;
    case SMTP_WANT_DATA:
        smtp_client_data(&w->client, &w->to_node);
        w->waits = WAITS_NODE;
        break;
    case SMTP_WANT_QUIT:
        if (w->node == NODE_TALKS)
            buf_adds(&w->to_node, "QUIT\r\n");
        w->waits = WAITS_END;
        break;
    case SMTP_WANT_CLOSE:
        w->waits = WAITS_END;
        break;
    default:
        break;
    }
}

static void step(struct world *w)
{
    if (w->node == NODE_TLS && buf_len(&w->from_node))
        lose(w, "451 4.4.1 The mail server cannot be reached, try again later\r\n");
    step_node(w);
    for (enum smtp_want want; !w->failed;) {
        if (w->waits == WAITS_MESSAGE)
            take_message(w);
        if (w->waits != WAITS_NOT)
            return;
        want = smtp_server_read(&w->server, &w->from_client, &w->to_client);
        if (want == SMTP_WANT_MORE)
            return;
        act(w, want);
    }
}

/* ---- playing ---- */

/* Before anything but the client's words: a recipient that waits goes to the node, or is answered.
 */
static void route(struct world *w, const struct line *l)
{
    if (w->waits != WAITS_ROUTE)
        return;
    if (l->kind == LINE_VERDICT) {
        w->server.owed--;
        w->server.accepted += *l->text == '2';
        answer(w, str_of(l->text));
        buf_adds(&w->to_client, "\r\n");
        step(w);
        return;
    }
    w->waits = WAITS_NODE;
    w->back_setup.helo = smtp_server_helo(&w->server);
    w->back_setup.client = &w->client_address;
    w->back_setup.local = &w->local;
    if (w->node == NODE_TALKS) {
        hand_over(w);
    } else {
        back_init(&w->back, &w->back_setup);
        w->node = NODE_GREETS;
    }
    step(w);
}

static void expect(struct world *w, struct buf *said, const struct line *l)
{
    struct str got = buf_str(said);
    if (got.n < l->n || memcmp(got.p, l->text, l->n) != 0) {
        fail(w, "something else is said", got);
        return;
    }
    const char *lf = l->prefix ? memchr(got.p + l->n, '\n', got.n - l->n) : NULL;
    buf_take(said, lf ? (uint32_t)(lf - got.p) + 1 : (uint32_t)l->n);
}

static void speak(struct world *w, struct buf *to, const struct line *l, size_t max)
{
    for (size_t at = 0, n; at < l->n && !w->failed; at += n) {
        n = max ? max : 1 + (size_t)rand() % 24;
        n = n < l->n - at ? n : l->n - at;
        buf_add(to, l->text + at, n);
        step(w);
    }
}

static void turn(struct world *w, enum line_kind kind)
{
    if (kind == LINE_CLIENT_TLS && w->waits == WAITS_TLS) {
        w->server.setup.tls = true;
        w->waits = WAITS_NOT;
    } else if (kind == LINE_NODE_TLS && w->node == NODE_TLS) {
        w->back.setup.tls = true;
        w->node = NODE_GREETS;
    } else if (kind == LINE_SERVER_END ? w->waits != WAITS_END : w->node != NODE_NONE) {
        fail(w, "a connection is not in this state", (struct str){"", 0});
    }
    step(w);
}

static void play_line(struct world *w, const struct line *l, size_t max)
{
    if (l->kind != LINE_CLIENT)
        route(w, l);
    switch (l->kind) {
    case LINE_CLIENT:
        speak(w, &w->from_client, l, max);
        break;
    case LINE_NODE:
        speak(w, &w->from_node, l, max);
        break;
    case LINE_TO_CLIENT:
        expect(w, &w->to_client, l);
        break;
    case LINE_TO_NODE:
        expect(w, &w->to_node, l);
        break;
    case LINE_VERDICT:
    case LINE_CLIENT_END:
        break;
    default:
        turn(w, l->kind);
    }
}

bool mail_play(const struct dialogue *d, const char *mode, size_t max)
{
    struct world *w = xcalloc(1, sizeof *w);
    world_init(w, d, mode);
    for (; w->at < d->count && !w->failed; w->at++)
        play_line(w, &d->lines[w->at], max);
    w->at = d->count - 1;
    if (buf_len(&w->to_client))
        fail(w, "said besides to the client", buf_str(&w->to_client));
    if (buf_len(&w->to_node))
        fail(w, "said besides to the node", buf_str(&w->to_node));
    bool good = !w->failed;
    world_free(w);
    free(w);
    return good;
}
