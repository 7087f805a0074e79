/* SPDX-License-Identifier: ISC
 *
 * Where a login belongs: see route.h. Whoever is refused here costs as much time as a wrong
 * password: a login that is unknown, or has no password, is compared with one that nobody has. */
#include "route.h"

#include "auth/password.h"

#include <stdlib.h>
#include <string.h>

enum {
    JOBS_MAX = 256
}; /* comparisons under way in the process; a login more is told to come later */

static atomic_uint jobs;

/* A comparison in the thread pool, with copies of all that it needs: a session may end meanwhile.
 */
struct route_job {
    uv_work_t request;
    struct worker *worker;
    struct route *route; /* NULL: nobody waits any more */
    enum password_result result;
    bool pretend;
    char passwords[MAP_PASSWORDS];
    size_t given_size;
    char given[];
};

static enum route_result end(struct route *r, enum route_result result)
{
    return r->result = result;
}

static enum route_result refuse(struct route *r, enum verdict verdict, const char *why)
{
    r->verdict = verdict;
    r->why = why;
    return end(r, ROUTE_FAILED);
}

/* ---- where ---- */

static enum route_result target(struct route *r, const char *host, uint16_t port)
{
    const struct config_node *node = config_node_find(r->config, str_of(host));
    r->node_name = node ? node->name : NULL;
    r->host = node ? node->address.host : host;
    r->port = port ? port : node ? config_node_port(node, r->service) : r->service->backend.port;
    return end(r, ROUTE_OK);
}

static enum route_result found(struct route *r)
{
    if (r->entry.hold) {
        r->why = "the mailbox is on hold";
        return end(r, ROUTE_HOLD);
    }
    r->login = r->entry.login[0] ? r->entry.login : r->creds->login;
    r->why = "found";
    return target(r, r->entry.host, r->entry.port);
}

/* ---- who ---- */

static void compare(uv_work_t *request)
{
    struct route_job *job = request->data;
    struct str given = {job->given, job->given_size};
    job->result = PASSWORD_WRONG;
    if (job->pretend) {
        password_pretend(given);
        return;
    }
    for (const char *p = job->passwords; *p && job->result != PASSWORD_MATCH; p += strlen(p) + 1)
        job->result = password_check(str_of(p), given);
}

static enum route_result judge(struct route *r, const struct route_job *job)
{
    if (job->pretend)
        return refuse(r, VERDICT_AUTH_FAILED, r->why);
    if (job->result == PASSWORD_UNUSABLE)
        return refuse(r, VERDICT_AUTH_FAILED, "the stored password is of no known scheme");
    if (job->result == PASSWORD_WRONG)
        return refuse(r, VERDICT_AUTH_FAILED, "wrong password");
    r->verified = true;
    return found(r);
}

static void compared(uv_work_t *request, int status)
{
    struct route_job *job = request->data;
    struct route *r = job->route;
    (void)status;
    atomic_fetch_sub(&jobs, 1);
    job->worker->busy_tasks--;
    if (r) {
        r->job = NULL;
        judge(r, job);
        r->done(r);
    }
    mem_wipe(job, sizeof *job + job->given_size);
    free(job);
}

/* Compares the password with those of the entry; PRETEND: with none, at the same cost. */
static enum route_result compare_in_pool(struct route *r, struct worker *w, bool pretend)
{
    struct str given = buf_str(&r->creds->secret);
    if (atomic_fetch_add(&jobs, 1) >= JOBS_MAX) {
        atomic_fetch_sub(&jobs, 1);
        return refuse(r, VERDICT_TEMPORARY, "too many passwords are being compared");
    }
    struct route_job *job = xcalloc(1, sizeof *job + given.n);
    job->request.data = job;
    job->worker = w;
    job->route = r;
    job->pretend = pretend;
    job->given_size = given.n;
    memcpy(job->given, given.p, given.n);
    memcpy(job->passwords, r->entry.passwords, sizeof job->passwords);
    r->job = job;
    w->busy_tasks++;
    uv_queue_work(&w->uv, &job->request, compare, compared);
    return end(r, ROUTE_PENDING);
}

void route_cancel(struct route *r)
{
    if (r->job)
        r->job->route = NULL;
    r->job = NULL;
}

/* A login that cannot be verified here: refused, after the time that a comparison takes. */
static enum route_result unverifiable(struct route *r, struct worker *w, const char *why)
{
    r->why = why;
    return compare_in_pool(r, w, true);
}

static enum route_result verify(struct route *r, struct worker *w)
{
    if (r->creds->authcid[0])
        return unverifiable(r, w, "one login in the name of another cannot be verified here");
    if (!r->entry.passwords[0])
        return unverifiable(r, w, "the entry has no password");
    return compare_in_pool(r, w, false);
}

/* ---- the question ---- */

static void set_email(struct route *r)
{
    const char *domain = r->config->global.default_domain;
    char *end = stpcpy(r->email, r->creds->login);
    if (domain && !memchr(r->email, '@', (size_t)(end - r->email)))
        end = stpcpy(stpcpy(end, "@"), domain);
    str_lower(r->email, (size_t)(end - r->email));
}

static enum map_result ask_maps(struct route *r)
{
    const struct map_query query = {
        .login = r->creds->login,
        .email = r->email,
        .service = r->service->name,
        .protocol = r->service->protocol->name,
    };
    enum map_result result = MAP_NOT_FOUND;
    r->map = NULL;
    for (size_t i = 0; i < r->service->map_count && result == MAP_NOT_FOUND; i++) {
        struct map *map = r->service->maps[i];
        result = map_lookup(map, &query, &r->entry);
        if (result != MAP_NOT_FOUND)
            r->map = map->name;
    }
    return result;
}

static enum route_result unknown(struct route *r, struct worker *w, bool verify_here)
{
    const struct config_address *failover = &r->service->failover;
    if (verify_here)
        return unverifiable(r, w, "no map knows the login");
    if (!failover->host)
        return refuse(r, VERDICT_AUTH_FAILED, "no map knows the login");
    r->login = r->creds->login;
    r->why = "no map knows the login: failover";
    return target(r, failover->host, failover->port);
}

enum route_result route_start(struct route *r, struct worker *w, const struct config *config,
                              const struct config_service *service, const struct creds *creds)
{
    r->config = config;
    r->service = service;
    r->creds = creds;
    if (creds->malformed)
        return refuse(r, VERDICT_AUTH_FAILED, "the login or the password is malformed");
    set_email(r);
    bool verify_here = service->authentication == AUTHENTICATION_PROXY &&
                       creds->mech != SASL_EXTERNAL && !r->verified;
    switch (ask_maps(r)) {
    case MAP_FOUND:
        return verify_here ? verify(r, w) : found(r);
    case MAP_NOT_FOUND:
        return unknown(r, w, verify_here);
    case MAP_AMBIGUOUS:
        return refuse(r, VERDICT_TEMPORARY, "the login is ambiguous");
    default:
        return refuse(r, VERDICT_TEMPORARY, "the map does not answer");
    }
}
