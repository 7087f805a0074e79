/* SPDX-License-Identifier: ISC
 *
 * Readiness: see ready.h. */
#include "admin/ready.h"

#include "listener.h"
#include "node.h"

enum { WHY = 400 }; /* bytes of a reason */

static void add_reason(struct buf *reasons, const struct config_service *service, const char *about,
                       const char *why)
{
    char line[WHY + 100];
    if (!reasons)
        return;
    int n = snprintf(line, sizeof line, "%s: %s%s", service->name, about, why);
    for (int i = 0; i < n && line[i]; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    buf_addf(reasons, "%s\n", line);
}

bool ready_service(const struct config_service *service, struct buf *reasons)
{
    char why[WHY], about[100];
    const char *paused = listener_paused();
    bool ready = !paused;
    if (paused)
        add_reason(reasons, service, "accepting pauses: ", paused);
    for (size_t i = 0; i < service->map_count; i++)
        if (!map_answers(service->maps[i], why, sizeof why)) {
            snprintf(about, sizeof about, "map %s: ", service->maps[i]->name);
            add_reason(reasons, service, about, why);
            ready = false;
        }
    if (!node_group_usable(service->group, why, sizeof why)) {
        add_reason(reasons, service, "", why);
        ready = false;
    }
    return ready;
}
