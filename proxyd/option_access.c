/* SPDX-License-Identifier: ISC
 *
 * The type of option that is a list of networks to allow and to deny: read, compiled (access.h),
 * and searched for rules that can never be reached. See option.h. */
#include "option.h"

#include "base/mem.h"
#include "config.h"

#include <stdlib.h>
#include <string.h>

static bool parse_network(const char *text, struct network *network)
{
    return network_parse(network, str_of(strcmp(text, "all") == 0 ? "::/0" : text));
}

/* One of the list; false, and said so, when it is none. */
static bool read_rule(struct yaml_node *item, struct access_rule *rule, struct problems *problems)
{
    struct yaml_node *only = item->kind == YAML_TREE_MAPPING ? item->first : NULL;
    if (!only || only->next) {
        option_refuse(item, problems, "a rule must be {allow: NETWORK} or {deny: NETWORK}");
        return false;
    }
    struct option_near near = option_near_to(only->key);
    option_near_offer(&near, "allow");
    option_near_offer(&near, "deny");
    rule->allow = strcmp(only->key, "allow") == 0;
    if (!rule->allow && strcmp(only->key, "deny") != 0) {
        option_refuse(item, problems, "unknown key '%.80s'" OPTION_NEAR_FORMAT, only->key,
                      OPTION_NEAR(near));
        return false;
    }
    bool scalar = only->kind == YAML_TREE_SCALAR;
    if (scalar && parse_network(only->text, &rule->network))
        return true;
    option_refuse(only, problems,
                  "%s must be a network (192.0.2.0/24, \"2001:db8::/32\"; no bits set behind the "
                  "prefix) or all%s%.80s%s",
                  only->key, scalar ? ", not '" : "", scalar ? only->text : "", scalar ? "'" : "");
    return false;
}

/* Rules that another one before them leaves nothing to. PLACES are theirs. */
static void find_unreached(const struct config_access *access, const struct place *places,
                           struct problems *problems)
{
    for (size_t i = 0; i < access->count; i++) {
        const struct access_rule *rule = &access->rules[i];
        size_t first = (size_t)(access_find(access->compiled, &rule->network) - access->rules);
        if (first < i)
            problem_warning(problems, places[i],
                            "never reached: the rule at line %u has all of this network",
                            places[first].line);
    }
}

static size_t count_items(const struct yaml_node *list)
{
    size_t n = 0;
    for (const struct yaml_node *item = list->first; item; item = item->next)
        n++;
    return n;
}

static void read_access(const struct option *o, struct yaml_node *node, void *base,
                        struct problems *problems)
{
    struct config_access *access = (void *)((char *)base + o->offset);
    if (node->kind != YAML_TREE_LIST) {
        option_refuse(node, problems, "%s must be %s", o->key, o->type->what);
        return;
    }
    size_t room = count_items(node);
    struct place *places = xcalloc(room + 1, sizeof *places);
    access->rules = xcalloc(room + 1, sizeof *access->rules);
    for (struct yaml_node *item = node->first; item; item = item->next) {
        places[access->count] = item->place;
        access->count += read_rule(item, &access->rules[access->count], problems);
    }
    if (access->count)
        access->compiled = access_new(access->rules, access->count);
    find_unreached(access, places, problems);
    free(places);
}

static void free_access(const struct option *o, void *base)
{
    struct config_access *access = (void *)((char *)base + o->offset);
    access_free(access->compiled);
    free(access->rules);
}

const struct option_type option_access = {
    .name = "list of rules",
    .what = "a list of {allow: NETWORK} and {deny: NETWORK}",
    .read = read_access,
    .free = free_access,
};
