/* SPDX-License-Identifier: ISC
 *
 * What there is to be seen of nodes, for metrics, pages, orders and load balancers: see node.h. */
#include "base/mem.h"
#include "node_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned strokes; /* of node_sample */

/* ---- can they be used? ---- */

/* Of a service: why it has the node. */
enum role { ROLE_CONFIGURED, ROLE_MAP, ROLE_FAILOVER, ROLE_NONE };

static enum role role_of(const struct node *node)
{
    if (!node->wanted)
        return ROLE_NONE;
    return node->failover ? ROLE_FAILOVER : node->configured ? ROLE_CONFIGURED : ROLE_MAP;
}

/* How many nodes of G are in ROLE, and how many of these take logins; WHY has the trouble of one
 * that does not. */
static unsigned count_role(struct node_group *g, enum role role, unsigned *well, char *why,
                           size_t size)
{
    unsigned count = 0;
    *well = 0;
    for (size_t i = 0; i < NODE_BUCKETS; i++)
        for (struct node *node = g->table[i]; node; node = node->next) {
            if (role_of(node) != role)
                continue;
            count++;
            pthread_mutex_lock(&node->lock);
            if (node->up && !node->drained)
                ++*well;
            else
                snprintf(why, size, "%s: %s", node_name(node),
                         node->drained ? "drained" : node->trouble);
            pthread_mutex_unlock(&node->lock);
        }
    return count;
}

bool node_group_usable(struct node_group *group, char *why, size_t size)
{
    unsigned count = 0, well = 0;
    char trouble[NODE_TROUBLE + 64];
    pthread_mutex_lock(&node_groups.lock);
    for (enum role role = ROLE_CONFIGURED; role < ROLE_NONE && count == 0; role++)
        count = count_role(group, role, &well, trouble, sizeof trouble);
    pthread_mutex_unlock(&node_groups.lock);
    if (count == 0 || well)
        return true;
    snprintf(why, size, "none of %u nodes is up (%s)", count, trouble);
    return false;
}

/* ---- the list ---- */

/* References on those nodes of G that there is something to be said about, behind the COUNT that
 * NODES has. */
static struct node **add_group(struct node_group *g, struct node **nodes, size_t *count)
{
    pthread_mutex_lock(&node_groups.lock);
    if (g->current)
        nodes = xrealloc(nodes, (*count + g->count + 1) * sizeof *nodes);
    for (size_t i = 0; i < NODE_BUCKETS && g->current; i++)
        for (struct node *node = g->table[i]; node; node = node->next)
            if (node->wanted || atomic_load(&node->references)) {
                atomic_fetch_add(&node->references, 1);
                nodes[(*count)++] = node;
            }
    pthread_mutex_unlock(&node_groups.lock);
    return nodes;
}

static struct node_state state_of(struct node *node)
{
    struct node_state state = {.node = node,
                               .service = node->group->service,
                               .name = node_name(node),
                               .max_connections = atomic_load(&node->group->max_connections),
                               .rejected =
                                   atomic_load_explicit(&node->rejected, memory_order_relaxed)};
    for (unsigned i = 0; i < NODE_RECENT; i++)
        state.recent[i] = node->recent[(strokes + i) % NODE_RECENT];
    pthread_mutex_lock(&node->lock);
    state.up = node->up;
    state.drained = node->drained;
    state.active = node->active;
    state.waiting = node->waiting;
    memcpy(state.trouble, node->trouble, sizeof state.trouble);
    pthread_mutex_unlock(&node->lock);
    return state;
}

static int by_service_and_name(const void *a, const void *b)
{
    const struct node *left = *(struct node *const *)a, *right = *(struct node *const *)b;
    int order = strcmp(left->group->service, right->group->service);
    return order ? order : strcmp(node_name(left), node_name(right));
}

/* Only collecting the nodes takes the lock that logins take too. */
struct node_state *node_list(size_t *count)
{
    struct node **nodes = xmalloc(sizeof *nodes);
    *count = 0;
    pthread_mutex_lock(&node_groups.lock);
    struct node_group *first = node_groups.first;
    pthread_mutex_unlock(&node_groups.lock);
    for (struct node_group *g = first; g; g = g->next)
        nodes = add_group(g, nodes, count);
    qsort(nodes, *count, sizeof *nodes, by_service_and_name);
    struct node_state *list = xcalloc(*count + 1, sizeof *list);
    for (size_t i = 0; i < *count; i++)
        list[i] = state_of(nodes[i]);
    free(nodes);
    return list;
}

void node_list_free(struct node_state *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        node_unref(list[i].node);
    free(list);
}

void node_sample(void)
{
    size_t count;
    struct node_state *list = node_list(&count);
    for (size_t i = 0; i < count; i++)
        list[i].node->recent[strokes % NODE_RECENT] =
            list[i].active < UINT16_MAX ? (uint16_t)list[i].active : UINT16_MAX;
    strokes++;
    node_list_free(list, count);
}
