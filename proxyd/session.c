/* SPDX-License-Identifier: ISC
 *
 * One client, from accept to close. The states stand below in the order in which a login passes
 * through them: do_arrive, do_tls, do_talk, do_refuse, do_route, do_hold, do_wait, do_login,
 * do_carry, do_drain. Each does what its streams allow and returns the next state, or its own to
 * wait; session_step loops until nothing changes, and nothing else sets the state. Whatever happens
 * (an event on a stream, a timer, an answer) is noted and then stepped.
 *
 * What only the login needs (parsers, credentials, buffers) is in struct login and is given back,
 * wiped, when carrying starts. What is told of all this is in session_log.c. */
#include "session.h"

#include "session_parts.h"
#include "stats.h"
#include "trace.h"

#include <stdlib.h>
#include <string.h>

enum {
    ASK_AGAIN = 500,          /* ms between two questions where a login that waits belongs now */
    HALF_CLOSED_TIME = 30000, /* ms of silence after the node has ended */
    CLIENT_GONE_TIME = 300000 /* after the client has ended: the node may have work to do */
};

static void session_step(struct session *s);

/* ---- beginning and end ---- */

static void login_free(struct session *s)
{
    struct login *l = s->login;
    if (!l)
        return;
    route_cancel(&l->route);
    hold_forget(&l->hold);
    link_free(&l->link);
    front_free(&l->front);
    creds_wipe(&l->creds);
    buf_free(&l->in);
    buf_free(&l->out);
    pool_put(&s->client.worker->login_pool, l);
    s->login = NULL;
}

static void forget_node(struct session *s)
{
    stream_close(&s->node);
    node_leave(&s->ticket);
    node_unref(s->client.node);
    s->client.node = NULL;
}

/* Lets go of everything; the memory itself waits for the end of the round. */
static enum session_state end_now(struct session *s)
{
    login_free(s);
    splice_free(&s->up);
    splice_free(&s->down);
    forget_node(s);
    client_close(&s->client);
    return SESSION_END;
}

/* Whether the client waits for nothing that the node is about. */
static bool is_at_rest(const struct session *s)
{
    return turn_is_over(&s->turn) && !s->down.pipe && !stream_pending(&s->client.stream);
}

/* Whether words of ours would cut nothing in two. */
static bool at_boundary(const struct session *s)
{
    if (s->login)
        return s->state != SESSION_ARRIVE && s->state != SESSION_TLS;
    return turn_is_between(&s->turn) && !s->down.pipe && !stream_pending(&s->client.stream);
}

/* Sends what the front has answered. */
static void say(struct session *s)
{
    struct str out = buf_str(&s->login->out);
    trace_bytes(&s->client, TRACE_TO_CLIENT, out.p, out.n);
    stream_write(&s->client.stream, out.p, out.n);
    buf_clear(&s->login->out);
}

/* What the node said, where that is how the login failed. */
static const struct back *words_of_node(const struct login *l)
{
    return l->verdict == VERDICT_NODE_REFUSED ? &l->link.back : NULL;
}

/* Answers a login that ends with the session: one that is under way may come again, one that has
 * failed waits for its answer no longer. */
static void break_off(struct session *s, const char *why)
{
    struct login *l = s->login;
    if (s->state != SESSION_REFUSE) {
        l->verdict = VERDICT_TEMPORARY;
        session_log_login(s, false, why);
        client_count_login(&s->client, l->verdict, s->login->asked_ns);
    }
    s->client.service->protocol->answer(&l->front, l->verdict, words_of_node(l), &l->out);
    say(s);
}

/* THE exit: logs, tells the client what REASON has for him if nothing else would be cut in two by
 * it, and returns the state in which that goes out, or the end. */
static enum session_state session_end(struct session *s, enum client_reason reason,
                                      const char *detail)
{
    char space[256];
    struct buf words;
    const char *text = client_reason_text(reason);
    bool boundary = at_boundary(s);
    s->client.reason = reason;
    if (s->state >= SESSION_REFUSE && s->state <= SESSION_LOGIN && reason != REASON_TOO_MANY_ERRORS)
        break_off(s, client_reason_word(reason)); /* too many: that login was answered */
    session_count_talker(s, true);
    session_log_close(s, detail);
    buf_init(&words, space, sizeof space, sizeof space);
    if (boundary && text) {
        s->client.service->protocol->goodbye(&words, text);
        stream_write(&s->client.stream, buf_str(&words).p, buf_len(&words));
    }
    bool silent = !s->login && buf_len(&words) == 0;
    login_free(s);
    forget_node(s);
    if (silent || s->client.stream.failed)
        return end_now(s);
    client_leave(&s->client);
    return SESSION_DRAIN;
}

/* ---- the states ---- */

static const char *capabilities(const struct config_service *service)
{
    const char *learned = node_capabilities(service->group);
    return service->capabilities ? service->capabilities
           : learned             ? learned
                                 : service->protocol->capabilities;
}

/* The name in the client's certificate, once there is TLS. */
static const char *external_name(struct session *s)
{
    char *name = s->login->external;
    bool known = s->client.stream.handshaken &&
                 stream_peer_name(&s->client.stream, name, sizeof s->login->external);
    return known ? name : NULL;
}

static enum session_state greet(struct session *s)
{
    struct login *l = s->login;
    const struct front_setup setup = {
        .hostname = s->client.config->global.hostname,
        .capabilities = capabilities(s->client.service),
        .mechanisms = s->client.service->mechanisms,
        .starttls = s->client.listener->tls_mode == TLS_STARTTLS,
        .tls = s->client.stream.handshaken,
        .plaintext = client_plaintext(&s->client),
        .early = s->client.service->protocol->greeting_first && !s->client.stream.handshaken &&
                 stream_waiting(&s->client.stream),
        .external = external_name(s),
        .max_errors = s->client.service->max_errors,
        .max_auth_errors = s->client.service->max_auth_errors,
    };
    front_init(&l->front, &setup, &l->creds);
    s->client.service->protocol->greet(&l->front, &l->out);
    say(s);
    return SESSION_TALK;
}

static enum session_state do_arrive(struct session *s)
{
    char text[CLIENT_TEXT];
    switch (client_arrive(&s->client, &s->login->local, text)) {
    case CLIENT_ARRIVING:
        return SESSION_ARRIVE;
    case CLIENT_ARRIVED:
        return greet(s);
    default:
        return session_end(s, s->client.reason, text);
    }
}

static enum session_state do_tls(struct session *s)
{
    char text[CLIENT_TEXT];
    struct front_setup *setup = &s->login->front.setup;
    switch (client_handshake(&s->client, text)) {
    case CLIENT_ARRIVING:
        return SESSION_TLS;
    case CLIENT_ARRIVED:
        setup->tls = setup->plaintext = true;
        setup->external = external_name(s);
        return SESSION_TALK;
    default:
        return session_end(s, s->client.reason, text);
    }
}

static enum session_state start_tls(struct session *s)
{
    if (buf_len(&s->login->in))
        return session_end(s, REASON_INJECTION, "bytes behind STARTTLS");
    client_starttls(&s->client);
    return SESSION_TLS;
}

static void routed(struct route *r)
{
    struct login *l = OUTER(r, login, route);
    session_step(l->session);
}

/* A login is whole: where does it belong? */
static enum session_state ask(struct session *s)
{
    struct login *l = s->login;
    free(s->client.user);
    s->client.user = xstrdup(l->creds.login);
    trace_login(&s->client);
    route_cancel(&l->route);
    memset(&l->route, 0, sizeof l->route);
    l->route.done = routed;
    l->route.client = &s->client.address;
    l->route.listener = s->client.listener;
    l->route.explain = s->client.service->log_level >= LOG_LEVEL_DEBUG;
    l->asked = s->client.worker->now;
    l->asked_ns = uv_hrtime();
    route_start(&l->route, s->client.worker, s->client.config, s->client.service, &l->creds);
    return SESSION_ROUTE;
}

static enum session_state do_talk(struct session *s)
{
    struct login *l = s->login;
    for (unsigned reads = 0;; reads++) {
        stream_push(&s->client.stream);
        if (stream_pending(&s->client.stream))
            return SESSION_TALK; /* who does not take answers gets no more of them */
        enum front_want want = s->client.service->protocol->read(&l->front, &l->in, &l->out);
        say(s);
        switch (want) {
        case FRONT_STARTTLS:
            return start_tls(s);
        case FRONT_LOGIN:
            return ask(s);
        case FRONT_REFUSED:
            session_log_login(s, false, l->front.reason);
            client_count_login(&s->client, VERDICT_AUTH_FAILED, s->login->asked_ns);
            continue;
        case FRONT_QUIT:
            return session_end(s, REASON_LOGOUT, NULL);
        case FRONT_CLOSE:
            return session_end(s, REASON_TOO_MANY_ERRORS, l->front.reason);
        case FRONT_MORE:
            break;
        }
        if (reads == STREAM_TURN) {
            worker_soon(s->client.worker, &s->client.post);
            return SESSION_TALK;
        }
        char *room = buf_room(&l->in, 256);
        if (!room)
            return session_end(s, REASON_TOO_MANY_ERRORS, "too much before the login");
        ssize_t n = stream_read(&s->client.stream, room, l->in.cap - l->in.end);
        if (n == STREAM_AGAIN)
            return SESSION_TALK;
        if (n <= 0)
            return session_end(s, client_left(n), NULL);
        buf_added(&l->in, (uint32_t)n);
        trace_bytes(&s->client, TRACE_FROM_CLIENT, room, (size_t)n);
    }
}

/* Tells the client how the login ended; he may try again. */
static enum session_state do_refuse(struct session *s)
{
    struct login *l = s->login;
    if (s->client.deadline && !client_timed_out(&s->client))
        return s->client.stream.gone
                   ? session_end(s, REASON_CLIENT_LOST, "before it was told of its failure")
                   : SESSION_REFUSE;
    s->client.deadline = 0;
    enum front_want want =
        s->client.service->protocol->answer(&l->front, l->verdict, words_of_node(l), &l->out);
    say(s);
    link_free(&l->link);
    if (want == FRONT_CLOSE)
        return session_end(s, REASON_TOO_MANY_ERRORS, l->front.reason);
    return SESSION_TALK;
}

/* The login has failed. What it has of a node is given back at once, and so is the secret; the
 * client waits for the answer as long as the route says. */
static enum session_state refuse(struct session *s, enum verdict verdict, const char *reason)
{
    struct login *l = s->login;
    session_log_login(s, false, reason);
    client_count_login(&s->client, verdict, s->login->asked_ns);
    forget_node(s);
    creds_wipe(&l->creds);
    l->verdict = verdict;
    s->client.deadline = l->route.answer_at;
    return SESSION_REFUSE;
}

static void released(struct post *post)
{
    struct login *l = OUTER(OUTER(post, hold_wait, post), login, hold);
    l->session->client.deadline = l->session->client.worker->now;
    session_step(l->session);
}

static void place_granted(struct post *post)
{
    session_step(OUTER(post, session, ticket.post));
}

/* Until when a login that waits may wait. */
static uint64_t wait_end(const struct session *s)
{
    return s->login->asked + s->client.service->backend.queue_timeout;
}

static void set_wait_deadline(struct session *s)
{
    uint64_t again = s->client.worker->now + ASK_AGAIN, end = wait_end(s);
    s->client.deadline = again < end ? again : end;
}

/* Asks the maps once more, and no cache. */
static enum session_state ask_again(struct session *s)
{
    struct login *l = s->login;
    s->client.deadline = 0;
    hold_forget(&l->hold);
    l->route.fresh = true;
    route_start(&l->route, s->client.worker, s->client.config, s->client.service, &l->creds);
    return SESSION_ROUTE;
}

static enum session_state enter(struct session *s)
{
    const struct route *r = &s->login->route;
    struct node *node = node_get(s->client.service->group, r->node_name, r->host, r->port);
    set_wait_deadline(s);
    if (node && node == s->client.node) { /* it was asked again while he waited there */
        node_unref(node);
        return SESSION_WAIT;
    }
    forget_node(s);
    s->client.node = node;
    session_log_route(s);
    if (!node)
        return refuse(s, VERDICT_BUSY, "too many nodes are in use");
    s->ticket = (struct node_ticket){.post.run = place_granted};
    if (node_enter(node, &s->ticket, s->client.worker) == TICKET_NONE)
        return refuse(s, node_is_up(node) ? VERDICT_BUSY : VERDICT_NODE_DOWN,
                      "the queue of the node is full");
    return SESSION_WAIT;
}

/* Told at once of the end of a hold by hand; what a map says has to be asked. */
static enum session_state hold(struct session *s)
{
    struct login *l = s->login;
    forget_node(s);
    l->hold.post.run = released;
    if (hold_wait(&l->hold, s->client.worker, l->route.email))
        s->client.deadline = wait_end(s);
    else
        set_wait_deadline(s);
    return SESSION_HOLD;
}

/* Whether a client that waits is gone. Who has only ended his side still wants his answer; who has
 * closed looks the same until something is sent to him. */
static bool is_gone(struct session *s)
{
    struct stream *st = &s->client.stream;
    const char *pulse = s->client.service->protocol->pulse;
    if (st->hung_up && pulse && !s->login->pulsed) {
        s->login->pulsed = true;
        stream_write(st, pulse, strlen(pulse));
    }
    return st->gone || st->failed;
}

static enum session_state left(struct session *s, const char *when)
{
    bool closed = s->client.stream.hung_up && s->login->pulsed;
    return session_end(s, closed ? REASON_CLIENT_CLOSED : REASON_CLIENT_LOST, when);
}

static enum session_state do_route(struct session *s)
{
    const struct route *r = &s->login->route;
    switch (r->result) {
    case ROUTE_PENDING:
        return is_gone(s) ? left(s, "while the maps were asked") : SESSION_ROUTE;
    case ROUTE_OK:
        return enter(s);
    case ROUTE_HOLD:
        return hold(s);
    default:
        session_log_route(s);
        return refuse(s, r->verdict, r->why);
    }
}

static enum session_state do_hold(struct session *s)
{
    if (is_gone(s))
        return left(s, "while the mailbox was on hold");
    if (!client_timed_out(&s->client))
        return SESSION_HOLD;
    if (s->client.worker->now >= wait_end(s))
        return refuse(s, VERDICT_BUSY, s->login->route.why);
    return ask_again(s);
}

static void connected(struct watch *watch, uint32_t events)
{
    struct session *s = OUTER(watch, session, node.watch);
    stream_events(&s->node, events);
    session_step(s);
}

static void resolved(struct post *post)
{
    struct link *link = OUTER(post, link, resolve.post);
    struct login *l = OUTER(link, login, link);
    session_step(l->session);
}

static enum session_state start_link(struct session *s)
{
    struct login *l = s->login;
    const struct config_backend *backend = &s->client.service->backend;
    bool master = backend->login == BACKEND_LOGIN_MASTER;
    client_find_local(&s->client, &l->local);
    const struct back_setup setup = {
        .creds = &l->creds,
        .login = l->route.login,
        .master_user = master ? backend->master_user : NULL,
        .master_password = master ? backend->master_password : NULL,
        .starttls = backend->tls_mode == TLS_STARTTLS,
        .identify = backend->client_address == CLIENT_ADDRESS_AUTO,
        .verified = s->client.service->authentication == AUTHENTICATION_PROXY ||
                    l->creds.mech == SASL_EXTERNAL,
        .helo = front_helo(&l->front),
        .client = &s->client.address,
        .local = &l->local,
        .session_id = s->client.id,
    };
    l->link.resolve.post.run = resolved;
    l->link.client = &s->client;
    link_start(&l->link, s->client.worker, s->client.service, s->client.node, &s->node, &setup,
               connected);
    s->client.deadline = l->link.deadline;
    return SESSION_LOGIN;
}

static const char *waited_in_vain(const struct node *node)
{
    return node_is_drained(node) ? "the node is drained" : "waited too long for the node";
}

static enum session_state do_wait(struct session *s)
{
    if (s->ticket.state == TICKET_GRANTED)
        return hold_has(s->login->route.email) ? hold(s) : start_link(s);
    if (is_gone(s))
        return left(s, "while waiting for the node");
    if (!client_timed_out(&s->client))
        return SESSION_WAIT;
    if (s->client.worker->now >= wait_end(s)) {
        node_count_rejected(s->client.node);
        return refuse(s, node_is_up(s->client.node) ? VERDICT_BUSY : VERDICT_NODE_DOWN,
                      waited_in_vain(s->client.node));
    }
    if (node_is_drained(s->client.node))
        return ask_again(s);
    set_wait_deadline(s);
    return SESSION_WAIT;
}

static void asked(struct splice *up, struct str piece)
{
    struct session *s = OUTER(up, session, up);
    if (piece.p)
        s->client.service->protocol->asked(&s->turn, piece);
    else
        turn_asked_unseen(&s->turn);
}

static void told(struct splice *down, struct str piece)
{
    struct session *s = OUTER(down, session, down);
    if (piece.p)
        s->client.service->protocol->told(&s->turn, piece);
    else
        turn_told_unseen(&s->turn);
}

/* Passes on what one side has said already. */
static void pass_on(struct splice *way, struct stream *to, struct str piece)
{
    way->bytes = piece.n;
    if (piece.n)
        way->seen(way, piece);
    stream_write(to, piece.p, piece.n);
}

/* The node has let him in: each side gets what the other has said already, and the rest is carried.
 */
static enum session_state logged_in(struct session *s)
{
    struct login *l = s->login;
    if (!route_let_in(&l->route))
        return refuse(s, l->route.verdict, l->route.why);
    struct str from_client = buf_str(&l->in), from_node = buf_str(&l->link.in);
    s->client.service->protocol->answer(&l->front, VERDICT_OK, &l->link.back, &l->out);
    say(s);
    turn_start(&s->turn);
    s->up.seen = asked;
    s->down.seen = told;
    pass_on(&s->down, &s->client.stream, from_node);
    pass_on(&s->up, &s->node, from_client);
    s->active = s->client.worker->now;
    session_log_login(s, true, NULL);
    trace_carried(&s->client, 0, 0);
    client_count_login(&s->client, VERDICT_OK, s->login->asked_ns);
    stats_bytes(s->client.service->stats, s->up.bytes, s->down.bytes);
    login_free(s);
    return SESSION_CARRY;
}

static enum session_state do_login(struct session *s)
{
    struct link *link = &s->login->link;
    char words[200];
    enum link_result result = client_timed_out(&s->client) ? link_timed_out(link) : link_step(link);
    s->client.deadline = link->deadline;
    switch (result) {
    case LINK_OK:
        return logged_in(s);
    case LINK_REFUSED:
        if (back_blames_login(&link->back))
            route_refused(&s->login->route);
        return refuse(s, VERDICT_NODE_REFUSED, session_node_words(s->login, words, sizeof words));
    case LINK_FAILED:
        return refuse(s, VERDICT_NODE_DOWN, link->error);
    default:
        return SESSION_LOGIN;
    }
}

static enum client_reason lost(const struct session *s)
{
    if (s->half_closed)
        return s->client.reason;
    return s->client.stream.failed ? REASON_CLIENT_LOST : REASON_NODE_LOST;
}

/* ms of silence that are borne: fewer where one side has ended. */
static uint64_t patience(const struct session *s, enum splice_result up, enum splice_result down)
{
    uint64_t idle = s->client.service->idle_timeout;
    if (down == SPLICE_ENDED)
        return HALF_CLOSED_TIME;
    return up == SPLICE_ENDED && idle > CLIENT_GONE_TIME ? CLIENT_GONE_TIME : idle;
}

static enum session_state do_carry(struct session *s)
{
    uint64_t up_before = s->up.bytes, down_before = s->down.bytes;
    enum splice_result up = splice_pump(&s->up, &s->client.stream, &s->node, s->client.worker);
    enum splice_result down = splice_pump(&s->down, &s->node, &s->client.stream, s->client.worker);
    if (s->up.bytes != up_before || s->down.bytes != down_before)
        s->active = s->client.worker->now;
    stats_bytes(s->client.service->stats, s->up.bytes - up_before, s->down.bytes - down_before);
    session_count_talker(s, false);
    trace_carried(&s->client, s->up.bytes, s->down.bytes);
    if (up == SPLICE_FAILED || down == SPLICE_FAILED)
        return session_end(s, lost(s), NULL);
    if (!s->half_closed && (up == SPLICE_ENDED || down == SPLICE_ENDED)) {
        s->half_closed = true;
        s->client.reason = up == SPLICE_ENDED ? REASON_CLIENT_CLOSED : REASON_NODE_CLOSED;
    }
    if (up == SPLICE_ENDED && down == SPLICE_ENDED)
        return session_end(s, s->client.reason, NULL);
    if (s->client.stopping && (is_at_rest(s) || !client_may_go_on(&s->client)))
        return session_end(s, s->client.stop_reason, NULL);
    if (down == SPLICE_ENDED)
        node_leave(&s->ticket); /* the node has done with it, whatever the client still does */
    if (up == SPLICE_AGAIN || down == SPLICE_AGAIN)
        worker_soon(s->client.worker, &s->client.post);
    s->client.deadline = s->active + patience(s, up, down);
    return client_timed_out(&s->client) ? session_end(s, REASON_IDLE_TIMEOUT, NULL) : SESSION_CARRY;
}

static enum session_state do_drain(struct session *s)
{
    return client_drain(&s->client) ? end_now(s) : SESSION_DRAIN;
}

/* ---- the machine ---- */

/* ms: when the login has to be over. */
static uint64_t login_end(const struct session *s)
{
    return s->client.started + s->client.service->login_timeout;
}

static void session_step(struct session *s)
{
    static enum session_state (*const states[])(struct session *) = {
        [SESSION_ARRIVE] = do_arrive, [SESSION_TLS] = do_tls,     [SESSION_TALK] = do_talk,
        [SESSION_REFUSE] = do_refuse, [SESSION_ROUTE] = do_route, [SESSION_HOLD] = do_hold,
        [SESSION_WAIT] = do_wait,     [SESSION_LOGIN] = do_login, [SESSION_CARRY] = do_carry,
        [SESSION_DRAIN] = do_drain,
    };
    if (s->client.stopping && s->state < SESSION_CARRY)
        s->state = session_end(s, s->client.reason, NULL);
    else if (s->login && s->client.worker->now >= login_end(s))
        s->state = session_end(s, REASON_LOGIN_TIMEOUT, NULL);
    for (enum session_state last = SESSION_END; s->state != SESSION_END && s->state != last;) {
        last = s->state;
        s->state = states[last](s);
    }
    if (s->state == SESSION_END)
        return;
    stream_push(&s->client.stream);
    stream_push(&s->node);
    client_arm(&s->client, s->login ? login_end(s) : 0);
}

static struct login *login_new(struct session *s)
{
    struct pool *pool = &s->client.worker->login_pool;
    if (!pool->block)
        pool_init(pool, sizeof(struct login));
    struct login *l = pool_get(pool);
    l->session = s;
    creds_init(&l->creds, l->secret_space, sizeof l->secret_space);
    buf_init(&l->in, l->in_space, sizeof l->in_space, PROTO_IN_MAX);
    buf_init(&l->out, l->out_space, sizeof l->out_space, PROTO_OUT_MAX);
    return l;
}

static void start(struct client *c)
{
    struct session *s = OUTER(c, session, client);
    s->node.fd = -1;
    s->login = login_new(s);
    session_step(s);
}

static void step(struct client *c)
{
    session_step(OUTER(c, session, client));
}

static void tell(const struct client *c, struct client_told *told)
{
    static const char *const words[] = {
        [SESSION_ARRIVE] = "arriving", [SESSION_TLS] = "tls",       [SESSION_TALK] = "talking",
        [SESSION_REFUSE] = "refused",  [SESSION_ROUTE] = "routing", [SESSION_HOLD] = "held",
        [SESSION_WAIT] = "queued",     [SESSION_LOGIN] = "login",   [SESSION_CARRY] = "carrying",
        [SESSION_DRAIN] = "leaving",   [SESSION_END] = "ended"};
    const struct session *s = OUTER(c, session, client);
    told->phase = s->state < SESSION_ROUTE   ? CLIENT_TALKS
                  : s->state < SESSION_LOGIN ? CLIENT_ASKS
                  : s->state < SESSION_DRAIN ? CLIENT_SERVED
                                             : CLIENT_LEAVES;
    told->state = words[s->state];
    told->bytes_in = s->up.bytes;
    told->bytes_out = s->down.bytes;
}

const struct engine session_engine = {.pool = ENGINE_SESSION,
                                      .size = sizeof(struct session),
                                      .start = start,
                                      .step = step,
                                      .tell = tell};
