/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the ManageSieve back: the first two bytes choose the settings, the rest is
 * what a node says. It is played twice, in small pieces and in larger ones: what was wanted and
 * said has to be the same. */
#include "base/mem.h"
#include "proto/sieve.h"
#include "proto/sieve_words.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct back back;
    struct creds creds;
    struct addr client;
    struct buf in, out, said;
    enum back_want want;
};

static void set_creds(struct creds *c, unsigned choice)
{
    static const char *const passwords[] = {"secret", " secret", "pass word", "p\xc3\xa4ss"};
    creds_init(c, NULL, 0);
    creds_set(c, str_of("bob"), str_of(passwords[choice & 3]));
    if (choice & 4)
        strcpy(c->authcid, "admin");
    if (choice & 8) {
        c->mech = choice & 4 ? SASL_XOAUTH2 : SASL_OAUTHBEARER;
        c->authcid[0] = 0;
    }
}

static void init(struct world *w, const uint8_t *choice)
{
    *w = (struct world){.want = BACK_MORE};
    set_creds(&w->creds, choice[0]);
    struct back_setup setup = {
        .creds = choice[0] & 16 ? NULL : &w->creds,
        .login = choice[1] & 1 ? "bob.b" : NULL,
        .master_user = choice[1] & 2 ? "master" : NULL,
        .master_password = "master",
        .starttls = choice[1] & 4,
        .identify = choice[1] & 8,
        .client = &w->client,
        .session_id = "s1",
    };
    addr_numeric(&w->client, str_of(choice[1] & 16 ? "192.0.2.1" : "unix:/x"), 4711);
    back_init(&w->back, &setup);
    buf_init(&w->in, NULL, 0, PROTO_IN_MAX);
    buf_init(&w->out, NULL, 0, PROTO_OUT_MAX);
    buf_init(&w->said, NULL, 0, 1 << 20);
}

static void free_all(struct world *w)
{
    creds_wipe(&w->creds);
    back_free(&w->back);
    buf_free(&w->in);
    buf_free(&w->out);
    buf_free(&w->said);
}

/* Whole units; nothing of a login before TLS that is wanted. */
static void check_commands(struct world *w)
{
    struct str rest = buf_str(&w->out);
    size_t used;
    while (rest.n) {
        assert(sieve_unit(rest, true, &used) == SIEVE_WHOLE);
        if (!w->back.setup.creds || (w->back.setup.starttls && !w->back.setup.tls))
            assert(str_starts(rest, "STARTTLS\r\n") || str_starts(rest, "LOGOUT\r\n"));
        rest = (struct str){rest.p + used, rest.n - used};
    }
    buf_add(&w->said, buf_str(&w->out).p, buf_len(&w->out));
    buf_clear(&w->out);
}

static bool was_said(const struct world *w, const char *command)
{
    struct str said = buf_str(&w->said);
    return said.n && memmem(said.p, said.n, command, strlen(command));
}

static void check_want(const struct world *w)
{
    const struct back *b = &w->back;
    switch (w->want) {
    case BACK_OK:
    case BACK_REFUSED:
        assert(b->setup.creds && buf_len(&b->reply) >= 3);
        assert(str_starts(buf_str(&b->reply), w->want == BACK_OK ? "OK" : "NO"));
        assert(was_said(w, "AUTHENTICATE "));
        break;
    case BACK_STARTTLS:
        assert(b->setup.starttls && !b->setup.tls && was_said(w, "STARTTLS\r\n"));
        break;
    case BACK_FAILED:
        assert(b->error);
        break;
    case BACK_LEFT:
        assert(!b->setup.creds && was_said(w, "LOGOUT\r\n"));
        break;
    case BACK_MORE:
        assert(buf_len(&w->in) < PROTO_LINE_MAX + 2);
    }
}

static void play(struct world *w, const uint8_t *data, size_t size, size_t piece)
{
    init(w, data);
    for (size_t at = 2; at < size && w->want == BACK_MORE; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        assert(buf_add(&w->in, data + at, n));
        do {
            w->want = sieve_back_read(&w->back, &w->in, &w->out);
            check_commands(w);
            check_want(w);
            w->back.setup.tls |= w->want == BACK_STARTTLS;
        } while (w->want == BACK_STARTTLS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world small, large;
    if (size < 2)
        return 0;
    play(&small, data, size, 3);
    play(&large, data, size, 1000);
    assert(small.want == large.want);
    assert(str_eq(buf_str(&small.said), buf_str(&large.said)));
    assert(str_eq(buf_str(&small.back.reply), buf_str(&large.back.reply)));
    free_all(&small);
    free_all(&large);
    return 0;
}
