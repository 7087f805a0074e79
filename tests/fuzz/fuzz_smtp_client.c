/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the client that hands mail to a node: the first byte chooses what the node
 * announced, the following ones the commands that are sent, up to a zero; the rest is what the node
 * says. Played in small pieces and as a whole: the same has to be told. */
#include "proto/smtp.h"
#include "proto/smtp_client.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 * 1024, TOLD_MAX = 1 << 20 };

struct world {
    struct smtp_client client;
    struct buf in, out, told; /* `told`: all replies, with what each one answers */
};

static void send_command(struct world *w, unsigned command)
{
    static const char from[] = "FROM:<a@example.net> SIZE=5 BODY=8BITMIME RET=FULL AUTH=<>";
    static const char to[] = "TO:<b@example.org> NOTIFY=NEVER";
    struct smtp_path path;
    struct smtp_params params;
    switch (command % 6) {
    case 0:
        smtp_client_rset(&w->client, &w->out);
        break;
    case 1:
        assert(smtp_path_mail(str_of(from), &path, &params) == SMTP_PATH_OK);
        smtp_client_mail(&w->client, &w->out, &path, &params);
        break;
    case 2:
        assert(smtp_path_rcpt(str_of(to), &path, &params) == SMTP_PATH_OK);
        smtp_client_rcpt(&w->client, &w->out, &path, &params);
        break;
    case 3:
        smtp_client_data(&w->client, &w->out);
        break;
    case 4:
        smtp_client_sent(&w->client, command / 6 % 4);
        break;
    default:
        smtp_client_chunk(&w->client, &w->out, command, command & 64, 1);
    }
}

static void init(struct world *w, unsigned choice, const uint8_t *commands, size_t count)
{
    static const char *const capabilities[] = {"", "PIPELINING,SIZE 1,", "DSN,8bitmime,CHUNKING,",
                                               "pipelining,SMTPUTF8,X Y,"};
    buf_init(&w->in, NULL, 0, INPUT_MAX);
    buf_init(&w->out, NULL, 0, INPUT_MAX);
    buf_init(&w->told, NULL, 0, TOLD_MAX);
    smtp_client_init(&w->client, str_of(capabilities[choice % 4]));
    for (size_t i = 0; i < count; i++)
        send_command(w, commands[i]);
    struct str rest = buf_str(&w->out), line;
    for (size_t used; str_line(rest, &line, &used);
         rest = (struct str){rest.p + used, rest.n - used})
        assert(!str_has_control(line) && used == line.n + 2);
    assert(rest.n == 0);
}

static void check_reply(const struct smtp_client *c)
{
    struct str rest = buf_str(&c->reply), line;
    struct smtp_reply r = {.more = true};
    size_t used;
    while (str_line(rest, &line, &used)) {
        assert(r.more && smtp_reply(line, &r) && r.code == c->code && used == line.n + 2);
        rest = (struct str){rest.p + used, rest.n - used};
    }
    assert(rest.n == 0 && !r.more && c->reply.end - c->reply.start <= SMTP_REPLY_MAX);
}

/* Takes all replies that have come; false: the node is broken. */
static bool read_all(struct world *w)
{
    enum smtp_told told;
    for (unsigned before = smtp_client_waiting(&w->client);; before--) {
        told = smtp_client_read(&w->client, &w->in);
        if (told != SMTP_TOLD_REPLY)
            break;
        check_reply(&w->client);
        assert(before && smtp_client_waiting(&w->client) == before - 1);
        buf_addf(&w->told, "%u ", w->client.awaited);
        buf_add(&w->told, buf_str(&w->client.reply).p, buf_len(&w->client.reply));
    }
    if (told == SMTP_TOLD_BROKEN)
        buf_addf(&w->told, "broken");
    assert(told == SMTP_TOLD_NONE || w->client.error);
    return told == SMTP_TOLD_NONE;
}

static void play(struct world *w, const uint8_t *data, size_t size, size_t piece)
{
    size_t count = 0;
    while (1 + count < size && count < 40 && data[1 + count])
        count++;
    init(w, data[0], data + 1, count);
    for (size_t at = 1 + count, n; at < size; at += n) {
        n = size - at < piece ? size - at : piece;
        assert(buf_add(&w->in, data + at, n));
        if (!read_all(w))
            return;
    }
}

static void free_all(struct world *w)
{
    smtp_client_free(&w->client);
    buf_free(&w->in);
    buf_free(&w->out);
    buf_free(&w->told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world small, large;
    if (size == 0 || size > SMTP_REPLY_MAX)
        return 0;
    play(&small, data, size, 3);
    play(&large, data, size, SMTP_REPLY_MAX);
    assert(str_eq(buf_str(&small.told), buf_str(&large.told)));
    free_all(&small);
    free_all(&large);
    return 0;
}
