/* SPDX-License-Identifier: ISC
 *
 * What an option must not be together with another one, and what the options name: maps, files,
 * certificates, addresses. The second half of config_load; called by config.c alone. */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "config.h"
#include "yaml_tree.h"

/* Checks CONFIG, which was read from TREE, and loads and resolves what it names. */
void config_check(struct config *config, struct yaml_node *tree, struct problems *problems);

#endif
