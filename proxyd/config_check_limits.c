/* SPDX-License-Identifier: ISC
 *
 * Limits in the configuration: those that can never be reached, for another one of the same level
 * or of the level above is, are told. See config_check_parts.h. */
#include "config_check_parts.h"
#include "option.h"

/* One limit of a level. */
struct limit {
    const char *key;
    size_t offset;     /* in struct config_limits */
    bool timed;        /* in an interval */
    const char *whole; /* of the level: what includes that of an address, or NULL */
    size_t whole_offset;
};

#define AT(member) offsetof(struct config_limits, member)

static const struct limit table[] = {
    {"connections", AT(connections), false, NULL, 0},
    {"connections_per_ip", AT(connections_per_ip), false, "connections", AT(connections)},
    {"rate", AT(rate), true, NULL, 0},
    {"rate_per_ip", AT(rate_per_ip), true, "rate", AT(rate)},
    {"auth_failures_per_ip", AT(auth_failures_per_ip), true, NULL, 0},
};

static unsigned value(const struct config_limits *limits, size_t offset)
{
    return *(const unsigned *)((const char *)limits + offset);
}

/* LIMITS are at NODE; those of the level above it, called ABOVE, hold too. */
static void check(struct config_checking *c, const struct config_limits *limits,
                  struct yaml_node *node, const struct config_limits *outer, const char *above)
{
    if (!node || node->kind != YAML_TREE_MAPPING)
        return; /* the reader has said so */
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct limit *limit = &table[i];
        unsigned own = value(limits, limit->offset);
        unsigned whole = limit->whole ? value(limits, limit->whole_offset) : 0;
        unsigned more = outer ? value(outer, limit->offset) : 0;
        struct place place = config_check_at(node, limit->key)->value;
        if (whole && own > whole)
            problem_warning(c->problems, place, "%s is never reached: %s is %u", limit->key,
                            limit->whole, whole);
        if (more && own > more && (!limit->timed || limits->interval == outer->interval))
            problem_warning(c->problems, place, "%s is never reached: that of %.60s is %u",
                            limit->key, above, more);
    }
}

void config_check_limits(struct config_checking *c, const struct config_service *service,
                         struct yaml_node *node)
{
    const struct config_limits *global = &c->config->global.limits;
    struct yaml_node *listeners = config_check_at(node, "listeners");
    check(c, &service->limits, yaml_tree_get(node, "limits"), global, "global");
    for (size_t i = 0; i < service->listener_count; i++) {
        struct yaml_node *item = config_check_item(listeners, i);
        check(c, &service->listeners[i].limits, yaml_tree_get(item, "limits"), &service->limits,
              service->name);
    }
}

void config_check_global_limits(struct config_checking *c)
{
    struct yaml_node *node = yaml_tree_get(yaml_tree_get(c->tree, "global"), "limits");
    check(c, &c->config->global.limits, node, NULL, NULL);
}
