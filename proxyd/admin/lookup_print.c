/* SPDX-License-Identifier: ISC
 *
 * What a lookup has found, in lines for people and in JSON for scripts: see lookup.h. Every line
 * goes through text_say, which leaves nothing in it that a terminal would act on. */
#include "admin/lookup.h"
#include "admin/text.h"
#include "proto/smtp_path.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char malformed[] = "a login that is empty, longer than 255 bytes or has a control "
                                "character is never looked up";

/* ---- words ---- */

static const char *type_of(const struct lookup_answer *a, size_t map)
{
    return a->service->maps[map]->kind->type;
}

/* "192.0.2.1:143", "[::1]:143", "host.name:143", "unix:/path" */
static char *address_of(const struct lookup_answer *a)
{
    if (!a->port)
        return xstrdup(a->host);
    return xasprintf(strchr(a->host, ':') ? "[%s]:%u" : "%s:%u", a->host, a->port);
}

static const char *tls_of(const struct config_service *service)
{
    static const char *const words[] = {
        [TLS_NONE] = "none", [TLS_STARTTLS] = "starttls", [TLS_IMPLICIT] = "implicit"};
    return words[service->backend.tls_mode];
}

static const char *master_of(const struct config_service *service)
{
    return service->backend.login == BACKEND_LOGIN_MASTER ? service->backend.master_user : NULL;
}

/* The same for a browser. */
static const char *told_browser(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_OK:
    case VERDICT_NODE_REFUSED:
        break;
    case VERDICT_AUTH_FAILED:
        return "401 and the login page again";
    case VERDICT_NODE_DOWN:
        return "502";
    case VERDICT_TEMPORARY:
    case VERDICT_BUSY:
        return "503 and the login page again, to be tried later";
    }
    return NULL;
}

static const char *told_sender(const struct lookup_answer *a)
{
    const struct config_mail *mail = &a->service->mail;
    if (a->told != VERDICT_AUTH_FAILED)
        return "451 4.3.0 Temporary failure, try again later";
    if (smtp_path_has_route(a->lookup->typed))
        return "554 5.7.1 Relay access denied";
    if (a->where.named)
        return mail->relay.host ? "554 5.7.1 Relay access denied; for relay_networks: relayed"
                                : "554 5.7.1 Relay access denied";
    return mail->unknown_user == UNKNOWN_USER_DISCARD ? "250 2.1.5 Ok, and it is discarded"
                                                      : "550 5.1.1 User unknown";
}

/* What the client is told, in the words of its protocol; NULL: it is up to the node. */
static char *told_of(const struct lookup_answer *a)
{
    static const struct front_setup setup = {
        .hostname = "", .max_errors = UINT_MAX, .max_auth_errors = UINT_MAX};
    struct creds creds;
    struct front front;
    struct buf out;
    if (a->told == VERDICT_OK)
        return NULL;
    if (a->service->protocol->engine == ENGINE_WEB)
        return xstrdup(told_browser(a->told));
    if (a->service->protocol->engine == ENGINE_MAIL)
        return xstrdup(told_sender(a));
    creds_init(&creds, NULL, 0);
    front_init(&front, &setup, &creds);
    buf_init(&out, NULL, 0, PROTO_OUT_MAX);
    a->service->protocol->answer(&front, a->told, NULL, &out);
    struct str line = {"", 0}, answer = buf_str(&out);
    size_t used;
    str_line(answer, &line, &used);
    while (line.n && *line.p == ' ') { /* behind the tag, which there is none of */
        line.p++;
        line.n--;
    }
    char *told = xstrndup(line.p, line.n);
    buf_free(&out);
    front_free(&front);
    return told;
}

/* Cuts the next of a report's "NAME: VALUE" lines off *REST; false at the end. */
static bool next_attribute(const char **rest, char **name, char **value)
{
    const char *line = *rest, *end = strchrnul(line, '\n'), *colon = strstr(line, ": ");
    if (!colon || colon > end)
        return false;
    *name = xstrndup(line, (size_t)(colon - line));
    *value = xstrndup(colon + 2, (size_t)(end - colon - 2));
    *rest = *end ? end + 1 : end;
    return true;
}

/* ---- for people ---- */

#define ROW "    %-12s  "

static void say_directory(FILE *out, const struct map_report *r)
{
    const char *rest = r->attributes;
    double milliseconds = (double)r->took / 1e6;
    char *name, *value;
    if (r->server[0])
        text_say(out, ROW "%s (%.1f ms)", "server", r->server, milliseconds);
    else if (r->took)
        text_say(out, ROW "none answered (%.1f ms)", "server", milliseconds);
    if (r->dn[0])
        text_say(out, ROW "%s", "dn", r->dn);
    while (next_attribute(&rest, &name, &value)) {
        text_say(out, ROW "%s", name, value);
        free(name);
        free(value);
    }
    if (r->search_command[0])
        text_say(out, "    %s", r->search_command);
    if (r->bind_command[0])
        text_say(out, "    %s", r->bind_command);
}

static void say_maps(FILE *out, const struct lookup_answer *a)
{
    static const char *const results[] = {[MAP_FOUND] = "found",
                                          [MAP_NOT_FOUND] = "not found",
                                          [MAP_AMBIGUOUS] = "ambiguous",
                                          [MAP_TEMPORARY] = "temporary failure"};
    for (size_t i = 0; i < a->service->map_count; i++) {
        const char *name = a->service->maps[i]->name;
        if (i >= a->report_count) {
            text_say(out, "map %s (%s): not asked", name, type_of(a, i));
            continue;
        }
        const struct map_report *r = &a->reports[i];
        text_say(out, "map %s (%s): %s: %s", name, type_of(a, i), results[r->result], r->why);
        say_directory(out, r);
    }
}

static void say_password(FILE *out, const struct lookup_answer *a)
{
    static const char *const results[] = {[LOOKUP_PASSWORD_RIGHT] = "right",
                                          [LOOKUP_PASSWORD_WRONG] = "wrong",
                                          [LOOKUP_PASSWORD_UNCHECKED] = "cannot be checked here"};
    if (a->password != LOOKUP_PASSWORD_NONE)
        text_say(out, "password: %s%s%s", results[a->password], a->password_why ? ": " : "",
                 a->password_why ? a->password_why : "");
}

static void say_tls(FILE *out, const struct config_service *service)
{
    const char *verified = service->backend.tls_mode == TLS_NONE ? ""
                           : service->backend.verify             ? ", certificate verified"
                                                                 : ", certificate not verified";
    text_say(out, ROW "%s%s", "tls", tls_of(service), verified);
}

static void say_route(FILE *out, const struct lookup_answer *a)
{
    if (!a->host) {
        text_say(out, "no route: %s", a->why);
        return;
    }
    char *address = address_of(a);
    const char *master = master_of(a->service);
    text_say(out, "route: %s%s%s", a->node ? a->node : "", a->node ? " at " : "", address);
    say_tls(out, a->service);
    text_say(out, ROW "%s", "login", a->login);
    if (master)
        text_say(out, ROW "%s", "master user", master);
    if (a->hold)
        text_say(out, ROW "%s: new logins wait for its end, %.10g s at most", "hold", a->why,
                 (double)a->service->backend.queue_timeout / 1e3);
    if (a->failover)
        text_say(out, ROW "%s", "failover", "no map knows the login");
    free(address);
}

static void say_answer(FILE *out, const struct lookup_answer *a)
{
    char *told = told_of(a);
    text_say(out, "service %s, login %s", a->service->name, a->lookup->typed);
    say_maps(out, a);
    say_password(out, a);
    say_route(out, a);
    if (told)
        text_say(out, "the client is told: %s", told);
    free(told);
}

void lookup_print_text(const struct lookup *l, FILE *out)
{
    locale_t old = text_begin();
    if (l->login.malformed)
        text_say(out, "%s", malformed);
    for (size_t i = 0; i < l->count; i++) {
        if (i)
            putc('\n', out);
        say_answer(out, &l->answers[i]);
    }
    text_end(old);
}

/* ---- for scripts ---- */

static json_t *json_attributes(const struct map_report *r)
{
    json_t *object = json_object();
    const char *rest = r->attributes;
    char *name, *value;
    while (next_attribute(&rest, &name, &value)) {
        json_t *values = json_object_get(object, name);
        if (!values) {
            values = json_array();
            json_object_set_new(object, name, values);
        }
        json_array_append_new(values, text_json(value));
        free(name);
        free(value);
    }
    return object;
}

static void set_directory(json_t *object, const struct map_report *r)
{
    json_object_set_new(object, "server", text_json(r->server));
    json_object_set_new(object, "milliseconds", json_real((double)r->took / 1e6));
    json_object_set_new(object, "cached", json_boolean(r->cached));
    json_object_set_new(object, "dn", text_json(r->dn));
    json_object_set_new(object, "attributes", json_attributes(r));
    json_object_set_new(object, "ldapsearch", text_json(r->search_command));
    json_object_set_new(object, "ldapwhoami", text_json(r->bind_command));
}

static json_t *json_map(const struct lookup_answer *a, size_t i)
{
    json_t *object = json_object();
    const struct map_report *r = i < a->report_count ? &a->reports[i] : NULL;
    json_object_set_new(object, "map", text_json(a->service->maps[i]->name));
    json_object_set_new(object, "type", text_json(type_of(a, i)));
    json_object_set_new(object, "result",
                        json_string(r ? map_result_word(r->result) : "not_asked"));
    json_object_set_new(object, "reason", text_json(r ? r->why : NULL));
    if (r && r->search_command[0])
        set_directory(object, r);
    return object;
}

static json_t *json_maps(const struct lookup_answer *a)
{
    json_t *array = json_array();
    for (size_t i = 0; i < a->service->map_count; i++)
        json_array_append_new(array, json_map(a, i));
    return array;
}

static json_t *json_route(const struct lookup_answer *a)
{
    if (!a->host)
        return json_null();
    json_t *object = json_object();
    json_object_set_new(object, "node", text_json(a->node));
    json_object_set_new(object, "host", text_json(a->host));
    json_object_set_new(object, "port", a->port ? json_integer(a->port) : json_null());
    json_object_set_new(object, "tls", json_string(tls_of(a->service)));
    json_object_set_new(object, "login", text_json(a->login));
    json_object_set_new(object, "master_user", text_json(master_of(a->service)));
    json_object_set_new(object, "hold", json_boolean(a->hold));
    json_object_set_new(object, "failover", json_boolean(a->failover));
    return object;
}

static json_t *json_answer(const struct lookup_answer *a)
{
    static const char *const passwords[] = {[LOOKUP_PASSWORD_NONE] = NULL,
                                            [LOOKUP_PASSWORD_RIGHT] = "right",
                                            [LOOKUP_PASSWORD_WRONG] = "wrong",
                                            [LOOKUP_PASSWORD_UNCHECKED] = "unchecked"};
    json_t *object = json_object();
    char *told = told_of(a);
    json_object_set_new(object, "service", text_json(a->service->name));
    json_object_set_new(object, "maps", json_maps(a));
    json_object_set_new(object, "password", text_json(passwords[a->password]));
    json_object_set_new(object, "password_reason", text_json(a->password_why));
    json_object_set_new(object, "route", json_route(a));
    json_object_set_new(object, "reason", text_json(a->why));
    json_object_set_new(object, "client_told", text_json(told));
    free(told);
    return object;
}

void lookup_print_json(const struct lookup *l, FILE *out)
{
    locale_t old = text_begin();
    json_t *object = json_object(), *services = json_array();
    json_object_set_new(object, "login", text_json(l->typed));
    json_object_set_new(object, "services", services);
    json_object_set_new(object, "reason", text_json(l->login.malformed ? malformed : NULL));
    for (size_t i = 0; i < l->count; i++)
        json_array_append_new(services, json_answer(&l->answers[i]));
    json_dumpf(object, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putc('\n', out);
    json_decref(object);
    text_end(old);
}
