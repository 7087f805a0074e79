/* SPDX-License-Identifier: ISC
 *
 * One client of port 25 or LMTP, from accept to close. The states stand below in the order in which
 * a message passes through them: do_arrive, do_tls, do_talk, do_place, do_open, do_body, do_final,
 * do_leave. Each does what the streams allow and returns the next state, or its own to wait;
 * mail_step loops until nothing changes, and nothing else sets the state. The connections to nodes
 * (courier.c) go on beside them, in whatever state the client is: mail_step steps them first. */
#include "mail/mail.h"

#include "mail/parts.h"
#include "proto/smtp.h"

#include <stdlib.h>
#include <string.h>

enum {
    GATE_POLL = 500, /* ms between two looks whether others want the place of an idle courier */
    STALL_TIME =
        180 * 1000 /* ms that a node has to take a piece of a message (RFC 5321, 4.5.3.2) */
};

/* ---- what the client is told ---- */

static void send_out(struct mail *m)
{
    m->out_bytes += buf_len(&m->out);
    stream_write(&m->client.stream, buf_str(&m->out).p, buf_len(&m->out));
    buf_clear(&m->out);
}

void mail_say(struct mail *m, struct str text)
{
    if (!buf_add(&m->out, text.p, text.n)) {
        send_out(m);
        m->out_bytes += text.n;
        stream_write(&m->client.stream, text.p, text.n);
    }
}

static void say_line(struct mail *m, const char *text)
{
    buf_add_texts(&m->out, text, "\r\n");
}

static void flush(struct mail *m)
{
    trace_bytes(&m->client, TRACE_TO_CLIENT, buf_str(&m->out).p, buf_len(&m->out));
    send_out(m);
    stream_push(&m->client.stream);
}

/* ---- the end ---- */

static void free_couriers(struct mail *m)
{
    RING_EACH (ring, &m->couriers)
        courier_free(OUTER(ring, courier, ring));
}

/* Lets go of everything; the memory itself waits for the end of the round. */
static enum mail_state end_now(struct mail *m)
{
    buf_free(&m->in);
    buf_free(&m->out);
    free(m->name);
    client_close(&m->client);
    return MAIL_END;
}

/* Whether words of ours would cut nothing in two: the client waits for no answer. */
static bool at_boundary(const struct mail *m)
{
    return m->state == MAIL_TALK && m->server.owed == 0;
}

/* THE exit: a message that is under way stays without an end on its nodes; the client is told what
 * REASON has for it, where nothing else would be cut in two. */
static enum mail_state leave(struct mail *m, enum client_reason reason, const char *detail)
{
    const char *words = client_reason_text(reason);
    bool boundary = at_boundary(m);
    m->client.reason = reason;
    transaction_end(m, "aborted");
    free_couriers(m);
    mail_log_close(m, detail);
    if (boundary && words)
        smtp_goodbye(&m->out, words);
    flush(m);
    if (m->client.stream.failed || m->client.stream.fd < 0)
        return end_now(m);
    client_leave(&m->client);
    m->due = m->client.deadline;
    return MAIL_LEAVE;
}

static enum mail_state gone(struct mail *m, const char *detail)
{
    return leave(m, m->client.stream.failed ? REASON_CLIENT_LOST : REASON_CLIENT_CLOSED, detail);
}

/* ---- arriving ---- */

static const char *capabilities(const struct config_service *service)
{
    const char *learned = node_capabilities(service->group);
    return service->capabilities ? service->capabilities
           : learned             ? learned
                                 : service->protocol->capabilities;
}

static enum mail_state greet(struct mail *m)
{
    struct client *c = &m->client;
    const struct smtp_server_setup setup = {
        .hostname = c->config->global.hostname,
        .capabilities = capabilities(c->service),
        .size_max = c->service->mail.max_message_size,
        .max_errors = c->service->max_errors,
        .lmtp = m->lmtp,
        .starttls = c->listener->tls_mode == TLS_STARTTLS,
        .tls = c->stream.handshaken,
        .early = !c->stream.handshaken && stream_waiting(&c->stream),
        .trusted = client_is_trusted(c),
    };
    smtp_server_start(&m->server, &setup, &m->out);
    m->active = c->worker->now;
    return MAIL_TALK;
}

static enum mail_state do_arrive(struct mail *m)
{
    char text[CLIENT_TEXT] = "";
    switch (client_arrive(&m->client, &m->local, text)) {
    case CLIENT_ARRIVING:
        return MAIL_ARRIVE;
    case CLIENT_ARRIVED:
        return greet(m);
    default:
        return leave(m, m->client.reason, text);
    }
}

static enum mail_state start_tls(struct mail *m)
{
    if (buf_len(&m->in))
        return leave(m, REASON_INJECTION, "bytes behind STARTTLS");
    transaction_end(m, "aborted");
    free_couriers(m);
    flush(m);
    client_starttls(&m->client);
    return MAIL_TLS;
}

static enum mail_state do_tls(struct mail *m)
{
    char text[CLIENT_TEXT] = "";
    switch (client_handshake(&m->client, text)) {
    case CLIENT_ARRIVING:
        return MAIL_TLS;
    case CLIENT_ARRIVED:
        m->server.setup.tls = true;
        return MAIL_TALK;
    default:
        return leave(m, m->client.reason, text);
    }
}

/* A name has no bytes that xtext would hide. */
static void set_name(struct mail *m, const struct smtp_xclient *x)
{
    struct str name = x->value[SMTP_XCLIENT_NAME];
    free(m->name);
    m->name = x->temporary & 1u << SMTP_XCLIENT_NAME ? xstrdup("[TEMPUNAVAIL]")
              : name.n                               ? xstrndup(name.p, name.n)
                                                     : NULL;
}

/* The client speaks for another one: nothing of what was before counts, on the nodes neither.
 * False: who it speaks for may not come in. */
static bool become(struct mail *m)
{
    const struct smtp_xclient *x = &m->server.xclient;
    struct addr nobody; /* who is not known is no client that may relay */
    addr_numeric(&nobody, str_of("0.0.0.0"), 0);
    transaction_end(m, "aborted");
    free_couriers(m);
    const struct addr *client = x->unavailable & 1u << SMTP_XCLIENT_ADDR ? &nobody : &x->client;
    if (client->len && !client_become(&m->client, client, &m->out))
        return false;
    if (x->local.len)
        m->local = x->local;
    if (x->given & 1u << SMTP_XCLIENT_NAME)
        set_name(m, x);
    return true;
}

/* ---- recipients ---- */

static enum mail_state place(struct mail *m, struct recipient *r)
{
    placement_start(m, r);
    return MAIL_PLACE;
}

/* It is known what becomes of the recipient that was placed; others may have to be placed anew. */
static enum mail_state placed(struct mail *m)
{
    placement_end(m);
    m->due = 0;
    struct recipient *again = transaction_next_again(m);
    return again ? place(m, again) : MAIL_TALK;
}

static enum mail_state begin_recipient(struct mail *m)
{
    struct recipient *r = transaction_add(m);
    if (m->transaction.count <= m->client.service->mail.max_recipients)
        return place(m, r);
    transaction_refuse(m, r, "452 4.5.3 Too many recipients");
    return MAIL_TALK;
}

enum company { COMPANY_GOOD, COMPANY_BAD, COMPANY_UNKNOWN };

/* Whether R, which belongs to NODE, may be in one message with those before it. SMTP has one answer
 * for all of them: so they are on one node, and where that speaks LMTP, which answers for each, one
 * only. */
static enum company company(const struct mail *m, const struct recipient *r,
                            const struct node *node)
{
    const struct transaction *t = &m->transaction;
    if (m->lmtp)
        return COMPANY_GOOD;
    if (t->courier)
        return t->courier->node == node && !t->courier->lmtp ? COMPANY_GOOD : COMPANY_BAD;
    if (t->first == r)
        return COMPANY_GOOD;
    return t->first->courier && t->first->courier->node == node && !t->first->courier->lmtp
               ? COMPANY_GOOD
               : COMPANY_UNKNOWN;
}

/* R goes to the node that it belongs to, in this message or in another one. */
static enum mail_state seat(struct mail *m, struct recipient *r)
{
    struct placement *p = m->placement;
    enum company with = company(m, r, p->node);
    if (with == COMPANY_UNKNOWN && !m->transaction.again)
        return MAIL_PLACE;
    if (with == COMPANY_UNKNOWN) { /* those before it may go elsewhere */
        transaction_place_again(m, r);
        return placed(m);
    }
    struct node *node = p->node;
    struct courier *courier = NULL;
    mail_log_route(m, r, p->route.why);
    p->node = NULL;
    placement_end(m);
    if (with == COMPANY_GOOD)
        courier = courier_get(m, node, r->since);
    else
        node_unref(node);
    if (r->courier != courier)
        courier_forget(r);
    if (courier) {
        m->client.node = courier->node;
        courier_offer(courier, r);
    } else {
        transaction_refuse(m, r, "452 4.5.3 Another node's: in another message, please");
    }
    return placed(m);
}

static enum mail_state discard(struct mail *m, struct recipient *r)
{
    mail_log_route(m, r, "no map knows it: discarded");
    courier_forget(r);
    r->state = RECIPIENT_DISCARDED;
    m->server.accepted++;
    transaction_answer(m, r, str_of("250 2.1.5 Ok\r\n"));
    return placed(m);
}

static enum mail_state refuse(struct mail *m, struct recipient *r)
{
    struct placement *p = m->placement;
    mail_log_route(m, r, p->route.why);
    courier_forget(r);
    m->server.errors += *p->answer == '5';
    transaction_refuse(m, r, p->answer);
    return placed(m);
}

static enum mail_state do_place(struct mail *m)
{
    struct placement *p = m->placement;
    struct recipient *r = p->recipient;
    switch (placement_step(p)) {
    case PLACING_PENDING:
        if (p->holding)
            courier_forget(r);
        if (m->client.stream.gone)
            return gone(m, "while a recipient was looked up");
        m->due = p->again;
        flush(m);
        return MAIL_PLACE;
    case PLACING_NODE:
        m->due = 0;
        return seat(m, r);
    case PLACING_DISCARD:
        return discard(m, r);
    default:
        return refuse(m, r);
    }
}

/* ---- talking with the client ---- */

static enum mail_state open_message(struct mail *m, bool chunked)
{
    struct transaction *t = &m->transaction;
    smtp_data_start(&t->data, chunked ? SMTP_DATA_CHUNKS : SMTP_DATA_DOTS);
    t->started = true;
    RING_EACH (ring, &m->couriers) {
        struct courier *courier = OUTER(ring, courier, ring);
        if (courier->state == COURIER_MAIL && courier->accepted)
            courier_open(courier, chunked);
    }
    return MAIL_OPEN;
}

static enum mail_state begin_chunk(struct mail *m)
{
    struct transaction *t = &m->transaction;
    t->chunk = m->server.chunk;
    return t->started ? MAIL_BODY : open_message(m, true);
}

/* Acts on what the server wants; false: the state stays, and more is to be read. */
static bool act(struct mail *m, enum smtp_want want, enum mail_state *next)
{
    switch (want) {
    case SMTP_WANT_STARTTLS:
        *next = start_tls(m);
        return true;
    case SMTP_WANT_XCLIENT:
        if (become(m))
            return false;
        *next = leave(m, REASON_REFUSED, NULL);
        return true;
    case SMTP_WANT_RESET:
        transaction_end(m, "aborted");
        return false;
    case SMTP_WANT_MAIL:
        transaction_begin(m);
        m->mailed = true;
        return false;
    case SMTP_WANT_RCPT:
        *next = begin_recipient(m);
        return *next != MAIL_TALK;
    case SMTP_WANT_DATA:
        *next = open_message(m, false);
        return true;
    case SMTP_WANT_CHUNK:
        *next = begin_chunk(m);
        return true;
    case SMTP_WANT_QUIT:
        *next = leave(m, REASON_LOGOUT, NULL);
        return true;
    default:
        *next = leave(m, REASON_TOO_MANY_ERRORS, m->server.reason);
        return true;
    }
}

static uint64_t idle_end(const struct mail *m)
{
    return m->active + m->client.service->idle_timeout;
}

/* Nothing can be done now: what was answered leaves. */
static enum mail_state rest(struct mail *m)
{
    flush(m);
    m->due = m->server.owed ? 0 : idle_end(m);
    if (m->due && m->client.worker->now >= m->due)
        return leave(m, REASON_IDLE_TIMEOUT, NULL);
    if (m->server.owed && m->client.stream.gone)
        return gone(m, "while a node was asked");
    return MAIL_TALK;
}

/* Whether more of the client's words have come; else NEXT is what is done. */
static bool read_more(struct mail *m, enum mail_state *next)
{
    char *room = buf_room(&m->in, 256);
    if (!room) {
        *next = leave(m, REASON_TOO_MANY_ERRORS, "more than is read of a command");
        return false;
    }
    ssize_t n = stream_read(&m->client.stream, room, m->in.cap - m->in.end);
    if (n == STREAM_AGAIN || (n == 0 && m->server.owed)) { /* who has ended wants his answers */
        *next = rest(m);
        return false;
    }
    if (n <= 0) {
        *next = leave(m, client_left(n), NULL);
        return false;
    }
    trace_bytes(&m->client, TRACE_FROM_CLIENT, room, (size_t)n);
    buf_added(&m->in, (uint32_t)n);
    m->active = m->client.worker->now;
    return true;
}

static enum mail_state do_talk(struct mail *m)
{
    enum mail_state next = MAIL_TALK;
    struct recipient *again = transaction_next_again(m);
    if (again)
        return place(m, again);
    for (unsigned reads = 0;;) {
        stream_push(&m->client.stream);
        if (stream_pending(&m->client.stream) || m->server.owed >= MAIL_OWED_MAX)
            return rest(m); /* who does not take answers gets no more of them */
        enum smtp_want want = smtp_server_read(&m->server, &m->in, &m->out);
        if (want == SMTP_WANT_WAIT)
            return rest(m);
        if (want != SMTP_WANT_MORE) {
            if (act(m, want, &next))
                return next;
            continue;
        }
        if (reads++ == STREAM_TURN) {
            worker_soon(m->client.worker, &m->client.post);
            return rest(m);
        }
        if (!read_more(m, &next))
            return next;
    }
}

/* ---- the message ---- */

static bool any_courier(const struct mail *m, enum courier_state state)
{
    RING_EACH (ring, &m->couriers)
        if (OUTER(ring, courier, ring)->state == state)
            return true;
    return false;
}

static bool any_discarded(const struct transaction *t)
{
    RING_EACH (ring, &t->recipients)
        if (OUTER(ring, recipient, ring)->state == RECIPIENT_DISCARDED)
            return true;
    return false;
}

/* No node takes it: one answer, also where LMTP has more of them behind a message. */
static enum mail_state refuse_message(struct mail *m, bool chunked)
{
    if (chunked)
        smtp_server_skip(&m->server);
    transaction_refuse_message(m, chunked && m->server.last);
    m->active = m->client.worker->now;
    return MAIL_TALK;
}

static enum mail_state do_open(struct mail *m)
{
    struct transaction *t = &m->transaction;
    bool chunked = t->data.mode != SMTP_DATA_DOTS;
    m->due = 0;
    if (any_courier(m, COURIER_OPENING)) {
        flush(m);
        return m->client.stream.failed ? gone(m, "before the message") : MAIL_OPEN;
    }
    if (!any_courier(m, COURIER_BODY) && !any_discarded(t))
        return refuse_message(m, chunked);
    if (!chunked)
        say_line(m, "354 End data with <CR><LF>.<CR><LF>");
    flush(m);
    m->active = m->client.worker->now;
    return MAIL_BODY;
}

/* A node that does not take what the client has sent is not waited for as long as a client. */
static uint64_t body_end(const struct mail *m)
{
    uint64_t idle = m->client.service->idle_timeout;
    RING_EACH (ring, &m->couriers)
        if (stream_pending(&OUTER(ring, courier, ring)->stream))
            return m->active + (idle < STALL_TIME ? idle : STALL_TIME);
    return m->active + idle;
}

/* A client or a node that stalls. */
static enum mail_state stalled(struct mail *m)
{
    bool node = false;
    RING_EACH (ring, &m->couriers) {
        struct courier *courier = OUTER(ring, courier, ring);
        if (courier->state != COURIER_BODY || !stream_pending(&courier->stream))
            continue;
        courier_lose(courier, "451 4.4.2 The mail server stalls, try again later",
                     "the node stalls");
        node = true;
    }
    m->active = m->client.worker->now;
    return node ? MAIL_BODY : leave(m, REASON_IDLE_TIMEOUT, "within a message");
}

/* A chunk that was not the last. */
static enum mail_state end_chunk(struct mail *m)
{
    struct transaction *t = &m->transaction;
    if (t->refusal || (!any_courier(m, COURIER_BODY) && !any_discarded(t))) {
        transaction_refuse_message(m, false);
        return MAIL_TALK;
    }
    buf_addf(&m->out, "250 2.0.0 %llu octets received\r\n", (unsigned long long)m->server.chunk);
    return MAIL_TALK;
}

static enum mail_state do_body(struct mail *m)
{
    enum message_result result = message_step(m);
    m->due = body_end(m);
    switch (result) {
    case MESSAGE_END:
        return MAIL_FINAL;
    case MESSAGE_CHUNK:
        return end_chunk(m);
    case MESSAGE_GONE:
        return gone(m, "within a message");
    case MESSAGE_AGAIN:
        worker_soon(m->client.worker, &m->client.post);
        break;
    case MESSAGE_MORE:
        if (m->client.worker->now >= m->due)
            return stalled(m);
        break;
    }
    return MAIL_BODY;
}

static void leave_wanted(struct mail *m)
{
    RING_EACH (ring, &m->couriers) {
        struct courier *courier = OUTER(ring, courier, ring);
        if (courier->state == COURIER_LOST ||
            (courier->state == COURIER_IDLE &&
             (node_is_wanted(courier->node) || node_is_drained(courier->node))))
            courier_free(courier);
    }
}

static enum mail_state do_final(struct mail *m)
{
    m->due = 0;
    if (any_courier(m, COURIER_FINAL))
        return m->client.stream.failed ? gone(m, "before the answer to a message") : MAIL_FINAL;
    transaction_conclude(m);
    if (buf_len(&m->in) == 0)
        buf_free(&m->in); /* it may have grown */
    m->active = m->client.worker->now;
    return MAIL_TALK;
}

static enum mail_state do_leave(struct mail *m)
{
    return client_drain(&m->client) ? end_now(m) : MAIL_LEAVE;
}

/* ---- the machine ---- */

/* ms: when MAIL has to have come. */
static uint64_t login_end(const struct mail *m)
{
    return m->client.started + m->client.service->login_timeout;
}

static void step_couriers(struct mail *m)
{
    RING_EACH (ring, &m->couriers)
        courier_step(OUTER(ring, courier, ring));
    if (!m->transaction.args)
        leave_wanted(m);
}

/* Of two times, 0 being none. */
static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a && (!b || a < b) ? a : b;
}

static void arm(struct mail *m)
{
    uint64_t due = m->due;
    bool limited = m->client.service->backend.max_connections > 0;
    RING_EACH (ring, &m->couriers) {
        const struct courier *courier = OUTER(ring, courier, ring);
        due = earlier(due, courier->deadline);
        if (limited && courier->state == COURIER_IDLE)
            due = earlier(due, m->client.worker->now + GATE_POLL);
    }
    m->client.deadline = due;
    client_arm(&m->client, m->mailed || m->state == MAIL_LEAVE ? 0 : login_end(m));
}

void mail_step(struct mail *m)
{
    static enum mail_state (*const states[])(struct mail *) = {
        [MAIL_ARRIVE] = do_arrive, [MAIL_TLS] = do_tls,     [MAIL_TALK] = do_talk,
        [MAIL_PLACE] = do_place,   [MAIL_OPEN] = do_open,   [MAIL_BODY] = do_body,
        [MAIL_FINAL] = do_final,   [MAIL_LEAVE] = do_leave,
    };
    step_couriers(m);
    bool stop = m->client.stopping && (at_boundary(m) || !client_may_go_on(&m->client));
    if (stop && m->state < MAIL_LEAVE)
        m->state = leave(m, m->client.reason, NULL);
    else if (!m->mailed && m->state < MAIL_LEAVE && m->client.worker->now >= login_end(m))
        m->state = leave(m, REASON_LOGIN_TIMEOUT, NULL);
    for (enum mail_state last = MAIL_END; m->state != MAIL_END && m->state != last;) {
        last = m->state;
        m->state = states[last](m);
    }
    if (m->state == MAIL_END)
        return;
    stream_push(&m->client.stream);
    arm(m);
}

static void start(struct client *c)
{
    struct mail *m = OUTER(c, mail, client);
    ring_init(&m->couriers);
    m->lmtp = strcmp(c->service->protocol->name, "lmtp") == 0;
    buf_init(&m->in, m->in_space, sizeof m->in_space, MAIL_IN_MAX);
    buf_init(&m->out, m->out_space, sizeof m->out_space, PROTO_OUT_MAX);
    mail_step(m);
}

static void step(struct client *c)
{
    mail_step(OUTER(c, mail, client));
}

static void tell(const struct client *c, struct client_told *told)
{
    static const char *const words[] = {
        [MAIL_ARRIVE] = "arriving", [MAIL_TLS] = "tls",       [MAIL_TALK] = "talking",
        [MAIL_PLACE] = "routing",   [MAIL_OPEN] = "opening",  [MAIL_BODY] = "message",
        [MAIL_FINAL] = "answering", [MAIL_LEAVE] = "leaving", [MAIL_END] = "ended"};
    const struct mail *m = OUTER(c, mail, client);
    told->phase = m->state >= MAIL_LEAVE ? CLIENT_LEAVES
                  : m->courier_count     ? CLIENT_SERVED
                                         : CLIENT_TALKS;
    told->state = words[m->state];
    told->bytes_in = m->in_bytes;
    told->bytes_out = m->out_bytes;
}

const struct engine mail_engine = {
    .pool = ENGINE_MAIL, .size = sizeof(struct mail), .start = start, .step = step, .tell = tell};
