/* SPDX-License-Identifier: ISC
 *
 * The type of option that is a list of networks to allow and to deny: read, compiled (access.h),
 * and searched for rules that can never be reached. See option.h. */
#include "option.h"

#include "base/mem.h"
#include "config.h"

#include <stdlib.h>
#include <string.h>

static bool parse_rules(const char *text, bool allow, struct access_rule *rules, size_t *count)
{
    struct network network;
    bool all = strcmp(text, "all") == 0;
    if (!network_parse(&network, str_of(all ? "0.0.0.0/0" : text)))
        return false;
    rules[(*count)++] = (struct access_rule){network, allow};
    if (all && network_parse(&network, str_of("::/0")))
        rules[(*count)++] = (struct access_rule){network, allow};
    return true;
}

/* Puts one of the list, which may be two, behind the COUNT that there are in RULES. */
static void read_rule(struct yaml_node *item, struct access_rule *rules, size_t *count,
                      struct problems *problems)
{
    struct yaml_node *only = item->kind == YAML_TREE_MAPPING ? item->first : NULL;
    if (!only || only->next) {
        option_refuse(item, problems, "a rule must be {allow: NETWORK} or {deny: NETWORK}");
        return;
    }
    struct option_near near = option_near_to(only->key);
    option_near_offer(&near, "allow");
    option_near_offer(&near, "deny");
    bool allow = strcmp(only->key, "allow") == 0, scalar = only->kind == YAML_TREE_SCALAR;
    if (!allow && strcmp(only->key, "deny") != 0)
        option_refuse(item, problems, "unknown key '%.80s'" OPTION_NEAR_FORMAT, only->key,
                      OPTION_NEAR(near));
    else if (!scalar || !parse_rules(only->text, allow, rules, count))
        option_refuse(only, problems,
                      "%s must be a network (192.0.2.0/24, \"2001:db8::/32\"; no bits set behind "
                      "the prefix) or all%s%.80s%s",
                      only->key, scalar ? ", not '" : "", scalar ? only->text : "",
                      scalar ? "'" : "");
}

/* The rule that leaves nothing to the one at I, or that one. */
static size_t first_of(const struct config_access *access, size_t i)
{
    return (size_t)(access_find(access->compiled, &access->rules[i].network) - access->rules);
}

/* Rules that others before them leave nothing to. PLACES are theirs; `all` is two at one place. */
static void find_unreached(const struct config_access *access, const struct place *places,
                           struct problems *problems)
{
    for (size_t i = 0; i < access->count; i++) {
        size_t first = first_of(access, i), at = i;
        bool pair = i + 1 < access->count && places[i + 1].line == places[i].line &&
                    places[i + 1].column == places[i].column;
        i += pair;
        if (first < at && (!pair || first_of(access, i) < at))
            problem_warning(problems, places[at],
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
    size_t room = 2 * count_items(node) + 1;
    struct place *places = xcalloc(room, sizeof *places);
    access->rules = xcalloc(room, sizeof *access->rules);
    for (struct yaml_node *item = node->first; item; item = item->next) {
        size_t before = access->count;
        read_rule(item, access->rules, &access->count, problems);
        for (size_t i = before; i < access->count; i++)
            places[i] = item->place;
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
