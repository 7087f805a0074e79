/* SPDX-License-Identifier: ISC
 *
 * Runs dialogues (*.talk) against the fronts and backs without a socket: couples the two as
 * session.c does and compares every byte that they say. Each dialogue runs with its input in whole
 * pieces, byte by byte, and cut at random. The same files run over real sockets in tests/e2e.
 *
 *     talk FILE...      prints what differs as FILE:LINE: and exits with 1 */
#include "mail.h"
#include "script.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 20261, RANDOM_RUNS = 16 };

/* ---- the world of one run ---- */

struct bytes {
    char *p;
    size_t n;
};

enum client_state {
    CLIENT_TALKS,
    CLIENT_ROUTED, /* a login is whole; the next line says what becomes of it */
    CLIENT_TLS,    /* a handshake comes next */
    CLIENT_WAITS,  /* the node is asked */
    CLIENT_CARRIED,
    CLIENT_ENDED
};

enum node_state { NODE_NONE, NODE_TALKS, NODE_TLS, NODE_CARRIED };

struct world {
    const struct dialogue *d;
    const char *mode;
    unsigned at; /* the present line */
    bool failed;
    struct front_setup front_setup;
    struct back_setup back_setup;
    const char *external;
    struct addr client, local;
    struct creds creds;
    char secret[512]; /* lent to it */
    struct front front;
    struct back back;
    struct buf front_in, front_out, back_in, back_out;
    struct bytes from_client, from_node, to_client, to_node; /* on the way */
    enum client_state client_state;
    enum node_state node_state;
};

static void print_bytes(const char *p, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n && i < 300; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == '\r' || c == '\n')
            printf("\\%c", c == '\r' ? 'r' : 'n');
        else if (c < ' ' || c > '~')
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    puts(n > 300 ? "\" ..." : "\"");
}

__attribute__((format(printf, 2, 3))) static void failed(struct world *w, const char *format, ...)
{
    const struct dialogue *d = w->d;
    if (w->failed)
        return;
    w->failed = true;
    va_list args;
    unsigned at = w->at < d->count ? w->at : d->count - 1;
    printf("%s:%u: %s (%s): ", d->file, d->count ? d->lines[at].number : 0, d->title, w->mode);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static void bytes_add(struct bytes *b, const char *p, size_t n)
{
    b->p = xrealloc(b->p, b->n + n);
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void bytes_take(struct bytes *b, size_t n)
{
    if (n)
        memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

static void move(struct buf *from, struct bytes *to)
{
    if (buf_len(from))
        bytes_add(to, buf_str(from).p, buf_len(from));
    buf_clear(from);
}

static void fill(struct bytes *from, struct buf *to)
{
    size_t room = to->max - buf_len(to), n = from->n < room ? from->n : room;
    buf_add(to, from->p, n);
    bytes_take(from, n);
}

static void node_leave(struct world *w)
{
    back_free(&w->back);
    buf_clear(&w->back_in);
    buf_clear(&w->back_out);
    bytes_take(&w->from_node, w->from_node.n);
    w->node_state = NODE_NONE;
}

static void answer(struct world *w, enum verdict verdict)
{
    const struct back *b = w->node_state == NODE_NONE ? NULL : &w->back;
    enum front_want want = w->d->protocol->answer(&w->front, verdict, b, &w->front_out);
    move(&w->front_out, &w->to_client);
    w->client_state = want == FRONT_CLOSE     ? CLIENT_ENDED
                      : verdict == VERDICT_OK ? CLIENT_CARRIED
                                              : CLIENT_TALKS;
    if (verdict == VERDICT_OK) {
        w->node_state = NODE_CARRIED;
        move(&w->front_in, &w->to_node);
        move(&w->back_in, &w->to_client);
    } else if (b) {
        node_leave(w);
    }
}

/* Calls the back until it waits; the input may be empty. */
static void step_node(struct world *w)
{
    fill(&w->from_node, &w->back_in);
    uint32_t before = buf_len(&w->back_in);
    enum back_want want = w->d->protocol->back_read(&w->back, &w->back_in, &w->back_out);
    if (buf_len(&w->back_in) > before)
        failed(w, "the back's input grew");
    move(&w->back_out, &w->to_node);
    switch (want) {
    case BACK_MORE:
        if (w->from_node.n)
            failed(w, "the back takes no more");
        break;
    case BACK_STARTTLS:
        w->node_state = NODE_TLS;
        if (buf_len(&w->back_in) + w->from_node.n)
            answer(w, VERDICT_NODE_DOWN);
        break;
    case BACK_OK:
        answer(w, VERDICT_OK);
        break;
    case BACK_REFUSED:
        answer(w, VERDICT_NODE_REFUSED);
        break;
    default:
        answer(w, VERDICT_NODE_DOWN);
    }
}

static void step_client(struct world *w)
{
    fill(&w->from_client, &w->front_in);
    uint32_t before = buf_len(&w->front_in);
    enum front_want want = w->d->protocol->read(&w->front, &w->front_in, &w->front_out);
    if (buf_len(&w->front_in) > before)
        failed(w, "the front's input grew");
    move(&w->front_out, &w->to_client);
    switch (want) {
    case FRONT_MORE:
        if (w->from_client.n && buf_len(&w->front_in) == before)
            failed(w, "the front takes no more");
        break;
    case FRONT_STARTTLS:
        w->client_state = CLIENT_TLS;
        break;
    case FRONT_LOGIN:
        w->client_state = CLIENT_ROUTED;
        if (w->creds.malformed)
            answer(w, VERDICT_AUTH_FAILED);
        break;
    case FRONT_REFUSED:
        if (!w->front.reason)
            failed(w, "refused without a reason");
        break;
    case FRONT_CLOSE:
        if (!w->front.reason)
            failed(w, "closed without a reason");
        w->client_state = CLIENT_ENDED;
        break;
    case FRONT_QUIT:
        w->client_state = CLIENT_ENDED;
    }
    if (want == FRONT_REFUSED)
        step_client(w);
}

/* Goes on as far as what has arrived allows. */
static void step(struct world *w)
{
    if (w->node_state == NODE_TLS && w->from_node.n)
        answer(w, VERDICT_NODE_DOWN);
    if (w->client_state == CLIENT_WAITS && w->node_state == NODE_TALKS)
        step_node(w);
    while (w->client_state == CLIENT_TALKS && buf_len(&w->front_in) + w->from_client.n &&
           !w->failed) {
        size_t before = buf_len(&w->front_in) + w->from_client.n;
        step_client(w);
        if (w->client_state == CLIENT_TALKS && buf_len(&w->front_in) + w->from_client.n == before)
            break;
    }
    if (w->client_state == CLIENT_TLS && buf_len(&w->front_in) + w->from_client.n)
        w->client_state = CLIENT_ENDED;
    if (w->client_state == CLIENT_CARRIED) {
        bytes_add(&w->to_node, w->from_client.p, w->from_client.n);
        bytes_take(&w->from_client, w->from_client.n);
        bytes_add(&w->to_client, w->from_node.p, w->from_node.n);
        bytes_take(&w->from_node, w->from_node.n);
    }
}

/* ---- playing a script ---- */

static unsigned read_mechanisms(const char *value)
{
    struct str rest = str_of(value), word;
    unsigned all = 0;
    enum sasl_mech mech;
    while ((word = str_word(&rest)).n)
        if (sasl_find(word, ~0u, &mech))
            all |= 1u << mech;
    return all;
}

static bool set(struct world *w, const char *key, const char *value)
{
    struct front_setup *f = &w->front_setup;
    struct back_setup *b = &w->back_setup;
    const char *text = strcmp(value, "none") == 0 ? NULL : value;
    const struct {
        const char *key;
        bool *value;
    } bools[] = {
        {"tls", &f->tls},
        {"starttls", &f->starttls},
        {"plaintext", &f->plaintext},
        {"backend_starttls", &b->starttls},
        {"identify", &b->identify},
        {"verified", &b->verified},
    };
    const struct {
        const char *key;
        const char **value;
    } texts[] = {
        {"capabilities", &f->capabilities}, {"external", &w->external},
        {"master_user", &b->master_user},   {"master_password", &b->master_password},
        {"node_login", &b->login},
    };
    for (size_t i = 0; i < sizeof bools / sizeof *bools; i++)
        if (strcmp(key, bools[i].key) == 0)
            return *bools[i].value = strcmp(value, "true") == 0, true;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(key, texts[i].key) == 0)
            return *texts[i].value = text, true;
    if (strcmp(key, "mechanisms") == 0)
        f->mechanisms = read_mechanisms(value);
    else if (strcmp(key, "max_errors") == 0)
        f->max_errors = (unsigned)atoi(value);
    else if (strcmp(key, "max_auth_errors") == 0)
        f->max_auth_errors = (unsigned)atoi(value);
    else
        return false;
    return true;
}

static void apply_settings(struct world *w)
{
    w->front_setup = (struct front_setup){
        .hostname = "mail.example.org",
        .capabilities = w->d->protocol->capabilities,
        .mechanisms = read_mechanisms("plain login xoauth2 oauthbearer"),
        .starttls = true,
        .plaintext = true,
        .max_errors = 20,
        .max_auth_errors = 5,
    };
    addr_numeric(&w->client, str_of("192.0.2.1"), 4711);
    addr_numeric(&w->local, str_of("192.0.2.2"), 143);
    w->back_setup = (struct back_setup){
        .creds = &w->creds, .client = &w->client, .local = &w->local, .session_id = "s1"};
    for (unsigned i = 0; i < w->d->setting_count; i++) {
        char key[64];
        const char *space = strchr(w->d->settings[i], ' ');
        snprintf(key, sizeof key, "%.*s", space ? (int)(space - w->d->settings[i]) : 0,
                 w->d->settings[i]);
        if (!space || !set(w, key, space + 1))
            failed(w, "unknown setting %s", w->d->settings[i]);
    }
    w->front_setup.plaintext |= w->front_setup.tls;
    if (w->front_setup.tls)
        w->front_setup.external = w->external;
}

static void world_init(struct world *w, const struct dialogue *d, const char *mode)
{
    *w = (struct world){.d = d, .mode = mode};
    apply_settings(w);
    creds_init(&w->creds, w->secret, sizeof w->secret);
    front_init(&w->front, &w->front_setup, &w->creds);
    buf_init(&w->front_in, NULL, 0, PROTO_IN_MAX);
    buf_init(&w->front_out, NULL, 0, PROTO_OUT_MAX);
    buf_init(&w->back_in, NULL, 0, PROTO_IN_MAX);
    buf_init(&w->back_out, NULL, 0, PROTO_OUT_MAX);
    d->protocol->greet(&w->front, &w->front_out);
    move(&w->front_out, &w->to_client);
}

static void world_free(struct world *w)
{
    if (w->node_state != NODE_NONE)
        back_free(&w->back);
    front_free(&w->front);
    creds_wipe(&w->creds);
    buf_free(&w->front_in);
    buf_free(&w->front_out);
    buf_free(&w->back_in);
    buf_free(&w->back_out);
    free(w->from_client.p);
    free(w->from_node.p);
    free(w->to_client.p);
    free(w->to_node.p);
}

static void expect(struct world *w, struct bytes *said, const struct line *l)
{
    if (said->n < l->n || memcmp(said->p, l->text, l->n) != 0) {
        failed(w, "expected and got:");
        print_bytes(l->text, l->n);
        print_bytes(said->p, said->n);
        return;
    }
    bytes_take(said, l->n);
    if (l->prefix) {
        const char *lf = said->n ? memchr(said->p, '\n', said->n) : NULL;
        bytes_take(said, lf ? (size_t)(lf - said->p) + 1 : said->n);
    }
}

/* Before anything but the client's words: a login that waits goes to the node, or to a verdict. */
static void route(struct world *w, const struct line *l)
{
    static const struct {
        const char *name;
        enum verdict verdict;
    } verdicts[] = {
        {"auth_failed", VERDICT_AUTH_FAILED},
        {"temporary", VERDICT_TEMPORARY},
        {"node_down", VERDICT_NODE_DOWN},
        {"busy", VERDICT_BUSY},
    };
    bool waits = w->client_state == CLIENT_ROUTED;
    if (l->kind == LINE_VERDICT) {
        for (size_t i = 0; waits && i < sizeof verdicts / sizeof *verdicts; i++)
            if (strcmp(l->text, verdicts[i].name) == 0) {
                answer(w, verdicts[i].verdict);
                step(w);
                return;
            }
        failed(w, waits ? "unknown verdict" : "no login waits for a verdict");
    } else if (waits) {
        w->back_setup.helo = front_helo(&w->front);
        back_init(&w->back, &w->back_setup);
        w->client_state = CLIENT_WAITS;
        w->node_state = NODE_TALKS;
        step(w);
    }
}

static void play_handshake(struct world *w, enum line_kind kind)
{
    if (kind == LINE_CLIENT_TLS && w->client_state == CLIENT_TLS) {
        w->front.setup.tls = w->front.setup.plaintext = true;
        w->front.setup.external = w->external;
        w->client_state = CLIENT_TALKS;
        step_client(w);
    } else if (kind == LINE_NODE_TLS && w->node_state == NODE_TLS) {
        w->back.setup.tls = true;
        w->node_state = NODE_TALKS;
        step(w);
    } else {
        failed(w, "no handshake is due");
    }
}

/* Feeds P in pieces of at most MAX bytes, or at random cuts with MAX 0. */
static void play_bytes(struct world *w, struct bytes *to, const char *p, size_t n, size_t max)
{
    while (n && !w->failed) {
        size_t piece = max ? max : 1 + (size_t)rand() % 24;
        piece = piece < n ? piece : n;
        bytes_add(to, p, piece);
        step(w);
        p += piece;
        n -= piece;
    }
}

/* Lines of the same speaker in a row are one piece where pieces are whole; returns how many. */
static unsigned play_speech(struct world *w, const struct line *l, size_t max)
{
    struct bytes all = {NULL, 0};
    unsigned i = 0;
    for (; w->at + i < w->d->count && l[i].kind == l->kind; i++)
        bytes_add(&all, l[i].text, l[i].n);
    if (l->kind == LINE_NODE && w->node_state == NODE_NONE)
        failed(w, "there is no connection to the node");
    play_bytes(w, l->kind == LINE_CLIENT ? &w->from_client : &w->from_node, all.p, all.n, max);
    free(all.p);
    return i;
}

static unsigned play_line(struct world *w, size_t max)
{
    const struct line *l = &w->d->lines[w->at];
    if (l->kind != LINE_CLIENT)
        route(w, l);
    switch (l->kind) {
    case LINE_CLIENT:
    case LINE_NODE:
        return play_speech(w, l, max);
    case LINE_TO_CLIENT:
        expect(w, &w->to_client, l);
        break;
    case LINE_TO_NODE:
        expect(w, &w->to_node, l);
        break;
    case LINE_CLIENT_TLS:
    case LINE_NODE_TLS:
        play_handshake(w, l->kind);
        break;
    case LINE_SERVER_END:
        if (w->client_state != CLIENT_ENDED)
            failed(w, "the client's connection is not closed");
        break;
    case LINE_PROXY_END:
        if (w->node_state != NODE_NONE)
            failed(w, "the node's connection is not closed");
        break;
    case LINE_CLIENT_END:
    case LINE_VERDICT:
        break;
    }
    return 1;
}

static bool play_session(const struct dialogue *d, const char *mode, size_t max)
{
    struct world w;
    bool end_expected = false;
    world_init(&w, d, mode);
    while (w.at < d->count && !w.failed) {
        end_expected |= d->lines[w.at].kind == LINE_SERVER_END;
        w.at += play_line(&w, max);
    }
    if (!w.failed && w.to_client.n + w.to_node.n) {
        failed(&w, "said besides, to the client and to the node:");
        print_bytes(w.to_client.p, w.to_client.n);
        print_bytes(w.to_node.p, w.to_node.n);
    }
    if (w.client_state == CLIENT_ENDED && !end_expected)
        failed(&w, "the client's connection was closed");
    world_free(&w);
    return !w.failed;
}

static bool play_all_ways(const struct dialogue *d)
{
    char mode[64];
    bool (*play)(const struct dialogue *, const char *, size_t) =
        d->protocol->engine == ENGINE_MAIL ? mail_play : play_session;
    if (!play(d, "whole", SIZE_MAX) || !play(d, "byte by byte", 1))
        return false;
    for (unsigned i = 0; i < RANDOM_RUNS; i++) {
        srand(SEED + i);
        snprintf(mode, sizeof mode, "cut at random, seed %u", SEED + i);
        if (!play(d, mode, 0))
            return false;
    }
    return true;
}

static unsigned dialogues, failures;

static void run(const struct dialogue *d)
{
    dialogues++;
    failures += !play_all_ways(d);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        script_read(argv[i], run);
    printf("%u dialogues, %u failed (random cuts from seed %d on)\n", dialogues, failures, SEED);
    return failures > 0 || dialogues == 0;
}
