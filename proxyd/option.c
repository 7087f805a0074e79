/* SPDX-License-Identifier: ISC
 *
 * The types of options: how a text in the configuration becomes a value, and what is said when it
 * is none. See option.h; the containers are in options_read.c. */
#include "option.h"

#include "base/file.h"
#include "base/mem.h"
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SECRET_FILE_MAX = 64 * 1024, /* bytes */
    CPUS_MAX = 256               /* more event loops than that are of no use */
};

static void *field_of(const struct option *o, void *base)
{
    return (char *)base + o->offset;
}

/* ---- messages ---- */

static void add_error(const struct yaml_node *node, struct problems *problems, const char *format,
                      va_list args)
{
    char *text = NULL;
    if (node->bad)
        return;
    if (vasprintf(&text, format, args) < 0)
        abort();
    problem_error(problems, node->kind == YAML_TREE_SCALAR ? node->value : node->place, "%s", text);
    free(text);
}

void option_error(struct yaml_node *node, struct problems *problems, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_error(node, problems, format, args);
    va_end(args);
}

void option_refuse(struct yaml_node *node, struct problems *problems, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_error(node, problems, format, args);
    va_end(args);
    node->bad = true;
}

struct option_near option_near_to(const char *text)
{
    return (struct option_near){.text = text, .distance = strlen(text) < 5 ? 2 : 3};
}

void option_near_offer(struct option_near *near, const char *word)
{
    unsigned distance = str_distance(near->text, word, near->distance);
    if (distance >= near->distance)
        return;
    near->distance = distance;
    near->best = word;
}

static char *list_words(const struct option_word *words)
{
    char *all = xstrdup("one of");
    for (const struct option_word *w = words; w->word; w++) {
        char *longer = xasprintf("%s%s %s", all, w > words ? "," : "", w->word);
        free(all);
        all = longer;
    }
    return all;
}

/* What stands at NODE instead of what should. */
static char *found(const struct yaml_node *node, bool secret)
{
    switch (node->kind) {
    case YAML_TREE_SCALAR:
        return secret ? xstrdup("") : xasprintf(", not '%.80s'", node->text);
    case YAML_TREE_LIST:
        return xstrdup(", not a list");
    case YAML_TREE_MAPPING:
        return xstrdup(", not a mapping");
    case YAML_TREE_NULL:
        break;
    }
    return xstrdup(", not nothing");
}

/* NODE is not what O wants. */
static void wrong(const struct option *o, struct yaml_node *node, struct problems *problems)
{
    bool scalar = node->kind == YAML_TREE_SCALAR, secret = o->type->secret;
    struct option_near near = option_near_to(scalar && !secret ? node->text : "");
    for (const struct option_word *w = o->words; w && w->word; w++)
        option_near_offer(&near, w->word);
    char *what = o->words ? list_words(o->words) : xstrdup(o->type->what);
    char *text = found(node, secret);
    option_refuse(node, problems, "%s must be %s%s%s%s%s%s" OPTION_NEAR_FORMAT, o->key, what,
                  o->min ? " from " : "", o->min ? o->min : "", o->max ? " to " : "",
                  o->max ? o->max : "", text, OPTION_NEAR(near));
    free(text);
    free(what);
}

/* ---- what scalars and lists have in common ---- */

static void read_scalar(const struct option *o, struct yaml_node *node, void *base,
                        struct problems *problems)
{
    void *field = field_of(o, base);
    if (node->kind == YAML_TREE_SCALAR && o->type->parse(o, node->text, field))
        return;
    wrong(o, node, problems);
    if (o->initial)
        o->type->parse(o, o->initial, field);
}

static void read_items(const struct option *o, struct yaml_node *node, void *base,
                       struct problems *problems)
{
    void *field = field_of(o, base);
    bool list = node->kind == YAML_TREE_LIST;
    for (struct yaml_node *item = list ? node->first : node; item; item = item->next) {
        if (item->kind != YAML_TREE_SCALAR || !o->type->parse(o, item->text, field))
            wrong(o, item, problems);
        if (!list)
            break;
    }
}

static void free_string(const struct option *o, void *base)
{
    char **field = field_of(o, base);
    if (*field) /* it may be a secret */
        mem_wipe(*field, strlen(*field));
    free(*field);
}

static void free_strings(const struct option *o, void *base)
{
    struct strings *field = field_of(o, base);
    for (size_t i = 0; i < field->count; i++)
        free(field->list[i]);
    free(field->list);
}

/* ---- numbers and words ---- */

struct unit {
    const char *name;
    uint64_t factor;
};

/* Digits, and one of UNITS behind them. */
static bool parse_units(const char *text, const struct unit *units, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    while (units->name && strcmp(text + digits, units->name) != 0)
        units++;
    if (!units->name || !str_number((struct str){text, digits}, UINT64_MAX / units->factor, value))
        return false;
    *value *= units->factor;
    return true;
}

static bool duration(const char *text, uint64_t *value)
{
    static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {0}};
    return parse_units(text, units, value);
}

static bool size(const char *text, uint64_t *value)
{
    static const struct unit units[] = {
        {"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {0}};
    return parse_units(text, units, value);
}

static bool number(const char *text, uint64_t *value)
{
    return str_number(str_of(text), UINT64_MAX, value);
}

static bool cpus(const char *text, uint64_t *value)
{
    cpu_set_t set;
    if (strcmp(text, "auto") != 0)
        return number(text, value);
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    *value = count < CPUS_MAX ? (uint64_t)count : CPUS_MAX;
    return true;
}

static bool in_bounds(const struct option *o, uint64_t value)
{
    uint64_t bound;
    return !(o->min && o->type->number(o->min, &bound) && value < bound) &&
           !(o->max && o->type->number(o->max, &bound) && value > bound);
}

static bool parse_number(const struct option *o, const char *text, void *field)
{
    uint64_t value;
    if (!o->type->number(text, &value) || !in_bounds(o, value))
        return false;
    uint16_t narrow = (uint16_t)value;
    unsigned plain = (unsigned)value;
    memcpy(field,
           o->type->width == sizeof narrow  ? (void *)&narrow
           : o->type->width == sizeof plain ? (void *)&plain
                                            : (void *)&value,
           o->type->width);
    return true;
}

static bool parse_word(const struct option *o, const char *text, void *field)
{
    for (const struct option_word *w = o->words; w->word; w++)
        if (str_is(str_of(text), w->word)) {
            memcpy(field, &w->value, sizeof w->value);
            return true;
        }
    return false;
}

static bool parse_boolean(const struct option *o, const char *text, void *field)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    (void)o;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_is(str_of(text), words[i])) {
            *(bool *)field = i % 2;
            return true;
        }
    return false;
}

const struct option_type option_boolean = {
    .name = "boolean",
    .what = "true or false",
    .plain = true,
    .read = read_scalar,
    .parse = parse_boolean,
};

const struct option_type option_number = {
    .name = "number",
    .what = "a number",
    .plain = true,
    .read = read_scalar,
    .parse = parse_number,
    .number = number,
    .width = sizeof(unsigned),
};

const struct option_type option_cpus = {
    .name = "number",
    .what = "auto or a number",
    .plain = true,
    .read = read_scalar,
    .parse = parse_number,
    .number = cpus,
    .width = sizeof(unsigned),
};

const struct option_type option_port = {
    .name = "port",
    .what = "a port number",
    .plain = true,
    .read = read_scalar,
    .parse = parse_number,
    .number = number,
    .width = sizeof(uint16_t),
};

const struct option_type option_duration = {
    .name = "duration",
    .what = "a duration with its unit (500ms, 5s, 10m, 1h)",
    .plain = true,
    .read = read_scalar,
    .parse = parse_number,
    .number = duration,
    .width = sizeof(uint64_t),
};

const struct option_type option_size = {
    .name = "size",
    .what = "a size in bytes (512, 64K, 16M, 1G)",
    .plain = true,
    .read = read_scalar,
    .parse = parse_number,
    .number = size,
    .width = sizeof(uint64_t),
};

const struct option_type option_word = {
    .name = "word",
    .what = "a word",
    .read = read_scalar,
    .parse = parse_word,
};

/* ---- texts ---- */

static bool is_clean(const char *text)
{
    return text[0] && !str_has_control(str_of(text));
}

static bool parse_string(const struct option *o, const char *text, void *field)
{
    (void)o;
    if (!is_clean(text))
        return false;
    *(char **)field = xstrdup(text);
    return true;
}

static bool parse_hostname(const struct option *o, const char *text, void *field)
{
    return addr_is_hostname(str_of(text)) && parse_string(o, text, field);
}

/* Why the file at PATH cannot be read, or NULL. Who opens a FIFO waits for somebody to write. */
static const char *trouble_with(const char *path)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return strerror(errno);
    fstat(fd, &st);
    close(fd);
    return S_ISDIR(st.st_mode) ? strerror(EISDIR) : S_ISFIFO(st.st_mode) ? "it is a FIFO" : NULL;
}

/* An error unless the file that NODE names can be read. */
static void check_readable(const struct option *o, struct yaml_node *node,
                           struct problems *problems)
{
    const char *trouble = trouble_with(node->text);
    if (trouble)
        option_refuse(node, problems, "%s: cannot read %.200s: %s", o->key, node->text, trouble);
}

static void read_file_name(const struct option *o, struct yaml_node *node, void *base,
                           struct problems *problems)
{
    read_scalar(o, node, base, problems);
    if (!node->bad)
        check_readable(o, node, problems);
}

static void read_file_names(const struct option *o, struct yaml_node *node, void *base,
                            struct problems *problems)
{
    read_items(o, node, base, problems);
    bool list = node->kind == YAML_TREE_LIST;
    for (struct yaml_node *item = list ? node->first : node; item; item = list ? item->next : NULL)
        if (!item->bad)
            check_readable(o, item, problems);
}

/* A text that begins like a reference to a file, but is none, is a mistake. */
static bool parse_secret(const struct option *o, const char *text, void *field)
{
    return strncmp(text, "${", 2) != 0 && parse_string(o, text, field);
}

/* The content of the file at PATH, which NODE names. Neither PATH, which might be the secret by
 * mistake, nor the content is told. */
static void read_content(const struct option *o, struct yaml_node *node, const char *path,
                         void *base, struct problems *problems)
{
    size_t n;
    const char *trouble = trouble_with(path);
    char *content = trouble ? NULL : file_read(path, SECRET_FILE_MAX, &n);
    char **field = field_of(o, base);
    if (!content) {
        option_refuse(node, problems, "%s: cannot read the file named here: %s", o->key,
                      trouble ? trouble : strerror(errno));
        return;
    }
    if (strlen(content) == n) {
        while (n && (content[n - 1] == '\n' || content[n - 1] == '\r'))
            content[--n] = 0;
        if (n)
            *field = content;
    }
    if (*field)
        return;
    option_refuse(node, problems, "%s: the file named here %s", o->key,
                  n ? "has NUL bytes in it" : "is empty");
    mem_wipe(content, n);
    free(content);
}

/* Whether NODE has what -T shows in the place of a secret: who feeds it to us is told. */
static bool is_masked(const struct option *o, const struct yaml_node *node,
                      struct problems *problems)
{
    bool masked = node->kind == YAML_TREE_SCALAR && strcmp(node->text, OPTION_MASK) == 0;
    if (masked)
        problem_warning(problems, node->value,
                        "%s: " OPTION_MASK " is what -T shows instead of a secret: put the secret "
                        "here, or where it is",
                        o->key);
    return masked;
}

/* PATH of "${file:PATH}" as a string of its own, or NULL. */
static char *file_reference(const char *text)
{
    static const char before[] = "${file:";
    size_t skip = sizeof before - 1, n = strlen(text);
    bool is = n > skip + 1 && strncmp(text, before, skip) == 0 && text[n - 1] == '}';
    return is ? xstrndup(text + skip, n - skip - 1) : NULL;
}

char *option_secret_path(const struct yaml_node *node)
{
    return node->kind == YAML_TREE_SCALAR ? file_reference(node->text) : NULL;
}

static void read_secret(const struct option *o, struct yaml_node *node, void *base,
                        struct problems *problems)
{
    char *path = option_secret_path(node);
    if (path)
        read_content(o, node, path, base, problems);
    else
        read_scalar(o, node, base, problems);
    free(path);
    is_masked(o, node, problems);
    const char *secret = *(char **)field_of(o, base);
    if (secret && str_has_control(str_of(secret)))
        option_refuse(node, problems, "%s has a control character in it", o->key);
}

static void read_secrets(const struct option *o, struct yaml_node *node, void *base,
                         struct problems *problems)
{
    char *path = option_secret_path(node);
    if (path)
        read_content(o, node, path, base, problems);
    else if (!is_masked(o, node, problems)) /* else there are none: it could not be one */
        read_scalar(o, node, base, problems);
    free(path);
}

static void read_folder(const struct option *o, struct yaml_node *node, void *base,
                        struct problems *problems)
{
    struct stat st;
    read_scalar(o, node, base, problems);
    if (node->bad)
        return;
    if (stat(node->text, &st) < 0)
        option_refuse(node, problems, "%s: cannot read %.200s: %s", o->key, node->text,
                      strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        option_refuse(node, problems, "%s: %.200s is no folder", o->key, node->text);
}

static bool parse_target(const struct option *o, const char *text, void *field)
{
    bool good = text[0] == '/' && text[1] != '/' && text[1] != '\\';
    for (const char *c = text; *c && good; c++)
        good = *c > ' ' && *c < 0x7f && !strchr("\"#<>\\^`{|}", *c);
    return good && parse_string(o, text, field);
}

static bool parse_token(const struct option *o, const char *text, void *field)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    bool good = text[0];
    for (const char *c = text; *c && good; c++)
        good = (unsigned char)*c < 0x80 && (isalnum((unsigned char)*c) || strchr(others, *c));
    return good && parse_string(o, text, field);
}

/* Many secrets in one text: one on each line of it. */
static bool parse_secrets(const struct option *o, const char *text, void *field)
{
    (void)o;
    if (!text[0] || strncmp(text, "${", 2) == 0)
        return false;
    *(char **)field = xstrdup(text);
    return true;
}

static void read_keys(const struct option *o, struct yaml_node *node, void *base,
                      struct problems *problems)
{
    if (node->kind != YAML_TREE_SCALAR) {
        wrong(o, node, problems);
        return;
    }
    char *path = file_reference(node->text);
    read_content(o, node, path ? path : node->text, base, problems);
    free(path);
}

const struct option_type option_string = {
    .name = "text",
    .what = "a text that is not empty and has no control characters",
    .read = read_scalar,
    .free = free_string,
    .parse = parse_string,
};

const struct option_type option_hostname = {
    .name = "host name",
    .what = "a host name",
    .read = read_scalar,
    .free = free_string,
    .parse = parse_hostname,
};

const struct option_type option_file = {
    .name = "file",
    .what = "the path of a file",
    .read = read_file_name,
    .free = free_string,
    .parse = parse_string,
};

const struct option_type option_secret = {
    .name = "secret",
    .what = "a text that is not empty, or \"${file:PATH}\"",
    .secret = true,
    .read = read_secret,
    .free = free_string,
    .parse = parse_secret,
};

const struct option_type option_folder = {
    .name = "folder",
    .what = "the path of a folder",
    .read = read_folder,
    .free = free_string,
    .parse = parse_string,
};

const struct option_type option_target = {
    .name = "path in a URL",
    .what = "a path in a URL, beginning with one / (/login, /?task=login)",
    .read = read_scalar,
    .free = free_string,
    .parse = parse_target,
};

const struct option_type option_token = {
    .name = "cookie name",
    .what = "a name as cookies have them: letters, digits and some signs",
    .read = read_scalar,
    .free = free_string,
    .parse = parse_token,
};

const struct option_type option_secrets = {
    .name = "secrets",
    .what = "one secret a line, or \"${file:PATH}\"",
    .secret = true,
    .read = read_secrets,
    .free = free_string,
    .parse = parse_secrets,
};

const struct option_type option_keys = {
    .name = "file",
    .what = "the path of a file",
    .read = read_keys,
    .free = free_string,
};

/* ---- addresses and protocols ---- */

static bool parse_address(const struct option *o, const char *text, void *field)
{
    struct config_address *address = field;
    struct addr numeric;
    struct str host;
    uint16_t port;
    (void)o;
    if (!is_clean(text) || !addr_split(str_of(text), &host, &port) ||
        (!addr_numeric(&numeric, host, port) && !addr_is_hostname(host)))
        return false;
    *address = (struct config_address){.host = xstrndup(host.p, host.n), .port = port};
    return true;
}

static void free_address(const struct option *o, void *base)
{
    free(((struct config_address *)field_of(o, base))->host);
}

static bool parse_ip(const struct option *o, const char *text, void *field)
{
    struct addr address;
    (void)o;
    if (!addr_numeric(&address, str_of(text), 0) || address.sa.sa_family == AF_UNIX)
        return false;
    *(struct addr *)field = address;
    return true;
}

static void read_protocol(const struct option *o, struct yaml_node *node, void *base,
                          struct problems *problems)
{
    const struct protocol **field = field_of(o, base);
    bool scalar = node->kind == YAML_TREE_SCALAR;
    struct option_near near = option_near_to(scalar ? node->text : "");
    for (const struct protocol *const *p = protocol_all(); *p; p++)
        option_near_offer(&near, (*p)->name);
    *field = scalar ? protocol_find(node->text) : NULL;
    if (!*field)
        option_refuse(node, problems, "%s: unknown protocol%s%.60s%s" OPTION_NEAR_FORMAT, o->key,
                      scalar ? " '" : "", scalar ? node->text : "", scalar ? "'" : "",
                      OPTION_NEAR(near));
}

const struct option_type option_address = {
    .name = "address",
    .what = "an address: HOST, HOST:PORT, \"[IPv6]:PORT\" or unix:/PATH",
    .read = read_scalar,
    .free = free_address,
    .parse = parse_address,
};

const struct option_type option_ip = {
    .name = "IP address",
    .what = "an IP address",
    .read = read_scalar,
    .parse = parse_ip,
};

const struct option_type option_protocol = {
    .name = "protocol",
    .read = read_protocol,
};

/* ---- lists ---- */

static bool parse_strings(const struct option *o, const char *text, void *field)
{
    struct strings *strings = field;
    (void)o;
    if (!is_clean(text))
        return false;
    strings->list = xrealloc(strings->list, (strings->count + 1) * sizeof *strings->list);
    strings->list[strings->count++] = xstrdup(text);
    return true;
}

/* To be taken apart later. */
static bool parse_address_text(const struct option *o, const char *text, void *field)
{
    struct config_address address;
    if (!parse_address(o, text, &address))
        return false;
    free(address.host);
    return parse_strings(o, text, field);
}

static bool parse_tls_name(const struct option *o, const char *text, void *field)
{
    bool star = strncmp(text, "*.", 2) == 0;
    return addr_is_hostname(str_of(star ? text + 2 : text)) && parse_strings(o, text, field);
}

static bool parse_network(const struct option *o, const char *text, void *field)
{
    struct config_networks *networks = field;
    struct network network;
    (void)o;
    if (!network_parse(&network, str_of(text)))
        return false;
    networks->list = xrealloc(networks->list, (networks->count + 1) * sizeof *networks->list);
    networks->list[networks->count++] = network;
    return true;
}

static void free_networks(const struct option *o, void *base)
{
    free(((struct config_networks *)field_of(o, base))->list);
}

static bool parse_mechanism(const struct option *o, const char *text, void *field)
{
    unsigned mech;
    if (!parse_word(o, text, &mech))
        return false;
    *(unsigned *)field |= 1u << mech;
    return true;
}

static bool parse_status(const struct option *o, const char *text, void *field)
{
    struct config_statuses *statuses = field;
    uint64_t status;
    (void)o;
    if (!number(text, &status) || status < 200 || status > 599 ||
        statuses->count == CONFIG_STATUSES_MAX)
        return false;
    statuses->list[statuses->count++] = (uint16_t)status;
    return true;
}

const struct option_type option_strings = {
    .name = "list of texts",
    .what = "a text, or a list of texts",
    .read = read_items,
    .free = free_strings,
    .parse = parse_strings,
};

const struct option_type option_addresses = {
    .name = "address or list of addresses",
    .what = "an address: HOST:PORT, \"[IPv6]:PORT\" or unix:/PATH",
    .read = read_items,
    .free = free_strings,
    .parse = parse_address_text,
};

const struct option_type option_files = {
    .name = "file or list of files",
    .what = "the path of a file, or a list of these",
    .read = read_file_names,
    .free = free_strings,
    .parse = parse_strings,
};

const struct option_type option_tls_names = {
    .name = "list of names",
    .what = "a host name or \"*.DOMAIN\"",
    .read = read_items,
    .free = free_strings,
    .parse = parse_tls_name,
};

const struct option_type option_networks = {
    .name = "list of networks",
    .what = "a network (192.0.2.0/24, \"2001:db8::/32\"; no bits set behind the prefix)",
    .read = read_items,
    .free = free_networks,
    .parse = parse_network,
};

const struct option_type option_mechanisms = {
    .name = "list of mechanisms",
    .what = "a mechanism",
    .read = read_items,
    .parse = parse_mechanism,
};

const struct option_type option_statuses = {
    .name = "list of HTTP statuses",
    .what = "a status of HTTP from 200 to 599, or a list of up to 16 such",
    .plain = true,
    .read = read_items,
    .parse = parse_status,
};
