/* SPDX-License-Identifier: ISC
 *
 * What the fuzz entries of the fronts have in common: the first byte chooses the settings, the rest
 * is what a client sends. It is played twice, in small pieces and in larger ones: what was wanted
 * and said has to be the same. An entry defines its `game`. */
#ifndef FRONT_PLAY_H
#define FRONT_PLAY_H

#include "base/mem.h"
#include "proto/proto.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct front_game {
    const char *protocol;
    const char *capabilities[2], *refusals[2];             /* of the nodes */
    void (*check)(const struct front *f, struct str said); /* SAID is all of an answer */
};

static const struct front_game game;

enum { SAID_MAX = 1 << 20, MECHANISMS = (1u << SASL_MECH_COUNT) - 1 };

struct world {
    const struct protocol *protocol;
    struct front front;
    struct creds creds;
    struct back back;
    struct buf in, out, said; /* `said`: all answers, and a letter for every want */
    unsigned turn;
};

static void init(struct world *w, unsigned choice)
{
    struct front_setup setup = {
        .hostname = "mail.example.org",
        .capabilities = game.capabilities[choice >> 5 & 1],
        .mechanisms = choice & 1 ? MECHANISMS : 1u << SASL_PLAIN,
        .starttls = choice & 2,
        .plaintext = choice & 4,
        .external = choice & 8 ? "bob" : NULL,
        .max_errors = 20,
        .max_auth_errors = 5,
    };
    struct back_setup back = {.creds = &w->creds};
    *w = (struct world){.turn = choice, .protocol = protocol_find(game.protocol)};
    creds_init(&w->creds, NULL, 0);
    front_init(&w->front, &setup, &w->creds);
    back_init(&w->back, &back);
    buf_adds(&w->back.reply, game.refusals[choice >> 6 & 1]);
    if (choice & 16)
        buf_adds(&w->back.challenge, "e30=");
    buf_init(&w->in, NULL, 0, PROTO_IN_MAX);
    buf_init(&w->out, NULL, 0, PROTO_OUT_MAX);
    buf_init(&w->said, NULL, 0, SAID_MAX);
    w->protocol->greet(&w->front, &w->out);
}

static void free_all(struct world *w)
{
    creds_wipe(&w->creds);
    front_free(&w->front);
    back_free(&w->back);
    buf_free(&w->in);
    buf_free(&w->out);
    buf_free(&w->said);
}

/* Lines are whole and have no control characters. */
static inline void check_lines(struct str said)
{
    struct str line;
    size_t used;
    while (str_line(said, &line, &used)) {
        assert(!str_has_control(line) && used == line.n + 2);
        said = (struct str){said.p + used, said.n - used};
    }
    assert(said.n == 0);
}

static void check_creds(const struct front *f, const struct creds *c)
{
    struct str secret = buf_str(&c->secret);
    assert(f->setup.plaintext || c->mech == SASL_EXTERNAL);
    if (c->malformed)
        return;
    assert(c->login[0] && strlen(c->login) <= LOGIN_MAX);
    assert(!str_has_control(str_of(c->login)) && !str_has_control(str_of(c->authcid)));
    assert(secret.n <= SECRET_MAX && (secret.n > 0) == (c->mech != SASL_EXTERNAL));
    assert(c->mech != SASL_PLAIN || !str_has_control(secret));
}

static void check_answer(struct world *w)
{
    game.check(&w->front, buf_str(&w->out));
    buf_add(&w->said, buf_str(&w->out).p, buf_len(&w->out));
    buf_clear(&w->out);
}

/* Answers what the front wants; false when the session is over. */
static bool serve(struct world *w, enum front_want want)
{
    check_answer(w);
    if (want != FRONT_MORE)
        buf_addf(&w->said, "%c", 'a' + (int)want);
    assert((want != FRONT_REFUSED && want != FRONT_CLOSE) || w->front.reason);
    if (want == FRONT_STARTTLS) {
        assert(!w->front.setup.tls);
        w->front.setup.tls = w->front.setup.plaintext = true;
    }
    if (want == FRONT_LOGIN) {
        check_creds(&w->front, &w->creds);
        enum verdict verdict = 1 + w->turn++ % VERDICT_BUSY; /* all but OK */
        want = w->protocol->answer(&w->front, verdict, &w->back, &w->out);
        assert(want == FRONT_MORE || want == FRONT_CLOSE);
        check_answer(w);
    }
    return want != FRONT_CLOSE && want != FRONT_QUIT;
}

static bool read_all(struct world *w)
{
    enum front_want want;
    do {
        uint32_t before = buf_len(&w->in);
        want = w->protocol->read(&w->front, &w->in, &w->out);
        assert(buf_len(&w->in) <= before);
        assert(want == FRONT_MORE || want == FRONT_CLOSE || buf_len(&w->in) < before);
        if (!serve(w, want))
            return false;
    } while (want != FRONT_MORE);
    return true;
}

static void play(struct world *w, const uint8_t *data, size_t size, size_t piece)
{
    init(w, data[0]);
    for (size_t at = 1; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        assert(buf_add(&w->in, data + at, n));
        if (!read_all(w))
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world small, large;
    if (size == 0)
        return 0;
    play(&small, data, size, 3);
    play(&large, data, size, 1000);
    assert(str_eq(buf_str(&small.said), buf_str(&large.said)));
    free_all(&small);
    free_all(&large);
    return 0;
}

#endif
