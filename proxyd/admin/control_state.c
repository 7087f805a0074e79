/* SPDX-License-Identifier: ISC
 *
 * Orders for the next process: see control_state.h. */
#include "admin/control_state.h"

#include "hold.h"
#include "node.h"

#include <jansson.h>
#include <stdlib.h>

/* NAMES are freed. Keys and logins came as JSON, so that they are UTF-8. */
static json_t *write_names(struct names names)
{
    json_t *list = json_array();
    for (size_t i = 0; i < names.count; i++)
        json_array_append_new(list, json_string(names.list[i]));
    names_free(&names);
    return list;
}

static struct names read_names(const json_t *list)
{
    size_t i;
    json_t *name;
    struct names names = {0};
    json_array_foreach(list, i, name)
    {
        if (json_is_string(name))
            names_add(&names, json_string_value(name));
    }
    return names;
}

char *control_state_write(void)
{
    json_t *state = json_pack("{s:o,s:o}", "drained", write_names(node_drained()), "held",
                              write_names(hold_list()));
    char *text = json_dumps(state, JSON_COMPACT);
    json_decref(state);
    return text;
}

bool control_state_read(struct str text)
{
    json_t *state = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL),
           *drained = json_object_get(state, "drained"), *held = json_object_get(state, "held");
    bool good = json_is_array(drained) && json_is_array(held);
    struct names keys = read_names(drained), emails = read_names(held);
    if (good) {
        node_drain_again(&keys);
        hold_add_all(&emails);
    }
    names_free(&keys);
    names_free(&emails);
    json_decref(state);
    return good;
}
