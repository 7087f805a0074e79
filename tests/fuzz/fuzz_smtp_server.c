/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the server of port 25 and LMTP: the first byte chooses the settings, the
 * second how recipients are answered, the rest is what a client sends, with messages and chunks in
 * it. A caller as mail/ is plays along: it answers what is wanted, now or later, and takes messages
 * away. */
#include "base/mem.h"
#include "proto/smtp.h"
#include "proto/smtp_data.h"
#include "proto/smtp_server.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 64 * 1024, PIECE = 40 };

struct world {
    struct smtp_server server;
    struct buf in, out;
    struct smtp_data data;
    bool in_message; /* the bytes of one come next */
    uint64_t chunk;  /* or these of a chunk */
    unsigned choice, answers;
};

static void init(struct world *w, unsigned choice, unsigned answers)
{
    const struct smtp_server_setup setup = {
        .hostname = "mail.example.org",
        .capabilities = choice & 1 ? "DSN,CHUNKING,SIZE 1000,X" : "8BITMIME SMTPUTF8 SIZE x",
        .size_max = choice & 2 ? 5000 : 0,
        .max_errors = 20,
        .lmtp = choice & 4,
        .starttls = choice & 8,
        .trusted = choice & 16,
    };
    *w = (struct world){.choice = choice, .answers = answers};
    buf_init(&w->in, NULL, 0, INPUT_MAX);
    buf_init(&w->out, NULL, 0, PROTO_OUT_MAX);
    smtp_server_start(&w->server, &setup, &w->out);
}

/* Every line is whole, is one of a reply, and free of control characters; no reply is left open. */
static void check_answers(struct world *w)
{
    struct str rest = buf_str(&w->out), line;
    struct smtp_reply r = {0};
    size_t used;
    while (str_line(rest, &line, &used)) {
        assert(!str_has_control(line) && used == line.n + 2 && smtp_reply(line, &r));
        rest = (struct str){rest.p + used, rest.n - used};
    }
    assert(rest.n == 0 && !r.more && !w->out.full);
    buf_clear(&w->out);
}

static void answer_one(struct world *w)
{
    if (w->server.owed == 0)
        return;
    w->server.owed--;
    w->server.accepted += w->answers & 1;
    w->answers = w->answers >> 1 | (w->answers & 1) << 7;
}

/* The slices that are told with RCPT and MAIL are those of the arguments. */
static void check_path(struct world *w, bool rcpt)
{
    struct smtp_path path;
    struct smtp_params params;
    char mailbox[SMTP_MAILBOX_MAX + 1];
    assert((rcpt ? smtp_path_rcpt(w->server.args, &path, &params)
                 : smtp_path_mail(w->server.args, &path, &params)) == SMTP_PATH_OK);
    assert(path.address.p == w->server.path.address.p && smtp_path_mailbox(&path, mailbox));
    assert(!path.utf8 || w->server.utf8);
}

/* Does what is wanted; false when the session is over. */
static bool serve(struct world *w, enum smtp_want want)
{
    struct smtp_server *s = &w->server;
    check_answers(w);
    switch (want) {
    case SMTP_WANT_WAIT:
        assert(s->owed);
        answer_one(w);
        break;
    case SMTP_WANT_STARTTLS:
        assert(!s->setup.tls && !s->greeted && !s->mail);
        s->setup.tls = true;
        break;
    case SMTP_WANT_XCLIENT:
        assert(s->setup.trusted && !s->mail && !s->greeted);
        break;
    case SMTP_WANT_RESET:
        assert(!s->owed);
        smtp_server_end(s);
        break;
    case SMTP_WANT_MAIL:
        assert(s->greeted && s->mail && !s->owed && !s->accepted);
        check_path(w, false);
        break;
    case SMTP_WANT_RCPT:
        assert(s->mail && !s->chunked);
        check_path(w, true);
        s->owed++;
        if (w->choice & 32 || s->owed > 5)
            answer_one(w);
        break;
    case SMTP_WANT_DATA:
        assert(s->mail && s->accepted && !s->owed && !s->chunked);
        smtp_data_start(&w->data, SMTP_DATA_DOTS);
        w->in_message = true;
        break;
    case SMTP_WANT_CHUNK:
        assert(s->mail && s->accepted && !s->owed);
        w->chunk = s->chunk;
        if (w->choice & 64) {
            smtp_server_skip(s);
            w->chunk = 0;
        }
        if (s->last)
            smtp_server_end(s);
        break;
    case SMTP_WANT_CLOSE:
        assert(s->reason && !s->owed);
        return false;
    case SMTP_WANT_QUIT:
        assert(!s->owed);
        return false;
    case SMTP_WANT_MORE:
        break;
    }
    return true;
}

/* Takes away what belongs to a message; false: more is needed of it. */
static bool take_message(struct world *w)
{
    uint32_t n = w->chunk < buf_len(&w->in) ? (uint32_t)w->chunk : buf_len(&w->in);
    buf_take(&w->in, n);
    w->chunk -= n;
    if (!w->in_message)
        return w->chunk == 0;
    buf_take(&w->in, (uint32_t)smtp_data_scan(&w->data, buf_str(&w->in)));
    if (!w->data.ended)
        return false;
    buf_take(&w->in, SMTP_DATA_END);
    w->in_message = false;
    smtp_server_end(&w->server);
    return true;
}

static bool read_all(struct world *w)
{
    enum smtp_want want;
    do {
        if (!take_message(w))
            return true;
        uint32_t before = buf_len(&w->in);
        want = smtp_server_read(&w->server, &w->in, &w->out);
        assert(buf_len(&w->in) <= before);
        if (!serve(w, want))
            return false;
    } while (want != SMTP_WANT_MORE);
    assert(buf_len(&w->in) <= SMTP_EXTENDED_MAX + PIECE + 2 || w->server.owed);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    if (size < 2 || size > INPUT_MAX)
        return 0;
    init(&w, data[0], data[1]);
    for (size_t at = 2, n; at < size; at += n) {
        n = size - at < PIECE ? size - at : PIECE;
        assert(buf_add(&w.in, data + at, n));
        if (!read_all(&w))
            break;
    }
    buf_free(&w.in);
    buf_free(&w.out);
    return 0;
}
