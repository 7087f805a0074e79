/* SPDX-License-Identifier: ISC
 *
 * Where a login belongs: see route.h. The maps are asked one after the other (ask_maps, answered);
 * what one has found is verified (verify), by the map itself or by comparing passwords in the
 * thread pool, and is then the answer (found). Whoever is refused here costs as much time as a
 * wrong password: a login that is unknown, or has no password, is compared with one that nobody
 * has, nobody is refused by what a cache says, and refusals are answered late, at a stroke of a
 * slow clock (fail). */
#include "route.h"

#include "auth/password.h"
#include "hold.h"
#include "stats.h"

#include <stdlib.h>
#include <string.h>

enum {
    JOBS_MAX = 256, /* comparisons under way in the process; a login more is told to come later */
    STROKE = 100    /* ms: refusals that take longer than the delay are told at multiples of it */
};

static atomic_uint jobs;

/* How long maps that verify passwords themselves took of late to refuse one, in ms. */
static atomic_uint refusal_took;

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

static enum route_result ask_maps(struct route *r);

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

static struct limit_place place_of(const struct route *r)
{
    return (struct limit_place){r->config, r->service, r->listener};
}

/* A login has failed, which took TOOK ms: it is told at a time that does not say how far it came.
 */
static void set_late(struct route *r, uint64_t took)
{
    const struct limit_place place = place_of(r);
    uint64_t stroke = (took / STROKE + 1) * STROKE;
    uint64_t delay = r->client ? limit_failed(&place, r->client, r->creds, r->ask.worker->now) : 0;
    r->answer_at = r->asked + (delay > stroke ? delay : stroke);
}

static enum route_result fail(struct route *r, const char *why, uint64_t took)
{
    set_late(r, took);
    return refuse(r, VERDICT_AUTH_FAILED, why);
}

/* So many logins from the address have failed that none is taken from there for a while. */
static bool is_shut_out(struct route *r)
{
    const struct limit_place place = place_of(r);
    if (!r->client || limit_may_log_in(&place, r->client, r->ask.worker->now))
        return false;
    r->answer_at = r->ask.worker->now + LIMIT_DELAY;
    stats_limited(r->service->stats);
    refuse(r, VERDICT_TEMPORARY, "too many failed logins from this address");
    return true;
}

static uint64_t time_taken(const struct route *r)
{
    return r->ask.worker->now - r->asked;
}

static struct map *map_of(const struct route *r)
{
    return r->service->maps[r->map_index];
}

/* ---- where ---- */

static void target(struct route *r, const char *host, uint16_t port)
{
    struct config_target target = config_target(r->config, r->service, host, port);
    r->node_name = target.name;
    r->host = target.host;
    r->port = target.port;
}

/* For maps: see struct map_query. */
static void meaning(const void *context, char *host, uint16_t *port)
{
    const struct route *r = context;
    struct config_target target = config_target(r->config, r->service, host, *port);
    if (target.host != host)
        snprintf(host, MAP_HOST_MAX + 1, "%s", target.host);
    *port = target.port;
}

/* Whether the login is on hold by hand, wherever it lives. */
static bool is_held(struct route *r)
{
    bool held = hold_has(r->email);
    if (held)
        r->why = "on hold by proxyctl";
    return held;
}

static enum route_result found(struct route *r)
{
    r->login = r->ask.entry.login[0] ? r->ask.entry.login : r->creds->login;
    r->why = r->ask.entry.hold ? "the mailbox is on hold" : "found";
    target(r, r->ask.entry.host, r->ask.entry.port);
    return end(r, r->ask.entry.hold || is_held(r) ? ROUTE_HOLD : ROUTE_OK);
}

/* ---- who ---- */

static enum password_result compare(const char *passwords, struct str given, bool pretend)
{
    enum password_result result = PASSWORD_WRONG;
    if (pretend)
        password_pretend(given);
    for (const char *p = passwords; !pretend && *p && result != PASSWORD_MATCH; p += strlen(p) + 1)
        result = password_check(str_of(p), given);
    return result;
}

static bool is_quick(const char *passwords, bool pretend)
{
    bool quick = !pretend || password_is_quick(NULL);
    for (const char *p = passwords; !pretend && quick && *p; p += strlen(p) + 1)
        quick = password_is_quick(p);
    return quick;
}

static void compare_in_pool(uv_work_t *request)
{
    struct route_job *job = request->data;
    job->result = compare(job->passwords, (struct str){job->given, job->given_size}, job->pretend);
}

/* A password that does not fit what a cache says: the map is asked afresh before it is refused. */
static bool ask_afresh(struct route *r)
{
    if (!r->ask.entry.cached)
        return false;
    r->ask.query.fresh = true;
    return true;
}

static enum route_result judge(struct route *r, enum password_result result, bool pretend)
{
    if (pretend)
        return fail(r, r->why, time_taken(r));
    if (result == PASSWORD_MATCH) {
        r->verified = true;
        return found(r);
    }
    if (ask_afresh(r))
        return ask_maps(r);
    return fail(r,
                result == PASSWORD_WRONG ? "wrong password"
                                         : "the stored password is of no known scheme",
                time_taken(r));
}

static void compared(uv_work_t *request, int status)
{
    struct route_job *job = request->data;
    struct route *r = job->route;
    (void)status;
    atomic_fetch_sub(&jobs, 1);
    job->worker->busy_tasks--;
    enum route_result result = ROUTE_PENDING;
    if (r) {
        r->job = NULL;
        result = judge(r, job->result, job->pretend);
    }
    mem_wipe(job, sizeof *job + job->given_size);
    free(job);
    if (result != ROUTE_PENDING)
        r->done(r);
}

/* The pool costs more than a quick comparison takes: only slow ones, which are slow on purpose, go
 * there. */
static enum route_result start_job(struct route *r, struct str given, bool pretend)
{
    if (atomic_fetch_add(&jobs, 1) >= JOBS_MAX) {
        atomic_fetch_sub(&jobs, 1);
        return refuse(r, VERDICT_TEMPORARY, "too many passwords are being compared");
    }
    struct route_job *job = xcalloc(1, sizeof *job + given.n);
    job->request.data = job;
    job->worker = r->ask.worker;
    job->route = r;
    job->pretend = pretend;
    job->given_size = given.n;
    memcpy(job->given, given.p, given.n);
    memcpy(job->passwords, r->ask.entry.passwords, sizeof job->passwords);
    r->job = job;
    job->worker->busy_tasks++;
    uv_queue_work(&job->worker->uv, &job->request, compare_in_pool, compared);
    return end(r, ROUTE_PENDING);
}

/* Compares the password with those of the entry; PRETEND: with none, at the same cost. */
static enum route_result compare_with_entry(struct route *r, bool pretend)
{
    const char *passwords = r->ask.entry.passwords;
    struct str given = buf_str(&r->creds->secret);
    if (!is_quick(passwords, pretend))
        return start_job(r, given, pretend);
    return judge(r, compare(passwords, given, pretend), pretend);
}

/* What the map itself says of the password. */
static enum route_result judged_by_map(struct route *r, enum map_result result)
{
    switch (result) {
    case MAP_PENDING:
        r->verifying = true;
        return end(r, ROUTE_PENDING);
    case MAP_FOUND:
        return judge(r, PASSWORD_MATCH, false);
    case MAP_NOT_FOUND:
        atomic_store(&refusal_took, (unsigned)time_taken(r));
        return judge(r, PASSWORD_WRONG, false);
    default:
        return refuse(r, VERDICT_TEMPORARY, r->ask.why);
    }
}

/* A login that cannot be verified here: refused, after the time that it takes where it can. Where
 * the last map asked would have verified it itself, that is waited for: a bind as nobody would be
 * quicker than one as somebody. */
static enum route_result unverifiable(struct route *r, const char *why)
{
    r->why = why;
    if (!r->service->map_count || !map_verifies(map_of(r)))
        return compare_with_entry(r, true);
    uint64_t took = time_taken(r), usual = atomic_load(&refusal_took);
    return fail(r, why, took > usual ? took : usual);
}

static enum route_result verify(struct route *r)
{
    struct map *map = map_of(r);
    if (r->ask.unchanged)
        return judge(r, PASSWORD_WRONG, false);
    if (r->creds->authcid[0])
        return unverifiable(r, "one login in the name of another cannot be verified here");
    if (map_verifies(map))
        return judged_by_map(r, map_verify(map, &r->ask, buf_str(&r->creds->secret)));
    if (!r->ask.entry.passwords[0])
        return unverifiable(r, "the entry has no password");
    return compare_with_entry(r, false);
}

/* ---- the question ---- */

void route_email(const struct config *config, const char *login, char email[ROUTE_EMAIL])
{
    const char *domain = config->global.default_domain;
    char *end = stpcpy(email, login);
    if (domain && !memchr(email, '@', (size_t)(end - email)))
        end = stpcpy(stpcpy(end, "@"), domain);
    str_lower(email, (size_t)(end - email));
}

static enum route_result unknown(struct route *r)
{
    const struct config_address *failover = &r->service->failover;
    if (r->map_index)
        r->map_index--; /* the last one */
    if (r->verify)
        return unverifiable(r, "no map knows the login");
    if (!failover->host)
        return fail(r, "no map knows the login", time_taken(r));
    r->login = r->creds->login;
    r->why = "no map knows the login: failover";
    target(r, failover->host, failover->port);
    return end(r, is_held(r) ? ROUTE_HOLD : ROUTE_OK);
}

/* What a map answers that does not send us to the next one. */
static enum route_result answered(struct route *r, enum map_result result)
{
    if (result == MAP_PENDING)
        return end(r, ROUTE_PENDING);
    r->map = map_of(r)->name;
    if (result != MAP_FOUND)
        return refuse(r, VERDICT_TEMPORARY, r->ask.why);
    return r->verify ? verify(r) : found(r);
}

static struct map_report *report_of(struct route *r)
{
    if (!r->reports)
        return NULL;
    if (r->report_count <= r->map_index)
        r->report_count = r->map_index + 1;
    struct map_report *report = &r->reports[r->map_index];
    memset(report, 0, sizeof *report);
    return report;
}

static void count_lookup(const struct route *r, enum map_result result)
{
    stats_lookup(map_of(r)->stats, result, uv_hrtime() - r->lookup_started);
}

static enum map_result look_up(struct route *r)
{
    r->lookup_started = uv_hrtime();
    enum map_result result = map_lookup(map_of(r), &r->ask);
    if (result != MAP_PENDING)
        count_lookup(r, result);
    return result;
}

/* Asks the maps from map_index on, up to one that answers. */
static enum route_result ask_maps(struct route *r)
{
    for (; r->map_index < r->service->map_count; r->map_index++) {
        r->ask.report = report_of(r);
        enum map_result result = look_up(r);
        if (result != MAP_NOT_FOUND)
            return answered(r, result);
    }
    return unknown(r);
}

static void told(struct map_ask *ask, enum map_result map_says)
{
    struct route *r = OUTER(ask, route, ask);
    enum route_result result;
    if (!r->verifying)
        count_lookup(r, map_says);
    if (r->verifying) {
        r->verifying = false;
        result = judged_by_map(r, map_says);
    } else if (map_says == MAP_NOT_FOUND) {
        r->map_index++;
        result = ask_maps(r);
    } else {
        result = answered(r, map_says);
    }
    if (result != ROUTE_PENDING)
        r->done(r);
}

static bool is_to_be_verified(const struct route *r)
{
    if (r->verified || r->creds->mech == SASL_EXTERNAL || r->check == ROUTE_CHECK_NEVER)
        return false;
    return r->check == ROUTE_CHECK_ALWAYS || r->service->authentication == AUTHENTICATION_PROXY;
}

enum route_result route_start(struct route *r, struct worker *w, const struct config *config,
                              const struct config_service *service, const struct creds *creds)
{
    r->fresh |= r->result == ROUTE_HOLD;
    r->config = config;
    r->service = service;
    r->creds = creds;
    r->asked = w->now;
    r->map = NULL;
    r->map_index = 0;
    r->answer_at = 0;
    r->ask.worker = w;
    if (is_shut_out(r))
        return r->result;
    if (creds->malformed)
        return fail(r, "the login or the password is malformed", 0);
    route_email(config, creds->login, r->email);
    r->verify = is_to_be_verified(r);
    if (r->explain && !r->reports)
        r->reports = xcalloc(service->map_count + 1, sizeof *r->reports);
    r->ask = (struct map_ask){
        .worker = w,
        .done = told,
        .query = {.login = creds->login,
                  .email = r->email,
                  .service = service->name,
                  .protocol = service->protocol->name,
                  .passwords = r->verify,
                  .named = r->named,
                  .fresh = r->fresh,
                  .meaning = meaning,
                  .context = r},
    };
    return ask_maps(r);
}

void route_refused(struct route *r)
{
    set_late(r, time_taken(r));
}

bool route_let_in(struct route *r)
{
    const struct limit_place place = place_of(r);
    if (is_shut_out(r))
        return false;
    if (r->client)
        limit_logged_in(&place, r->client, r->creds, r->ask.worker->now);
    return true;
}

void route_cancel(struct route *r)
{
    if (r->job)
        r->job->route = NULL;
    r->job = NULL;
    map_cancel(&r->ask);
    free(r->reports);
    r->reports = NULL;
    r->report_count = 0;
}

static void flush_service(const struct config_service *service, const char *login,
                          const char *email)
{
    const struct map_query query = {.login = login,
                                    .email = email,
                                    .service = service->name,
                                    .protocol = service->protocol->name};
    for (size_t i = 0; i < service->map_count; i++)
        map_flush(service->maps[i], &query);
}

void route_flush(const struct config *config, const char *login)
{
    char email[ROUTE_EMAIL];
    if (login)
        route_email(config, login, email);
    for (size_t i = 0; i < config->map_count && !login; i++)
        map_flush(config->maps[i], NULL);
    for (size_t i = 0; i < config->service_count && login; i++)
        flush_service(&config->services[i], login, email);
}
