/* SPDX-License-Identifier: ISC
 *
 * What an option is: a row of a table (options.c) with a type, bounds, a default and a line of
 * help; and the types there are. A type reads the value at one key into one field and frees it. */
#ifndef OPTION_H
#define OPTION_H

#include "base/problem.h"
#include "yaml_tree.h"

#include <stdint.h>

struct option;

struct option_type {
    const char *name; /* as the manual says it */
    const char *what; /* as messages say it: "must be WHAT" */
    bool plain;       /* its text stands in YAML without quotes */
    bool secret;      /* never shown */

    /* Reads NODE, which is no null, into the field of the struct at BASE. What is wrong goes to
     * PROBLEMS; then the field has the default, or nothing. */
    void (*read)(const struct option *o, struct yaml_node *node, void *base,
                 struct problems *problems);
    /* Frees what the field owns. NULL: nothing. */
    void (*free)(const struct option *o, void *base);

    /* For the `read` that scalars and lists share: takes one text into the field, or adds it
     * there; false when it is not WHAT. */
    bool (*parse)(const struct option *o, const char *text, void *field);
    /* For the `parse` that numbers share, which keeps the bounds, and the bytes of the field. */
    bool (*number)(const char *text, uint64_t *value);
    size_t width;
};

/* A word that stands for a value of an enum. */
struct option_word {
    const char *word;
    unsigned value;
};

/* A row. Tables end with one that has no type. */
struct option {
    const char
        *key; /* NULL: the rows of `options` may stand in this mapping too, without defaults */
    const struct option_type *type;
    size_t offset;                   /* of its field in the struct of its section */
    const char *min, *max;           /* bounds, written as values are */
    const char *initial;             /* the default, in YAML; NULL: none */
    const char *example;             /* where there is no default; of named sections: a name */
    const char *help;                /* one line */
    const struct option_word *words; /* of an enum */
    const struct option *options;    /* of a section */
    size_t size, count;              /* of arrays: of an element, offset of their number */
    unsigned engines;                /* bits 1u << ENGINE_*: of services of these only; 0: of all */
};

/* Whether O is for sections of ENGINES (of a yaml_node; 0: not known). */
static inline bool option_is_for(const struct option *o, unsigned engines)
{
    return !o->engines || !engines || (o->engines & engines);
}

/* Scalars. The field is: */
extern const struct option_type option_boolean;  /* bool */
extern const struct option_type option_number;   /* unsigned */
extern const struct option_type option_cpus;     /* unsigned; "auto": the CPUs we may use */
extern const struct option_type option_port;     /* uint16_t */
extern const struct option_type option_duration; /* uint64_t, ms */
extern const struct option_type option_size;     /* uint64_t, bytes */
extern const struct option_type option_word;     /* an enum: one of `words` */
extern const struct option_type option_string;   /* char * without control characters */
extern const struct option_type option_hostname; /* char * */
extern const struct option_type option_file;     /* char *: the path of a file that can be read */
extern const struct option_type option_folder;   /* char *: the path of a folder */
extern const struct option_type option_target;   /* char *: "/PATH" or "/PATH?QUERY" of a URL */
extern const struct option_type option_token;    /* char *: a cookie's name (RFC 9110, 5.6.2) */
extern const struct option_type option_secret;   /* char *: itself, or "${file:PATH}" */
extern const struct option_type option_secrets;  /* char *: the same, several, one a line */
extern const struct option_type option_keys;     /* char *: the content of the file named */
extern const struct option_type option_address;  /* struct config_address */
extern const struct option_type option_ip;       /* struct addr */
extern const struct option_type option_protocol; /* const struct protocol * */

/* Lists. */
extern const struct option_type option_strings;    /* struct strings */
extern const struct option_type option_addresses;  /* struct strings, as option_address */
extern const struct option_type option_files;      /* struct strings, of files that can be read */
extern const struct option_type option_tls_names;  /* struct strings, of names or "*.NAME" */
extern const struct option_type option_networks;   /* struct config_networks */
extern const struct option_type option_access;     /* struct config_access (option_access.c) */
extern const struct option_type option_mechanisms; /* unsigned, bits 1u << SASL_* */
extern const struct option_type option_statuses;   /* struct config_statuses */

/* Containers (options_read.c): a mapping of `options`, whose fields are in the same struct or in
 * one at the offset; a list of such; a mapping of any names to such; a mapping of any names to
 * scalars, of which `options` has the one row. The field of the last three is a pointer to an array
 * of structs of `size`; one that has a name begins with it, a char *. */
extern const struct option_type option_section;
extern const struct option_type option_list;
extern const struct option_type option_named;
extern const struct option_type option_pairs;

/* What is shown in the place of a secret. */
#define OPTION_MASK "********"

/* PATH where NODE, which stands at an option_secret or option_secrets, is "${file:PATH}": the
 * caller's to free. Else NULL. */
char *option_secret_path(const struct yaml_node *node);

/* Adds an error about NODE (where its value is, or a section's key) unless it was refused. */
void option_error(struct yaml_node *node, struct problems *problems, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As option_error, and NODE is refused: there is nothing more to be said about it. */
void option_refuse(struct yaml_node *node, struct problems *problems, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Looks for the word that TEXT is a slip of: begin with option_near_to, offer every word that there
 * is; `best` is the answer, or NULL. */
struct option_near {
    const char *text, *best;
    unsigned distance;
};
struct option_near option_near_to(const char *text);
void option_near_offer(struct option_near *near, const char *word);

/* Adds to an error about NODE, whose key or text NEAR was begun with, which word was meant. */
#define OPTION_NEAR_FORMAT "%s%s%s"
#define OPTION_NEAR(near)                                                                          \
    (near).best ? "; did you mean '" : "", (near).best ? (near).best : "", (near).best ? "'?" : ""

#endif
