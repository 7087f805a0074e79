/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for the arguments of SMTP's commands: the first byte chooses the command, the
 * rest is its line. What is taken lies in the line, has no control character, and is read again
 * as it is said to others. */
#include "base/mem.h"
#include "proto/smtp_path.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str line;

/* S is nothing, or a clean part of the line. */
static void check_slice(struct str s)
{
    assert(s.n == 0 || (s.p >= line.p && s.p + s.n <= line.p + line.n));
    assert(!str_has_control(s));
}

/* A mailbox in the maps' form is a path, and is that form already. */
static void check_mailbox(const struct smtp_path *path, bool rcpt)
{
    char mailbox[SMTP_MAILBOX_MAX + 1], again[SMTP_MAILBOX_MAX + 1], args[300];
    struct smtp_path second;
    struct smtp_params params;
    if (!smtp_path_mailbox(path, mailbox)) {
        assert(mailbox[0] == 0 && path->address.n > SMTP_MAILBOX_MAX);
        return;
    }
    assert(!str_has_control(str_of(mailbox)) && strlen(mailbox) <= path->address.n);
    assert(!mailbox[0] == !path->address.n);
    snprintf(args, sizeof args, "%s:<%s>", rcpt ? "TO" : "FROM", mailbox);
    assert((rcpt ? smtp_path_rcpt : smtp_path_mail)(str_of(args), &second, &params) ==
           SMTP_PATH_OK);
    assert(smtp_path_mailbox(&second, again) && strcmp(mailbox, again) == 0);
    assert(second.utf8 == path->utf8 && params.given == 0);
}

static void try_path(bool rcpt)
{
    struct smtp_path path;
    struct smtp_params params;
    enum smtp_path_result r = (rcpt ? smtp_path_rcpt : smtp_path_mail)(line, &path, &params);
    check_slice(params.wrong);
    assert((r == SMTP_PATH_UNKNOWN || r == SMTP_PATH_BAD_VALUE) == (params.wrong.n > 0));
    if (r != SMTP_PATH_OK)
        return;
    for (enum smtp_param p = 0; p < SMTP_PARAM_COUNT; p++) {
        check_slice(params.value[p]);
        assert(params.given & 1u << p || !params.value[p].p);
    }
    check_slice(path.address);
    check_slice(path.local);
    check_slice(path.domain);
    assert(!rcpt || path.address.n);
    check_mailbox(&path, rcpt);
}

static void try_xclient(void)
{
    struct smtp_xclient x;
    char clear[255];
    enum smtp_path_result r = smtp_path_xclient(line, &x);
    check_slice(x.wrong);
    if (r != SMTP_PATH_OK)
        return;
    assert(x.given && (x.unavailable & ~x.given) == 0 && (x.temporary & ~x.unavailable) == 0);
    for (enum smtp_xclient_attr a = 0; a < SMTP_XCLIENT_COUNT; a++) {
        check_slice(x.value[a]);
        ssize_t n = smtp_path_xtext_decode(clear, sizeof clear, x.value[a]);
        assert((n > 0) == ((x.given & ~x.unavailable) >> a & 1));
        assert(n <= 0 || !str_has_control((struct str){clear, (size_t)n}));
    }
    assert(!x.client.len == !((x.given & ~x.unavailable) >> SMTP_XCLIENT_ADDR & 1));
    assert(!x.local.len == !((x.given & ~x.unavailable) >> SMTP_XCLIENT_DESTADDR & 1));
}

/* Anything may be said as xtext, and is the same behind it. */
static void try_xtext(void)
{
    struct buf coded;
    char *clear = xmalloc(line.n + 1);
    buf_init(&coded, NULL, 0, 1u << 20);
    smtp_path_xtext(&coded, line);
    if (!coded.full) {
        ssize_t n = smtp_path_xtext_decode(clear, line.n, buf_str(&coded));
        assert(n >= 0 && str_eq(line, (struct str){clear, (size_t)n}));
        n = smtp_path_xtext_decode(clear, line.n, line);
        assert(n <= (ssize_t)line.n);
    }
    buf_free(&coded);
    free(clear);
}

static void try_others(void)
{
    uint64_t number;
    bool last;
    if (smtp_path_bdat(line, &number, &last))
        assert(number <= INT64_MAX && !str_has_control(line));
    if (smtp_path_is_helo(line))
        assert(line.n && line.n <= 255 && !str_has_control(line) && !memchr(line.p, ' ', line.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    line = (struct str){(const char *)data + 1, size - 1};
    switch (data[0] % 5) {
    case 0:
    case 1:
        try_path(data[0] % 5);
        break;
    case 2:
        try_xclient();
        break;
    case 3:
        try_xtext();
        break;
    default:
        try_others();
    }
    return 0;
}
