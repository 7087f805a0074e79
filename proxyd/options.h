/* SPDX-License-Identifier: ISC
 *
 * THE table of options (options.c), and what follows from it: reading a YAML tree into struct
 * config, the effective configuration (-T), the manual page and the files of conf.d. An option is
 * added by a row. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "option.h"

#include <stdio.h>

/* The rows at the top of a configuration. */
extern const struct option options[];

/* Puts a node for every option of OPTIONS that MAPPING does not set into it, with the default, or
 * null; takes named sections that set nothing out. */
void options_complete(const struct option *rows, struct yaml_node *mapping);

/* Reads MAPPING into the struct at BASE, all zero. What is wrong goes to PROBLEMS; the struct can
 * be freed in any case. An option of IMAP services that other protocols have no use for is no more
 * than a warning there. */
void options_read(const struct option *rows, struct yaml_node *mapping, void *base,
                  struct problems *problems);

/* Frees what the fields of the struct at BASE own. */
void options_free(const struct option *rows, void *base);

/* Prints MAPPING, which is complete and without errors, as YAML, each value with its place. */
void options_print(const struct option *rows, const struct yaml_node *mapping, FILE *out);

/* Prints the section of the manual page that explains the rows (mdoc). */
void options_print_manual(const struct option *rows, FILE *out);

/* Prints the section at the top called SECTION, or the service of that protocol, as YAML with all
 * its options commented out, for conf.d; false when there is no such. */
bool options_print_example(const char *section, FILE *out);

#endif
