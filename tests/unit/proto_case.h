/* SPDX-License-Identifier: ISC
 *
 * What the tests of the fronts and backs have in common: a front that a client talks with, or a
 * back that a node talks with, and what proxyd says to either. A test program defines `protocol`.
 * Includes cmocka. */
#ifndef PROTO_CASE_H
#define PROTO_CASE_H

#include "base/mem.h"
#include "proto/proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const protocol; /* its name */

struct world {
    const struct protocol *protocol;
    struct front front;
    struct back back;
    struct creds creds;
    struct addr client, local;
    struct buf in, out;
};

static inline void begin(struct world *w)
{
    *w = (struct world){.protocol = protocol_find(protocol)};
    creds_init(&w->creds, NULL, 0);
    front_init(&w->front, &(struct front_setup){0}, &w->creds);
    back_init(&w->back, &(struct back_setup){0});
    buf_init(&w->in, NULL, 0, PROTO_IN_MAX);
    buf_init(&w->out, NULL, 0, PROTO_OUT_MAX);
}

/* TEXT is heard behind what is left in `in` ("": only that); what is wanted then. */
static inline enum front_want client_says(struct world *w, const char *text)
{
    assert_true(buf_adds(&w->in, text));
    return w->protocol->read(&w->front, &w->in, &w->out);
}

static inline enum back_want node_says(struct world *w, const char *text)
{
    assert_true(buf_adds(&w->in, text));
    return w->protocol->back_read(&w->back, &w->in, &w->out);
}

/* A front before its greeting; PLAINTEXT: passwords may come without TLS. `end` it. */
static inline void begin_front(struct world *w, bool plaintext)
{
    begin(w);
    struct front_setup setup = {
        .hostname = "mail.example.org",
        .capabilities = w->protocol->capabilities,
        .mechanisms = 1u << SASL_PLAIN | 1u << SASL_XOAUTH2,
        .starttls = true,
        .plaintext = plaintext,
        .max_errors = 20,
        .max_auth_errors = 2,
    };
    front_init(&w->front, &setup, &w->creds);
}

/* A back that waits for the greeting, for a login of bob with PASSWORD, or with NULL for a check.
 * `end` it. */
static inline void begin_back(struct world *w, const char *password)
{
    begin(w);
    struct back_setup setup = {
        .client = &w->client, .local = &w->local, .session_id = "s1", .helo = "client.example.org"};
    if (password) {
        creds_set(&w->creds, str_of("bob"), str_of(password));
        setup.creds = &w->creds;
    }
    back_init(&w->back, &setup);
    assert_int_equal(node_says(w, ""), BACK_MORE);
    assert_int_equal(buf_len(&w->out), 0);
}

static inline void end(struct world *w)
{
    creds_wipe(&w->creds);
    front_free(&w->front);
    back_free(&w->back);
    buf_free(&w->in);
    buf_free(&w->out);
}

/* A login to a node that says HEARD fails for ERROR. */
static inline void assert_fails(const char *heard, const char *error)
{
    struct world w;
    begin_back(&w, "secret");
    assert_int_equal(node_says(&w, heard), BACK_FAILED);
    assert_string_equal(w.back.error, error);
    end(&w);
}

/* N times C. */
static inline void fill(struct buf *b, char c, size_t n)
{
    char *room = buf_room(b, (uint32_t)n);
    assert_non_null(room);
    memset(room, c, n);
    buf_added(b, (uint32_t)n);
}

/* PROTO_LINE_MAX bytes of a node's, which begin with START, fail: whether the line ends there or
 * not.
 */
static inline void assert_long_lines_fail(const char *start)
{
    for (int whole = 0; whole < 2; whole++) {
        struct world w;
        begin_back(&w, "secret");
        buf_adds(&w.in, start);
        fill(&w.in, 'x', PROTO_LINE_MAX - strlen(start));
        assert_int_equal(node_says(&w, whole ? "\r\n" : ""), BACK_FAILED);
        assert_string_equal(w.back.error, "the node's line is too long");
        end(&w);
    }
}

/* Whether we have said TEXT since we were asked last. */
static inline bool said(struct world *w, const char *text)
{
    bool same = str_eq(buf_str(&w->out), str_of(text));
    buf_clear(&w->out);
    return same;
}

/* Whether TEXT is what was not taken. */
static inline bool is_left(const struct world *w, const char *text)
{
    return str_eq(buf_str(&w->in), str_of(text));
}

#endif
