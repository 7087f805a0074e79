/* SPDX-License-Identifier: ISC
 *
 * Handing mail to a node: see smtp_client.h. */
#include "proto/smtp_client.h"

#include "proto/smtp.h"

#include <string.h>

/* ---- what the node can do ---- */

static const struct {
    struct str word;
    unsigned can;
} words[] = {
    {STR("PIPELINING"), SMTP_CAN_PIPELINING},
    {STR("SIZE"), SMTP_CAN_SIZE},
    {STR("8BITMIME"), SMTP_CAN_8BITMIME},
    {STR("SMTPUTF8"), SMTP_CAN_SMTPUTF8},
    {STR("DSN"), SMTP_CAN_DSN},
    {STR("CHUNKING"), SMTP_CAN_CHUNKING},
};

void smtp_client_init(struct smtp_client *c, struct str capabilities)
{
    struct str entry;
    memset(c, 0, sizeof *c);
    buf_init(&c->reply, c->reply_space, sizeof c->reply_space, SMTP_REPLY_MAX);
    while ((entry = proto_entry(&capabilities, ',')).n) {
        struct str word = str_word(&entry);
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (str_eq_nocase(word, words[i].word))
                c->can |= words[i].can;
    }
}

void smtp_client_free(struct smtp_client *c)
{
    buf_free(&c->reply);
}

unsigned smtp_client_waiting(const struct smtp_client *c)
{
    unsigned all = 0;
    for (unsigned i = 0; i < SMTP_AWAITED_COUNT; i++)
        all += c->waiting[i];
    return all;
}

bool smtp_client_may_send(const struct smtp_client *c)
{
    return c->can & SMTP_CAN_PIPELINING || smtp_client_waiting(c) == 0;
}

/* ---- commands ---- */

/* What a parameter needs; 0: it is passed on to nobody. */
static const unsigned needs[SMTP_PARAM_COUNT] = {
    [SMTP_PARAM_SIZE] = SMTP_CAN_SIZE,         [SMTP_PARAM_BODY] = SMTP_CAN_8BITMIME,
    [SMTP_PARAM_RET] = SMTP_CAN_DSN,           [SMTP_PARAM_ENVID] = SMTP_CAN_DSN,
    [SMTP_PARAM_NOTIFY] = SMTP_CAN_DSN,        [SMTP_PARAM_ORCPT] = SMTP_CAN_DSN,
    [SMTP_PARAM_SMTPUTF8] = SMTP_CAN_SMTPUTF8,
};

static void write_path(const struct smtp_client *c, struct buf *out, const char *command,
                       const struct smtp_path *path, const struct smtp_params *params)
{
    buf_adds(out, command);
    buf_add(out, path->address.p, path->address.n);
    buf_adds(out, ">");
    for (enum smtp_param p = 0; p < SMTP_PARAM_COUNT; p++) {
        struct str value = params->value[p];
        if (!(params->given & 1u << p) || !(c->can & needs[p]))
            continue;
        buf_addf(out, value.n ? " %s=" : " %s", smtp_param_name(p));
        buf_add(out, value.p, value.n);
    }
    buf_adds(out, "\r\n");
}

void smtp_client_rset(struct smtp_client *c, struct buf *out)
{
    buf_adds(out, "RSET\r\n");
    c->waiting[SMTP_AWAITED_RSET]++;
}

void smtp_client_mail(struct smtp_client *c, struct buf *out, const struct smtp_path *sender,
                      const struct smtp_params *params)
{
    write_path(c, out, "MAIL FROM:<", sender, params);
    c->waiting[SMTP_AWAITED_MAIL]++;
}

void smtp_client_rcpt(struct smtp_client *c, struct buf *out, const struct smtp_path *recipient,
                      const struct smtp_params *params)
{
    write_path(c, out, "RCPT TO:<", recipient, params);
    c->waiting[SMTP_AWAITED_RCPT]++;
}

void smtp_client_data(struct smtp_client *c, struct buf *out)
{
    buf_adds(out, "DATA\r\n");
    c->waiting[SMTP_AWAITED_DATA]++;
}

void smtp_client_chunk(struct smtp_client *c, struct buf *out, uint64_t size, bool last,
                       unsigned finals)
{
    buf_addf(out, "BDAT %llu%s\r\n", (unsigned long long)size, last ? " LAST" : "");
    if (last)
        smtp_client_sent(c, finals);
    else
        c->waiting[SMTP_AWAITED_CHUNK]++;
}

void smtp_client_sent(struct smtp_client *c, unsigned finals)
{
    c->waiting[SMTP_AWAITED_FINAL] += finals;
}

/* ---- replies ---- */

static enum smtp_told broken(struct smtp_client *c, const char *error)
{
    c->error = error;
    return SMTP_TOLD_BROKEN;
}

/* The lines of the reply at the start of ALL into `reply`; *USED is what they take. */
static enum smtp_told collect(struct smtp_client *c, struct str all, size_t *used)
{
    struct smtp_reply r = {.more = true};
    struct str line;
    size_t n;
    buf_clear(&c->reply);
    for (*used = 0; r.more; *used += n) {
        struct str rest = {all.p + *used, all.n - *used};
        bool first = *used == 0;
        if (!str_line(rest, &line, &n))
            return all.n < SMTP_REPLY_MAX ? SMTP_TOLD_NONE : broken(c, "the answer is too long");
        if (smtp_has_control(line) || !smtp_reply(line, &r) || (!first && r.code != c->code))
            return broken(c, "the answer is malformed");
        c->code = r.code;
        buf_add(&c->reply, line.p, line.n);
        buf_adds(&c->reply, "\r\n");
    }
    return c->reply.full ? broken(c, "the answer is too long") : SMTP_TOLD_REPLY;
}

/* Whether the reply may have this code where it stands. */
static bool fits(const struct smtp_client *c)
{
    bool intermediate = c->code >= 300 && c->code < 400;
    return intermediate ? c->awaited == SMTP_AWAITED_DATA && c->code == 354
                        : c->awaited != SMTP_AWAITED_DATA || c->code >= 400;
}

enum smtp_told smtp_client_read(struct smtp_client *c, struct buf *in)
{
    size_t used;
    if (buf_len(in) == 0)
        return SMTP_TOLD_NONE;
    enum smtp_told told = collect(c, buf_str(in), &used);
    if (told != SMTP_TOLD_REPLY)
        return told;
    buf_take(in, (uint32_t)used);
    unsigned next = 0;
    while (next < SMTP_AWAITED_COUNT && c->waiting[next] == 0)
        next++;
    if (next == SMTP_AWAITED_COUNT)
        return broken(c, c->code == 421 ? "the node closes the connection with 421"
                                        : "the node says what nobody has asked for");
    c->awaited = next;
    c->waiting[next]--;
    return fits(c) ? SMTP_TOLD_REPLY : broken(c, "the answer does not fit the command");
}
