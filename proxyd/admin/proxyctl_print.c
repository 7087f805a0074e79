/* SPDX-License-Identifier: ISC
 *
 * What a daemon has answered, in tables for people and in JSON for scripts: see proxyctl.h. All
 * that is printed goes through text_put. */
#include "admin/proxyctl.h"

#include "admin/text.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- tables ---- */

enum { COLUMNS_MAX = 10 };

/* Columns by the keys of the rows' objects. */
struct column {
    const char *title, *key;
    enum { CELL_TEXT, CELL_NUMBER, CELL_SIZE, CELL_TIME, CELL_STATE } kind;
};

static char *size_text(double bytes)
{
    static const char units[] = "KMGTP";
    const char *unit = units;
    if (bytes < 1024)
        return xasprintf("%.0f", bytes);
    for (bytes /= 1024; bytes >= 1024 && unit[1]; unit++)
        bytes /= 1024;
    return xasprintf(bytes < 10 ? "%.1f%c" : "%.0f%c", bytes, *unit);
}

static char *time_text(double seconds)
{
    if (seconds < 60)
        return xasprintf("%.0fs", seconds);
    if (seconds < 3600)
        return xasprintf("%.0fm", seconds / 60);
    return seconds < 172800 ? xasprintf("%.0fh", seconds / 3600)
                            : xasprintf("%.0fd", seconds / 86400);
}

static char *state_text(const json_t *row)
{
    bool up = json_is_true(json_object_get(row, "up")),
         drained = json_is_true(json_object_get(row, "drained"));
    return xasprintf("%s%s", up ? "up" : "down", drained ? ", drained" : "");
}

/* The text of a cell, to be freed. */
static char *cell(const struct column *column, const json_t *row)
{
    const json_t *value = json_object_get(row, column->key);
    switch (column->kind) {
    case CELL_NUMBER:
        return xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case CELL_SIZE:
        return size_text(json_number_value(value));
    case CELL_TIME:
        return time_text(json_number_value(value));
    case CELL_STATE:
        return state_text(row);
    default:
        return xstrdup(json_is_string(value) ? json_string_value(value) : "-");
    }
}

static bool is_right(const struct column *column)
{
    return column->kind != CELL_TEXT && column->kind != CELL_STATE;
}

static void put_cell(const char *text, unsigned width, bool right, bool last)
{
    unsigned columns = text_put(NULL, text), blanks = width > columns ? width - columns : 0;
    if (right)
        printf("%*s", (int)blanks, "");
    text_put(stdout, text);
    if (!right && !last)
        printf("%*s", (int)blanks, "");
    fputs(last ? "\n" : "  ", stdout);
}

/* ROWS, objects, with a line of titles; nothing where there are none. Columns end with one that has
 * no title. */
static void put_table(const struct column *columns, const json_t *rows)
{
    unsigned widths[COLUMNS_MAX], count = 0;
    size_t i;
    json_t *row;
    for (; columns[count].title; count++)
        widths[count] = (unsigned)strlen(columns[count].title);
    json_array_foreach(rows, i, row)
    {
        for (unsigned k = 0; k < count; k++) {
            char *text = cell(&columns[k], row);
            unsigned width = text_put(NULL, text);
            widths[k] = width > widths[k] ? width : widths[k];
            free(text);
        }
    }
    for (unsigned k = 0; k < count && json_array_size(rows); k++)
        put_cell(columns[k].title, widths[k], is_right(&columns[k]), k + 1 == count);
    json_array_foreach(rows, i, row)
    {
        for (unsigned k = 0; k < count; k++) {
            char *text = cell(&columns[k], row);
            put_cell(text, widths[k], is_right(&columns[k]), k + 1 == count);
            free(text);
        }
    }
}

/* ---- status ---- */

/* Numbers of an object within the row, lifted into it under names of their own. */
static void lift(json_t *rows, const char *object, const char *key, const char *name)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
        json_object_set(row, name, json_object_get(json_object_get(row, object), key));
}

static void put_names(const char *title, const json_t *names)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) text_say(stdout, "%s: %s", title, json_string_value(name));
}

static void put_section(const json_t *status, const char *key, const struct column *columns)
{
    const json_t *rows = json_object_get(status, key);
    if (json_array_size(rows) == 0)
        return;
    putchar('\n');
    put_table(columns, rows);
}

static json_int_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* Of a process that runs, or of one that has been replaced. */
static void put_process(const json_t *status, const char *how)
{
    char *age = time_text(json_number_value(json_object_get(status, "seconds")));
    text_say(stdout,
             "proxyd %s, process %" JSON_INTEGER_FORMAT ", %s %s: %" JSON_INTEGER_FORMAT
             " workers, %" JSON_INTEGER_FORMAT " sessions",
             json_string_value(json_object_get(status, "version")), number_of(status, "pid"), how,
             age, number_of(status, "workers"), number_of(status, "sessions"));
    free(age);
}

static void put_status(const json_t *status)
{
    size_t i;
    json_t *before;
    static const struct column services[] = {{"SERVICE", "service", CELL_TEXT},
                                             {"SESSIONS", "sessions", CELL_NUMBER},
                                             {"CONNECTIONS", "accepted", CELL_NUMBER},
                                             {"LOGINS", "ok", CELL_NUMBER},
                                             {"FAILED", "failed", CELL_NUMBER},
                                             {"LIMITED", "limited", CELL_NUMBER},
                                             {"IN", "bytes_in", CELL_SIZE},
                                             {"OUT", "bytes_out", CELL_SIZE},
                                             {0}};
    static const struct column nodes[] = {
        {"NODE", "node", CELL_TEXT},          {"SERVICE", "service", CELL_TEXT},
        {"HOST", "host", CELL_TEXT},          {"PORT", "port", CELL_NUMBER},
        {"ACTIVE", "active", CELL_NUMBER},    {"QUEUED", "queued", CELL_NUMBER},
        {"REFUSED", "rejected", CELL_NUMBER}, {"STATE", "up", CELL_STATE},
        {"TROUBLE", "trouble", CELL_TEXT},    {0}};
    static const struct column maps[] = {{"MAP", "map", CELL_TEXT},
                                         {"TYPE", "type", CELL_TEXT},
                                         {"FOUND", "found", CELL_NUMBER},
                                         {"NOT FOUND", "not_found", CELL_NUMBER},
                                         {"AMBIGUOUS", "ambiguous", CELL_NUMBER},
                                         {"FAILED", "temporary_failure", CELL_NUMBER},
                                         {0}};
    static const struct column directories[] = {{"DIRECTORY", "directory", CELL_TEXT},
                                                {"CACHED", "cached", CELL_NUMBER},
                                                {"HITS", "hits", CELL_NUMBER},
                                                {"SEARCHES", "searches", CELL_NUMBER},
                                                {"BINDS", "binds", CELL_NUMBER},
                                                {"FAILURES", "failures", CELL_NUMBER},
                                                {0}};
    static const struct column refused[] = {
        {"ADDRESS", "address", CELL_TEXT}, {"LEVEL", "level", CELL_TEXT},
        {"REFUSED", "count", CELL_NUMBER}, {"FOR", "seconds", CELL_TIME},
        {"REASON", "reason", CELL_TEXT},   {0}};
    put_process(status, "up");
    json_array_foreach(json_object_get(status, "replaced"), i, before)
        put_process(before, "replaced, up");
    lift(json_object_get(status, "services"), "connections", "accepted", "accepted");
    lift(json_object_get(status, "services"), "logins", "ok", "ok");
    lift(json_object_get(status, "services"), "logins", "failed", "failed");
    lift(json_object_get(status, "services"), "logins", "limited", "limited");
    put_section(status, "services", services);
    put_section(status, "nodes", nodes);
    put_section(status, "maps", maps);
    put_section(status, "directories", directories);
    put_section(status, "refused", refused);
    if (json_array_size(json_object_get(status, "drained")) +
        json_array_size(json_object_get(status, "held")))
        putchar('\n');
    put_names("drained", json_object_get(status, "drained"));
    put_names("on hold", json_object_get(status, "held"));
}

/* ---- the other answers ---- */

static void put_sessions(const struct proxyctl_print *p)
{
    static const struct column columns[] = {
        {"SESSION", "session", CELL_TEXT}, {"SERVICE", "service", CELL_TEXT},
        {"LOGIN", "login", CELL_TEXT},     {"CLIENT", "client", CELL_TEXT},
        {"NODE", "node", CELL_TEXT},       {"STATE", "state", CELL_TEXT},
        {"AGE", "seconds", CELL_TIME},     {"IN", "bytes_in", CELL_SIZE},
        {"OUT", "bytes_out", CELL_SIZE},   {0}};
    put_table(columns, p->rows);
    if (!p->rows)
        text_say(stdout, "no sessions");
}

static void put_problems(FILE *out, const json_t *object)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(object, "problems"), i, line)
        text_say(out, "%s", json_string_value(line));
}

static void put_answer(const struct proxyctl_print *p, const json_t *object)
{
    const struct control_request *r = p->request;
    switch (r->command) {
    case CONTROL_STATUS:
        put_status(object);
        break;
    case CONTROL_SESSIONS:
        put_sessions(p);
        break;
    case CONTROL_KICK:
        text_say(stdout, "%" JSON_INTEGER_FORMAT " sessions kicked", number_of(object, "kicked"));
        break;
    case CONTROL_DRAIN:
        text_say(stdout, "%s is drained", r->node);
        if (r->close)
            text_say(stdout, "%" JSON_INTEGER_FORMAT " sessions close",
                     number_of(object, "closed"));
        break;
    case CONTROL_UNDRAIN:
        text_say(stdout, "%s is not drained any more", r->node);
        break;
    case CONTROL_HOLD:
        text_say(stdout, "%s is on hold, %" JSON_INTEGER_FORMAT " sessions close", r->user,
                 number_of(object, "closed"));
        break;
    case CONTROL_RELEASE:
        text_say(stdout, "%s is not on hold any more", r->user);
        break;
    case CONTROL_RELOAD:
        put_problems(stderr, object);
        text_say(stdout, "reloaded");
        break;
    case CONTROL_PARDON:
        text_say(stdout, "pardoned");
        break;
    case CONTROL_FLUSH:
        text_say(stdout, "flushed");
        break;
    default:
        break;
    }
}

/* A line of a dialogue, as soon as it is there. */
static void put_traced(const json_t *line)
{
    const char *from = json_string_value(json_object_get(line, "from")),
               *to = json_string_value(json_object_get(line, "to")),
               *text = json_string_value(json_object_get(line, "text")),
               *time = json_string_value(json_object_get(line, "time"));
    if (json_object_get(line, "dropped"))
        text_say(stdout, "(%" JSON_INTEGER_FORMAT " lines were lost)", number_of(line, "dropped"));
    text_say(stdout, "%.12s %s %-6s %s %-6s  %s", time && strlen(time) > 11 ? time + 11 : "",
             json_string_value(json_object_get(line, "session")), from ? from : "",
             from ? "->" : "--", to ? to : "", text ? text : "");
    fflush(stdout);
}

/* ---- JSON ---- */

static void put_json(const json_t *object, const char *end)
{
    json_dumpf(object, stdout, JSON_REAL_PRECISION(12));
    fputs(end, stdout);
}

/* Rows stand in an array that is written as they come. */
static void put_json_row(struct proxyctl_print *p, const json_t *row)
{
    fputs(p->begun ? ",\n " : "{\"sessions\": [\n ", stdout);
    p->begun = true;
    put_json(row, "");
}

static void put_json_end(const struct proxyctl_print *p, const json_t *object)
{
    if (p->request->command == CONTROL_SESSIONS && !json_object_get(object, "error"))
        puts(p->begun ? "\n]}" : "{\"sessions\": []}");
    else
        put_json(object, "\n");
}

/* ---- an answer ---- */

static void put_item(struct proxyctl_print *p, json_t *object)
{
    if (!p->rows)
        p->rows = json_array();
    json_array_append(p->rows, object);
}

void proxyctl_print_item(struct proxyctl_print *p, json_t *object)
{
    bool traced = p->request->command == CONTROL_TRACE;
    if (p->json && traced) {
        put_json(object, "\n");
        fflush(stdout);
    } else if (p->json) {
        put_json_row(p, object);
    } else if (traced) {
        put_traced(object);
    } else {
        put_item(p, object);
    }
}

void proxyctl_print_end(struct proxyctl_print *p, const json_t *object)
{
    const char *error = json_string_value(json_object_get(object, "error"));
    if (p->json) {
        put_json_end(p, object);
    } else if (error) {
        put_problems(stderr, object);
        text_say(stderr, "proxyctl: %s", error);
    } else {
        put_answer(p, object);
    }
}
