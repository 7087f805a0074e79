/* SPDX-License-Identifier: ISC
 *
 * What only services of port 25 and LMTP have, as a whole: see config_check_parts.h. */
#include "config_check_parts.h"
#include "option.h"

#include <string.h>

/* All of IPv6, or all of IPv4 within it. */
static bool is_everybody(const struct network *n)
{
    static const unsigned char ipv4[12] = {[10] = 0xff, [11] = 0xff};
    return n->prefix == 0 || (n->prefix == 96 && memcmp(n->bytes, ipv4, sizeof ipv4) == 0);
}

static bool has_everybody(const struct config_networks *networks)
{
    for (size_t i = 0; i < networks->count; i++)
        if (is_everybody(&networks->list[i]))
            return true;
    return false;
}

/* Nobody may become an open relay by a slip. */
static void check_relay(struct config_checking *c, const struct config_mail *mail,
                        struct yaml_node *service)
{
    struct yaml_node *networks = config_check_at(service, "relay_networks");
    if (mail->relay.host && has_everybody(&mail->relay_networks))
        option_error(networks, c->problems,
                     "relay_networks must not be everybody: this would be an open relay");
    else if (mail->relay.host && mail->relay_networks.count == 0 && !networks->bad)
        problem_warning(c->problems, config_check_at(service, "relay")->place,
                        "the relay is used by nobody: relay_networks is empty");
    else if (!mail->relay.host && mail->relay_networks.count > 0 &&
             !config_check_at(service, "relay")->bad)
        problem_warning(c->problems, networks->place,
                        "relay_networks is not used: there is no relay");
}

void config_check_mail(struct config_checking *c, struct config_service *service,
                       struct yaml_node *node)
{
    const struct config_mail *mail = &service->mail;
    struct yaml_node *maps = config_check_at(node, "maps");
    check_relay(c, mail, node);
    if (service->map_names.count == 0 && !mail->relay.host && !maps->bad)
        problem_warning(c->problems, node->place,
                        "service '%.60s' has neither maps nor a relay: every recipient is refused",
                        service->name);
    else if (mail->domains.count == 0 && !config_check_at(node, "domains")->bad)
        problem_warning(c->problems, node->place,
                        "service '%.60s' has no domains: recipients that no entry of a map names, "
                        "or the domain of, are refused",
                        service->name);
}
