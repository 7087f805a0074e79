/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the filter of messages: the first byte chooses the mode and how the rest is
 * cut. What it says is what a model says that looks at one byte after the other; without a fault
 * the dots can be put and taken again. */
#include "base/mem.h"
#include "proto/smtp_data.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096 };

/* ---- the model ---- */

/* What a byte stands behind. */
enum line { LINE_START, LINE_DOT, LINE_DOT_CR, LINE_INSIDE, LINE_CR };

struct model {
    enum line line;
    enum smtp_data_fault fault;
    bool ended;
    uint64_t size;
    size_t taken;
};

static void note(struct model *m, enum smtp_data_fault fault)
{
    if (m->fault == SMTP_DATA_GOOD)
        m->fault = fault;
}

/* C behind a message of `taken` bytes and what may be its end. */
static void model_byte(struct model *m, char c, bool dots)
{
    size_t held = m->line == LINE_DOT ? 1 : m->line == LINE_DOT_CR ? 2 : 0;
    bool cr = m->line == LINE_DOT_CR || m->line == LINE_CR;
    if (dots && m->line == LINE_START && c == '.') {
        m->line = LINE_DOT;
        return;
    }
    if (m->line == LINE_DOT && c == '\r') {
        m->line = LINE_DOT_CR;
        return;
    }
    if (m->line == LINE_DOT_CR && c == '\n') {
        m->ended = true;
        return;
    }
    m->taken += held + 1;
    m->size += held ? held : 1;
    if (cr && c != '\n')
        note(m, SMTP_DATA_BARE_CR);
    if (!cr && c == '\n')
        note(m, SMTP_DATA_BARE_LF);
    if (c == 0)
        note(m, SMTP_DATA_NUL);
    m->line = c == '\r' ? LINE_CR : cr && c == '\n' ? LINE_START : LINE_INSIDE;
}

static struct model model(enum smtp_data_mode mode, struct str text)
{
    struct model m = {0};
    for (size_t i = 0; i < text.n && !m.ended; i++)
        model_byte(&m, text.p[i], mode == SMTP_DATA_DOTS);
    if (mode == SMTP_DATA_BINARY)
        m.fault = SMTP_DATA_GOOD;
    return m;
}

/* Received fields in the header part of what has no fault. */
static unsigned model_received(struct str text)
{
    unsigned received = 0;
    struct str line;
    size_t used;
    while (str_line(text, &line, &used) && line.n) {
        received += str_starts(line, "received:");
        text = (struct str){text.p + used, text.n - used};
    }
    return received + (line.n != 0 && str_starts(text, "received:"));
}

/* ---- the filter ---- */

/* Scans pieces of PIECE bytes, each in memory of its own size, so that a look beyond is found. */
static struct smtp_data scan(enum smtp_data_mode mode, struct str text, size_t piece, size_t *taken)
{
    struct smtp_data d;
    size_t came = 0;
    smtp_data_start(&d, mode);
    *taken = 0;
    while (came < text.n && !d.ended) {
        came = text.n - came < piece ? text.n : came + piece;
        size_t n = came - *taken;
        char *copy = xmalloc(n);
        memcpy(copy, text.p + *taken, n);
        *taken += smtp_data_scan(&d, (struct str){copy, n});
        free(copy);
        assert(*taken <= came && (d.ended || came - *taken <= 2));
    }
    return d;
}

static void check_scan(enum smtp_data_mode mode, struct str text, size_t piece)
{
    size_t taken;
    struct model m = model(mode, text);
    struct smtp_data d = scan(mode, text, piece, &taken);
    assert(d.fault == m.fault && d.ended == m.ended && d.size == m.size && taken == m.taken);
    if (m.fault == SMTP_DATA_GOOD && mode != SMTP_DATA_BINARY)
        assert(d.received == model_received((struct str){text.p, taken}));
}

/* ---- dots ---- */

typedef size_t converter(struct smtp_dots *, struct str *, char *, size_t);

/* With room for PIECE bytes at a time. */
static size_t convert(converter *run, struct smtp_dots *s, struct str text, size_t piece, char *out)
{
    size_t n = 0;
    while (text.n) {
        size_t written = run(s, &text, out + n, piece);
        assert(written <= piece && (written == piece || text.n == 0));
        n += written;
    }
    return n;
}

static void check_dots(struct str text, size_t piece)
{
    struct smtp_data d;
    struct smtp_dots s = {0}, u = {0};
    size_t taken;
    char stuffed[2 * INPUT_MAX + SMTP_DATA_STUFF_END], back[sizeof stuffed];
    d = scan(SMTP_DATA_CHUNKS, text, text.n, &taken);
    smtp_data_finish(&d);
    if (d.fault != SMTP_DATA_GOOD)
        return;
    size_t n = convert(smtp_data_stuff, &s, text, piece, stuffed);
    n += smtp_data_stuff_end(&s, stuffed + n);
    d = scan(SMTP_DATA_DOTS, (struct str){stuffed, n}, piece, &taken);
    assert(d.ended && taken + SMTP_DATA_END == n && d.fault == SMTP_DATA_GOOD);
    n = convert(smtp_data_unstuff, &u, (struct str){stuffed, taken}, piece, back);
    assert(n == d.size && n == text.n + (s.inside ? 2 : 0) && memcmp(back, text.p, text.n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > INPUT_MAX)
        return 0;
    struct str text = {(const char *)data + 1, size - 1};
    enum smtp_data_mode mode = data[0] % 3;
    size_t piece = 1 + data[0] / 3;
    check_scan(mode, text, piece);
    check_scan(mode, text, text.n);
    check_dots(text, piece);
    return 0;
}
