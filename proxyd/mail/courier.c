/* SPDX-License-Identifier: ISC
 *
 * A courier: a connection to a node, of one client. Its place at the node, the link up to EHLO's
 * answer, and then one transaction after the other. It is kept between them, for the same client,
 * and given up where others wait for the place. It says nothing to the client itself: it answers
 * recipients. */
#include "mail/parts.h"

#include <stdlib.h>
#include <string.h>

enum {
    ASK_AGAIN = 500, /* ms between two looks at whom a node in whose queue we wait lets in */
    ANSWER_TIME = 300 * 1000, /* ms that a node may take to answer a command (RFC 5321, 4.5.3.2) */
    FINAL_TIME = 600 * 1000,  /* or the end of a message */
    OUT_SPACE = 4096          /* bytes of commands: two at least */
};

static void set_deadline(struct courier *courier, uint64_t ms)
{
    uint64_t idle = courier->mail->client.service->idle_timeout;
    courier->deadline = courier->mail->client.worker->now + (ms < idle ? ms : idle);
}

/* ---- recipients ---- */

/* The first recipient of LEG in STATE that RCPT was said for, or not yet; NULL: none. */
static struct recipient *find(const struct courier *courier, enum recipient_state state, bool sent)
{
    struct transaction *t = &courier->mail->transaction;
    for (struct recipient *r = t->first; r; r = OUTER(r->ring.next, recipient, ring)) {
        if (r->courier == courier && r->state == state && r->sent == sent)
            return r;
        if (r->ring.next == &t->recipients)
            break;
    }
    return NULL;
}

static void refuse(struct courier *courier, struct recipient *r, struct str answer)
{
    r->state = RECIPIENT_REFUSED;
    mail_log_recipient(courier->mail, r, "refused", answer);
    transaction_answer(courier->mail, r, answer);
}

/* Nothing that was asked can be answered by LEG any more. */
static void refuse_asked(struct courier *courier, bool sent)
{
    for (struct recipient *r; (r = find(courier, RECIPIENT_ASKED, sent));)
        refuse(courier, r, str_of(courier->refusal));
}

/* ---- losing it ---- */

static void let_go(struct courier *courier)
{
    link_free(&courier->link);
    smtp_client_free(&courier->client);
    stream_close(&courier->stream);
    node_leave(&courier->ticket);
    courier->deadline = 0;
}

static void set_refusal(struct courier *courier, const char *text)
{
    free(courier->refusal);
    courier->refusal = xasprintf("%s\r\n", text);
}

static void log_lost(const struct courier *courier, const char *why)
{
    struct log_line l;
    if (!client_log(&l, &courier->mail->client, LOG_LEVEL_INFO, "node"))
        return;
    log_str(&l, "node", node_name(courier->node));
    log_str(&l, "state", "lost");
    log_str(&l, "reason", why);
    log_end(&l);
}

void courier_lose(struct courier *courier, const char *text, const char *why)
{
    if (why)
        log_lost(courier, why);
    let_go(courier);
    courier->state = COURIER_LOST;
    if (!courier->refusal)
        set_refusal(courier, text);
    if (courier->mail->transaction.args) {
        refuse_asked(courier, true);
        refuse_asked(courier, false);
    }
}

static void broken(struct courier *courier, const char *why)
{
    courier_lose(courier, "451 4.4.2 The mail server has gone away, try again later", why);
}

/* ---- connecting ---- */

static void ready(struct watch *watch, uint32_t events)
{
    struct courier *courier = OUTER(watch, courier, stream.watch);
    stream_events(&courier->stream, events);
    mail_step(courier->mail);
}

static void resolved(struct post *post)
{
    struct courier *courier =
        OUTER(OUTER(OUTER(post, node_resolve, post), link, resolve), courier, link);
    mail_step(courier->mail);
}

static void granted(struct post *post)
{
    mail_step(OUTER(OUTER(post, node_ticket, post), courier, ticket)->mail);
}

static void start_link(struct courier *courier)
{
    struct mail *m = courier->mail;
    const struct config_backend *backend = &m->client.service->backend;
    client_find_local(&m->client, &m->local);
    const struct back_setup setup = {
        .mail = true,
        .starttls = backend->tls_mode == TLS_STARTTLS,
        .identify = backend->client_address == CLIENT_ADDRESS_AUTO,
        .helo = smtp_server_helo(&m->server),
        .said = m->lmtp              ? "LMTP"
                : m->server.extended ? "ESMTP"
                                     : "SMTP",
        .name = m->name,
        .client = &m->client.address,
        .local = &m->local,
        .session_id = m->client.id,
    };
    courier->state = COURIER_CONNECTING;
    courier->deadline = 0;
    courier->used = courier->spoiled = false;
    courier->link.resolve.post.run = resolved;
    courier->link.client = &m->client;
    link_start(&courier->link, m->client.worker, m->client.service, courier->node, &courier->stream,
               &setup, ready);
}

static struct courier *courier_new(struct mail *m, struct node *node)
{
    struct pool *pool = &m->client.worker->courier_pool;
    if (!pool->block)
        pool_init(pool, sizeof(struct courier));
    struct courier *courier = pool_get(pool);
    courier->pool = pool;
    courier->mail = m;
    courier->node = node;
    courier->lmtp = strcmp(node_protocol(node)->name, "lmtp") == 0;
    courier->stream.fd = -1;
    courier->ticket.post.run = granted;
    ring_add_last(&m->couriers, &courier->ring);
    m->courier_count++;
    return courier;
}

static const char *turned_away(const struct node *node)
{
    return node_is_up(node) ? "451 4.3.2 Too busy, try again later"
                            : "451 4.4.1 The mail server is down, try again later";
}

static void look_again(struct courier *courier)
{
    uint64_t now = courier->mail->client.worker->now, again = now + ASK_AGAIN;
    bool ends = now < courier->until && courier->until < again;
    courier->deadline = ends ? courier->until : again;
}

static void enter(struct courier *courier, uint64_t since)
{
    struct mail *m = courier->mail;
    courier->state = COURIER_QUEUED;
    courier->until = since + m->client.service->backend.queue_timeout;
    look_again(courier);
    if (node_enter(courier->node, &courier->ticket, m->client.worker) == TICKET_NONE)
        courier_lose(courier, turned_away(courier->node), "the queue of the node is full");
}

struct courier *courier_get(struct mail *m, struct node *node, uint64_t since)
{
    RING_EACH (ring, &m->couriers) {
        struct courier *courier = OUTER(ring, courier, ring);
        if (courier->node != node)
            continue;
        node_unref(node);
        if (courier->state == COURIER_LOST && !courier->refusal)
            enter(courier, since); /* left while nothing was under way */
        return courier;
    }
    if (m->courier_count == MAIL_COURIERS_MAX) {
        node_unref(node);
        return NULL;
    }
    struct courier *courier = courier_new(m, node);
    enter(courier, since);
    return courier;
}

/* ---- waiting for a place ---- */

/* Has the maps asked again about those who wait (of them, the HELD), whom they may send elsewhere
 * by now; false: there are none. */
static bool place_again(struct courier *courier, bool held)
{
    struct mail *m = courier->mail;
    bool any = false;
    RING_EACH (ring, &m->transaction.recipients) {
        struct recipient *r = OUTER(ring, recipient, ring);
        if (r->courier != courier || (held && !placement_held(m, r)))
            continue;
        transaction_place_again(m, r);
        any = true;
    }
    return any;
}

/* Whether that is under way. */
static bool is_placed_again(const struct courier *courier)
{
    const struct mail *m = courier->mail;
    RING_EACH (ring, &m->transaction.recipients) {
        const struct recipient *r = OUTER(ring, recipient, ring);
        if (r->courier == courier && (r->again || (m->placement && m->placement->recipient == r)))
            return true;
    }
    return false;
}

static void waited(struct courier *courier)
{
    uint64_t now = courier->mail->client.worker->now;
    if (is_placed_again(courier)) {
        look_again(courier);
    } else if (courier->ticket.state == TICKET_GRANTED) {
        if (!place_again(courier, true))
            start_link(courier);
    } else if (now >= courier->until) {
        node_count_rejected(courier->node);
        courier_lose(courier, turned_away(courier->node),
                     node_is_drained(courier->node) ? "the node is drained"
                                                    : "waited too long for the node");
    } else if (now >= courier->deadline) {
        look_again(courier);
        if (node_is_drained(courier->node))
            place_again(courier, false);
    }
}

/* ---- what it is told ---- */

static bool timed_out(const struct courier *courier)
{
    return courier->deadline && courier->mail->client.worker->now >= courier->deadline;
}

static void begin_commands(struct buf *out, char space[OUT_SPACE])
{
    buf_init(out, space, OUT_SPACE, PROTO_OUT_MAX);
}

static void send_commands(struct courier *courier, struct buf *out, uint64_t patience)
{
    trace_bytes(&courier->mail->client, TRACE_TO_NODE, buf_str(out).p, buf_len(out));
    stream_write(&courier->stream, buf_str(out).p, buf_len(out));
    buf_free(out);
    set_deadline(courier, patience);
}

static void write_mail(struct courier *courier, struct buf *out)
{
    struct smtp_path path;
    struct smtp_params params;
    smtp_path_mail(str_of(courier->mail->transaction.args), &path, &params);
    smtp_client_mail(&courier->client, out, &path, &params);
    courier->state = COURIER_MAIL;
}

static void write_rcpt(struct courier *courier, struct recipient *r, struct buf *out)
{
    struct smtp_path path;
    struct smtp_params params;
    smtp_path_rcpt(str_of(r->args), &path, &params);
    smtp_client_rcpt(&courier->client, out, &path, &params);
    r->sent = true;
}

/* Says what can be said now: RSET, MAIL, and RCPT for who waits for it. */
static void hand_over(struct courier *courier)
{
    char space[OUT_SPACE];
    struct buf out;
    begin_commands(&out, space);
    struct recipient *r = find(courier, RECIPIENT_ASKED, false);
    if (r && courier->state == COURIER_IDLE && courier->spoiled) {
        smtp_client_rset(&courier->client, &out);
        courier->spoiled = false;
    }
    if (r && courier->state == COURIER_IDLE && smtp_client_may_send(&courier->client))
        write_mail(courier, &out);
    for (; r && courier->state == COURIER_MAIL && smtp_client_may_send(&courier->client);
         r = find(courier, RECIPIENT_ASKED, false))
        write_rcpt(courier, r, &out);
    if (buf_len(&out))
        send_commands(courier, &out, ANSWER_TIME);
}

/* A name in UTF-8, or a header with such, is for a node that can have them (RFC 6531, 3.4). */
static bool cannot_have(const struct courier *courier)
{
    return courier->mail->server.utf8 && !(courier->client.can & SMTP_CAN_SMTPUTF8);
}

void courier_offer(struct courier *courier, struct recipient *r)
{
    r->courier = courier;
    r->node = node_name(courier->node);
    if (courier->state == COURIER_LOST || (courier->state == COURIER_MAIL && courier->refusal))
        refuse(courier, r, str_of(courier->refusal));
    else if (courier->state >= COURIER_IDLE && cannot_have(courier))
        refuse(courier, r, str_of("550 5.6.7 The mail server has no SMTPUTF8\r\n"));
    else if (courier->state >= COURIER_IDLE)
        hand_over(courier);
    else
        courier_step(courier);
}

void courier_forget(struct recipient *r)
{
    struct courier *courier = r->courier;
    r->courier = NULL;
    r->node = NULL;
    if (courier && courier->state == COURIER_QUEUED && !find(courier, RECIPIENT_ASKED, false))
        courier_free(courier);
}

static void connected(struct courier *courier)
{
    smtp_client_init(&courier->client, buf_str(&courier->link.back.capabilities));
    courier->state = COURIER_IDLE;
    courier->deadline = 0;
    if (!courier->mail->transaction.args)
        return;
    if (cannot_have(courier)) {
        set_refusal(courier, "550 5.6.7 The mail server has no SMTPUTF8");
        refuse_asked(courier, false);
        free(courier->refusal);
        courier->refusal = NULL;
    } else {
        hand_over(courier);
    }
}

static void connect_step(struct courier *courier)
{
    enum link_result result =
        timed_out(courier) ? link_timed_out(&courier->link) : link_step(&courier->link);
    courier->deadline = courier->link.deadline;
    if (result == LINK_MORE) {
        if (!courier->deadline)
            set_deadline(courier, ANSWER_TIME);
    } else if (result == LINK_OK) {
        connected(courier);
    } else {
        courier_lose(courier, "451 4.4.1 The mail server cannot be reached, try again later",
                     result == LINK_FAILED ? courier->link.error : "the node refused");
    }
}

/* ---- what it says ---- */

/* The reply as the client may hear it: 421 would say that it is us who close. */
static struct str words(struct courier *courier)
{
    struct str reply = buf_str(&courier->client.reply);
    char *text = courier->client.reply.data + courier->client.reply.start;
    for (size_t at = 0, used; courier->client.code == 421 && at < reply.n; at += used) {
        struct str line;
        memcpy(text + at, "451", 3);
        str_line((struct str){text + at, reply.n - at}, &line, &used);
    }
    return reply;
}

static char *copy_words(struct courier *courier)
{
    struct str text = words(courier);
    return xstrndup(text.p, text.n);
}

static void on_mail(struct courier *courier)
{
    if (courier->client.code < 300)
        return;
    courier->refusal = copy_words(courier);
    refuse_asked(courier, false);
}

/* Behind the last answer to what came with a MAIL that was refused, there is no transaction. */
static void forget_refused_mail(struct courier *courier)
{
    if (courier->state != COURIER_MAIL || !courier->refusal ||
        smtp_client_waiting(&courier->client))
        return;
    free(courier->refusal);
    courier->refusal = NULL;
    courier->state = COURIER_IDLE;
}

static void on_rcpt(struct courier *courier)
{
    struct mail *m = courier->mail;
    struct recipient *r = find(courier, RECIPIENT_ASKED, true);
    if (courier->refusal) {
        refuse(courier, r, str_of(courier->refusal));
    } else if (courier->client.code >= 300) {
        refuse(courier, r, words(courier));
    } else {
        r->state = RECIPIENT_ACCEPTED;
        courier->accepted++;
        m->server.accepted++;
        if (!m->lmtp)
            m->transaction.courier = courier;
        transaction_answer(m, r, words(courier));
    }
}

static void on_data(struct courier *courier)
{
    courier->state = COURIER_BODY;
    if (courier->client.code == 354)
        return;
    courier->refusal = copy_words(courier);
    courier->spoiled = true;
    courier->state = COURIER_DONE;
}

/* A chunk that was refused: the rest must not come any more, for it would be taken for commands. */
static void on_chunk(struct courier *courier)
{
    if (courier->client.code < 300)
        return;
    free(courier->refusal);
    courier->refusal = copy_words(courier);
    courier_lose(courier, NULL, "the node refused a chunk");
}

static void on_final(struct courier *courier)
{
    struct transaction *t = &courier->mail->transaction;
    if (courier->lmtp) {
        RING_EACH (ring, &t->recipients) {
            struct recipient *r = OUTER(ring, recipient, ring);
            if (r->courier == courier && r->state == RECIPIENT_ACCEPTED && !r->answer) {
                r->answer = copy_words(courier);
                break;
            }
        }
    } else {
        courier->reply = copy_words(courier);
    }
    if (smtp_client_waiting(&courier->client) == 0)
        courier->state = COURIER_DONE;
}

static void on_reply(struct courier *courier)
{
    switch (courier->client.awaited) {
    case SMTP_AWAITED_MAIL:
        on_mail(courier);
        break;
    case SMTP_AWAITED_RCPT:
        on_rcpt(courier);
        break;
    case SMTP_AWAITED_DATA:
        on_data(courier);
        break;
    case SMTP_AWAITED_CHUNK:
        on_chunk(courier);
        break;
    case SMTP_AWAITED_FINAL:
        on_final(courier);
        break;
    default:
        if (courier->client.code >= 300)
            broken(courier, "the node refuses RSET");
        break;
    }
}

/* A node may have left a kept connection, and nobody could know: the transaction, of which it has
 * not said anything, begins anew on another one. */
static bool begin_again(struct courier *courier)
{
    struct transaction *t = &courier->mail->transaction;
    bool early = courier->state == COURIER_IDLE || courier->state == COURIER_MAIL;
    if (!courier->used || !early || courier->accepted || courier->refusal)
        return false;
    RING_EACH (ring, &t->recipients) {
        struct recipient *r = OUTER(ring, recipient, ring);
        if (r->courier == courier && r->state != RECIPIENT_ASKED)
            return false;
        if (r->courier == courier)
            r->sent = false;
    }
    link_free(&courier->link);
    smtp_client_free(&courier->client);
    stream_close(&courier->stream);
    start_link(courier);
    return true;
}

/* That it leaves where nothing is under way is no loss. */
static void on_end(struct courier *courier, const char *why)
{
    if (courier->state == COURIER_IDLE && !find(courier, RECIPIENT_ASKED, false)) {
        let_go(courier);
        courier->state = COURIER_LOST;
    } else if (!begin_again(courier)) {
        broken(courier, why);
    }
}

/* Acts on all replies that have come; false: it is lost. */
static bool take_replies(struct courier *courier)
{
    enum smtp_told told;
    while ((told = smtp_client_read(&courier->client, &courier->link.in)) == SMTP_TOLD_REPLY) {
        on_reply(courier);
        if (courier->state == COURIER_LOST)
            return false;
        forget_refused_mail(courier);
    }
    if (told == SMTP_TOLD_BROKEN)
        on_end(courier, courier->client.error);
    return told != SMTP_TOLD_BROKEN;
}

static void talk_step(struct courier *courier)
{
    ssize_t n = STREAM_AGAIN;
    bool heard = false;
    do {
        char *room = buf_room(&courier->link.in, 512);
        n = stream_read(&courier->stream, room, courier->link.in.cap - courier->link.in.end);
        if (n <= 0)
            break;
        heard = true;
        trace_bytes(&courier->mail->client, TRACE_FROM_NODE, room, (size_t)n);
        buf_added(&courier->link.in, (uint32_t)n);
        if (!take_replies(courier))
            return;
    } while (true);
    if (n != STREAM_AGAIN) {
        on_end(courier, "the node closed the connection");
        return;
    }
    if (heard && (courier->state == COURIER_MAIL || courier->state == COURIER_IDLE))
        hand_over(courier);
    unsigned waiting = smtp_client_waiting(&courier->client);
    if (heard && waiting)
        stream_acknowledge(&courier->stream);
    if (waiting == 0)
        courier->deadline = 0;
    else if (timed_out(courier))
        broken(courier, "the node does not answer in time");
}

void courier_step(struct courier *courier)
{
    if (courier->state == COURIER_QUEUED)
        waited(courier);
    if (courier->state == COURIER_CONNECTING)
        connect_step(courier);
    if (courier->state > COURIER_CONNECTING && courier->state != COURIER_LOST) {
        talk_step(courier);
        if (courier->state == COURIER_CONNECTING) /* begun again */
            connect_step(courier);
    }
    stream_push(&courier->stream);
}

/* ---- the message ---- */

void courier_open(struct courier *courier, bool chunked)
{
    char space[OUT_SPACE];
    struct buf out;
    courier->dots = (struct smtp_dots){0};
    courier->chunks = chunked && courier->client.can & SMTP_CAN_CHUNKING;
    courier->state = courier->chunks ? COURIER_BODY : COURIER_OPENING;
    if (courier->chunks)
        return;
    begin_commands(&out, space);
    smtp_client_data(&courier->client, &out);
    send_commands(courier, &out, ANSWER_TIME);
}

static void finish(struct courier *courier)
{
    courier->state = COURIER_FINAL;
    set_deadline(courier, FINAL_TIME);
}

static unsigned finals(const struct courier *courier)
{
    return courier->lmtp ? courier->accepted : 1;
}

/* With its head in the same piece. */
static void write_chunk(struct courier *courier, char *p, size_t n, bool last)
{
    char space[COURIER_HEAD];
    struct buf head;
    buf_init(&head, space, sizeof space, sizeof space);
    smtp_client_chunk(&courier->client, &head, n, last, finals(courier));
    struct str text = buf_str(&head);
    memcpy(p - text.n, text.p, text.n);
    stream_write(&courier->stream, p - text.n, text.n + n);
    set_deadline(courier, ANSWER_TIME);
}

void courier_write(struct courier *courier, char *p, size_t n, bool last)
{
    if (courier->chunks)
        write_chunk(courier, p, n, last);
    else
        stream_write(&courier->stream, p, n);
    if (last && !courier->chunks)
        smtp_client_sent(&courier->client, finals(courier));
    if (courier->stream.failed)
        broken(courier, "the node closed the connection");
    else if (last)
        finish(courier);
}

/* ---- the end ---- */

void courier_end_transaction(struct courier *courier)
{
    bool unfinished = courier->state == COURIER_OPENING || courier->state == COURIER_BODY;
    if (unfinished || courier->state == COURIER_FINAL || courier->state == COURIER_LOST) {
        courier_free(courier);
        return;
    }
    courier->spoiled |= courier->state == COURIER_MAIL;
    if (courier->state == COURIER_MAIL || courier->state == COURIER_DONE)
        courier->state = COURIER_IDLE;
    courier->used = courier->state == COURIER_IDLE;
    courier->accepted = 0;
    free(courier->refusal);
    free(courier->reply);
    courier->refusal = courier->reply = NULL;
}

static void release(struct post *post)
{
    struct courier *courier = OUTER(post, courier, release);
    pool_put(courier->pool, courier);
}

/* A node that is left politely has less to log. The memory waits for the end of the round: events
 * of the stream may be under way. */
void courier_free(struct courier *courier)
{
    struct mail *m = courier->mail;
    if (courier->state == COURIER_IDLE)
        stream_write(&courier->stream, "QUIT\r\n", 6);
    let_go(courier);
    if (m->client.node == courier->node)
        m->client.node = NULL;
    node_unref(courier->node);
    free(courier->refusal);
    free(courier->reply);
    ring_remove(&courier->ring);
    m->courier_count--;
    courier->release.run = release;
    worker_soon(m->client.worker, &courier->release);
}
