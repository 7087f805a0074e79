/* SPDX-License-Identifier: ISC
 *
 * Metrics: see metrics.h. A family is its HELP and TYPE lines and then all its samples, so every
 * family walks what it is about again. */
#include "admin/metrics.h"

#include "client.h"
#include "version.h"

#include <stdarg.h>
#include <string.h>

/* ---- the format ---- */

/* How many bytes at the start of VALUE stand for themselves. */
static size_t plain(struct str value)
{
    size_t n = 0;
    for (size_t len; n < value.n && !memchr("\\\"\n", value.p[n], 3); n += len)
        if ((len = str_utf8((struct str){value.p + n, value.n - n})) == 0)
            break;
    return n;
}

void metrics_escape(struct buf *out, const char *value)
{
    while (*value) {
        size_t n = plain(str_of(value));
        buf_add(out, value, n);
        value += n;
        if (*value == '\n')
            buf_adds(out, "\\n");
        else if (*value == '\\' || *value == '"')
            buf_addf(out, "\\%c", *value);
        else if (*value)
            buf_adds(out, "\xef\xbf\xbd");
        value += *value != 0;
    }
}

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* NAME{KEY="VALUE",...}, of as many pairs as there are before a NULL. */
static void begin(struct buf *out, const char *name, ...)
{
    va_list args;
    const char *before = "{";
    buf_adds(out, name);
    va_start(args, name);
    for (const char *key; (key = va_arg(args, const char *)) != NULL; before = ",") {
        buf_adds(out, before);
        buf_adds(out, key);
        buf_adds(out, "=\"");
        metrics_escape(out, va_arg(args, const char *));
        buf_adds(out, "\"");
    }
    va_end(args);
    if (*before == ',')
        buf_adds(out, "}");
}

/* Thousands of these are written for one page: printf would take most of the time. */
static void number(struct buf *out, uint64_t value)
{
    char text[24], *end = text + sizeof text, *at = end;
    *--at = '\n';
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    *--at = ' ';
    buf_add(out, at, (size_t)(end - at));
}

static void seconds(struct buf *out, uint64_t ns)
{
    buf_addf(out, " %llu.%09llu\n", (unsigned long long)(ns / 1000000000),
             (unsigned long long)(ns % 1000000000));
}

/* The samples of a histogram NAME whose only other label is KEY. */
static void histogram(struct buf *out, const char *name, const char *key, const char *value,
                      const struct stats_times *t)
{
    char part[80], bound[32];
    uint64_t below = 0;
    snprintf(part, sizeof part, "%s_bucket", name);
    for (size_t i = 0; i < STATS_BUCKETS; i++) {
        below += t->buckets[i];
        snprintf(bound, sizeof bound, "%g",
                 i < STATS_BUCKETS - 1 ? (double)stats_bounds[i] / 1e9 : 0);
        begin(out, part, key, value, "le", i < STATS_BUCKETS - 1 ? bound : "+Inf", NULL);
        number(out, below);
    }
    snprintf(part, sizeof part, "%s_sum", name);
    begin(out, part, key, value, NULL);
    seconds(out, t->sum);
    snprintf(part, sizeof part, "%s_count", name);
    begin(out, part, key, value, NULL);
    number(out, below);
}

/* ---- the process ---- */

static void gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    family(out, name, "gauge", help);
    begin(out, name, NULL);
    number(out, value);
}

static void write_process(struct buf *out, const struct snapshot *s)
{
    const struct process *p = &s->process;
    family(out, "proxyd_build_info", "gauge", "A constant 1, labelled by the version.");
    begin(out, "proxyd_build_info", "version", VERSION, NULL);
    number(out, 1);
    gauge(out, "proxyd_workers", "Threads that serve clients.", s->workers);
    family(out, "proxyd_worker_longest_round_seconds", "gauge",
           "The longest time for which a worker did not look for events, since the last scrape.");
    begin(out, "proxyd_worker_longest_round_seconds", NULL);
    seconds(out, s->longest_round);
    gauge(out, "proxyd_draining", "1 after TERM: no new connection is accepted.", s->draining);
    family(out, "process_cpu_seconds_total", "counter", "CPU time of the user and the system.");
    buf_addf(out, "process_cpu_seconds_total %.2f\n", p->cpu_seconds);
    family(out, "process_start_time_seconds", "gauge", "When the process started, since 1970.");
    buf_addf(out, "process_start_time_seconds %.2f\n", p->start_seconds);
    gauge(out, "process_resident_memory_bytes", "Memory in RAM.", p->resident);
    gauge(out, "process_virtual_memory_bytes", "Memory in the address space.", p->virtual_size);
    gauge(out, "process_open_fds", "Open descriptors.", p->open_files);
    gauge(out, "process_max_fds", "Descriptors that may be open.", p->max_files);
    gauge(out, "process_threads", "Threads.", p->threads);
}

/* ---- services ---- */

#define EACH_SERVICE(x, s)                                                                         \
    for (const struct snapshot_service *x = (s)->services;                                         \
         x < (s)->services + (s)->config->service_count; x++)

/* Counters of services with one more label: COUNT values from the one at OFFSET of the counts. */
struct split {
    const char *name, *key, *help;
    size_t offset;
    unsigned count;
    const char *(*word)(unsigned index);
    bool (*has)(const struct config_service *service); /* NULL: every service has it */
};

static const char *connection_word(unsigned index)
{
    return stats_connection_word((enum stats_connection)index);
}

static const char *reason_word(unsigned index)
{
    return client_reason_word((enum client_reason)index);
}

static const char *login_word(unsigned index)
{
    return stats_login_word((enum stats_login)index);
}

static const char *mail_word(unsigned index)
{
    return stats_mail_word((enum stats_mail)index);
}

static const char *direction_word(unsigned index)
{
    return index == STATS_FROM_CLIENT ? "in" : "out";
}

static bool takes_mail(const struct config_service *service)
{
    return service->protocol->engine == ENGINE_MAIL;
}

#define IN_COUNTS(member) offsetof(struct stats_service_counts, member)

static const struct split splits[] = {
    {"proxyd_connections_total", "result",
     "Connections of clients, by what became of them at once.", IN_COUNTS(connections),
     STATS_CONNECTIONS, connection_word, NULL},
    {"proxyd_connections_closed_total", "reason", "Accepted connections that have ended, and why.",
     IN_COUNTS(closed), REASON_COUNT, reason_word, NULL},
    {"proxyd_logins_total", "result", "Logins that were tried, by their end.", IN_COUNTS(logins),
     STATS_LOGINS, login_word, NULL},
    {"proxyd_mail_recipients_total", "result", "Recipients of mail, by what became of them.",
     IN_COUNTS(mails), STATS_MAILS, mail_word, takes_mail},
    {"proxyd_relayed_bytes_total", "direction",
     "Bytes carried from clients (in) and to them (out).", IN_COUNTS(bytes), STATS_DIRECTIONS,
     direction_word, NULL},
};

static void write_split(struct buf *out, const struct snapshot *s, const struct split *split)
{
    family(out, split->name, "counter", split->help);
    EACH_SERVICE(x, s)
    {
        const uint64_t *values =
            (const uint64_t *)(const void *)((const char *)&x->counts + split->offset);
        for (unsigned i = 0; i < split->count && (!split->has || split->has(x->service)); i++) {
            begin(out, split->name, "service", x->service->name, split->key, split->word(i), NULL);
            number(out, values[i]);
        }
    }
}

static void write_times(struct buf *out, const struct snapshot *s, const char *name, size_t offset,
                        const char *help)
{
    family(out, name, "histogram", help);
    EACH_SERVICE(x, s)
    histogram(out, name, "service", x->service->name,
              (const struct stats_times *)(const void *)((const char *)&x->counts + offset));
}

static void write_services(struct buf *out, const struct snapshot *s)
{
    family(out, "proxyd_ready", "gauge", "1 where a login could be served now, as /readyz tells.");
    EACH_SERVICE(x, s)
    {
        begin(out, "proxyd_ready", "service", x->service->name, NULL);
        number(out, x->ready && !s->draining);
    }
    family(out, "proxyd_sessions", "gauge", "Connections of clients that are open.");
    EACH_SERVICE(x, s)
    {
        begin(out, "proxyd_sessions", "service", x->service->name, NULL);
        number(out, x->counts.sessions);
    }
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
        write_split(out, s, &splits[i]);
    family(out, "proxyd_logins_limited_total", "counter",
           "Logins not taken for the failed ones of their address; temporary in the metric above.");
    EACH_SERVICE(x, s)
    {
        begin(out, "proxyd_logins_limited_total", "service", x->service->name, NULL);
        number(out, x->counts.limited);
    }
    write_times(out, s, "proxyd_login_seconds", IN_COUNTS(login),
                "From whole credentials to the node's yes.");
    write_times(out, s, "proxyd_backend_connect_seconds", IN_COUNTS(connect),
                "From connecting to a node to its greeting, of logins and checks.");
    write_times(out, s, "proxyd_backend_queue_seconds", IN_COUNTS(queue),
                "From asking for a place at a node to having it.");
}

/* ---- maps and directories ---- */

#define EACH_MAP(x, s)                                                                             \
    for (const struct snapshot_map *x = (s)->maps; x < (s)->maps + (s)->config->map_count; x++)
#define EACH_DIRECTORY(x, s)                                                                       \
    for (const struct snapshot_directory *x = (s)->directories;                                    \
         x < (s)->directories + (s)->config->ldap_count; x++)

static void write_maps(struct buf *out, const struct snapshot *s)
{
    family(out, "proxyd_map_up", "gauge", "1 where the map can be asked.");
    EACH_MAP(x, s)
    {
        begin(out, "proxyd_map_up", "map", x->map->name, NULL);
        number(out, x->answers);
    }
    family(out, "proxyd_map_lookups_total", "counter", "Questions to maps, by the answer.");
    EACH_MAP(x, s)
    for (unsigned i = 0; i < STATS_MAP_RESULTS; i++) {
        begin(out, "proxyd_map_lookups_total", "map", x->map->name, "result", map_result_word(i),
              NULL);
        number(out, x->counts.lookups[i]);
    }
    family(out, "proxyd_map_lookup_seconds", "histogram",
           "From a question to a map to the answer.");
    EACH_MAP(x, s)
    histogram(out, "proxyd_map_lookup_seconds", "map", x->map->name, &x->counts.took);
}

static void write_directory_numbers(struct buf *out, const struct snapshot *s)
{
    static const struct {
        const char *name, *type, *help;
        size_t offset;
    } rows[] = {
        {"proxyd_directory_searches_total", "counter", "Searches that a server was asked.",
         offsetof(struct directory_counters, searches)},
        {"proxyd_directory_binds_total", "counter", "Binds as users.",
         offsetof(struct directory_counters, binds)},
        {"proxyd_directory_failures_total", "counter", "Questions that no server answered.",
         offsetof(struct directory_counters, failures)},
        {"proxyd_directory_cache_hits_total", "counter", "Questions answered from the cache.",
         offsetof(struct directory_counters, hits)},
        {"proxyd_directory_cache_entries", "gauge", "Answers in the cache.",
         offsetof(struct directory_counters, cached)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        family(out, rows[i].name, rows[i].type, rows[i].help);
        EACH_DIRECTORY(x, s)
        {
            begin(out, rows[i].name, "connector", x->settings->name, NULL);
            number(out,
                   *(const uint64_t *)(const void *)((const char *)&x->counters + rows[i].offset));
        }
    }
}

static void write_directories(struct buf *out, const struct snapshot *s)
{
    family(out, "proxyd_directory_up", "gauge", "1 where the server is well, as far as is known.");
    EACH_DIRECTORY(x, s)
    for (size_t i = 0; i < x->settings->servers.count; i++) {
        begin(out, "proxyd_directory_up", "connector", x->settings->name, "server",
              x->servers[i].url, NULL);
        number(out, x->servers[i].well);
    }
    write_directory_numbers(out, s);
}

/* ---- nodes ---- */

/* A relay may be called as a node of the same service: one of the two has to do. */
static bool is_repeated(const struct snapshot *s, size_t i)
{
    return i > 0 && strcmp(s->nodes[i].service, s->nodes[i - 1].service) == 0 &&
           strcmp(s->nodes[i].name, s->nodes[i - 1].name) == 0;
}

static uint64_t up(const struct node_state *node)
{
    return node->up;
}

static uint64_t drained(const struct node_state *node)
{
    return node->drained;
}

static uint64_t active(const struct node_state *node)
{
    return node->active;
}

static uint64_t queued(const struct node_state *node)
{
    return node->waiting;
}

static uint64_t places(const struct node_state *node)
{
    return node->max_connections;
}

static uint64_t rejected(const struct node_state *node)
{
    return node->rejected;
}

static void write_nodes(struct buf *out, const struct snapshot *s)
{
    static const struct {
        const char *name, *type, *help;
        uint64_t (*value)(const struct node_state *node);
    } rows[] = {
        {"proxyd_backend_up", "gauge", "1 where the node is up, as the checks say.", up},
        {"proxyd_backend_drained", "gauge", "1 where an order keeps new logins out.", drained},
        {"proxyd_backend_active", "gauge", "Sessions at the node.", active},
        {"proxyd_backend_queued", "gauge", "Logins that wait for the node.", queued},
        {"proxyd_backend_places", "gauge", "Sessions that the node may have; 0: no limit.", places},
        {"proxyd_backend_rejected_total", "counter",
         "Logins refused because the node's queue was full or they had waited too long.", rejected},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        family(out, rows[row].name, rows[row].type, rows[row].help);
        for (size_t i = 0; i < s->node_count; i++) {
            if (is_repeated(s, i))
                continue;
            begin(out, rows[row].name, "service", s->nodes[i].service, "node", s->nodes[i].name,
                  NULL);
            number(out, rows[row].value(&s->nodes[i]));
        }
    }
}

static void write_http(struct buf *out, const struct snapshot *s)
{
    char code[8];
    family(out, "proxyd_http_requests_total", "counter",
           "Requests of webmail, by the answer's status.");
    for (unsigned i = 0; i < STATS_HTTP_CODES; i++) {
        if (s->http_codes[i] == 0)
            continue;
        snprintf(code, sizeof code, "%u", i + STATS_HTTP_CODE_MIN);
        begin(out, "proxyd_http_requests_total", "code", code, NULL);
        number(out, s->http_codes[i]);
    }
}

void metrics_write(struct buf *out, const struct snapshot *s)
{
    write_process(out, s);
    write_services(out, s);
    write_maps(out, s);
    write_directories(out, s);
    write_nodes(out, s);
    write_http(out, s);
}
