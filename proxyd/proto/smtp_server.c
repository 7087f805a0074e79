/* SPDX-License-Identifier: ISC
 *
 * The server of port 25 and LMTP: see smtp_server.h. A command is a row of `commands`: how many
 * arguments, when it may come, what is done. */
#include "proto/smtp_server.h"

#include "proto/smtp.h"

#include <string.h>

/* When a command may come. */
enum {
    WHEN_GREETED = 1u << 0, /* only behind EHLO, HELO or LHLO */
    WHEN_IDLE = 1u << 1,    /* only outside of a transaction */
    WHEN_MAIL = 1u << 2,    /* only within one, */
    WHEN_WHOLE = 1u << 3,   /* and not between two chunks */
    WHEN_LAST = 1u << 4,    /* nothing may have been sent behind it before its answer (RFC 2920) */
    WHEN_OWED = 1u << 5     /* also while recipients are not answered yet */
};

static enum smtp_want answer(struct buf *out, const char *text)
{
    buf_add_texts(out, text, "\r\n");
    return SMTP_WANT_MORE;
}

static enum smtp_want error(struct smtp_server *s, struct buf *out, const char *text)
{
    s->errors++;
    return answer(out, text);
}

static enum smtp_want last_words(struct smtp_server *s, struct buf *out, const char *text,
                                 const char *reason)
{
    answer(out, text);
    s->reason = reason;
    return SMTP_WANT_CLOSE;
}

/* ---- what is announced ---- */

bool smtp_server_announce(struct str entry)
{
    static const char *const carried[] = {"8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "SIZE"};
    struct str word = str_word(&entry);
    for (size_t i = 0; i < sizeof carried / sizeof *carried; i++)
        if (str_is(word, carried[i]))
            return i == 4 || str_word(&entry).n == 0;
    return false;
}

/* The smaller of our limit and the nodes', which stands in ENTRY behind SIZE; 0 is none. */
static uint64_t smaller_size(uint64_t ours, struct str entry)
{
    uint64_t theirs = 0;
    str_number(str_word(&entry), UINT64_MAX, &theirs);
    return ours == 0 || (theirs && theirs < ours) ? theirs : ours;
}

static void write_capability(struct buf *out, struct str entry)
{
    buf_adds(out, "250-");
    buf_add(out, entry.p, entry.n);
    buf_adds(out, "\r\n");
}

/* What every client is told is ours alone to say. */
static void write_capabilities(const struct smtp_server *s, struct buf *out)
{
    struct str rest = str_of(s->setup.capabilities), entry;
    char separator = strchr(s->setup.capabilities, ',') ? ',' : ' ';
    uint64_t size = s->setup.size_max;
    while ((entry = proto_entry(&rest, separator)).n) {
        struct str copy = entry;
        if (!smtp_server_announce(entry))
            continue;
        if (str_is(str_word(&copy), "SIZE"))
            size = smaller_size(size, copy);
        else
            write_capability(out, entry);
    }
    if (size)
        buf_addf(out, "250-SIZE %llu\r\n", (unsigned long long)size);
    else
        buf_adds(out, "250-SIZE\r\n");
    buf_adds(out, "250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n");
    if (s->setup.starttls && !s->setup.tls)
        buf_adds(out, "250-STARTTLS\r\n");
    if (!s->setup.trusted)
        return;
    buf_adds(out, "250-XCLIENT");
    for (enum smtp_xclient_attr a = 0; a < SMTP_XCLIENT_COUNT; a++)
        buf_add_texts(out, " ", smtp_xclient_name(a));
    buf_adds(out, "\r\n");
}

/* ---- greetings ---- */

static void greet(const struct smtp_server *s, struct buf *out)
{
    buf_add_texts(out, "220 ", s->setup.hostname, s->setup.lmtp ? " LMTP" : " ESMTP",
                  " proxyd\r\n");
}

void smtp_server_start(struct smtp_server *s, const struct smtp_server_setup *setup,
                       struct buf *out)
{
    *s = (struct smtp_server){.setup = *setup};
    if (setup->early)
        buf_addf(out, "554 %s Wait for the greeting\r\n", setup->hostname);
    else
        greet(s, out);
}

const char *smtp_server_helo(const struct smtp_server *s)
{
    return s->helo[0] ? s->helo : s->setup.hostname;
}

void smtp_server_end(struct smtp_server *s)
{
    s->mail = s->utf8 = s->chunked = false;
    s->accepted = 0;
}

/* A name that cannot be passed on is no reason to refuse its owner (RFC 5321, 4.1.4). */
static void keep_helo(struct smtp_server *s, struct str name, bool extended)
{
    size_t n = smtp_is_helo(name) ? name.n : 0;
    memcpy(s->helo, name.p, n);
    s->helo[n] = 0;
    s->greeted = true;
    s->extended = extended;
}

static enum smtp_want run_helo(struct smtp_server *s, struct str args, struct buf *out)
{
    if (s->setup.lmtp)
        return error(s, out, "500 5.5.1 This is LMTP: say LHLO");
    keep_helo(s, args, false);
    buf_add_texts(out, "250 ", s->setup.hostname, "\r\n");
    return SMTP_WANT_RESET;
}

static enum smtp_want greet_extended(struct smtp_server *s, struct str args, struct buf *out)
{
    keep_helo(s, args, true);
    buf_add_texts(out, "250-", s->setup.hostname, "\r\n");
    write_capabilities(s, out);
    smtp_end_list(out);
    return SMTP_WANT_RESET;
}

static enum smtp_want run_ehlo(struct smtp_server *s, struct str args, struct buf *out)
{
    if (s->setup.lmtp)
        return error(s, out, "500 5.5.1 This is LMTP: say LHLO");
    return greet_extended(s, args, out);
}

static enum smtp_want run_lhlo(struct smtp_server *s, struct str args, struct buf *out)
{
    if (!s->setup.lmtp)
        return error(s, out, "500 5.5.1 This is SMTP: say EHLO");
    return greet_extended(s, args, out);
}

/* Nothing said before the handshake counts behind it (RFC 3207, 4.2). */
static enum smtp_want run_starttls(struct smtp_server *s, struct str args, struct buf *out)
{
    (void)args;
    if (s->setup.tls)
        return error(s, out, "503 5.5.1 TLS is on already");
    if (!s->setup.starttls)
        return error(s, out, "502 5.5.1 TLS is not available");
    s->greeted = false;
    s->helo[0] = 0;
    answer(out, "220 2.0.0 Begin TLS negotiation");
    return SMTP_WANT_STARTTLS;
}

/* As Postfix has it: the session begins anew. */
static enum smtp_want run_xclient(struct smtp_server *s, struct str args, struct buf *out)
{
    char helo[PROTO_HELO_MAX + 1];
    if (!s->setup.trusted)
        return error(s, out, "550 5.7.0 Not for you");
    if (smtp_path_xclient(args, &s->xclient) != SMTP_PATH_OK)
        return error(s, out, "501 5.5.4 Bad attribute");
    ssize_t n = smtp_path_xtext_decode(helo, sizeof helo, s->xclient.value[SMTP_XCLIENT_HELO]);
    if (s->xclient.given & 1u << SMTP_XCLIENT_HELO)
        keep_helo(s, (struct str){helo, n > 0 ? (size_t)n : 0}, s->extended);
    s->greeted = false;
    greet(s, out);
    return SMTP_WANT_XCLIENT;
}

/* ---- a transaction ---- */

/* What is wrong with the arguments of MAIL or RCPT. */
static enum smtp_want bad_path(struct smtp_server *s, struct buf *out, enum smtp_path_result result,
                               const char *bad_mailbox)
{
    struct str wrong = s->params.wrong;
    s->errors++;
    switch (result) {
    case SMTP_PATH_BAD_MAILBOX:
        return answer(out, bad_mailbox);
    case SMTP_PATH_UNKNOWN:
    case SMTP_PATH_BAD_VALUE:
        buf_addf(out, "%s parameter: %.*s\r\n",
                 result == SMTP_PATH_UNKNOWN ? "555 5.5.4 Unknown" : "501 5.5.4 Bad",
                 (int)(wrong.n < 60 ? wrong.n : 60), wrong.p);
        return SMTP_WANT_MORE;
    default:
        return answer(out, "501 5.5.4 Bad syntax");
    }
}

static enum smtp_want run_mail(struct smtp_server *s, struct str args, struct buf *out)
{
    char mailbox[SMTP_MAILBOX_MAX + 1];
    enum smtp_path_result result = smtp_path_mail(args, &s->path, &s->params);
    s->args = args;
    if (result == SMTP_PATH_OK && !smtp_path_mailbox(&s->path, mailbox))
        result = SMTP_PATH_BAD_MAILBOX;
    if (result != SMTP_PATH_OK)
        return bad_path(s, out, result, "501 5.1.7 Bad sender address");
    s->utf8 = s->params.given & 1u << SMTP_PARAM_SMTPUTF8;
    if (s->path.utf8 && !s->utf8)
        return error(s, out, "553 5.6.7 This address needs SMTPUTF8");
    if (s->params.body == SMTP_BODY_BINARYMIME)
        return error(s, out, "555 5.5.4 BINARYMIME is not available");
    if (s->setup.size_max && s->params.size > s->setup.size_max)
        return answer(out, "552 5.3.4 The message is too big");
    s->mail = true;
    answer(out, "250 2.1.0 Ok");
    return SMTP_WANT_MAIL;
}

static enum smtp_want run_rcpt(struct smtp_server *s, struct str args, struct buf *out)
{
    char mailbox[SMTP_MAILBOX_MAX + 1];
    enum smtp_path_result result = smtp_path_rcpt(args, &s->path, &s->params);
    s->args = args;
    if (result == SMTP_PATH_OK && !smtp_path_mailbox(&s->path, mailbox))
        result = SMTP_PATH_BAD_MAILBOX;
    if (s->owed && (result != SMTP_PATH_OK || (s->path.utf8 && !s->utf8)))
        return SMTP_WANT_WAIT; /* the answers to those before it come first */
    if (result != SMTP_PATH_OK)
        return bad_path(s, out, result, "501 5.1.3 Bad recipient address");
    if (s->path.utf8 && !s->utf8)
        return error(s, out, "553 5.6.7 This address needs SMTPUTF8");
    return SMTP_WANT_RCPT;
}

static enum smtp_want run_data(struct smtp_server *s, struct str args, struct buf *out)
{
    (void)args;
    return s->accepted ? SMTP_WANT_DATA : error(s, out, "503 5.5.1 No valid recipients");
}

/* A refused chunk comes nevertheless (RFC 3030, 2.). */
static enum smtp_want run_bdat(struct smtp_server *s, struct str args, struct buf *out)
{
    if (!smtp_path_bdat(args, &s->chunk, &s->last))
        return last_words(s, out, "501 5.5.4 Expected a size", "a chunk without a size");
    if (s->mail && s->accepted) {
        s->chunked = true;
        return SMTP_WANT_CHUNK;
    }
    s->skip = s->chunk;
    return error(s, out,
                 s->mail ? "503 5.5.1 No valid recipients" : "503 5.5.1 There is no transaction");
}

static enum smtp_want run_rset(struct smtp_server *s, struct str args, struct buf *out)
{
    (void)s, (void)args;
    answer(out, "250 2.0.0 Ok");
    return SMTP_WANT_RESET;
}

/* ---- other commands ---- */

static enum smtp_want run_noop(struct smtp_server *s, struct str args, struct buf *out)
{
    (void)s, (void)args;
    return answer(out, "250 2.0.0 Ok");
}

static enum smtp_want run_help(struct smtp_server *s, struct str args, struct buf *out)
{
    (void)args;
    return answer(out, s->setup.lmtp
                           ? "214 2.0.0 LHLO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT"
                           : "214 2.0.0 EHLO HELO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY "
                             "HELP QUIT");
}

static enum smtp_want run_vrfy(struct smtp_server *s, struct str args, struct buf *out)
{
    (void)s, (void)args;
    return answer(out, "252 2.0.0 Cannot tell, but will take mail for it");
}

static enum smtp_want run_quit(struct smtp_server *s, struct str args, struct buf *out)
{
    (void)s, (void)args;
    answer(out, "221 2.0.0 Bye");
    return SMTP_WANT_QUIT;
}

static enum smtp_want run_other(struct smtp_server *s, struct str args, struct buf *out)
{
    (void)args;
    return error(s, out, "502 5.5.1 Command not implemented");
}

/* ---- the table ---- */

enum arguments { ARGUMENTS_NONE, ARGUMENTS_SOME, ARGUMENTS_ANY };

static const struct command {
    enum arguments arguments;
    unsigned when;
    enum smtp_want (*run)(struct smtp_server *s, struct str args, struct buf *out);
} commands[SMTP_UNKNOWN] = {
    [SMTP_EHLO] = {ARGUMENTS_SOME, WHEN_LAST, run_ehlo},
    [SMTP_HELO] = {ARGUMENTS_SOME, WHEN_LAST, run_helo},
    [SMTP_LHLO] = {ARGUMENTS_SOME, WHEN_LAST, run_lhlo},
    [SMTP_STARTTLS] = {ARGUMENTS_NONE, WHEN_IDLE, run_starttls},
    [SMTP_XCLIENT] = {ARGUMENTS_SOME, WHEN_IDLE | WHEN_LAST, run_xclient},
    [SMTP_MAIL] = {ARGUMENTS_SOME, WHEN_GREETED | WHEN_IDLE, run_mail},
    [SMTP_RCPT] = {ARGUMENTS_SOME, WHEN_MAIL | WHEN_WHOLE | WHEN_OWED, run_rcpt},
    [SMTP_DATA] = {ARGUMENTS_NONE, WHEN_MAIL | WHEN_WHOLE | WHEN_LAST, run_data},
    [SMTP_BDAT] = {ARGUMENTS_SOME, 0, run_bdat},
    [SMTP_RSET] = {ARGUMENTS_NONE, 0, run_rset},
    [SMTP_NOOP] = {ARGUMENTS_ANY, 0, run_noop},
    [SMTP_HELP] = {ARGUMENTS_ANY, 0, run_help},
    [SMTP_VRFY] = {ARGUMENTS_SOME, 0, run_vrfy},
    [SMTP_QUIT] = {ARGUMENTS_NONE, 0, run_quit},
    [SMTP_AUTH] = {ARGUMENTS_ANY, 0, run_other},
    [SMTP_EXPN] = {ARGUMENTS_ANY, 0, run_other},
    [SMTP_ETRN] = {ARGUMENTS_ANY, 0, run_other},
};

/* Why C must not come now; NULL: it may. */
static const char *not_now(const struct smtp_server *s, const struct command *c)
{
    if (c->when & WHEN_GREETED && !s->greeted)
        return s->setup.lmtp ? "503 5.5.1 Say LHLO first" : "503 5.5.1 Say EHLO first";
    if (c->when & WHEN_IDLE && s->mail)
        return "503 5.5.1 There is a transaction already";
    if (c->when & WHEN_MAIL && !s->mail)
        return "503 5.5.1 Say MAIL first";
    if (c->when & WHEN_WHOLE && s->chunked)
        return "503 5.5.1 Chunks of a message are coming";
    return NULL;
}

static enum smtp_want run(struct smtp_server *s, struct str line, bool more_behind, struct buf *out)
{
    struct str args;
    enum smtp_verb verb = smtp_command(line, &args);
    const struct command *c = verb == SMTP_UNKNOWN ? NULL : &commands[verb];
    if (s->owed && !(c && c->when & WHEN_OWED && args.n))
        return SMTP_WANT_WAIT; /* any error would overtake the answers that are owed */
    if (!c)
        return error(s, out, "500 5.5.2 Unknown command");
    if (c->arguments == ARGUMENTS_NONE && args.n)
        return error(s, out, "501 5.5.4 Unexpected arguments");
    if (c->arguments == ARGUMENTS_SOME && args.n == 0)
        return error(s, out, "501 5.5.4 Expected an argument");
    const char *refusal = not_now(s, c);
    if (refusal)
        return error(s, out, refusal);
    if (more_behind && c->when & WHEN_LAST)
        return last_words(s, out, "554 5.5.0 Wait for the answer",
                          "sent more behind a command whose answer has to be awaited");
    return c->run(s, args, out);
}

static enum smtp_want take(struct smtp_server *s, struct str line, bool more_behind,
                           struct buf *out)
{
    if (!s->talked && proto_is_http(line)) {
        s->reason = "HTTP on a mail port";
        return SMTP_WANT_CLOSE;
    }
    s->talked = true;
    if (more_behind && !s->greeted)
        return last_words(s, out, "554 5.5.0 Wait for the answer", "pipelining before EHLO");
    return run(s, line, more_behind, out);
}

/* ---- reading ---- */

static void skip_chunk(struct smtp_server *s, struct buf *in)
{
    uint32_t n = s->skip < buf_len(in) ? (uint32_t)s->skip : buf_len(in);
    buf_take(in, n);
    s->skip -= n;
}

/* Whether the caller is told what stands in the input. */
static bool has_slices(enum smtp_want want)
{
    return want == SMTP_WANT_MAIL || want == SMTP_WANT_RCPT || want == SMTP_WANT_XCLIENT;
}

void smtp_server_skip(struct smtp_server *s)
{
    s->skip = s->chunk;
}

enum smtp_want smtp_server_read(struct smtp_server *s, struct buf *in, struct buf *out)
{
    if (s->setup.early) {
        s->reason = "talked before the greeting";
        return SMTP_WANT_CLOSE;
    }
    for (;;) {
        buf_take(in, s->used);
        s->used = 0;
        skip_chunk(s, in);
        struct str line = buf_str(in);
        size_t used = 0;
        bool whole = str_line(line, &line, &used);
        if (s->owed == 0 && s->errors >= s->setup.max_errors)
            return last_words(s, out, "421 4.7.0 Too many errors", "too many errors");
        if (s->owed == 0 && line.n && memchr(line.p, 0, line.n))
            return last_words(s, out, "500 5.5.2 NUL in a command", "NUL in a command");
        if (s->owed == 0 && line.n > SMTP_EXTENDED_MAX + (whole ? 0u : 1u))
            return last_words(s, out, "500 5.5.6 Line too long", "line too long");
        if (!whole)
            return SMTP_WANT_MORE;
        enum smtp_want want = take(s, line, used < buf_len(in), out);
        if (has_slices(want))
            s->used = (uint32_t)used;
        else if (want != SMTP_WANT_WAIT)
            buf_take(in, (uint32_t)used);
        if (want != SMTP_WANT_MORE)
            return want;
    }
}
