/* SPDX-License-Identifier: ISC
 *
 * What the files that check the configuration have in common: config_check.c calls the others, in
 * this order. Each says what is wrong at the place where it is written. */
#ifndef CONFIG_CHECK_PARTS_H
#define CONFIG_CHECK_PARTS_H

#include "config.h"
#include "yaml_tree.h"

struct config_checking {
    struct config *config;
    struct yaml_node *tree; /* it was read from */
    struct problems *problems;
};

/* Where a problem of SECTION's option at PATH (keys with dots between) is shown: at the option, or
 * where it was not written, at the section that it would be in. */
struct yaml_node *config_check_at(struct yaml_node *section, const char *path);

/* The same for an item of a list; of a scalar in the place of a list, that. */
struct yaml_node *config_check_item(struct yaml_node *list, size_t index);

/* The context by SETTINGS, which stand at NODE, for the protocol whose ALPN name is ALPN; every
 * fault is told, and NULL returned where there is one. */
struct tls_server *config_check_tls_server(struct config_checking *c, struct yaml_node *node,
                                           const struct tls_settings *settings, const char *alpn);

/* The same to connect with: NODE is the section in which ca_file would stand. */
struct tls_client *config_check_tls_client(struct config_checking *c, struct yaml_node *node,
                                           const char *ca_file, bool verify);

/* The address to BIND for HOST and PORT, which stand at NODE; of a name the first one. */
void config_check_bind(struct config_checking *c, struct yaml_node *node, struct str host,
                       uint16_t port, struct addr *bind);

/* Checks the connectors and makes them: config->directories. */
void config_check_ldap(struct config_checking *c);

/* The map made by SETTING, of an LDAP type, which stands at NODE; NULL where something is wrong. */
struct map *config_check_ldap_map(struct config_checking *c, const struct config_map *setting,
                                  struct yaml_node *node);

/* Checks what only a webmail service has. NODE is where SERVICE is. */
void config_check_web(struct config_checking *c, struct config_service *service,
                      struct yaml_node *node);

/* Whether limits can be reached: those of all, and those of SERVICE, which is at NODE. */
void config_check_global_limits(struct config_checking *c);
void config_check_limits(struct config_checking *c, const struct config_service *service,
                         struct yaml_node *node);

/* Checks the services, after the maps and nodes that they name, and makes their TLS contexts. */
void config_check_services(struct config_checking *c);

/* Checks what only SERVICE, of port 25 or LMTP, which stands at NODE, has. */
void config_check_mail(struct config_checking *c, struct config_service *service,
                       struct yaml_node *node);

#endif
