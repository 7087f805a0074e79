/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the IMAP back: the first byte chooses what is to be done on the node, the
 * rest is what the node says, in small pieces. */
#include "base/mem.h"
#include "proto/imap.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE = 13 }; /* bytes: cuts fall everywhere */

struct world {
    struct back back;
    struct creds creds;
    struct addr client, local;
    struct buf in, out;
};

static void init(struct world *w, unsigned choice)
{
    static const enum sasl_mech mechs[] = {SASL_PLAIN, SASL_XOAUTH2, SASL_OAUTHBEARER,
                                           SASL_EXTERNAL};
    *w = (struct world){0};
    addr_numeric(&w->client, str_of("192.0.2.1"), 4711);
    addr_numeric(&w->local, str_of("2001:db8::1"), 143);
    creds_init(&w->creds, NULL, 0);
    creds_set(&w->creds, str_of("bob"), str_of(choice & 32 ? "p\xc3\xa4ssword" : "secret"));
    w->creds.mech = mechs[choice & 3];
    struct back_setup setup = {
        .creds = choice & 4 ? NULL : &w->creds,
        .starttls = choice & 8,
        .identify = choice & 16,
        .client = &w->client,
        .local = &w->local,
        .session_id = "s1",
        .master_user = choice & 64 ? "proxy" : NULL,
        .master_password = choice & 64 ? "master" : NULL,
    };
    back_init(&w->back, &setup);
    buf_init(&w->in, NULL, 0, PROTO_IN_MAX);
    buf_init(&w->out, NULL, 0, PROTO_OUT_MAX);
}

/* Every line that reaches the client is whole and ours to send. */
static void check_reply(const struct back *b)
{
    struct str rest = buf_str(&b->reply), line;
    size_t used;
    assert(rest.n > 2 && !memchr(rest.p, 0, rest.n));
    while (str_line(rest, &line, &used)) {
        assert(line.n + 2 == used && !memchr(line.p, '\r', line.n));
        rest = (struct str){rest.p + used, rest.n - used};
        assert(rest.n == 0 || str_starts(line, "* "));
    }
    assert(rest.n == 0 && !str_starts(line, "* "));
}

/* Answers what the back wants; false when the attempt is over. */
static bool serve(struct world *w, enum back_want want)
{
    assert(buf_len(&w->out) <= PROTO_OUT_MAX);
    buf_clear(&w->out);
    switch (want) {
    case BACK_MORE:
        return true;
    case BACK_STARTTLS:
        assert(!w->back.setup.tls);
        w->back.setup.tls = true;
        buf_clear(&w->in);
        return true;
    case BACK_OK:
    case BACK_REFUSED:
        assert(w->back.setup.creds && (!w->back.setup.starttls || w->back.setup.tls));
        check_reply(&w->back);
        return false;
    case BACK_FAILED:
        assert(w->back.error);
        return false;
    case BACK_LEFT:
        assert(!w->back.setup.creds);
        return false;
    }
    assert(0);
}

static bool read_all(struct world *w)
{
    enum back_want want;
    do {
        uint32_t before = buf_len(&w->in);
        want = imap_back_read(&w->back, &w->in, &w->out);
        assert(buf_len(&w->in) <= before);
        if (!serve(w, want))
            return false;
    } while (want != BACK_MORE);
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
    back_free(&w.back);
    buf_free(&w.in);
    buf_free(&w.out);
    return 0;
}
