/* SPDX-License-Identifier: ISC
 *
 * What the fuzz entries of the backs have in common: the first two bytes choose the settings, the
 * rest is what a node says. It is played twice, in small pieces and in larger ones: what was wanted
 * and said has to be the same. An entry defines its `game`. */
#ifndef BACK_PLAY_H
#define BACK_PLAY_H

#include "base/mem.h"
#include "proto/proto.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct back_game {
    const char *protocol, *starttls, *quit; /* commands */
    /* SAID are whole commands, and may be said now: nothing of a login before TLS that is wanted.
     */
    void (*check_commands)(const struct back *b, struct str said);
    /* The reply is the client's to read: the node says yes, or no. */
    void (*check_reply)(const struct back *b, bool ok, struct str said_so_far);
};

static const struct back_game game;

struct world {
    const struct protocol *protocol;
    struct back back;
    struct creds creds;
    struct addr client, local;
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
    *w = (struct world){.want = BACK_MORE, .protocol = protocol_find(game.protocol)};
    set_creds(&w->creds, choice[0]);
    struct back_setup setup = {
        .creds = choice[0] & 16 ? NULL : &w->creds,
        .login = choice[1] & 1 ? "bob.b" : NULL,
        .master_user = choice[1] & 2 ? "master" : NULL,
        .master_password = "master",
        .starttls = choice[1] & 4,
        .identify = choice[1] & 8,
        .verified = choice[1] & 32,
        .helo = "client.example.org",
        .client = &w->client,
        .local = &w->local,
        .session_id = "s1",
    };
    addr_numeric(&w->client, str_of(choice[1] & 16 ? "192.0.2.1" : "unix:/x"), 4711);
    addr_numeric(&w->local, str_of("2001:db8::1"), 143);
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

/* Whether the login may not be said yet, or not at all. */
static inline bool is_early(const struct back *b)
{
    return !b->setup.creds || (b->setup.starttls && !b->setup.tls);
}

static bool was_said(struct str said, const char *command)
{
    return said.n && memmem(said.p, said.n, command, strlen(command));
}

static void check_want(const struct world *w)
{
    const struct back *b = &w->back;
    struct str said = buf_str(&w->said);
    switch (w->want) {
    case BACK_OK:
    case BACK_REFUSED:
        assert(!is_early(b));
        game.check_reply(b, w->want == BACK_OK, said);
        break;
    case BACK_STARTTLS:
        assert(b->setup.starttls && !b->setup.tls && was_said(said, game.starttls));
        break;
    case BACK_FAILED:
        assert(b->error);
        break;
    case BACK_LEFT:
        assert(!b->setup.creds && was_said(said, game.quit));
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
            w->want = w->protocol->back_read(&w->back, &w->in, &w->out);
            game.check_commands(&w->back, buf_str(&w->out));
            buf_add(&w->said, buf_str(&w->out).p, buf_len(&w->out));
            buf_clear(&w->out);
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

#endif
