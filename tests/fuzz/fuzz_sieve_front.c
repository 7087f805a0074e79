/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the ManageSieve front: the first byte chooses the settings, the rest is what
 * a client sends. It is played twice, in small pieces and in larger ones: what was wanted and said
 * has to be the same. */
#include "base/mem.h"
#include "proto/sieve.h"
#include "proto/sieve_words.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SAID_MAX = 1 << 20, MECHANISMS = (1u << SASL_MECH_COUNT) - 1 };

struct world {
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
        .capabilities = choice & 32 ? "SIEVE a,SIEVE b c,NOTIFY x" : "OWNER,A\"b",
        .mechanisms = choice & 1 ? MECHANISMS : 1u << SASL_PLAIN,
        .starttls = choice & 2,
        .plaintext = choice & 4,
        .external = choice & 8 ? "bob" : NULL,
        .max_errors = 20,
        .max_auth_errors = 5,
    };
    struct back_setup back = {.creds = &w->creds};
    *w = (struct world){.turn = choice};
    creds_init(&w->creds, NULL, 0);
    front_init(&w->front, &setup, &w->creds);
    back_init(&w->back, &back);
    buf_adds(&w->back.reply, choice & 64 ? "NO (TRYLATER)\r\n" : "NO\r\n");
    if (choice & 16)
        buf_adds(&w->back.challenge, "e30=");
    buf_init(&w->in, NULL, 0, PROTO_IN_MAX);
    buf_init(&w->out, NULL, 0, PROTO_OUT_MAX);
    buf_init(&w->said, NULL, 0, SAID_MAX);
    sieve_greet(&w->front, &w->out);
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

/* All that is said are whole units. */
static void check_answers(struct world *w)
{
    struct str rest = buf_str(&w->out);
    size_t used;
    while (rest.n) {
        assert(sieve_unit(rest, false, &used) == SIEVE_WHOLE);
        rest = (struct str){rest.p + used, rest.n - used};
    }
    buf_add(&w->said, buf_str(&w->out).p, buf_len(&w->out));
    buf_clear(&w->out);
}

/* Answers what the front wants; false when the session is over. */
static bool serve(struct world *w, enum front_want want)
{
    check_answers(w);
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
        want = sieve_answer(&w->front, verdict, &w->back, &w->out);
        assert(want == FRONT_MORE || want == FRONT_CLOSE);
        check_answers(w);
    }
    return want != FRONT_CLOSE && want != FRONT_QUIT;
}

static bool read_all(struct world *w)
{
    enum front_want want;
    do {
        uint32_t before = buf_len(&w->in);
        want = sieve_read(&w->front, &w->in, &w->out);
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
