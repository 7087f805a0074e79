/* SPDX-License-Identifier: ISC
 *
 * The log: one line an event, key=value (logfmt) or JSON, to standard error, syslog or a file.
 * Values from outside are escaped here and nowhere else. Usable from every thread.
 *
 *     struct log_line l;
 *     if (log_begin(&l, LOG_LEVEL_INFO, service->log_level, "login")) {
 *         log_str(&l, "login", login);
 *         log_end(&l);
 *     }
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/addr.h"
#include "base/problem.h"
#include "base/str.h"

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* A line under way; lives on the stack. What does not fit is cut, the line stays whole. */
struct log_line {
    enum log_format format;
    enum log_level level;
    size_t n;
    char text[2048];
};

/* Where lines go from now on: "stderr", "syslog" or a file's path, opened for appending; 0 or an
 * errno, and then nothing changes. Before the first call: logfmt to standard error. */
int log_open(const char *target, enum log_format format);

/* Makes the file belong to who will have to open it again; -1 and errno. 0 where there is none. */
int log_give_to(uid_t user, gid_t group);

/* Opens the file again under its name (after a rotation). */
void log_reopen(void);

/* A level of its own for the events of one name. */
struct log_event_level {
    char *name;
    enum log_level level;
};

/* The level of what belongs to no service, at first info; and those of some events (COUNT, at most
 * LOG_EVENTS_MAX, copied). */
enum { LOG_EVENTS_MAX = 32 };
void log_set_levels(enum log_level level, const struct log_event_level *events, size_t count);

/* The level of EVENT, which belongs to no service. */
enum log_level log_level(const char *event);

/* Begins a line with time, level and event, when LEVEL is within the THRESHOLD of the service it
 * belongs to (log_level(EVENT) for the rest); false: nothing to do. */
bool log_begin(struct log_line *l, enum log_level level, enum log_level threshold,
               const char *event);

/* Adds KEY=value. A NULL or empty value adds nothing. */
void log_str(struct log_line *l, const char *key, const char *value);
void log_slice(struct log_line *l, const char *key, struct str value);
void log_num(struct log_line *l, const char *key, uint64_t value);
void log_seconds(struct log_line *l, const char *key, uint64_t milliseconds);
void log_addr(struct log_line *l, const char *key, const struct addr *value);
void log_fmt(struct log_line *l, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes the line with one write. Lines that cannot be written are counted: before the next one
 * that can, a line says how many there were, and why. */
void log_end(struct log_line *l);

/* A whole line with a message= only, for events outside of sessions. */
void log_message(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Every problem as a line of its own (event=config). */
void log_problems(const struct problems *problems);

#endif
