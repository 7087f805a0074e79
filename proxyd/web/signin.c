/* SPDX-License-Identifier: ISC
 *
 * A login by the page: see signin.h. Its steps stand below in their order: the form (signin_start),
 * the maps (ask, routed), the node's own login page where it is fetched (fetch, fetched), the login
 * there (post, posted), and what the browser is told (let_in, refuse). The password lives in the
 * form's body, in `creds` and in what is posted to the node, all of which are wiped. */
#include "web/signin.h"

#include "hold.h"
#include "node.h"
#include "recent.h"
#include "revoke.h"
#include "route.h"
#include "web/cookie.h"
#include "web/form.h"
#include "web/inside.h"
#include "web/markup.h"
#include "web/origin.h"
#include "web/page.h"
#include "web/site.h"

#include <stdlib.h>
#include <time.h>

enum {
    ASK_AGAIN = 500, /* ms between two questions whether a mailbox is still on hold */
    FIELDS_MAX = 32, /* header fields of a request to the node */
};

static const char wrong_login[] = "The user name or the password is not right. Please try again.";
static const char try_later[] =
    "Signing in is not possible at the moment. Please try again in a few minutes.";
static const char node_away[] =
    "Your mailbox cannot be reached at the moment. Please try again in a few minutes.";
static const char old_page[] = "This page was open for too long. Please sign in again.";

struct signin {
    struct web_job job;
    struct web_request *request;
    struct str user; /* as it was typed; in the request's body */
    struct addr origin;
    struct creds creds;
    struct route route;
    struct hold_wait hold;
    struct timer timer;
    uint64_t asked;    /* ms */
    uint64_t asked_ns; /* the same */
    unsigned status;   /* of a refusal */
    const char *message;
    struct web_route to;
    struct call page, post;
    struct form hidden; /* of the node's page */
    struct buf room;    /* its texts */
    char secret_space[256];
};

static const struct config_web *web_of(const struct signin *s)
{
    return &s->request->client->service->web;
}

/* ---- the log ---- */

static void log_node(struct log_line *l, const struct signin *s)
{
    if (s->to.name[0])
        log_str(l, "node", s->to.name);
    else if (s->to.host[0])
        log_fmt(l, "node", "%s:%u", s->to.host, s->to.port);
}

static void log_route(const struct signin *s)
{
    struct log_line l;
    if (!client_log(&l, s->request->client, LOG_LEVEL_INFO, "route"))
        return;
    log_node(&l, s);
    log_str(&l, "map", s->route.map);
    log_str(&l, "reason", s->route.why);
    log_end(&l);
}

static void log_login(const struct signin *s, bool ok, const char *reason)
{
    struct log_line l;
    const struct client *c = s->request->client;
    if (!ok)
        recent_failure(c->service->name, c->user, &c->address, c->id, reason);
    if (!client_log(&l, s->request->client, LOG_LEVEL_INFO, "login"))
        return;
    log_node(&l, s);
    log_str(&l, "result", ok ? "ok" : "failed");
    log_str(&l, "mechanism", "FORM");
    log_str(&l, "tls", stream_tls_version(&s->request->client->stream));
    log_str(&l, "reason", reason);
    log_str(&l, "request", s->request->id);
    log_end(&l);
}

/* ---- the end ---- */

static void signin_free(struct signin *s)
{
    route_cancel(&s->route);
    hold_forget(&s->hold);
    worker_timer_clear(s->request->client->worker, &s->timer);
    call_end(&s->page);
    call_end(&s->post);
    creds_wipe(&s->creds);
    buf_free(&s->room);
    mem_wipe(s, sizeof *s);
    free(s);
}

static void cancel(struct web_job *job)
{
    signin_free(OUTER(job, signin, job));
}

static void tell_refusal(struct timer *timer)
{
    struct signin *s = OUTER(timer, signin, timer);
    struct web_request *r = s->request;
    r->login = NULL;
    page_show(r, s->status, s->message, s->user);
    signin_free(s);
}

/* Answers with the page, for VERDICT: every login that is not let in ends here. STATUS and MESSAGE
 * are for the browser, late where the route says so, REASON is for the log, at once; the node and
 * the secret are not needed any more. */
static void refuse(struct signin *s, enum verdict verdict, unsigned status, const char *message,
                   const char *reason)
{
    struct worker *w = s->request->client->worker;
    log_login(s, false, reason);
    client_count_login(s->request->client, verdict, s->asked_ns);
    hold_forget(&s->hold);
    call_end(&s->page);
    call_end(&s->post);
    creds_wipe(&s->creds);
    s->status = status;
    s->message = message;
    s->timer.fire = tell_refusal;
    if (s->route.answer_at > w->now)
        worker_timer(w, &s->timer, s->route.answer_at - w->now);
    else
        tell_refusal(&s->timer);
}

static void refuse_for(struct signin *s, enum verdict verdict, const char *reason)
{
    bool wrong = verdict == VERDICT_AUTH_FAILED || verdict == VERDICT_NODE_REFUSED;
    bool down = verdict == VERDICT_NODE_DOWN;
    refuse(s, verdict,
           wrong  ? 401
           : down ? 502
                  : 503,
           wrong  ? wrong_login
           : down ? node_away
                  : try_later,
           reason);
}

/* The node could not be asked: CALL says why. */
static void refuse_call(struct signin *s, const struct call *call)
{
    bool busy = call->status == 503;
    refuse(s, busy ? VERDICT_BUSY : VERDICT_NODE_DOWN, call->status, busy ? try_later : node_away,
           call->error);
}

/* ---- what is said to the node ---- */

static void add_field(struct http_head *h, enum http_field_id id, const char *name,
                      struct str value)
{
    if (value.n && h->field_count < FIELDS_MAX)
        http_head_add(h, id, str_of(name), value);
}

/* What the browser says that matters to a login. */
static void add_browser_fields(struct http_head *h, const struct http_head *from)
{
    for (size_t i = 0; i < from->field_count && h->field_count < FIELDS_MAX; i++) {
        const struct http_field *f = &from->fields[i];
        bool wanted = f->id == HTTP_FIELD_USER_AGENT || f->id == HTTP_FIELD_FORWARDED ||
                      f->id == HTTP_FIELD_X_FORWARDED || f->id == HTTP_FIELD_X_FORWARDED_FOR ||
                      f->id == HTTP_FIELD_X_FORWARDED_HOST ||
                      f->id == HTTP_FIELD_X_FORWARDED_PROTO || str_is(f->name, "Accept-Language");
        if (wanted && !f->nominated)
            http_head_add(h, f->id, f->name, f->value);
    }
}

/* Asks the node for TARGET, with COOKIES; TYPE is that of BODY, or NULL for a GET. */
static void say(struct signin *s, struct call *call, const char *target, const char *type,
                struct str cookies, struct str body)
{
    const struct config_web_node_login *node = &web_of(s)->node;
    const struct web_request *r = s->request;
    struct str host = inside_host(r);
    struct http_head h = {.method = str_of(type ? "POST" : "GET"),
                          .target = str_of(target),
                          .host = r->head->host,
                          .minor = 1};
    struct buf place;
    buf_init(&place, NULL, 0, INSIDE_MAX);
    buf_addf(&place, "%s://%.*s", r->https ? "https" : "http", (int)host.n, host.p);
    uint32_t origin = buf_len(&place);
    buf_adds(&place, node->page ? node->page : target);
    bool json = type && node->format == CONFIG_FORM_JSON;
    add_browser_fields(&h, r->head);
    add_field(&h, HTTP_FIELD_ACCEPT, "Accept",
              str_of(json ? "application/json, */*;q=0.5" : "text/html, */*;q=0.5"));
    add_field(&h, HTTP_FIELD_OTHER, "Cookie", cookies);
    if (type) {
        add_field(&h, HTTP_FIELD_CONTENT_TYPE, "Content-Type", str_of(type));
        add_field(&h, HTTP_FIELD_OTHER, "Origin", (struct str){buf_str(&place).p, origin});
        add_field(&h, HTTP_FIELD_OTHER, "Referer", buf_str(&place));
    }
    bool good = inside_ask(call, r, &s->to, &h, body);
    buf_free(&place);
    if (!good)
        refuse(s, VERDICT_NODE_DOWN, 502, node_away, "what the node's page set is too large");
}

/* What a browser would send back of the cookies that PAGE set. */
static void add_cookies(const struct http_head *page, struct buf *out)
{
    struct str cookie;
    for (size_t i = 0; (cookie = inside_cookie(page, &i)).p;) {
        struct str pair = inside_pair(cookie);
        if (!inside_cookie_name(cookie).n)
            continue;
        buf_adds(out, buf_len(out) ? "; " : "");
        buf_add(out, pair.p, pair.n);
    }
}

/* ---- let in ---- */

/* Where the browser goes to now. */
static char *landing(const struct signin *s)
{
    const struct config_web *web = web_of(s);
    const struct http_field *location = http_head_find(&s->post.head, HTTP_FIELD_LOCATION);
    const struct web_request *r = s->request;
    if (web->mobile.start && r->device && strcmp(r->device, "mobile") == 0)
        return xstrdup(web->mobile.start);
    if (location && location->value.n)
        return inside_place(web->node.path, location->value);
    return xstrdup(web->start);
}

/* Sends the browser on, with the node's cookies and ours. */
static void let_in(struct signin *s)
{
    struct web_request *r = s->request;
    if (!route_let_in(&s->route)) {
        refuse_for(s, s->route.verdict, s->route.why);
        return;
    }
    char sealed[COOKIE_TEXT], *target = landing(s);
    const struct cookie_route route = {.time = revoke_now(),
                                       .name = str_of(s->to.name),
                                       .host = str_of(s->to.name[0] ? "" : s->to.host),
                                       .port = s->to.port,
                                       .login = str_of(s->to.login)};
    struct buf fields;
    buf_init(&fields, NULL, 0, 2 * INSIDE_MAX);
    buf_adds(&fields, "Cache-Control: no-store\r\n");
    inside_fields(&fields, r, &s->to, &s->page.head, &s->post.head, target);
    bool sealable = cookie_seal(web_of(s)->cookie_keys, r->client->service->name, &route, sealed);
    if (sealable)
        page_set_cookie(&fields, r, web_of(s)->session.cookie, sealed);
    if (!sealable || fields.full) {
        refuse_for(s, VERDICT_TEMPORARY, "the node's answer is too large");
    } else {
        log_login(s, true, NULL);
        client_count_login(s->request->client, VERDICT_OK, s->asked_ns);
        r->login = NULL;
        web_answer(r, 303, buf_str(&fields), (struct str){"", 0});
        signin_free(s);
    }
    buf_free(&fields);
    free(target);
}

/* ---- the login on the node ---- */

/* Whom a node sends back to its login page, it has not let in, whatever the status. */
static bool is_success(const struct signin *s)
{
    const struct config_web_node_login *node = &web_of(s)->node;
    const struct http_head *h = &s->post.head;
    const struct http_field *location = http_head_find(h, HTTP_FIELD_LOCATION);
    bool status = false;
    for (size_t i = 0; i < node->statuses.count; i++)
        status |= node->statuses.list[i] == h->status;
    if (location && site_leads_to_login(web_of(s), location->value))
        return false;
    return status && (!node->cookie || inside_sets(h, str_of(node->cookie), true));
}

static void refused(struct signin *s)
{
    route_refused(&s->route);
    refuse_for(s, VERDICT_NODE_REFUSED, "the node refused the login");
}

static void posted(struct call *call)
{
    struct signin *s = OUTER(call, signin, post);
    unsigned status = call->head.status;
    if (call->result == CALL_FAILED)
        refuse_call(s, call);
    else if (is_success(s))
        let_in(s);
    else if (status == 503 || status == 429)
        refuse_for(s, VERDICT_TEMPORARY, "the node says: not now");
    else if (status >= 500)
        refuse_for(s, VERDICT_NODE_DOWN, "the node answered with an error");
    else
        refused(s);
}

/* A field that the node gets from its own page, unless the configuration or the login has it. */
static bool is_ours(const struct config_web_node_login *node, struct str name)
{
    bool ours =
        str_eq(name, str_of(node->user_field)) || str_eq(name, str_of(node->password_field));
    for (size_t i = 0; i < node->field_count; i++)
        ours |= str_eq(name, str_of(node->fields[i].name));
    return ours;
}

/* One field, in the node's format. */
static bool write_field(struct buf *body, bool json, struct str name, struct str value)
{
    if (json)
        return form_write_json(body, name, value);
    form_write(body, name, value);
    return true;
}

/* All that is posted; false: it cannot be said. */
static bool write_body(const struct signin *s, struct buf *body)
{
    const struct config_web_node_login *node = &web_of(s)->node;
    bool json = node->format == CONFIG_FORM_JSON, good = true;
    buf_adds(body, json ? "{" : "");
    for (size_t i = 0; i < s->hidden.count; i++)
        if (!is_ours(node, s->hidden.list[i].name))
            good &= write_field(body, json, s->hidden.list[i].name, s->hidden.list[i].value);
    for (size_t i = 0; i < node->field_count; i++)
        good &=
            write_field(body, json, str_of(node->fields[i].name), str_of(node->fields[i].value));
    good &= write_field(body, json, str_of(node->user_field), str_of(s->route.login));
    good &= write_field(body, json, str_of(node->password_field), buf_str(&s->creds.secret));
    buf_adds(body, json ? "}" : "");
    return good && !body->full;
}

static void post(struct signin *s)
{
    const struct config_web_node_login *node = &web_of(s)->node;
    bool json = node->format == CONFIG_FORM_JSON;
    struct buf body, cookies;
    buf_init(&body, NULL, 0, 2 * INSIDE_MAX);
    buf_init(&cookies, NULL, 0, INSIDE_MAX);
    add_cookies(&s->page.head, &cookies);
    s->post.done = posted;
    if (write_body(s, &body))
        say(s, &s->post, node->path,
            json ? "application/json" : "application/x-www-form-urlencoded", buf_str(&cookies),
            buf_str(&body));
    else
        refuse_for(s, VERDICT_AUTH_FAILED, "the login cannot be said to the node");
    buf_free(&body);
    buf_free(&cookies);
}

static void fetched(struct call *call)
{
    struct signin *s = OUTER(call, signin, page);
    if (call->result == CALL_FAILED) {
        refuse_call(s, call);
    } else if (call->head.status != 200 && call->head.status != 401) {
        refuse_for(s, VERDICT_NODE_DOWN, "the node does not show its login page");
    } else if (!markup_hidden(call->body, web_of(s)->node.password_field, &s->room, &s->hidden)) {
        refuse_for(s, VERDICT_NODE_DOWN, "the node's login page has too many hidden fields");
    } else {
        post(s);
    }
}

static void enter(struct signin *s)
{
    log_route(s);
    s->page.done = fetched;
    if (web_of(s)->node.page)
        say(s, &s->page, web_of(s)->node.page, NULL, (struct str){"", 0}, (struct str){"", 0});
    else
        post(s);
}

/* ---- the maps ---- */

static void answered(struct signin *s);

static void routed(struct route *r)
{
    answered(OUTER(r, signin, route));
}

static void ask(struct signin *s)
{
    const struct client *c = s->request->client;
    route_start(&s->route, c->worker, c->config, c->service, &s->creds);
    answered(s);
}

static void ask_again(struct signin *s)
{
    worker_timer_clear(s->request->client->worker, &s->timer);
    hold_forget(&s->hold);
    s->route.fresh = true;
    ask(s);
}

static void released(struct post *at)
{
    ask_again(OUTER(OUTER(at, hold_wait, post), signin, hold));
}

static void waited(struct timer *timer)
{
    ask_again(OUTER(timer, signin, timer));
}

/* Waits to ask again, soon or when it is TOLD to; at the end of all patience it is refused for WHY.
 */
static void wait(struct signin *s, bool told, const char *why)
{
    const struct client *c = s->request->client;
    uint64_t end = s->asked + c->service->backend.queue_timeout, now = c->worker->now;
    if (now >= end) {
        refuse_for(s, VERDICT_BUSY, why);
        return;
    }
    uint64_t left = end - now;
    s->timer.fire = waited;
    worker_timer(c->worker, &s->timer, told || left < ASK_AGAIN ? left : ASK_AGAIN);
}

/* It is told of the end of a hold by hand; what a map says has to be asked. */
static void hold(struct signin *s)
{
    s->hold.post.run = released;
    bool by_hand = hold_wait(&s->hold, s->request->client->worker, s->route.email);
    wait(s, by_hand, "the mailbox is on hold");
}

static void found(struct signin *s)
{
    const struct route *r = &s->route;
    struct web_route *to = &s->to;
    snprintf(to->name, sizeof to->name, "%s", r->node_name ? r->node_name : "");
    snprintf(to->host, sizeof to->host, "%s", r->host);
    snprintf(to->login, sizeof to->login, "%s", s->creds.login);
    to->port = r->port;
    struct node *node =
        node_get(s->request->client->service->group, r->node_name, to->host, to->port);
    bool drained = node && node_is_drained(node);
    node_unref(node);
    if (drained)
        wait(s, false, "the node is drained");
    else
        enter(s);
}

static void answered(struct signin *s)
{
    switch (s->route.result) {
    case ROUTE_PENDING:
        break;
    case ROUTE_OK:
        found(s);
        break;
    case ROUTE_HOLD:
        hold(s);
        break;
    case ROUTE_FAILED:
        log_route(s);
        refuse_for(s, s->route.verdict, s->route.why);
        break;
    }
}

/* ---- the form ---- */

/* Whether the form came from a page of ours: one of its fields, however a template calls it, is a
 * token of the visit that the browser's cookie names. */
static bool has_token(const struct web_request *r, const struct form *form)
{
    const struct config_web *web = &r->client->service->web;
    struct str visit = page_visit(r);
    for (size_t i = 0; i < form->count; i++)
        if (cookie_token_fits(web->cookie_keys, visit, form->list[i].value, (uint64_t)time(NULL),
                              web->session.lifetime / 1000))
            return true;
    return false;
}

/* Whether the browser says that another site has sent it here (Fetch Metadata): one below the same
 * domain might have given it a visit of its own. */
static bool is_sent_from_elsewhere(const struct web_request *r)
{
    struct str site = page_header(r, "Sec-Fetch-Site");
    return str_is(site, "cross-site") || str_is(site, "same-site");
}

static bool is_form(const struct web_request *r)
{
    const struct http_field *type = http_head_find(r->head, HTTP_FIELD_CONTENT_TYPE);
    return type && str_starts(type->value, "application/x-www-form-urlencoded");
}

static struct signin *signin_new(struct web_request *r)
{
    struct signin *s = xcalloc(1, sizeof *s);
    const struct client *c = r->client;
    s->job.cancel = cancel;
    s->request = r;
    s->asked = c->worker->now;
    s->asked_ns = uv_hrtime();
    s->route.done = routed;
    s->origin = origin_of(c, r->head);
    s->route.client = &s->origin;
    s->route.listener = c->listener;
    s->route.explain = c->service->log_level >= LOG_LEVEL_DEBUG;
    buf_init(&s->room, NULL, 0, INSIDE_MAX);
    creds_init(&s->creds, s->secret_space, sizeof s->secret_space);
    r->login = &s->job;
    return s;
}

void signin_start(struct web_request *r)
{
    const struct config_web *web = &r->client->service->web;
    struct form form;
    /* The body is ours, and nobody else's any more: it is decoded where it stands. */
    if (!is_form(r) || !form_read(&form, (char *)r->body.p, r->body.n)) {
        web_refuse(r, is_form(r) ? 400 : 415);
        return;
    }
    struct str user = form_find(&form, web->user_field);
    struct str password = form_find(&form, web->password_field);
    if (!has_token(r, &form) || is_sent_from_elsewhere(r)) {
        page_show(r, 403, old_page, user);
        return;
    }
    struct signin *s = signin_new(r);
    s->user = user;
    creds_set(&s->creds, user, password);
    client_set_user(r->client, s->creds.login);
    ask(s);
}
