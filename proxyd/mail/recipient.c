/* SPDX-License-Identifier: ISC
 *
 * Where a recipient belongs (operator's contract, section 2): the maps are asked as for a login,
 * and no password is. Of a domain that is hosted here, an unknown one is refused or discarded; of
 * another one, it goes to the relay where the client may use that, and else is refused. So nobody
 * gets anything relayed whom the configuration does not name. */
#include "mail/parts.h"

#include <string.h>

enum { ASK_AGAIN = 500 /* ms between two questions whether a mailbox is still on hold */ };

/* What the maps are asked about; the postmaster of no domain is ours (RFC 5321, 4.5.1). */
static void make_login(const struct mail *m, const char *mailbox, char login[LOGIN_MAX + 1])
{
    const struct strings *domains = &m->client.service->mail.domains;
    const char *ours = m->client.config->global.default_domain;
    if (!ours && domains->count)
        ours = domains->list[0][0] == '*' ? domains->list[0] + 2 : domains->list[0];
    if (ours && !strchr(mailbox, '@'))
        snprintf(login, LOGIN_MAX + 1, "%.10s@%.240s", mailbox, ours);
    else
        strcpy(login, mailbox);
}

bool placement_held(const struct mail *m, const struct recipient *r)
{
    char login[LOGIN_MAX + 1], email[ROUTE_EMAIL];
    make_login(m, r->mailbox, login);
    route_email(m->client.config, login, email);
    return hold_has(email);
}

static enum placing refuse(struct placement *p, const char *answer)
{
    p->answer = answer;
    return PLACING_REFUSED;
}

/* ---- no map knows it ---- */

static bool may_relay(const struct mail *m)
{
    const struct config_networks *networks = &m->client.service->mail.relay_networks;
    return network_match(networks->list, networks->count, &m->client.address);
}

static enum placing relay(struct placement *p)
{
    const struct mail *m = p->mail;
    const struct config_service *service = m->client.service;
    const struct config_address *address = &service->mail.relay;
    struct config_target target =
        config_target(m->client.config, service, address->host,
                      address->port ? address->port : protocol_find("smtp")->port);
    p->route.why = "no map knows it: relayed";
    p->node = node_get(service->relay_group, target.name, target.host, target.port);
    return p->node ? PLACING_NODE : refuse(p, "451 4.3.2 Too many nodes are in use");
}

static enum placing unknown(struct placement *p)
{
    const struct mail *m = p->mail;
    if (p->hosted && m->client.service->mail.unknown_user == UNKNOWN_USER_DISCARD)
        return PLACING_DISCARD;
    if (p->hosted)
        return refuse(p, "550 5.1.1 User unknown");
    return may_relay(m) && m->client.service->mail.relay.host
               ? relay(p)
               : refuse(p, "554 5.7.1 Relay access denied");
}

/* ---- asking ---- */

static void routed(struct route *r)
{
    mail_step(OUTER(r, placement, route)->mail);
}

static void released(struct post *post)
{
    struct placement *p = OUTER(OUTER(post, hold_wait, post), placement, hold);
    p->again = p->mail->client.worker->now;
    mail_step(p->mail);
}

static void ask(struct placement *p)
{
    const struct client *c = &p->mail->client;
    hold_forget(&p->hold);
    p->holding = false;
    p->again = 0;
    route_start(&p->route, c->worker, c->config, c->service, &p->creds);
}

void placement_start(struct mail *m, struct recipient *r)
{
    struct pool *pool = &m->client.worker->placement_pool;
    const char *at = strrchr(r->mailbox, '@');
    if (!pool->block)
        pool_init(pool, sizeof(struct placement));
    struct placement *p = m->placement = pool_get(pool);
    p->mail = m;
    p->recipient = r;
    p->hosted = !at || config_is_hosted(m->client.service, at + 1);
    make_login(m, r->mailbox, p->creds.login);
    p->route.done = routed;
    p->route.check = ROUTE_CHECK_NEVER;
    p->route.explain = m->client.service->log_level >= LOG_LEVEL_DEBUG;
    p->route.named = !p->hosted;
    p->route.fresh = r->courier; /* it was asked about before */
    p->barred = smtp_path_has_route(r->mailbox) && !may_relay(m);
    if (p->barred)
        p->route.why = "a route within the mailbox";
    else
        ask(p);
}

void placement_end(struct mail *m)
{
    struct placement *p = m->placement;
    if (!p)
        return;
    hold_forget(&p->hold);
    route_cancel(&p->route);
    node_unref(p->node);
    pool_put(&m->client.worker->placement_pool, p);
    m->placement = NULL;
}

/* The mailbox is being moved: told at once of the end of a hold by hand; a map has to be asked. */
static enum placing hold(struct placement *p)
{
    const struct client *c = &p->mail->client;
    uint64_t now = c->worker->now, end = p->recipient->since + c->service->backend.queue_timeout;
    if (!p->holding) {
        p->holding = true;
        p->hold.post.run = released;
        bool told = hold_wait(&p->hold, c->worker, p->route.email);
        p->again = told || now + ASK_AGAIN > end ? end : now + ASK_AGAIN;
    }
    if (now < p->again)
        return PLACING_PENDING;
    if (now >= end)
        return refuse(p, "451 4.3.2 The mailbox is being moved, try again later");
    ask(p);
    return placement_step(p);
}

enum placing placement_step(struct placement *p)
{
    const struct route *r = &p->route;
    if (p->barred)
        return refuse(p, "554 5.7.1 Relay access denied");
    if (p->node)
        return PLACING_NODE;
    switch (r->result) {
    case ROUTE_PENDING:
        return PLACING_PENDING;
    case ROUTE_HOLD:
        return hold(p);
    case ROUTE_OK:
        p->node = node_get(p->mail->client.service->group, r->node_name, r->host, r->port);
        return p->node ? PLACING_NODE : refuse(p, "451 4.3.2 Too many nodes are in use");
    default:
        return r->verdict == VERDICT_AUTH_FAILED
                   ? unknown(p)
                   : refuse(p, "451 4.3.0 Temporary failure, try again later");
    }
}
