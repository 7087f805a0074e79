/* SPDX-License-Identifier: ISC
 *
 * The table of protocols, and what all backs have in common. A protocol is two files and a row
 * here; see proto.h. */
#include "proto/http.h"
#include "proto/imap.h"
#include "proto/pop3.h"
#include "proto/sieve.h"
#include "proto/smtp.h"
#include "proto/smtp_server.h"

#include <string.h>

static const struct protocol imap = {
    .name = "imap",
    .alpn = "imap",
    .port = 143,
    .capabilities = "IMAP4rev1",
    .separator = ' ',
    .pulse = "* OK Please wait\r\n",
    .greet = imap_greet,
    .read = imap_read,
    .answer = imap_answer,
    .goodbye = imap_goodbye,
    .back_read = imap_back_read,
    .asked = turn_imap_asked,
    .told = turn_imap_told,
    .announce = imap_announce,
};

static const struct protocol pop3 = {
    .name = "pop3",
    .alpn = "pop3",
    .port = 110,
    .capabilities = "TOP,UIDL",
    .separator = ',',
    .greet = pop3_greet,
    .read = pop3_read,
    .answer = pop3_answer,
    .goodbye = pop3_goodbye,
    .back_read = pop3_back_read,
    .asked = turn_pop3_asked,
    .told = turn_pop3_told,
    .announce = pop3_announce,
};

static const struct protocol submission = {
    .name = "submission",
    .alpn = "smtp",
    .port = 587,
    .capabilities = "PIPELINING,SIZE,8BITMIME,ENHANCEDSTATUSCODES",
    .separator = ',',
    .greeting_first = true,
    .greet = smtp_greet,
    .read = smtp_read,
    .answer = smtp_answer,
    .goodbye = smtp_goodbye,
    .back_read = smtp_back_read,
    .asked = turn_smtp_asked,
    .told = turn_smtp_told,
    .announce = smtp_announce,
};

static const struct protocol webmail = {
    .name = "webmail",
    .engine = ENGINE_WEB,
    .alpn = "http/1.1",
    .port = 80,
    .separator = ' ',
    .goodbye = http_goodbye,
    .back_read = http_back_read,
    .announce = http_announce,
    .turn_away = http_turn_away,
};

static const struct protocol sieve = {
    .name = "sieve",
    .alpn = "managesieve",
    .port = 4190,
    .capabilities = "SIEVE,VERSION 1.0",
    .separator = ',',
    .greet = sieve_greet,
    .read = sieve_read,
    .answer = sieve_answer,
    .goodbye = sieve_goodbye,
    .back_read = sieve_back_read,
    .asked = turn_sieve_asked,
    .told = turn_sieve_told,
    .announce = sieve_announce,
};

static const struct protocol smtp = {
    .name = "smtp",
    .engine = ENGINE_MAIL,
    .alpn = "smtp",
    .port = 25,
    .capabilities = "8BITMIME",
    .separator = ',',
    .greeting_first = true,
    .goodbye = smtp_goodbye,
    .back_read = smtp_back_read,
    .announce = smtp_server_announce,
};

static const struct protocol lmtp = {
    .name = "lmtp",
    .engine = ENGINE_MAIL,
    .alpn = "lmtp",
    .port = 24,
    .capabilities = "8BITMIME",
    .separator = ',',
    .greeting_first = true,
    .goodbye = smtp_goodbye,
    .back_read = lmtp_back_read,
    .announce = smtp_server_announce,
};

static const struct protocol *const protocols[] = {&imap, &pop3,  &submission, &smtp,
                                                   &lmtp, &sieve, &webmail,    NULL};

const struct protocol *const *protocol_all(void)
{
    return protocols;
}

const struct protocol *protocol_find(const char *name)
{
    for (const struct protocol *const *p = protocols; *p; p++)
        if (str_is(str_of(name), (*p)->name))
            return *p;
    return NULL;
}

void back_init(struct back *b, const struct back_setup *setup)
{
    b->setup = *setup;
    b->state = b->waiting = 0;
    b->lmtp = false;
    b->error = NULL;
    buf_init(&b->capabilities, b->capabilities_space, sizeof b->capabilities_space, PROTO_LINE_MAX);
    buf_init(&b->reply, b->reply_space, sizeof b->reply_space, PROTO_IN_MAX);
    buf_init(&b->challenge, NULL, 0, PROTO_LINE_MAX);
}

void back_free(struct back *b)
{
    buf_free(&b->capabilities);
    buf_free(&b->reply);
    buf_free(&b->challenge);
}

enum back_want back_fail(struct back *b, const char *error)
{
    b->error = error;
    return BACK_FAILED;
}

/* Whether LINE stands before the one that answers: untagged in IMAP, "535-..." in SMTP. */
static bool is_prelude(struct str line)
{
    return str_starts(line, "* ") ||
           (line.n > 3 && line.p[3] == '-' && *line.p >= '0' && *line.p <= '9');
}

struct str back_answer(const struct back *b)
{
    struct str rest = buf_str(&b->reply), line = rest;
    size_t used;
    while (str_line(rest, &line, &used) && is_prelude(line))
        rest = (struct str){rest.p + used, rest.n - used};
    return line;
}

bool back_blames_login(const struct back *b)
{
    static const char *const others[] = {"[UNAVAILABLE]", "[INUSE]",    "[LIMIT]",
                                         "[SERVERBUG]",   "[IN-USE]",   "[LOGIN-DELAY]",
                                         "[SYS/TEMP]",    "[SYS/PERM]", "(TRYLATER)"};
    struct str line = back_answer(b), status = str_word(&line), code = str_word(&line);
    bool blames = !(status.n >= 3 && *status.p == '4'); /* SMTP: 454, 421 */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        blames &= !str_is(code, others[i]);
    return blames;
}

const char *back_login(const struct back *b)
{
    return b->setup.login ? b->setup.login : b->setup.creds->login;
}

bool back_is_token(const struct back *b)
{
    return b->setup.creds->mech == SASL_XOAUTH2 || b->setup.creds->mech == SASL_OAUTHBEARER;
}

bool back_needs_sasl(const struct back *b)
{
    return back_is_token(b) || b->setup.master_user || b->setup.creds->authcid[0];
}

struct sasl_login back_message(const struct back *b)
{
    const struct creds *c = b->setup.creds;
    struct str secret = buf_str(&c->secret);
    if (back_is_token(b))
        return (struct sasl_login){c->mech, "", "", secret};
    if (b->setup.master_user)
        return (struct sasl_login){SASL_PLAIN, back_login(b), b->setup.master_user,
                                   str_of(b->setup.master_password)};
    if (c->authcid[0])
        return (struct sasl_login){SASL_PLAIN, back_login(b), c->authcid, secret};
    return (struct sasl_login){SASL_PLAIN, "", back_login(b), secret};
}

bool proto_is_http(struct str line)
{
    static const char version[] = " HTTP/";
    size_t n = sizeof version - 1;
    const char *at = line.n ? memrchr(line.p, ' ', line.n) : NULL;
    size_t left = at ? line.n - (size_t)(at - line.p) : 0;
    return left > n && memcmp(at, version, n) == 0 && at[n] >= '0' && at[n] <= '9';
}

bool proto_is_tls(struct str in)
{
    return in.n && in.p[0] == 0x16;
}

struct str proto_entry(struct str *list, char separator)
{
    while (list->n && (*list->p == ' ' || *list->p == separator))
        *list = (struct str){list->p + 1, list->n - 1};
    const char *end = list->n ? memchr(list->p, separator, list->n) : NULL;
    struct str entry = {list->p, end ? (size_t)(end - list->p) : list->n};
    *list = (struct str){list->p + entry.n, list->n - entry.n};
    while (entry.n && entry.p[entry.n - 1] == ' ')
        entry.n--;
    return entry;
}

bool proto_is_capability(struct str entry, char separator)
{
    for (size_t i = 0; i < entry.n; i++)
        if (entry.p[i] < ' ' || entry.p[i] > '~' ||
            (separator == ' ' && memchr(" (){%*\"\\],", entry.p[i], 10)))
            return false;
    return entry.n && entry.p[0] != '.'; /* alone in a line it ends POP3's list */
}

bool proto_has(struct str list, char separator, struct str entry)
{
    while (list.n)
        if (str_eq_nocase(proto_entry(&list, separator), entry))
            return true;
    return false;
}

void proto_filter(const struct protocol *p, struct str announced, struct buf *out)
{
    struct str entry;
    while ((entry = proto_entry(&announced, p->separator)).n) {
        if (!p->announce(entry) || proto_has(buf_str(out), p->separator, entry))
            continue;
        buf_add(out, entry.p, entry.n);
        buf_add(out, &p->separator, 1);
    }
}
