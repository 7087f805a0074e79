/* SPDX-License-Identifier: ISC
 *
 * Watching: see trace.h. A client that a watcher might mean has a struct trace: at the first thing
 * that is told of it, it finds out who watches it (look), and again when watchers or its login
 * change. */
#include "trace.h"

#include "client.h"
#include "route.h"
#include "trace_line.h"

#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

enum {
    UNDER_WAY = 2000,  /* lines of all watchers that nobody has fetched yet */
    KEPT = 40,         /* lines of a client that has no login yet */
    KEPT_ALL = 10000,  /* of all such clients */
    CARRIED_EACH = 100 /* ms between two lines about bytes that were carried */
};

struct watcher {
    unsigned number; /* 0: free */
    char email[ROUTE_EMAIL];
    char host[ADDR_TEXT]; /* where `email` is "" */
    void (*send)(struct post *);
    void (*run)(struct post *);
    atomic_uint_fast64_t dropped;
};

static struct {
    pthread_mutex_t lock;
    struct watcher list[TRACES_MAX];
    unsigned last;               /* number */
    atomic_uint version;         /* goes up with every change of the list */
    atomic_uint under_way, kept; /* lines */
} watchers = {.lock = PTHREAD_MUTEX_INITIALIZER, .version = 1};

atomic_uint trace_count;

/* A line that is not whole yet. */
struct part {
    size_t n, cut; /* bytes in `text`; bytes more that there was no room for */
    char text[TRACE_TEXT];
};

struct trace {
    bool watched[TRACES_MAX]; /* by this one of the list */
    unsigned numbers[TRACES_MAX];
    bool waits; /* for a login: somebody might watch it */
    struct part parts[TRACE_EVENT];
    bool client_secret, node_secret; /* trace_line_command */
    bool node_knows;                 /* and may repeat it */
    uint64_t carried;                /* ms: of the last line about it */
    uint64_t from_client, to_client;
    unsigned kept_count;
    struct trace_line *kept[KEPT];
};

/* ---- sending ---- */

static uint64_t now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct trace_line *line_new(const struct client *c, enum trace_way way, struct str text)
{
    struct trace_line *line = xcalloc(1, sizeof *line);
    line->time = now();
    line->way = way;
    memcpy(line->session, c->id, sizeof line->session);
    snprintf(line->service, sizeof line->service, "%s", c->service->name);
    snprintf(line->text, sizeof line->text, "%.*s", (int)text.n, text.p);
    return line;
}

void trace_line_free(struct trace_line *line)
{
    atomic_fetch_sub(&watchers.under_way, 1);
    free(line);
}

/* A copy of LINE to the watcher at PLACE, if it still is the one with NUMBER. */
static void send_copy(const struct trace_line *line, size_t place, unsigned number)
{
    struct watcher *w = &watchers.list[place];
    pthread_mutex_lock(&watchers.lock);
    if (w->number == number && atomic_fetch_add(&watchers.under_way, 1) >= UNDER_WAY) {
        atomic_fetch_sub(&watchers.under_way, 1);
        w->dropped++;
    } else if (w->number == number) {
        struct trace_line *copy = xmalloc(sizeof *copy);
        *copy = *line;
        copy->watcher = number;
        copy->post.run = w->run;
        copy->dropped = atomic_exchange(&w->dropped, 0);
        w->send(&copy->post);
    }
    pthread_mutex_unlock(&watchers.lock);
}

static void send_all(const struct trace *t, const struct trace_line *line)
{
    for (size_t i = 0; i < TRACES_MAX; i++)
        if (t->watched[i])
            send_copy(line, i, t->numbers[i]);
}

/* The last ones are dropped where there are too many: how it began tells more. */
static void keep(struct trace *t, struct trace_line *line)
{
    if (t->kept_count < KEPT && atomic_fetch_add(&watchers.kept, 1) < KEPT_ALL) {
        t->kept[t->kept_count++] = line;
        return;
    }
    if (t->kept_count < KEPT)
        atomic_fetch_sub(&watchers.kept, 1);
    free(line);
}

static void tell(struct client *c, enum trace_way way, struct str text)
{
    struct trace_line *line = line_new(c, way, text);
    send_all(c->trace, line);
    if (c->trace->waits)
        keep(c->trace, line);
    else
        free(line);
}

/* ---- who watches whom ---- */

static void forget_kept(struct trace *t)
{
    atomic_fetch_sub(&watchers.kept, t->kept_count);
    while (t->kept_count)
        free(t->kept[--t->kept_count]);
}

/* A line that is not whole yet may be a password's. */
void trace_forget(struct client *c)
{
    if (!c->trace)
        return;
    forget_kept(c->trace);
    mem_wipe(c->trace, sizeof *c->trace);
    free(c->trace);
    c->trace = NULL;
}

/* Whether W watches C: 1, 0, or -1 while that depends on a login. */
static int watches(const struct watcher *w, const struct client *c)
{
    char text[ADDR_TEXT], email[ROUTE_EMAIL];
    if (w->number == 0)
        return 0;
    if (!w->email[0])
        return strcmp(addr_host(&c->address, text), w->host) == 0;
    if (!c->user)
        return -1;
    route_email(c->config, c->user, email);
    return strcmp(email, w->email) == 0;
}

/* Those who begin to watch a client get what was kept of it. */
static void begin_to_watch(struct trace *t, size_t place, unsigned number)
{
    bool again = t->watched[place] && t->numbers[place] == number;
    t->watched[place] = true;
    t->numbers[place] = number;
    for (unsigned i = 0; i < t->kept_count && !again; i++)
        send_copy(t->kept[i], place, number);
}

/* Finds out who watches C; returns whether anybody does, or might. */
static bool look(struct client *c)
{
    int verdicts[TRACES_MAX];
    unsigned numbers[TRACES_MAX];
    bool wanted = false, waits = false;
    c->trace_version = atomic_load(&watchers.version);
    pthread_mutex_lock(&watchers.lock);
    for (size_t i = 0; i < TRACES_MAX; i++) {
        verdicts[i] = watches(&watchers.list[i], c);
        numbers[i] = watchers.list[i].number;
        waits |= verdicts[i] < 0;
        wanted |= verdicts[i] != 0;
    }
    pthread_mutex_unlock(&watchers.lock);
    if (!wanted) {
        trace_forget(c);
        return false;
    }
    if (!c->trace)
        c->trace = xcalloc(1, sizeof *c->trace);
    for (size_t i = 0; i < TRACES_MAX; i++)
        if (verdicts[i] > 0)
            begin_to_watch(c->trace, i, numbers[i]);
        else if (verdicts[i] == 0 || numbers[i] != c->trace->numbers[i]) /* else trace_concerns */
            c->trace->watched[i] = false;
    c->trace->waits = waits;
    if (!waits)
        forget_kept(c->trace);
    return true;
}

static bool is_watched(struct client *c)
{
    if (c->trace_version != atomic_load_explicit(&watchers.version, memory_order_relaxed))
        return look(c);
    return c->trace;
}

void trace_concerns_on(struct client *c, const char *login)
{
    char email[ROUTE_EMAIL];
    unsigned numbers[TRACES_MAX];
    if (!is_watched(c))
        return;
    route_email(c->config, login, email);
    pthread_mutex_lock(&watchers.lock);
    for (size_t i = 0; i < TRACES_MAX; i++) {
        const struct watcher *w = &watchers.list[i];
        numbers[i] = w->number && w->email[0] && strcmp(email, w->email) == 0 ? w->number : 0;
    }
    pthread_mutex_unlock(&watchers.lock);
    for (size_t i = 0; i < TRACES_MAX; i++)
        if (numbers[i])
            begin_to_watch(c->trace, i, numbers[i]);
}

void trace_login_on(struct client *c)
{
    look(c);
}

/* ---- what passes ---- */

/* A whole line: what may be shown of it. */
static void pass(struct client *c, enum trace_way way, struct str line)
{
    char space[TRACE_TEXT + 64];
    struct buf out;
    struct trace *t = c->trace;
    buf_init(&out, space, sizeof space, sizeof space);
    switch (way) {
    case TRACE_FROM_CLIENT:
        trace_line_command(line, &t->client_secret, &out);
        break;
    case TRACE_TO_NODE:
        t->node_knows |= trace_line_command(line, &t->node_secret, &out);
        break;
    default:
        trace_line_answer(line, way == TRACE_TO_CLIENT ? &t->client_secret : &t->node_secret);
        if (t->node_knows)
            trace_line_blank(trace_line_codes(line, &out), &out);
        else if (way == TRACE_TO_CLIENT)
            trace_line_own(line, &out);
        else
            trace_line_all(line, &out);
        break;
    }
    tell(c, way, buf_str(&out));
}

/* Asks nobody whether C is still watched: PART would be gone with the last who does. */
static void end_part(struct client *c, enum trace_way way, struct part *part)
{
    char text[64];
    struct str line = {part->text, part->n};
    if (line.n && line.p[line.n - 1] == '\r' && !part->cut)
        line.n--;
    pass(c, way, line);
    snprintf(text, sizeof text, "and %zu bytes more on that line", part->cut);
    if (part->cut)
        tell(c, TRACE_EVENT, str_of(text));
    mem_wipe(part, sizeof *part);
}

void trace_bytes_on(struct client *c, enum trace_way way, const void *p, size_t n)
{
    if (!is_watched(c))
        return;
    struct part *part = &c->trace->parts[way];
    for (const char *at = p, *end = at + n; at < end; at++) {
        if (*at == '\n')
            end_part(c, way, part);
        else if (part->n < sizeof part->text)
            part->text[part->n++] = *at;
        else
            part->cut++;
    }
}

void trace_head_on(struct client *c, enum trace_way way, const void *p, size_t n)
{
    char space[TRACE_TEXT];
    struct str rest = {p, n}, line;
    size_t used;
    if (!is_watched(c))
        return;
    for (bool first = true; str_line(rest, &line, &used) && line.n; first = false) {
        struct buf out;
        buf_init(&out, space, sizeof space, sizeof space);
        trace_line_http(line, first, &out);
        tell(c, way, buf_str(&out));
        rest = (struct str){rest.p + used, rest.n - used};
    }
}

void trace_event_on(struct client *c, const char *format, ...)
{
    char text[TRACE_TEXT];
    va_list args;
    if (!is_watched(c))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tell(c, TRACE_EVENT, str_of(text));
}

static void tell_bytes(struct client *c, enum trace_way way, uint64_t bytes)
{
    char text[60];
    snprintf(text, sizeof text, "[%llu bytes]", (unsigned long long)bytes);
    if (bytes)
        tell(c, way, str_of(text));
}

void trace_carried_on(struct client *c, uint64_t from_client, uint64_t to_client)
{
    struct trace *t = is_watched(c) ? c->trace : NULL;
    if (!t || (t->carried && c->worker->now - t->carried < CARRIED_EACH))
        return;
    if (t->carried) { /* else it was carried before somebody watched */
        tell_bytes(c, TRACE_UP, from_client - t->from_client);
        tell_bytes(c, TRACE_DOWN, to_client - t->to_client);
    }
    t->carried = c->worker->now;
    t->from_client = from_client;
    t->to_client = to_client;
}

/* ---- the watchers ---- */

static struct watcher *find(unsigned number)
{
    for (size_t i = 0; i < TRACES_MAX; i++)
        if (watchers.list[i].number == number)
            return &watchers.list[i];
    return NULL;
}

unsigned trace_begin(const char *email, const struct addr *address,
                     void (*send_line)(struct post *), void (*run)(struct post *))
{
    unsigned number = 0;
    pthread_mutex_lock(&watchers.lock);
    struct watcher *w = find(0);
    if (w) {
        number = w->number = ++watchers.last;
        snprintf(w->email, sizeof w->email, "%s", email);
        addr_host(address, w->host);
        w->send = send_line;
        w->run = run;
        w->dropped = 0;
        watchers.version++;
        trace_count++;
    }
    pthread_mutex_unlock(&watchers.lock);
    return number;
}

void trace_end(unsigned number)
{
    pthread_mutex_lock(&watchers.lock);
    struct watcher *w = find(number);
    if (w && number) {
        w->number = 0;
        watchers.version++;
        trace_count--;
    }
    pthread_mutex_unlock(&watchers.lock);
}
