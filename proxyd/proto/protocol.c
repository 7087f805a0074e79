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
