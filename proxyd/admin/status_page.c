/* SPDX-License-Identifier: ISC
 *
 * The status page: see status_page.h. Bars and curves are SVG, drawn here: so they are there
 * without a script, and take no style of their own. status_page.css and status_page.js, which the
 * Makefile turns into C strings, are beside this file. */
#include "admin/status_page.h"

#include "admin/history.h"
#include "client.h"
#include "recent.h"
#include "version.h"
#include "web/markup.h"

#include <stdarg.h>
#include <time.h>

static const char style[] =
#include <status_page.css.inc>
    ;
static const char script[] =
#include <status_page.js.inc>
    ;
const struct str status_page_style = STR(style), status_page_script = STR(script);

enum {
    NODES_SHOWN = 300,
    CURVE_HEIGHT = 20 /* of the box that a curve is drawn in; a point is 1 wide */
};

/* ---- pieces ---- */

static void text(struct buf *out, const char *value)
{
    markup_escape(out, str_of(value));
}

static void cell(struct buf *out, const char *value)
{
    buf_adds(out, "<td>");
    text(out, value);
    buf_adds(out, "</td>");
}

static void number_cell(struct buf *out, uint64_t value)
{
    buf_addf(out, "<td class=number>%llu</td>", (unsigned long long)value);
}

/* A word in a colour: good, bad or so. */
static void state_cell(struct buf *out, const char *class, const char *word, const char *why)
{
    buf_addf(out, "<td><span class=\"state %s\">%s</span>", class, word);
    if (*why) {
        buf_adds(out, " <small>");
        text(out, why);
        buf_adds(out, "</small>");
    }
    buf_adds(out, "</td>");
}

static const char *amount(double value, const char *unit, char room[32])
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T"};
    size_t i = 0;
    for (; value >= 1000 && i < 4; i++)
        value /= 1000;
    snprintf(room, 32, value < 10 && value > 0 ? "%.1f %s%s" : "%.0f %s%s", value, prefixes[i],
             unit);
    return room;
}

/* How long it took: "12 ms", or "-" where there was nothing. */
static const char *span(uint64_t ns, char room[32])
{
    if (ns == 0)
        return "-";
    snprintf(room, 32, ns < 10000000 ? "%.1f ms" : "%.0f ms", (double)ns / 1e6);
    return room;
}

/* A bar, VALUE of MOST wide; CLASS colours it. */
static void bar(struct buf *out, double value, double most, const char *class)
{
    double part = most > 0 ? value / most : 0;
    buf_addf(out,
             "<svg class=bar viewBox=\"0 0 100 8\" preserveAspectRatio=none aria-hidden=true>"
             "<rect class=rail width=100 height=8 /><rect class=\"%s\" width=\"%.1f\" height=8 />"
             "</svg>",
             class, part > 1 ? 100 : part * 100);
}

/* A curve of COUNT values, STRIDE doubles apart, from 0 to MOST. */
static void line(struct buf *out, const double *values, size_t stride, size_t count, double most,
                 const char *class)
{
    buf_addf(out, "<polyline class=\"%s\" points=\"", class);
    for (size_t i = 0; i < count; i++)
        buf_addf(out, "%zu,%.1f ", i,
                 CURVE_HEIGHT - 1 -
                     (most > 0 ? values[i * stride] / most * (CURVE_HEIGHT - 2) : 0));
    buf_adds(out, "\"/>");
}

static double largest(const double *values, size_t stride, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        if (values[i * stride] > most)
            most = values[i * stride];
    return most;
}

static void curve_begin(struct buf *out, size_t count, const char *label)
{
    buf_addf(out,
             "<svg class=curve viewBox=\"0 0 %zu %d\" preserveAspectRatio=none role=img "
             "aria-label=\"%s\">",
             count - 1, CURVE_HEIGHT, label);
}

/* A column that begins with # has numbers. */
static void table(struct buf *out, const char *title, const char *const *columns)
{
    buf_addf(out, "<section><h2>%s</h2><div class=wide><table><thead><tr>", title);
    for (; *columns; columns++)
        buf_addf(out, **columns == '#' ? "<th class=number>%s</th>" : "<th>%s</th>",
                 *columns + (**columns == '#'));
    buf_adds(out, "</tr></thead><tbody>\n");
}

static void table_end(struct buf *out)
{
    buf_adds(out, "</tbody></table></div></section>\n");
}

/* ---- the head ---- */

static void uptime(struct buf *out, double seconds)
{
    unsigned long minutes = (unsigned long)seconds / 60;
    if (minutes >= 1440)
        buf_addf(out, "%lu d ", minutes / 1440);
    if (minutes >= 60)
        buf_addf(out, "%lu h ", minutes / 60 % 24);
    buf_addf(out, "%lu min", minutes % 60);
}

static void fact(struct buf *out, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fact(struct buf *out, const char *name, const char *format, ...)
{
    char value[64];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    buf_addf(out, "<div><dt>%s</dt><dd>%s</dd></div>", name, value);
}

static void write_head(struct buf *out, const struct snapshot *s)
{
    const struct process *p = &s->process;
    char room[32];
    size_t ready = 0, up = 0;
    for (size_t i = 0; i < s->config->service_count; i++)
        ready += s->services[i].ready;
    for (size_t i = 0; i < s->node_count; i++)
        up += s->nodes[i].up && !s->nodes[i].drained;
    bool well = ready == s->config->service_count && !s->draining;
    buf_adds(out, "<header><h1>");
    text(out, s->config->global.hostname);
    buf_addf(out, " <span class=\"state %s\">%s</span></h1><dl>", well ? "good" : "bad",
             s->draining ? "draining"
             : well      ? "ready"
                         : "not ready");
    fact(out, "services ready", "%zu / %zu", ready, s->config->service_count);
    fact(out, "nodes up", "%zu / %zu", up, s->node_count);
    fact(out, "sessions", "%u", client_total());
    fact(out, "workers", "%u", s->workers);
    fact(out, "memory", "%s", amount((double)p->resident, "B", room));
    fact(out, "descriptors", "%llu", (unsigned long long)p->open_files);
    buf_adds(out, "<div><dt>up for</dt><dd>");
    uptime(out, p->start_seconds > 0 ? (double)time(NULL) - p->start_seconds : 0);
    buf_adds(out, "</dd></div></dl></header>\n");
}

/* ---- services ---- */

static uint64_t refused(const struct stats_service_counts *c)
{
    uint64_t all = c->limited;
    for (unsigned i = STATS_ACCEPTED + 1; i < STATS_CONNECTIONS; i++)
        all += c->connections[i];
    return all;
}

static void write_curves(struct buf *out, const struct config_service *service)
{
    enum { STRIDE = sizeof(struct history_point) / sizeof(double) };
    struct history_point points[HISTORY_POINTS];
    char room[32];
    history_of(service, points);
    const struct history_point *last = &points[HISTORY_POINTS - 1];
    double logins = largest(&points->logins, STRIDE, HISTORY_POINTS);
    double failures = largest(&points->failures, STRIDE, HISTORY_POINTS);
    double bytes = largest(&points->bytes, STRIDE, HISTORY_POINTS);
    buf_adds(out, "<td>");
    curve_begin(out, HISTORY_POINTS, "logins of five minutes, and failures");
    line(out, &points->logins, STRIDE, HISTORY_POINTS, logins > failures ? logins : failures,
         "good");
    line(out, &points->failures, STRIDE, HISTORY_POINTS, logins > failures ? logins : failures,
         "bad");
    buf_addf(out, "</svg> <small class=rate>%s</small></td><td>", amount(last->logins, "/s", room));
    curve_begin(out, HISTORY_POINTS, "bytes of five minutes");
    line(out, &points->bytes, STRIDE, HISTORY_POINTS, bytes, "plain");
    buf_addf(out, "</svg> <small class=rate>%s</small></td>", amount(last->bytes, "B/s", room));
}

/* The reasons, but for the name that each of them begins with. */
static const char *reasons(const struct snapshot_service *x)
{
    size_t n = strlen(x->service->name);
    return x->why[0] ? x->why + n + 2 : "";
}

static void write_service(struct buf *out, const struct snapshot_service *x, bool draining)
{
    const struct stats_service_counts *c = &x->counts;
    char room[32];
    buf_adds(out, "<tr>");
    cell(out, x->service->name);
    state_cell(out, x->ready && !draining ? "good" : "bad",
               draining   ? "draining"
               : x->ready ? "ready"
                          : "not ready",
               reasons(x));
    number_cell(out, c->sessions);
    write_curves(out, x->service);
    number_cell(out, c->logins[STATS_LOGIN_OK]);
    number_cell(out, c->logins[STATS_LOGIN_FAILED]);
    number_cell(out, c->logins[STATS_LOGIN_TEMPORARY] + c->logins[STATS_LOGIN_NODE_DOWN] +
                         c->logins[STATS_LOGIN_BUSY]);
    number_cell(out, refused(c));
    cell(out, span(stats_times_quantile(&c->login, 0.5), room));
    cell(out, span(stats_times_quantile(&c->login, 0.95), room));
    buf_adds(out, "</tr>\n");
}

static void write_services(struct buf *out, const struct snapshot *s)
{
    static const char *const columns[] = {
        "service",  "state",      "#sessions", "logins, <i class=bad>failures</i>",
        "traffic",  "#logged in", "#failed",   "#unavailable",
        "#refused", "login 50%",  "95%",       NULL};
    table(out, "Services", columns);
    for (size_t i = 0; i < s->config->service_count; i++)
        write_service(out, &s->services[i], s->draining);
    table_end(out);
}

/* ---- nodes ---- */

static bool has_trouble(const struct node_state *n)
{
    return !n->up || n->drained || n->waiting || n->trouble[0];
}

static void write_node(struct buf *out, const struct node_state *n, double most)
{
    double recent[NODE_RECENT];
    double places = n->max_connections ? n->max_connections : most;
    const char *class = !n->up ? "bad" : n->drained || n->trouble[0] ? "fair" : "good";
    for (size_t i = 0; i < NODE_RECENT; i++)
        recent[i] = n->recent[i];
    buf_adds(out, "<tr>");
    cell(out, n->service);
    cell(out, n->name);
    state_cell(out, class, !n->up ? "down" : n->drained ? "drained" : "up", n->trouble);
    buf_addf(out, "<td class=number>%u%s", n->active, n->max_connections ? "" : "</td>");
    if (n->max_connections)
        buf_addf(out, " / %u</td>", n->max_connections);
    buf_adds(out, "<td>");
    bar(out, n->active, places,
        n->max_connections && n->active >= n->max_connections ? "bad" : "good");
    buf_adds(out, "</td><td>");
    curve_begin(out, NODE_RECENT, "sessions of five minutes");
    line(out, recent, 1, NODE_RECENT, largest(recent, 1, NODE_RECENT), "plain");
    buf_adds(out, "</svg></td>");
    number_cell(out, n->waiting);
    number_cell(out, n->rejected);
    buf_adds(out, "</tr>\n");
}

/* Those with a trouble first; of very many others not all. */
static void write_nodes(struct buf *out, const struct snapshot *s)
{
    static const char *const columns[] = {"service", "node",         "state",    "#sessions", "",
                                          "",        "#waiting now", "#refused", NULL};
    double most = 1;
    size_t shown = 0;
    for (size_t i = 0; i < s->node_count; i++)
        if (s->nodes[i].active > most)
            most = s->nodes[i].active;
    table(out, "Nodes", columns);
    for (int trouble = 1; trouble >= 0; trouble--)
        for (size_t i = 0; i < s->node_count && shown < NODES_SHOWN; i++)
            if (has_trouble(&s->nodes[i]) == trouble) {
                write_node(out, &s->nodes[i], most);
                shown++;
            }
    if (shown < s->node_count)
        buf_addf(out, "<tr><td colspan=8>and %zu more, see /status.json</td></tr>",
                 s->node_count - shown);
    table_end(out);
}

/* ---- maps and directories ---- */

static void write_maps(struct buf *out, const struct snapshot *s)
{
    static const char *const columns[] = {"map",        "type",       "state",      "#found",
                                          "#not found", "#ambiguous", "#temporary", "lookup 50%",
                                          "95%",        NULL};
    char room[32];
    table(out, "Maps", columns);
    for (size_t i = 0; i < s->config->map_count; i++) {
        const struct snapshot_map *m = &s->maps[i];
        buf_adds(out, "<tr>");
        cell(out, m->map->name);
        cell(out, m->map->kind->type);
        state_cell(out, m->answers ? "good" : "bad", m->answers ? "answers" : "does not answer",
                   m->why);
        for (unsigned k = 0; k < STATS_MAP_RESULTS; k++)
            number_cell(out, m->counts.lookups[k]);
        cell(out, span(stats_times_quantile(&m->counts.took, 0.5), room));
        cell(out, span(stats_times_quantile(&m->counts.took, 0.95), room));
        buf_adds(out, "</tr>\n");
    }
    table_end(out);
}

static void write_directories(struct buf *out, const struct snapshot *s)
{
    static const char *const columns[] = {"directory",
                                          "server",
                                          "state",
                                          "#searches",
                                          "#binds",
                                          "#failures",
                                          "#answered by the cache",
                                          "#cached",
                                          NULL};
    if (s->config->ldap_count == 0)
        return;
    table(out, "Directories", columns);
    for (size_t i = 0; i < s->config->ldap_count; i++) {
        const struct snapshot_directory *d = &s->directories[i];
        for (size_t k = 0; k < d->settings->servers.count; k++) {
            const struct directory_server *server = &d->servers[k];
            buf_adds(out, "<tr>");
            cell(out, k ? "" : d->settings->name);
            cell(out, server->url);
            state_cell(out, server->well ? "good" : "bad", server->well ? "well" : "failed",
                       server->trouble);
            if (k == 0) {
                number_cell(out, d->counters.searches);
                number_cell(out, d->counters.binds);
                number_cell(out, d->counters.failures);
                number_cell(out, d->counters.hits);
                number_cell(out, d->counters.cached);
            }
            buf_adds(out, "</tr>\n");
        }
    }
    table_end(out);
}

/* ---- people ---- */

static void write_talkers(struct buf *out)
{
    static const char *const columns[] = {"login", "traffic", "", NULL};
    struct recent_talker list[RECENT_TALKERS];
    size_t count = recent_talkers(list);
    char room[32];
    table(out, "Top talkers of the last minute", columns);
    for (size_t i = 0; i < count; i++) {
        buf_adds(out, "<tr>");
        cell(out, list[i].login);
        cell(out, amount((double)list[i].bytes, "B/s", room));
        buf_adds(out, "<td>");
        bar(out, (double)list[i].bytes, (double)list[0].bytes, "plain");
        buf_adds(out, "</td></tr>\n");
    }
    if (count == 0)
        buf_adds(out, "<tr><td colspan=3 class=none>nobody</td></tr>");
    table_end(out);
}

static void write_failures(struct buf *out)
{
    static const char *const columns[] = {"time (UTC)", "service", "login", "client",
                                          "reason",     "session", NULL};
    struct recent_failure list[RECENT_FAILURES];
    size_t count = recent_failures(list);
    table(out, "Recent failures", columns);
    for (size_t i = 0; i < count; i++) {
        char when[32];
        struct tm tm;
        time_t seconds = (time_t)list[i].when;
        gmtime_r(&seconds, &tm);
        strftime(when, sizeof when, "%b %d %H:%M:%S", &tm);
        buf_adds(out, "<tr>");
        cell(out, when);
        cell(out, list[i].service);
        cell(out, list[i].login);
        cell(out, list[i].client);
        cell(out, list[i].reason);
        cell(out, list[i].session);
        buf_adds(out, "</tr>\n");
    }
    if (count == 0)
        buf_adds(out, "<tr><td colspan=6 class=none>none since the start</td></tr>");
    table_end(out);
}

void status_page_write(struct buf *out, const struct snapshot *s)
{
    buf_adds(out, "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><title>");
    text(out, s->config->global.hostname);
    buf_adds(out, " - proxyd</title>"
                  "<meta name=viewport content=\"width=device-width, initial-scale=1\">"
                  "<meta name=color-scheme content=\"light dark\">"
                  "<noscript><meta http-equiv=refresh content=5></noscript>"
                  "<link rel=stylesheet href=/status.css><script src=/status.js defer></script>"
                  "</head>\n<body><main>");
    write_head(out, s);
    write_services(out, s);
    write_nodes(out, s);
    write_maps(out, s);
    write_directories(out, s);
    buf_adds(out, "<div class=pair>");
    write_talkers(out);
    write_failures(out);
    buf_addf(out, "</div></main><footer>proxyd " VERSION
                  "<span id=late></span></footer></body></html>\n");
}
