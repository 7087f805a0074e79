/* SPDX-License-Identifier: ISC
 *
 * The log's `map` lines: see map_log.h. */
#include "map_log.h"

static void log_report(const struct client *c, const char *recipient, const struct map_report *r)
{
    struct log_line l;
    if (r->result == MAP_PENDING || !client_log(&l, c, LOG_LEVEL_DEBUG, "map"))
        return;
    log_str(&l, "recipient", recipient);
    log_str(&l, "map", r->map);
    log_str(&l, "result", map_result_word(r->result));
    log_str(&l, "reason", r->why);
    log_str(&l, "server", r->server);
    log_str(&l, "dn", r->dn);
    log_str(&l, "search", r->search_command);
    log_end(&l);
}

void map_log(const struct client *c, const char *recipient, const struct route *route)
{
    for (size_t i = 0; i < route->report_count; i++)
        log_report(c, recipient, &route->reports[i]);
}
