/* SPDX-License-Identifier: ISC
 *
 * The log: see log.h. A line is built on the caller's stack and written with one call, so lines
 * of several threads never mix; the lock is held only to keep the target open meanwhile. */
#include "base/log.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    int fd;     /* -1: syslog */
    char *path; /* of a file, else NULL */
    _Atomic enum log_format format;
    enum log_level level;
    struct {
        char name[32];
        enum log_level level;
    } events[LOG_EVENTS_MAX];
    size_t event_count;
    uint64_t lost; /* lines that could not be written, and why the last one */
    int error;
    bool cut; /* the last one that could is without its end */
} target = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO};

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
}

static void replace_target(int fd, char *path)
{
    pthread_mutex_lock(&target.lock);
    int old = target.fd;
    char *old_path = target.path;
    target.fd = fd;
    target.path = path;
    pthread_mutex_unlock(&target.lock);
    if (old_path)
        close(old);
    free(old_path);
}

int log_open(const char *name, enum log_format format)
{
    int fd = STDERR_FILENO;
    char *path = NULL;
    if (strcmp(name, "syslog") == 0) {
        openlog("proxyd", LOG_PID | LOG_NDELAY, LOG_MAIL);
        fd = -1;
    } else if (strcmp(name, "stderr") != 0) {
        fd = open_file(name);
        if (fd < 0)
            return errno;
        path = xstrdup(name);
    }
    atomic_store(&target.format, format);
    replace_target(fd, path);
    return 0;
}

int log_give_to(uid_t user, gid_t group)
{
    return target.path ? fchown(target.fd, user, group) : 0;
}

void log_reopen(void)
{
    if (!target.path)
        return;
    int fd = open_file(target.path);
    if (fd < 0) {
        log_message(LOG_LEVEL_ERROR, "log", "cannot reopen %s: %s", target.path, strerror(errno));
        return;
    }
    replace_target(fd, xstrdup(target.path));
}

void log_set_levels(enum log_level level, const struct log_event_level *events, size_t count)
{
    pthread_mutex_lock(&target.lock);
    target.level = level;
    target.event_count = count < LOG_EVENTS_MAX ? count : LOG_EVENTS_MAX;
    for (size_t i = 0; i < target.event_count; i++) {
        snprintf(target.events[i].name, sizeof target.events[i].name, "%s", events[i].name);
        target.events[i].level = events[i].level;
    }
    pthread_mutex_unlock(&target.lock);
}

enum log_level log_level(const char *event)
{
    pthread_mutex_lock(&target.lock);
    enum log_level level = target.level;
    for (size_t i = 0; i < target.event_count; i++)
        if (strcmp(target.events[i].name, event) == 0)
            level = target.events[i].level;
    pthread_mutex_unlock(&target.lock);
    return level;
}

/* Room is kept for the end of the line: a closing quote, a brace and the newline. */
static void put(struct log_line *l, const char *text, size_t n)
{
    size_t room = sizeof l->text - 8 - l->n;
    if (l->n + 8 >= sizeof l->text)
        return;
    n = n < room ? n : room;
    memcpy(l->text + l->n, text, n);
    l->n += n;
}

static bool plain(struct str v)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return true;
}

static void put_escaped(struct log_line *l, struct str v)
{
    for (size_t i = 0; i < v.n;) {
        const unsigned char *p = (const unsigned char *)v.p + i;
        size_t len = str_utf8((struct str){v.p + i, v.n - i});
        char code[8];
        if (l->n + 16 >= sizeof l->text)
            return;
        if (*p == '"' || *p == '\\')
            put(l, *p == '"' ? "\\\"" : "\\\\", 2);
        else if (len == 0 || *p < ' ' || *p == 0x7f)
            put(l, code, (size_t)snprintf(code, sizeof code, "\\u%04x", *p));
        else
            put(l, (const char *)p, len);
        i += len ? len : 1;
    }
}

static void put_key(struct log_line *l, const char *key)
{
    bool json = l->format == LOG_FORMAT_JSON;
    if (l->n > (json ? 1 : 0))
        put(l, json ? "," : " ", 1);
    if (json)
        put(l, "\"", 1);
    put(l, key, strlen(key));
    put(l, json ? "\":" : "=", json ? 2 : 1);
}

/* A number or another value that needs no escaping and, in JSON, no quotes. */
static void put_bare(struct log_line *l, const char *key, const char *value)
{
    put_key(l, key);
    put(l, value, strlen(value));
}

static bool room_for_more(const struct log_line *l)
{
    return l->n + 64 < sizeof l->text;
}

void log_slice(struct log_line *l, const char *key, struct str value)
{
    if (value.n == 0 || !room_for_more(l))
        return;
    put_key(l, key);
    if (l->format == LOG_FORMAT_LOGFMT && plain(value)) {
        put(l, value.p, value.n);
        return;
    }
    put(l, "\"", 1);
    put_escaped(l, value);
    l->text[l->n++] = '"';
}

void log_str(struct log_line *l, const char *key, const char *value)
{
    if (value)
        log_slice(l, key, str_of(value));
}

void log_num(struct log_line *l, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    if (room_for_more(l))
        put_bare(l, key, text);
}

void log_seconds(struct log_line *l, const char *key, uint64_t ms)
{
    char text[32];
    snprintf(text, sizeof text, "%llu.%03u", (unsigned long long)(ms / 1000),
             (unsigned)(ms % 1000));
    if (room_for_more(l))
        put_bare(l, key, text);
}

void log_addr(struct log_line *l, const char *key, const struct addr *value)
{
    char text[ADDR_TEXT];
    log_str(l, key, addr_format(value, text));
}

static void log_vfmt(struct log_line *l, const char *key, const char *format, va_list args)
{
    char text[1024];
    int n = vsnprintf(text, sizeof text, format, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    log_slice(l, key, (struct str){text, len});
}

void log_fmt(struct log_line *l, const char *key, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_vfmt(l, key, format, args);
    va_end(args);
}

bool log_begin(struct log_line *l, enum log_level level, enum log_level threshold,
               const char *event)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (level > threshold)
        return false;
    struct timespec now;
    struct tm tm;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof text - n, ".%03ldZ", now.tv_nsec / 1000000);
    l->format = atomic_load_explicit(&target.format, memory_order_relaxed);
    l->level = level;
    l->n = 0;
    if (l->format == LOG_FORMAT_JSON)
        put(l, "{", 1);
    log_str(l, "time", text);
    log_str(l, "level", names[level]);
    log_str(l, "event", event);
    return true;
}

/* Under the lock. A full disk, a closed pipe or one that nobody reads must not stop the mail. */
static bool write_out(const char *text, size_t n)
{
    struct pollfd out = {.fd = target.fd, .events = POLLOUT};
    ssize_t done = poll(&out, 1, 0) == 1 ? write(target.fd, text, n) : 0;
    if (done == (ssize_t)n)
        return true;
    target.cut |= done > 0;
    target.error = done < 0 ? errno : done > 0 ? ENOSPC : EAGAIN;
    return false;
}

static void finish(struct log_line *l)
{
    if (l->format == LOG_FORMAT_JSON)
        l->text[l->n++] = '}';
    l->text[l->n++] = '\n';
}

/* Under the lock: tells what is missing before the line that follows. */
static bool tell_lost(void)
{
    struct log_line l;
    log_begin(&l, LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, "log");
    log_fmt(&l, "message", "%llu lines were lost here: %s", (unsigned long long)target.lost,
            strerror(target.error));
    finish(&l);
    if (target.cut && !write_out("\n", 1))
        return false;
    target.cut = false;
    if (!write_out(l.text, l.n))
        return false;
    target.lost = 0;
    return true;
}

void log_end(struct log_line *l)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    finish(l);
    pthread_mutex_lock(&target.lock);
    if (target.fd < 0)
        syslog(priorities[l->level], "%.*s", (int)l->n - 1, l->text);
    else if ((target.lost && !tell_lost()) || !write_out(l->text, l->n))
        target.lost++;
    pthread_mutex_unlock(&target.lock);
}

void log_message(enum log_level level, const char *event, const char *format, ...)
{
    struct log_line l;
    va_list args;
    if (!log_begin(&l, level, log_level(event), event))
        return;
    va_start(args, format);
    log_vfmt(&l, "message", format, args);
    va_end(args);
    log_end(&l);
}

void log_problems(const struct problems *problems)
{
    for (size_t i = 0; i < problems->kept; i++) {
        char *text = problem_text(&problems->list[i]);
        log_message(problems->list[i].warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "config", "%s",
                    text);
        free(text);
    }
    if (problems->count > problems->kept)
        log_message(LOG_LEVEL_ERROR, "config", "and %zu more", problems->count - problems->kept);
}
