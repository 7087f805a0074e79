/* SPDX-License-Identifier: ISC
 *
 * smtp_data.c: the end, faults, counts and dots of messages, whole, byte by byte and at random
 * cuts, against a model that looks at one byte after the other. */
#include "proto/smtp_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WHOLE = 1 << 20, RANDOM = 0, ROUNDS = 20000 };

struct result {
    size_t taken;
    bool ended;
    enum smtp_data_fault fault;
    uint64_t size;
    unsigned received;
    bool header;
};

/* ---- the model ---- */

static bool is_at(struct str text, size_t i, const char *word)
{
    size_t n = strlen(word);
    return i + n <= text.n && memcmp(text.p + i, word, n) == 0;
}

static bool starts_line(struct str text, size_t i)
{
    return i == 0 || (i >= 2 && is_at(text, i - 2, "\r\n"));
}

static size_t model_taken(struct str text, bool *ended)
{
    for (size_t i = 0; i < text.n; i++) {
        *ended = starts_line(text, i) && is_at(text, i, ".\r\n");
        bool perhaps =
            (i + 1 == text.n && is_at(text, i, ".")) || (i + 2 == text.n && is_at(text, i, ".\r"));
        if (*ended || (starts_line(text, i) && perhaps))
            return i;
    }
    return text.n;
}

static enum smtp_data_fault model_fault(struct str message)
{
    for (size_t i = 0; i < message.n; i++) {
        if (message.p[i] == 0)
            return SMTP_DATA_NUL;
        if (message.p[i] == '\n' && (i == 0 || message.p[i - 1] != '\r'))
            return SMTP_DATA_BARE_LF;
        if (message.p[i] == '\r' && i + 1 < message.n && message.p[i + 1] != '\n')
            return SMTP_DATA_BARE_CR;
    }
    return SMTP_DATA_GOOD;
}

static void model_lines(struct str message, bool dots, struct result *r)
{
    r->header = true;
    r->size = message.n;
    for (size_t i = 0; i < message.n; i++) {
        if (!starts_line(message, i))
            continue;
        r->size -= dots && message.p[i] == '.';
        r->received +=
            r->header && str_starts((struct str){message.p + i, message.n - i}, "received:");
        r->header &= !is_at(message, i, "\r\n");
    }
}

static struct result model(enum smtp_data_mode mode, struct str text)
{
    struct result r = {.taken = text.n};
    bool dots = mode == SMTP_DATA_DOTS;
    if (dots)
        r.taken = model_taken(text, &r.ended);
    struct str message = {text.p, r.taken};
    if (mode != SMTP_DATA_BINARY)
        r.fault = model_fault(message);
    model_lines(message, dots, &r);
    return r;
}

/* ---- the filter ---- */

/* Scans TEXT in pieces of PIECE bytes; RANDOM: of any size. */
static struct result scan(enum smtp_data_mode mode, struct str text, size_t piece)
{
    struct smtp_data d;
    size_t taken = 0;
    smtp_data_start(&d, mode);
    for (size_t came = 0; came < text.n && !d.ended;) {
        came += piece ? piece : (size_t)(rand() % 70);
        came = came < text.n ? came : text.n;
        taken += smtp_data_scan(&d, (struct str){text.p + taken, came - taken});
        assert_true(taken <= came);
        if (!d.ended)
            assert_true(came - taken <= (mode == SMTP_DATA_DOTS ? 2 : 0));
    }
    return (struct result){taken, d.ended, d.fault, d.size, d.received, d.header};
}

static void assert_result(enum smtp_data_mode mode, struct str text, struct result expected)
{
    const size_t pieces[] = {WHOLE, 1, 2, 64, RANDOM, RANDOM};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct result r = scan(mode, text, pieces[i]);
        if (r.taken != expected.taken || r.ended != expected.ended || r.fault != expected.fault ||
            r.size != expected.size)
            fail_msg("pieces of %zu: taken %zu (not %zu) ended %d (%d) fault %d (%d) "
                     "size %ju (%ju): %.*s",
                     pieces[i], r.taken, expected.taken, r.ended, expected.ended, r.fault,
                     expected.fault, (uintmax_t)r.size, (uintmax_t)expected.size, (int)text.n,
                     text.p);
        if (model_fault((struct str){text.p, r.taken}) == SMTP_DATA_GOOD &&
            (r.received != expected.received || r.header != expected.header))
            fail_msg("pieces of %zu: received %u (not %u) header %d (%d): %.*s", pieces[i],
                     r.received, expected.received, r.header, expected.header, (int)text.n, text.p);
    }
}

/* The filter says of TEXT what the model says, which is told. */
static struct result agreed(enum smtp_data_mode mode, struct str text)
{
    struct result r = model(mode, text);
    assert_result(mode, text, r);
    return r;
}

#define AGREED(mode, literal) agreed(mode, (struct str)STR(literal))

/* ---- DATA ---- */

static void assert_message(struct str text, size_t taken, uint64_t size)
{
    struct result r = agreed(SMTP_DATA_DOTS, text);
    assert_true(r.ended);
    assert_int_equal(r.fault, SMTP_DATA_GOOD);
    assert_int_equal(r.taken, taken);
    assert_int_equal(r.size, size);
}

static void test_end(void **state)
{
    (void)state;
    assert_message(str_of(".\r\n"), 0, 0);
    assert_message(str_of(".\r\nQUIT\r\n"), 0, 0);
    assert_message(str_of("\r\n.\r\n"), 2, 2);
    assert_message(str_of("a\r\n.\r\n"), 3, 3);
    assert_message(str_of("a\r\n.\r\n.\r\n"), 3, 3);
    assert_message(str_of("a\r\n..\r\n.\r\n"), 7, 6);
    assert_message(str_of("..\r\n.a\r\n...\r\n.\r\nRSET\r\n"), 13, 10);
    assert_message(str_of("a.\r\nb\r\n.\r\n"), 7, 7);
}

/* What lies behind the end is the next command's, whatever it is. */
static void test_behind_end(void **state)
{
    (void)state;
    assert_message((struct str)STR("a\r\n.\r\n\0\n\r"), 3, 3);
}

static void test_no_end_yet(void **state)
{
    static const struct {
        const char *text;
        size_t taken;
    } cases[] = {{".", 0},         {".\r", 0},      {"a", 1},        {"\r", 1},
                 {"a\r\n", 3},     {"a\r\n.", 3},   {"a\r\n.\r", 3}, {"a\r\n..", 5},
                 {"a\r\n..\r", 6}, {"a.\r\n", 4},   {"a\r\n.a", 5},  {"a.\r", 3},
                 {"\r\n.\r.", 5},  {"a\n.\r\n", 5}, {"a\r.\r\n", 5}, {"a\r\n.\n", 5}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result r = agreed(SMTP_DATA_DOTS, str_of(cases[i].text));
        assert_false(r.ended);
        assert_int_equal(r.taken, cases[i].taken);
    }
}

/* Ends for somebody else: none of them is one here, and each is a fault. */
static void test_smuggling(void **state)
{
    static const struct {
        struct str text;
        enum smtp_data_fault fault;
    } cases[] = {
        {STR("\n.\n"), SMTP_DATA_BARE_LF},         {STR("\n.\r\n"), SMTP_DATA_BARE_LF},
        {STR("\n.\r"), SMTP_DATA_BARE_LF},         {STR("\r\n.\n"), SMTP_DATA_BARE_LF},
        {STR("\r\n.\r"), SMTP_DATA_BARE_CR},       {STR("\r.\r"), SMTP_DATA_BARE_CR},
        {STR("\r.\n"), SMTP_DATA_BARE_CR},         {STR("\r.\r\n"), SMTP_DATA_BARE_CR},
        {STR("\r\n.\r\r\n"), SMTP_DATA_BARE_CR},   {STR("\r\r.\r\r"), SMTP_DATA_BARE_CR},
        {STR("\n\n.\n\n"), SMTP_DATA_BARE_LF},     {STR("\n\r.\n\r"), SMTP_DATA_BARE_LF},
        {STR("\n\r\n.\n\r\n"), SMTP_DATA_BARE_LF}, {STR("\r\n.\n\r\n"), SMTP_DATA_BARE_LF},
        {STR("\r\n\0.\r\n"), SMTP_DATA_NUL},       {STR("\r\n.\0\r\n"), SMTP_DATA_NUL},
        {STR("\r\0\n.\r\n"), SMTP_DATA_BARE_CR},   {STR("\r\n.\r\0\n"), SMTP_DATA_BARE_CR},
        {STR("\n.\r\n.\n"), SMTP_DATA_BARE_LF},
    };
    (void)state;
    char text[300];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t before = 0; before < 140; before++) {
            struct str t = cases[i].text;
            memset(text, 'x', before);
            memcpy(text + before, t.p, t.n);
            size_t n = before + t.n;
            n += (size_t)sprintf(text + n, "MAIL FROM:<a@b>\r\n");
            memcpy(text + n, ".\r\nQUIT", 7);
            struct result r = agreed(SMTP_DATA_DOTS, (struct str){text, n + 7});
            assert_true(r.ended);
            assert_int_equal(r.taken, n);
            assert_int_equal(r.fault, cases[i].fault);
        }
    }
}

/* A fault does not hide the strict end. */
static void test_fault_before_end(void **state)
{
    (void)state;
    struct result r = AGREED(SMTP_DATA_DOTS, "a\r\r\n.\r\nMAIL");
    assert_true(r.ended && r.taken == 4 && r.fault == SMTP_DATA_BARE_CR);
    r = AGREED(SMTP_DATA_DOTS, "a\n\0\r\r\n.\r\nMAIL");
    assert_true(r.ended && r.taken == 6 && r.fault == SMTP_DATA_BARE_LF);
}

static void test_counts(void **state)
{
    static const struct {
        const char *text;
        unsigned received;
        bool header;
    } cases[] = {
        {"", 0, true},
        {"Received: a\r\nRECEIVED:b\r\nreceived: c\r\n", 3, true},
        {"Received: a\r\n Received: b\r\n\tReceived: c\r\n", 1, true},
        {"X-Received: a\r\nReceive: b\r\nReceived-SPF: c\r\nReceived\r\n :d\r\n", 0, true},
        {"Received: a\r\n\r\nReceived: b\r\n", 1, false},
        {"\r\nReceived: a\r\n", 0, false},
        {"Received:", 1, true},
        {"Received", 0, true},
        {"Received : a\r\n", 0, true},
        {" \r\nReceived: a\r\n", 1, true},
        {"a\r\n.Received: b\r\nReceived: c\r\n", 1, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (enum smtp_data_mode m = SMTP_DATA_DOTS; m <= SMTP_DATA_BINARY; m++) {
            struct result r = agreed(m, str_of(cases[i].text));
            assert_int_equal(r.received, cases[i].received);
            assert_int_equal(r.header, cases[i].header);
        }
}

static void test_long_line(void **state)
{
    static char text[300000];
    (void)state;
    memset(text, '.', sizeof text);
    memcpy(text + sizeof text - 7, "x\r\n.\r\nM", 7);
    assert_message((struct str){text, sizeof text}, sizeof text - 4, sizeof text - 5);
}

/* ---- BDAT ---- */

static void test_chunks(void **state)
{
    (void)state;
    struct result r = AGREED(SMTP_DATA_CHUNKS, "..a\r\n.\r\n.b\r\n");
    assert_true(!r.ended && r.size == 12 && r.fault == SMTP_DATA_GOOD);
    assert_int_equal(AGREED(SMTP_DATA_CHUNKS, "a\nb").fault, SMTP_DATA_BARE_LF);
    assert_int_equal(AGREED(SMTP_DATA_CHUNKS, "a\rb").fault, SMTP_DATA_BARE_CR);
    assert_int_equal(AGREED(SMTP_DATA_CHUNKS, "\r\n.\0\r\n").fault, SMTP_DATA_NUL);
    r = AGREED(SMTP_DATA_BINARY, "a\nb\rc\0\r\n.\r\n");
    assert_true(!r.ended && r.size == 11 && r.fault == SMTP_DATA_GOOD);
}

static void assert_finished(enum smtp_data_mode mode, struct str text, enum smtp_data_fault fault)
{
    struct smtp_data d;
    smtp_data_start(&d, mode);
    assert_int_equal(smtp_data_scan(&d, text), text.n);
    smtp_data_finish(&d);
    assert_int_equal(d.fault, fault);
}

/* The CR LF . CR LF that would follow would make it one. */
static void test_last_byte(void **state)
{
    (void)state;
    assert_finished(SMTP_DATA_CHUNKS, str_of("a\r"), SMTP_DATA_BARE_CR);
    assert_finished(SMTP_DATA_CHUNKS, str_of("a\n\r"), SMTP_DATA_BARE_LF);
    assert_finished(SMTP_DATA_CHUNKS, str_of("a\r\n"), SMTP_DATA_GOOD);
    assert_finished(SMTP_DATA_CHUNKS, str_of("a"), SMTP_DATA_GOOD);
    assert_finished(SMTP_DATA_CHUNKS, str_of(""), SMTP_DATA_GOOD);
    assert_finished(SMTP_DATA_BINARY, str_of("a\r"), SMTP_DATA_GOOD);
}

/* ---- at random ---- */

/* Fills TEXT (SIZE bytes) with what matters here. GOOD: nothing that is a fault. */
static struct str random_text(char *text, size_t size, bool good)
{
    static const struct str words[] = {
        STR("\r\n"),     STR("."),  STR("\r\n."),    STR("abc"),    STR("Received:"),
        STR("\r\n\r\n"), STR(" "),  STR("reCeived"), STR("\r\n.."), STR("\r"),
        STR("\n"),       STR("\0"), STR("\n.")};
    const size_t count = sizeof words / sizeof *words;
    size_t n = 0, max = (size_t)rand() % size;
    bool wild = !good && rand() % 2;
    for (;;) {
        struct str word = words[(size_t)rand() % (wild ? count : count - 4)];
        if (n + word.n > max)
            return (struct str){text, n};
        memcpy(text + n, word.p, word.n);
        n += word.n;
    }
}

static void test_random(void **state)
{
    char text[400];
    (void)state;
    srand(1);
    for (int i = 0; i < ROUNDS; i++) {
        struct str t = random_text(text, sizeof text, false);
        agreed((enum smtp_data_mode)(i % 3), t);
    }
}

/* ---- dots ---- */

typedef size_t converter(struct smtp_dots *, struct str *, char *, size_t);

/* Converts TEXT in random pieces, to random room; returns what OUT holds then. */
static size_t convert(converter *run, struct smtp_dots *s, struct str text, char *out)
{
    size_t n = 0;
    while (text.n) {
        size_t piece = 1 + (size_t)rand() % text.n, room = 1 + (size_t)rand() % 40;
        struct str in = {text.p, piece};
        size_t written = run(s, &in, out + n, room);
        assert_true(written <= room && (in.n == 0 || written == room));
        n += written;
        piece -= in.n;
        text = (struct str){text.p + piece, text.n - piece};
    }
    return n;
}

/* Stuffed with its end, TEXT is EXPECTED. */
static void assert_stuffed(const char *text, const char *expected)
{
    struct smtp_dots s = {0};
    char out[100];
    size_t n = convert(smtp_data_stuff, &s, str_of(text), out);
    n += smtp_data_stuff_end(&s, out + n);
    assert_true(str_eq((struct str){out, n}, str_of(expected)));
}

static void test_stuff(void **state)
{
    (void)state;
    assert_stuffed("", ".\r\n");
    assert_stuffed(".", "..\r\n.\r\n");
    assert_stuffed("a", "a\r\n.\r\n");
    assert_stuffed("a\r\n", "a\r\n.\r\n");
    assert_stuffed("\r\n.\r\nMAIL", "\r\n..\r\nMAIL\r\n.\r\n");
    assert_stuffed("...\r\n.a.\r\nb.", "....\r\n..a.\r\nb.\r\n.\r\n");
}

static void test_unstuff(void **state)
{
    struct smtp_dots s = {0};
    char text[] = "..\r\n.a\r\nb.\r\n...";
    struct str in = str_of(text);
    (void)state;
    size_t n = smtp_data_unstuff(&s, &in, text, sizeof text); /* in place */
    assert_true(in.n == 0 && str_eq((struct str){text, n}, str_of(".\r\na\r\nb.\r\n..")));
}

/* What was stuffed has one end, at its end, and is the same when the dots are taken again. */
static void test_there_and_back(void **state)
{
    char text[400], stuffed[900], back[900];
    (void)state;
    srand(2);
    for (int i = 0; i < ROUNDS; i++) {
        struct smtp_dots s = {0}, u = {0};
        struct str t = random_text(text, sizeof text, true);
        size_t n = convert(smtp_data_stuff, &s, t, stuffed);
        n += smtp_data_stuff_end(&s, stuffed + n);
        struct result r = agreed(SMTP_DATA_DOTS, (struct str){stuffed, n});
        assert_true(r.ended && r.taken + SMTP_DATA_END == n && r.fault == SMTP_DATA_GOOD);
        size_t m = convert(smtp_data_unstuff, &u, (struct str){stuffed, r.taken}, back);
        assert_int_equal(m, r.size);
        assert_int_equal(m, t.n + (s.inside ? 2 : 0));
        assert_memory_equal(back, t.p, t.n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_behind_end),
        cmocka_unit_test(test_no_end_yet),
        cmocka_unit_test(test_smuggling),
        cmocka_unit_test(test_fault_before_end),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_last_byte),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_stuff),
        cmocka_unit_test(test_unstuff),
        cmocka_unit_test(test_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
