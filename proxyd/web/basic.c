/* SPDX-License-Identifier: ISC
 *
 * Requests with `Authorization: Basic` (RFC 7617), as CalDAV, CardDAV and ActiveSync send them: the
 * login in it is routed by the maps, and verified where the service says so, on each request; the
 * maps' caches are what makes that quick. See exchange.h; for holds, session.c. */
#include "hold.h"
#include "route.h"
#include "web/exchange.h"
#include "web/origin.h"

#include <stdlib.h>

enum {
    ASK_AGAIN = 500, /* ms between two questions whether a mailbox is still on hold */
    PLAIN_MAX = LOGIN_MAX + 1 + SECRET_MAX /* bytes of the credentials */
};

struct basic {
    struct exchange *exchange;
    struct route route;
    struct creds creds;
    struct hold_wait hold;
    struct addr origin;
    unsigned status;    /* of a refusal, which the client is told later; 0: none */
    const char *reason; /* of the same */
    uint64_t asked;     /* ms */
    bool released;      /* told so: to be asked again at once */
    char secret_space[256];
};

static void wake(struct basic *b)
{
    web_step(b->exchange->web);
}

static void routed(struct route *route)
{
    wake(OUTER(route, basic, route));
}

static void released(struct post *post)
{
    struct basic *b = OUTER(OUTER(post, hold_wait, post), basic, hold);
    b->released = true;
    wake(b);
}

/* The base64 behind "Basic"; empty: another scheme, or none. */
static struct str credentials_of(const struct http_head *h)
{
    const struct http_field *f = http_head_find(h, HTTP_FIELD_AUTHORIZATION);
    struct str rest = f ? f->value : (struct str){NULL, 0}, scheme = str_word(&rest);
    return str_is(scheme, "Basic") ? str_word(&rest) : (struct str){NULL, 0};
}

bool basic_begin(struct exchange *x, const struct http_head *head)
{
    char plain[PLAIN_MAX + 3];
    struct str value = credentials_of(head);
    if (!value.p)
        return false;
    struct basic *b = x->basic = xcalloc(1, sizeof *b);
    b->exchange = x;
    b->asked = x->web->client.worker->now;
    b->origin = origin_of(&x->web->client, head);
    b->route.client = &b->origin;
    b->route.listener = x->web->client.listener;
    creds_init(&b->creds, b->secret_space, sizeof b->secret_space);
    ssize_t n = value.n <= base64_size(PLAIN_MAX) ? base64_decode(plain, value) : -1;
    const char *colon = n > 0 ? memchr(plain, ':', (size_t)n) : NULL;
    if (colon)
        creds_set(&b->creds, (struct str){plain, (size_t)(colon - plain)},
                  (struct str){colon + 1, (size_t)(plain + n - colon - 1)});
    else
        b->creds.malformed = true;
    mem_wipe(plain, sizeof plain);
    return true;
}

void basic_free(struct exchange *x)
{
    struct basic *b = x->basic;
    if (!b)
        return;
    route_cancel(&b->route);
    hold_forget(&b->hold);
    creds_wipe(&b->creds);
    mem_wipe(b, sizeof *b);
    free(b);
    x->basic = NULL;
}

static void log_failure(const struct exchange *x, const char *reason)
{
    struct log_line l;
    if (!client_log(&l, &x->web->client, LOG_LEVEL_INFO, "login"))
        return;
    log_str(&l, "result", "failed");
    log_str(&l, "mechanism", "BASIC");
    log_str(&l, "reason", reason);
    log_end(&l);
}

static enum web_state tell_refusal(struct exchange *x)
{
    struct client *c = &x->web->client;
    if (c->deadline && !client_timed_out(c))
        return WEB_HOLD;
    c->deadline = 0;
    return answer_refuse(x, x->basic->status, x->basic->reason);
}

/* Logged at once, and told when the route says. */
static enum web_state refuse(struct exchange *x, enum verdict verdict, const char *reason)
{
    struct basic *b = x->basic;
    log_failure(x, reason);
    b->status = verdict == VERDICT_AUTH_FAILED ? 401 : 503;
    b->reason = reason;
    x->web->client.deadline = b->route.answer_at;
    return tell_refusal(x);
}

enum web_state basic_ask(struct exchange *x)
{
    struct basic *b = x->basic;
    struct client *c = &x->web->client;
    c->deadline = 0;
    if (!b->creds.malformed)
        client_set_user(c, b->creds.login);
    b->route.done = routed;
    route_start(&b->route, c->worker, c->config, c->service, &b->creds);
    return basic_answered(x);
}

/* ms: until when it may wait. */
static uint64_t wait_end(const struct exchange *x)
{
    return x->basic->asked + x->web->client.service->backend.queue_timeout;
}

static enum web_state hold(struct exchange *x)
{
    struct basic *b = x->basic;
    struct client *c = &x->web->client;
    b->hold.post.run = released;
    b->released = false;
    bool by_hand = hold_wait(&b->hold, c->worker, b->route.email);
    uint64_t again = c->worker->now + ASK_AGAIN;
    c->deadline = by_hand || again > wait_end(x) ? wait_end(x) : again;
    return WEB_HOLD;
}

enum web_state basic_hold(struct exchange *x)
{
    struct basic *b = x->basic;
    struct client *c = &x->web->client;
    if (b->status)
        return tell_refusal(x);
    if (!client_timed_out(c) && !b->released)
        return WEB_HOLD;
    hold_forget(&b->hold);
    if (!b->released && c->worker->now >= wait_end(x))
        return refuse(x, VERDICT_BUSY, "the mailbox is on hold");
    b->released = false;
    b->route.fresh = true;
    c->deadline = 0;
    route_start(&b->route, c->worker, c->config, c->service, &b->creds);
    return basic_answered(x);
}

enum web_state basic_answered(struct exchange *x)
{
    struct basic *b = x->basic;
    struct route *r = &b->route;
    struct web_route *to = &x->request.route;
    switch (r->result) {
    case ROUTE_PENDING:
        return WEB_ROUTE;
    case ROUTE_HOLD:
        return hold(x);
    case ROUTE_OK:
        if (r->verified && !route_let_in(r))
            return refuse(x, r->verdict, r->why);
        snprintf(to->name, sizeof to->name, "%s", r->node_name ? r->node_name : "");
        snprintf(to->host, sizeof to->host, "%s", r->host);
        snprintf(to->login, sizeof to->login, "%s", b->creds.login);
        to->port = r->port;
        return WEB_WAY;
    default:
        return refuse(x, r->verdict, r->why);
    }
}

struct str basic_credentials(const struct exchange *x, struct buf *out)
{
    const struct basic *b = x->basic;
    char plain[PLAIN_MAX];
    if (!b || strcmp(b->route.login, b->creds.login) == 0)
        return (struct str){NULL, 0};
    struct str secret = buf_str(&b->creds.secret);
    size_t login = strlen(b->route.login), n = login + 1 + secret.n;
    memcpy(plain, b->route.login, login);
    plain[login] = ':';
    memcpy(plain + login + 1, secret.p, secret.n);
    buf_adds(out, "Basic ");
    char *room = buf_room(out, (uint32_t)base64_size(n));
    if (room)
        buf_added(out, (uint32_t)base64_encode(room, plain, n));
    mem_wipe(plain, n);
    return buf_str(out);
}

void basic_told(struct exchange *x, unsigned status)
{
    if (!x->basic || status != 401)
        return;
    log_failure(x, "the node refused the login");
    route_refused(&x->basic->route);
}
