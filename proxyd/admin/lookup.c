/* SPDX-License-Identifier: ISC
 *
 * Asking: see lookup.h. One worker asks for all services at once, as it would for sessions that
 * log in at the same moment. Where a password is given it is verified whatever the service says of
 * `authentication` (check); a login that fails in this is asked for once more without it (where),
 * for where he lives is to be told all the same. */
#include "admin/lookup.h"

#include "base/mem.h"
#include "option.h"
#include "proto/smtp_path.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

enum { PATIENCE = 1 }; /* s, for the worker to end */

static sem_t ended;

static void worker_ends(void)
{
    sem_post(&ended);
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ; /* a signal */
}

/* ---- which service ---- */

const struct config_service *lookup_service(const struct config *config, const char *name,
                                            FILE *out)
{
    struct option_near near = option_near_to(name);
    for (size_t i = 0; i < config->service_count; i++) {
        if (strcmp(config->services[i].name, name) == 0)
            return &config->services[i];
        option_near_offer(&near, config->services[i].name);
    }
    fprintf(out, "proxyctl: there is no service '%s'" OPTION_NEAR_FORMAT " (services:", name,
            OPTION_NEAR(near));
    for (size_t i = 0; i < config->service_count; i++)
        fprintf(out, " %s", config->services[i].name);
    fputs(")\n", out);
    return NULL;
}

/* ---- what the routes say ---- */

/* Why a service that verifies passwords itself refuses a login whatever the password, or NULL. */
static const char *unverifiable(const struct route *r)
{
    const struct config_service *service = r->service;
    if (service->authentication != AUTHENTICATION_PROXY || r->verified ||
        service->mechanisms & 1u << SASL_EXTERNAL)
        return NULL;
    if (!r->map)
        return "no map knows the login, and with authentication: proxy there is no failover";
    if (strcmp(r->ask.map->kind->type, "file") == 0 && !r->ask.entry.passwords[0])
        return "the entry has no password, and with authentication: proxy it needs one";
    return NULL;
}

static void set_target(struct lookup_answer *a, const struct route *r)
{
    a->hold = r->result == ROUTE_HOLD;
    a->node = r->node_name;
    a->host = r->host;
    a->port = r->port;
    a->login = r->login;
    a->failover = !r->map;
    if (str_starts(str_of(a->host), "unix:"))
        a->port = 0;
}

/* Why nobody on port 25 may have the mailbox that a map has a route for; NULL: he may. */
static const char *barred(const struct lookup_answer *a)
{
    bool mail = a->service->protocol->engine == ENGINE_MAIL;
    return mail && smtp_path_has_route(a->lookup->typed)
               ? "a route within the mailbox, which is for relay_networks alone"
               : NULL;
}

/* Whether a password that is not right ends the login here, and not on the node. */
static bool password_matters(const struct lookup_answer *a)
{
    return a->service->authentication == AUTHENTICATION_PROXY || a->lookup->password.malformed;
}

static void conclude(struct lookup_answer *a, const struct route *r)
{
    const struct route *asked = a->check.report_count ? &a->check : &a->where;
    const char *refused = barred(a)                   ? barred(a)
                          : r->result == ROUTE_FAILED ? NULL
                                                      : unverifiable(r);
    a->reports = asked->reports;
    a->report_count = asked->report_count;
    a->why = refused ? refused : r->why;
    if (refused) {
        a->told = VERDICT_AUTH_FAILED;
    } else if (r->result == ROUTE_FAILED) {
        a->told = r->verdict;
    } else {
        set_target(a, r);
        a->told = password_matters(a) ? a->check.verdict : VERDICT_OK;
    }
}

static void judge_password(struct lookup_answer *a)
{
    const struct route *r = &a->check;
    a->password = LOOKUP_PASSWORD_RIGHT;
    if (a->lookup->password.malformed) {
        a->password = LOOKUP_PASSWORD_WRONG;
        a->password_why = "it is empty, too long or has a control character, and is never tried";
    } else if (r->result == ROUTE_FAILED) {
        bool wrong = strcmp(r->why, "wrong password") == 0;
        a->password = wrong ? LOOKUP_PASSWORD_WRONG : LOOKUP_PASSWORD_UNCHECKED;
        a->password_why = wrong ? NULL : r->why;
    }
}

/* ---- asking ---- */

static void answered(struct lookup_answer *a, const struct route *r)
{
    struct lookup *l = a->lookup;
    conclude(a, r);
    if (--l->pending == 0)
        sem_post(&l->answered);
}

static void located(struct route *r)
{
    struct lookup_answer *a = OUTER(r, lookup_answer, where);
    answered(a, r);
}

static void locate(struct lookup_answer *a)
{
    struct lookup *l = a->lookup;
    const char *at = strrchr(l->login.login, '@');
    bool mail = a->service->protocol->engine == ENGINE_MAIL;
    a->where.check = ROUTE_CHECK_NEVER;
    a->where.named = mail && at && !config_is_hosted(a->service, at + 1);
    a->where.explain = a->check.report_count == 0;
    a->where.done = located;
    if (route_start(&a->where, l->worker, l->config, a->service, &l->login) != ROUTE_PENDING)
        located(&a->where);
}

/* Whether a map could not tell: it would not the second time either. */
static bool is_stuck(const struct route *r)
{
    return r->verdict == VERDICT_TEMPORARY && r->report_count &&
           r->reports[r->report_count - 1].result != MAP_FOUND;
}

static void checked(struct route *r)
{
    struct lookup_answer *a = OUTER(r, lookup_answer, check);
    judge_password(a);
    if (r->result == ROUTE_FAILED && !is_stuck(r))
        locate(a);
    else
        answered(a, r);
}

static void check(struct lookup_answer *a)
{
    struct lookup *l = a->lookup;
    a->check.check = ROUTE_CHECK_ALWAYS;
    a->check.explain = true;
    a->check.done = checked;
    if (route_start(&a->check, l->worker, l->config, a->service, &l->password) != ROUTE_PENDING)
        checked(&a->check);
}

/* In the worker. */
static void ask_all(struct post *post)
{
    struct lookup *l = OUTER(post, lookup, post);
    l->pending = l->count;
    for (size_t i = 0; i < l->count; i++)
        (l->has_password ? check : locate)(&l->answers[i]);
}

static void set_creds(struct lookup *l, struct str login, struct str password)
{
    static const struct str any = STR("any"); /* so that only the login can be malformed */
    creds_init(&l->login, NULL, 0);
    creds_init(&l->password, NULL, 0);
    creds_set(&l->login, login, any);
    l->has_password = password.p;
    if (l->has_password)
        creds_set(&l->password, login, password);
}

void lookup_ask(struct lookup *l, const struct config *config, const struct config_service *service,
                const char *login, struct str password)
{
    *l = (struct lookup){.config = config, .typed = login, .post.run = ask_all};
    set_creds(l, str_of(login), password);
    if (l->login.malformed)
        return;
    l->count = service ? 1 : config->service_count;
    l->answers = xcalloc(l->count, sizeof *l->answers);
    for (size_t i = 0; i < l->count; i++) {
        l->answers[i].lookup = l;
        l->answers[i].service = service ? service : &config->services[i];
    }
    sem_init(&l->answered, 0, 0);
    sem_init(&ended, 0, 0);
    l->worker = worker_start(worker_ends);
    worker_post(l->worker, &l->post);
    wait_for(&l->answered);
}

/* ---- the end ---- */

/* In the worker. */
static void forget_all(struct post *post)
{
    struct lookup *l = OUTER(post, lookup, post);
    for (size_t i = 0; i < l->count; i++) {
        route_cancel(&l->answers[i].check);
        route_cancel(&l->answers[i].where);
    }
    l->worker->leaving = true;
}

static bool end_worker(struct lookup *l)
{
    struct timespec until;
    l->post.run = forget_all;
    worker_post(l->worker, &l->post);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE;
    if (sem_clockwait(&ended, CLOCK_MONOTONIC, &until) != 0)
        return false;
    worker_join(l->worker);
    return true;
}

bool lookup_end(struct lookup *l)
{
    creds_wipe(&l->password);
    creds_wipe(&l->login);
    if (l->worker && !end_worker(l))
        return false;
    free(l->answers);
    return true;
}

static int status_of(const struct lookup_answer *a)
{
    if (a->told == VERDICT_TEMPORARY || a->check.verdict == VERDICT_TEMPORARY)
        return EX_TEMPFAIL;
    return a->told != VERDICT_OK || a->password == LOOKUP_PASSWORD_WRONG;
}

int lookup_status(const struct lookup *l)
{
    int worst = l->login.malformed;
    for (size_t i = 0; i < l->count; i++) {
        int status = status_of(&l->answers[i]);
        worst = status > worst ? status : worst;
    }
    return worst;
}
