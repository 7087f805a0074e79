/* SPDX-License-Identifier: ISC
 *
 * Orders as JSON: see control_request.h. Two tables say all: what may stand in a request, and what
 * of it each command takes. */
#include "admin/control_request.h"

#include "base/mem.h"
#include "option.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum kind { TEXT, FLAG, MILLISECONDS };

enum { DAY = 24 * 60 * 60 * 1000 }; /* ms: no order lasts longer */

/* Bits of the rows below. */
enum {
    USER = 1 << 0,
    NODE = 1 << 1,
    SERVICE = 1 << 2,
    SESSION = 1 << 3,
    WHO = 1 << 4,
    CLOSE = 1 << 5,
    OVER = 1 << 6,
    LASTS = 1 << 7
};

static const struct field {
    const char *key;
    enum kind kind;
    size_t offset;
} fields[] = {
    {"user", TEXT, offsetof(struct control_request, user)},
    {"node", TEXT, offsetof(struct control_request, node)},
    {"service", TEXT, offsetof(struct control_request, service)},
    {"session", TEXT, offsetof(struct control_request, session)},
    {"who", TEXT, offsetof(struct control_request, who)},
    {"close", FLAG, offsetof(struct control_request, close)},
    {"over", MILLISECONDS, offsetof(struct control_request, over)},
    {"lasts", MILLISECONDS, offsetof(struct control_request, lasts)},
};

enum { FIELDS = sizeof fields / sizeof *fields };

static const struct {
    const char *name;
    unsigned allowed;
    unsigned needed; /* exactly one of these */
} commands[CONTROL_COMMANDS] = {
    [CONTROL_STATUS] = {"status", 0, 0},
    [CONTROL_SESSIONS] = {"sessions", USER | NODE | SERVICE, 0},
    [CONTROL_KICK] = {"kick", USER | NODE | SESSION, USER | NODE | SESSION},
    [CONTROL_DRAIN] = {"drain", NODE | CLOSE | OVER, NODE},
    [CONTROL_UNDRAIN] = {"undrain", NODE, NODE},
    [CONTROL_HOLD] = {"hold", USER, USER},
    [CONTROL_RELEASE] = {"release", USER, USER},
    [CONTROL_RELOAD] = {"reload", 0, 0},
    [CONTROL_FLUSH] = {"flush", USER, 0},
    [CONTROL_TRACE] = {"trace", WHO | LASTS, WHO},
    [CONTROL_PARDON] = {"pardon", WHO, WHO},
};

const char *control_command_name(enum control_command command)
{
    return commands[command].name;
}

bool control_command_find(const char *name, enum control_command *command)
{
    for (int i = 0; i < CONTROL_COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0) {
            *command = (enum control_command)i;
            return true;
        }
    return false;
}

bool control_duration(const char *text, uint64_t *ms)
{
    return option_duration.number(text, ms);
}

/* ---- what a request has ---- */

static void *value_of(const struct field *f, const struct control_request *r)
{
    return (char *)r + f->offset;
}

static bool is_given(const struct field *f, const struct control_request *r)
{
    const void *value = value_of(f, r);
    switch (f->kind) {
    case TEXT:
        return *(const char *)value;
    case FLAG:
        return *(const bool *)value;
    default:
        return *(const uint64_t *)value;
    }
}

static unsigned given(const struct control_request *r)
{
    unsigned bits = 0;
    for (size_t i = 0; i < FIELDS; i++)
        if (is_given(&fields[i], r))
            bits |= 1u << i;
    return bits;
}

static bool refuse(char error[CONTROL_ERROR], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(char error[CONTROL_ERROR], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, CONTROL_ERROR, format, args);
    va_end(args);
    return false;
}

/* JSON has no bytes that are no UTF-8. */
static bool is_text(const char *text)
{
    json_t *json = json_string(text);
    json_decref(json);
    return json && !str_has_control(str_of(text));
}

static const char *fault_of(const struct field *f, const struct control_request *r)
{
    const void *value = value_of(f, r);
    if (f->kind == TEXT && !is_text(value))
        return "is no UTF-8, or has a control character";
    if (f->kind == MILLISECONDS && *(const uint64_t *)value > DAY)
        return "is more than a day";
    return NULL;
}

bool control_request_check(const struct control_request *r, char error[CONTROL_ERROR])
{
    const char *name = commands[r->command].name;
    unsigned has = given(r), needed = commands[r->command].needed, chosen = has & needed;
    for (size_t i = 0; i < FIELDS; i++) {
        if (has & ~commands[r->command].allowed & 1u << i)
            return refuse(error, "'%s' takes no '%s'", name, fields[i].key);
        const char *fault = fault_of(&fields[i], r);
        if (fault)
            return refuse(error, "'%s' of '%s' %s", fields[i].key, name, fault);
    }
    if (needed && (chosen == 0 || chosen & (chosen - 1)))
        return refuse(error, "'%s' needs %s", name,
                      needed & (needed - 1)          ? "one of 'user', 'node' and 'session'"
                      : r->command == CONTROL_PARDON ? "an address"
                      : needed & (USER | WHO)        ? "a login"
                                                     : "a node");
    if (r->command == CONTROL_TRACE && !(has & LASTS))
        return refuse(error, "'%s' needs a time", name);
    if (has & OVER && !(has & CLOSE))
        return refuse(error, "'%s' takes 'over' only with 'close'", name);
    return true;
}

/* ---- JSON ---- */

static bool read_field(const struct field *f, struct control_request *r, const json_t *json,
                       char error[CONTROL_ERROR])
{
    void *value = value_of(f, r);
    json_int_t number = json_integer_value(json);
    size_t n = json_string_length(json);
    bool fits = f->kind == TEXT   ? json_is_string(json) && n > 0 && n <= CONTROL_TEXT_MAX
                : f->kind == FLAG ? json_is_boolean(json)
                                  : json_is_integer(json) && number >= 0;
    if (!fits)
        return refuse(error, "'%s' must be %s", f->key,
                      f->kind == TEXT   ? "a text of 1 to 255 bytes"
                      : f->kind == FLAG ? "true or false"
                                        : "a number of milliseconds");
    if (f->kind == TEXT)
        memcpy(value, json_string_value(json), n + 1);
    else if (f->kind == FLAG)
        *(bool *)value = json_is_true(json);
    else
        *(uint64_t *)value = (uint64_t)number;
    return true;
}

static const struct field *find_field(const char *key)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (strcmp(key, fields[i].key) == 0)
            return &fields[i];
    return NULL;
}

static bool read_object(struct control_request *r, json_t *object, char error[CONTROL_ERROR])
{
    const char *key, *name = json_string_value(json_object_get(object, "command"));
    json_t *value;
    if (!name || !control_command_find(name, &r->command))
        return refuse(error, "there is no command '%.100s'", name ? name : "");
    json_object_foreach(object, key, value)
    {
        const struct field *f = find_field(key);
        if (strcmp(key, "command") == 0)
            continue;
        if (!f)
            return refuse(error, "there is no '%.100s'", key);
        if (!read_field(f, r, value, error))
            return false;
    }
    return control_request_check(r, error);
}

bool control_request_read(struct control_request *r, struct str line, char error[CONTROL_ERROR])
{
    json_t *object = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
    *r = (struct control_request){0};
    bool good = json_is_object(object) ? read_object(r, object, error)
                                       : refuse(error, "a request is a JSON object on a line");
    json_decref(object);
    return good;
}

char *control_request_write(const struct control_request *r)
{
    json_t *object = json_object();
    json_object_set_new(object, "command", json_string(commands[r->command].name));
    for (size_t i = 0; i < FIELDS; i++) {
        const struct field *f = &fields[i];
        const void *value = value_of(f, r);
        if (!is_given(f, r))
            continue;
        json_object_set_new(object, f->key,
                            f->kind == TEXT   ? json_string(value)
                            : f->kind == FLAG ? json_true()
                                              : json_integer(*(const json_int_t *)value));
    }
    char *text = json_dumps(object, JSON_COMPACT);
    char *line = text ? xasprintf("%s\n", text) : NULL;
    free(text);
    json_decref(object);
    return line;
}
