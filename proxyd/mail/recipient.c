/* SPDX-License-Identifier: ISC
 *
 * Where a recipient belongs (operator's contract, section 2): the maps are asked as for a login,
 * and no password is. Of a domain that is hosted here, an unknown one is refused or discarded; of
 * another one, it goes to the relay where the client may use that, and else is refused. So nobody
 * gets anything relayed whom the configuration does not name. */
#include "mail/parts.h"

#include <string.h>

enum { ASK_AGAIN = 500 /* ms between two questions whether a mailbox is still on hold */ };

/* The postmaster of no domain is ours (RFC 5321, 4.5.1). */
static void set_login(struct placement *p, const struct mail *m, const char *mailbox)
{
    const struct strings *domains = &m->client.service->mail.domains;
    const char *at = strrchr(mailbox, '@'), *ours = m->client.config->global.default_domain;
    if (!ours && domains->count)
        ours = domains->list[0][0] == '*' ? domains->list[0] + 2 : domains->list[0];
    p->hosted = !at || config_is_hosted(m->client.service, at + 1);
    if (at || !ours)
        snprintf(p->creds.login, sizeof p->creds.login, "%s", mailbox);
    else
        snprintf(p->creds.login, sizeof p->creds.login, "%.10s@%.240s", mailbox, ours);
}

static enum placing refuse(struct placement *p, const char *answer)
{
    p->answer = answer;
    return PLACING_REFUSED;
}

/* ---- no map knows it ---- */

static bool may_relay(const struct mail *m)
{
    const struct config_mail *mail = &m->client.service->mail;
    return mail->relay.host &&
           network_match(mail->relay_networks.list, mail->relay_networks.count, &m->client.address);
}

static enum placing relay(struct mail *m)
{
    struct placement *p = &m->placement;
    const struct config_service *service = m->client.service;
    const struct config_address *address = &service->mail.relay;
    struct config_target target =
        config_target(m->client.config, service, address->host,
                      address->port ? address->port : protocol_find("smtp")->port);
    p->route.why = "no map knows it: relayed";
    p->node = node_get(service->relay_group, target.name, target.host, target.port);
    return p->node ? PLACING_NODE : refuse(p, "451 4.3.2 Too many nodes are in use");
}

static enum placing unknown(struct mail *m)
{
    struct placement *p = &m->placement;
    if (p->hosted && m->client.service->mail.unknown_user == UNKNOWN_USER_DISCARD)
        return PLACING_DISCARD;
    if (p->hosted)
        return refuse(p, "550 5.1.1 User unknown");
    return may_relay(m) ? relay(m) : refuse(p, "554 5.7.1 Relay access denied");
}

/* ---- asking ---- */

static struct mail *owner(struct placement *p)
{
    return OUTER(p, mail, placement);
}

static void routed(struct route *r)
{
    mail_step(owner(OUTER(r, placement, route)));
}

static void released(struct post *post)
{
    struct placement *p = OUTER(OUTER(post, hold_wait, post), placement, hold);
    p->again = owner(p)->client.worker->now;
    mail_step(owner(p));
}

static void ask(struct mail *m)
{
    struct placement *p = &m->placement;
    hold_forget(&p->hold);
    p->holding = false;
    p->again = 0;
    route_start(&p->route, m->client.worker, m->client.config, m->client.service, &p->creds);
}

void placement_start(struct mail *m, const struct recipient *r)
{
    struct placement *p = &m->placement;
    placement_cancel(p);
    p->route = (struct route){.done = routed,
                              .check = ROUTE_CHECK_NEVER,
                              .explain = m->client.service->log_level >= LOG_LEVEL_DEBUG};
    p->since = m->client.worker->now;
    p->node = NULL;
    p->answer = NULL;
    set_login(p, m, r->mailbox);
    p->route.named = !p->hosted;
    ask(m);
}

void placement_cancel(struct placement *p)
{
    hold_forget(&p->hold);
    route_cancel(&p->route);
    p->holding = false;
    p->again = 0;
}

/* The mailbox is being moved: told at once of the end of a hold by hand; a map has to be asked. */
static enum placing hold(struct mail *m)
{
    struct placement *p = &m->placement;
    uint64_t now = m->client.worker->now, end = p->since + m->client.service->backend.queue_timeout;
    if (!p->holding) {
        p->holding = true;
        p->hold.post.run = released;
        bool told = hold_wait(&p->hold, m->client.worker, p->route.email);
        p->again = told || now + ASK_AGAIN > end ? end : now + ASK_AGAIN;
    }
    if (now < p->again)
        return PLACING_PENDING;
    if (now >= end)
        return refuse(p, "451 4.3.2 The mailbox is being moved, try again later");
    p->route.fresh = true;
    ask(m);
    return placement_step(m);
}

enum placing placement_step(struct mail *m)
{
    struct placement *p = &m->placement;
    const struct route *r = &p->route;
    switch (r->result) {
    case ROUTE_PENDING:
        return PLACING_PENDING;
    case ROUTE_HOLD:
        return hold(m);
    case ROUTE_OK:
        p->node = node_get(m->client.service->group, r->node_name, r->host, r->port);
        return p->node ? PLACING_NODE : refuse(p, "451 4.3.2 Too many nodes are in use");
    default:
        return r->verdict == VERDICT_AUTH_FAILED
                   ? unknown(m)
                   : refuse(p, "451 4.3.0 Temporary failure, try again later");
    }
}
