/* SPDX-License-Identifier: ISC
 *
 * Where a request came from: see origin.h. */
#include "web/origin.h"

/* Cuts the last entry off LIST, which has commas between them. */
static struct str cut_last(struct str *list)
{
    const char *comma = memrchr(list->p, ',', list->n);
    size_t before = comma ? (size_t)(comma - list->p) : 0;
    struct str rest = comma ? (struct str){comma + 1, list->n - before - 1} : *list;
    list->n = before;
    return str_word(&rest);
}

/* With a port or without (some balancers tell it). */
static bool read_address(struct str entry, struct addr *address)
{
    struct addr a;
    struct str host;
    uint16_t port;
    if (!addr_split(entry, &host, &port) || !addr_numeric(&a, host, port) ||
        a.sa.sa_family == AF_UNIX)
        return false;
    addr_from_sockaddr(address, &a.sa, a.len);
    return true;
}

struct addr origin_of(const struct client *c, const struct http_head *head)
{
    const struct config_networks *trusted = &c->config->global.trusted_networks;
    struct addr origin = c->address;
    bool goes_on = client_is_trusted(c);
    for (size_t i = head->field_count; goes_on && i-- > 0;) {
        struct str list = head->fields[i].value;
        if (head->fields[i].id != HTTP_FIELD_X_FORWARDED_FOR)
            continue;
        while (goes_on && list.n)
            goes_on = read_address(cut_last(&list), &origin) &&
                      network_match(trusted->list, trusted->count, &origin);
    }
    return origin;
}
