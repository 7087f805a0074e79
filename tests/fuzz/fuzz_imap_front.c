/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the IMAP front: the first byte chooses the settings, the rest is what a
 * client sends, in small pieces. Every want is answered, each time in another way. */
#include "base/mem.h"
#include "proto/imap.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE = 13 }; /* bytes: cuts fall everywhere */

struct world {
    struct front front;
    struct creds creds;
    struct back back;
    struct buf in, out;
    unsigned turn;
};

static void init(struct world *w, unsigned choice)
{
    struct front_setup setup = {
        .hostname = "mail.example.org",
        .capabilities = "IMAP4rev1 LITERAL+ ID",
        .mechanisms = choice & 1 ? ~0u : 1u << SASL_PLAIN,
        .starttls = choice & 2,
        .plaintext = choice & 4,
        .external = choice & 8 ? "bob" : NULL,
        .max_errors = 20,
        .max_auth_errors = 5,
    };
    struct back_setup back = {.creds = &w->creds};
    w->turn = choice;
    creds_init(&w->creds, NULL, 0);
    front_init(&w->front, &setup, &w->creds);
    back_init(&w->back, &back);
    buf_adds(&w->back.reply, "* CAPABILITY IMAP4rev1\r\n* NO x\r\nNO [INUSE] no\r\n");
    if (choice & 16)
        buf_adds(&w->back.challenge, "e30=");
    buf_init(&w->in, NULL, 0, PROTO_IN_MAX);
    buf_init(&w->out, NULL, 0, PROTO_OUT_MAX);
    imap_greet(&w->front, &w->out);
    buf_clear(&w->out);
}

static void check_creds(const struct creds *c)
{
    if (c->malformed)
        return;
    assert(c->login[0] && strlen(c->login) <= LOGIN_MAX);
    assert(!str_has_control(str_of(c->login)) && !str_has_control(str_of(c->authcid)));
    assert(buf_len(&c->secret) <= SECRET_MAX);
}

/* Answers what the front wants; false when the session is over. */
static bool serve(struct world *w, enum front_want want)
{
    assert(buf_len(&w->out) <= PROTO_OUT_MAX);
    buf_clear(&w->out);
    switch (want) {
    case FRONT_MORE:
        return true;
    case FRONT_REFUSED:
        assert(w->front.reason);
        return true;
    case FRONT_STARTTLS:
        assert(!w->front.setup.tls);
        w->front.setup.tls = w->front.setup.plaintext = true;
        buf_clear(&w->in);
        return true;
    case FRONT_LOGIN:
        check_creds(&w->creds);
        want = imap_answer(&w->front, w->turn++ % (VERDICT_BUSY + 1), &w->back, &w->out);
        assert(want == FRONT_MORE || want == FRONT_CLOSE);
        buf_clear(&w->out);
        return want == FRONT_MORE;
    case FRONT_CLOSE:
        assert(w->front.reason);
        return false;
    case FRONT_QUIT:
        return false;
    }
    assert(0);
}

static bool read_all(struct world *w)
{
    enum front_want want;
    do {
        uint32_t before = buf_len(&w->in);
        want = imap_read(&w->front, &w->in, &w->out);
        assert(buf_len(&w->in) <= before);
        assert(want == FRONT_MORE || want == FRONT_CLOSE || buf_len(&w->in) < before);
        if (!serve(w, want))
            return false;
    } while (want != FRONT_MORE);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    if (size == 0)
        return 0;
    init(&w, data[0]);
    for (size_t at = 1; at < size; at += PIECE) {
        size_t n = size - at < PIECE ? size - at : PIECE;
        assert(buf_add(&w.in, data + at, n));
        if (!read_all(&w))
            break;
    }
    creds_wipe(&w.creds);
    front_free(&w.front);
    back_free(&w.back);
    buf_free(&w.in);
    buf_free(&w.out);
    return 0;
}
