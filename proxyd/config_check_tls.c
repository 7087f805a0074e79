/* SPDX-License-Identifier: ISC
 *
 * TLS in the configuration: certificates and keys are pairs, and all that is named can be used. A
 * context is made of every group of settings, for only OpenSSL knows what it takes; those of
 * listeners and nodes are kept by who asks for them. See config_check_parts.h. */
#include "base/mem.h"
#include "config_check_parts.h"
#include "option.h"

/* Takes the faults of the settings at `node`. */
struct faults {
    struct tls_faults faults;
    struct config_checking *c;
    struct yaml_node *node;
};

static void add_fault(struct tls_faults *to, const struct tls_fault *fault)
{
    const struct faults *f = OUTER(to, faults, faults);
    struct yaml_node *node = f->node;
    if (fault->sni)
        node = config_check_item(config_check_at(node, "sni"), fault->sni - 1);
    node = config_check_item(config_check_at(node, fault->option), fault->index);
    if (fault->warning)
        problem_warning(f->c->problems, node->value, "%s: %s", fault->option, fault->message);
    else
        option_error(node, f->c->problems, "%s: %s", fault->option, fault->message);
}

static bool check_pair(struct config_checking *c, struct yaml_node *node,
                       const struct strings *certificate, const struct strings *key)
{
    if (certificate->count != key->count)
        option_error(config_check_at(node, certificate->count > key->count ? "certificate" : "key"),
                     c->problems, "certificate and key must be pairs: there are %zu and %zu",
                     certificate->count, key->count);
    return certificate->count == key->count;
}

static bool check_sni(struct config_checking *c, struct yaml_node *list,
                      const struct tls_settings *settings)
{
    bool good = true;
    for (size_t i = 0; i < settings->sni_count; i++) {
        const struct tls_sni *sni = &settings->sni[i];
        struct yaml_node *node = config_check_item(list, i);
        if (sni->names.count == 0 || sni->certificate.count == 0)
            option_error(node, c->problems, "sni needs names, certificate and key");
        good = check_pair(c, node, &sni->certificate, &sni->key) && good;
    }
    return good;
}

struct tls_server *config_check_tls_server(struct config_checking *c, struct yaml_node *node,
                                           const struct tls_settings *settings, const char *alpn)
{
    struct faults f = {.faults.add = add_fault, .c = c, .node = node};
    bool paired = check_pair(c, node, &settings->certificate, &settings->key);
    paired = check_sni(c, config_check_at(node, "sni"), settings) && paired;
    struct tls_server *server = tls_server_new(settings, alpn, &f.faults);
    if (paired)
        return server;
    tls_server_free(server);
    return NULL;
}

struct tls_client *config_check_tls_client(struct config_checking *c, struct yaml_node *node,
                                           const char *ca_file, bool verify)
{
    struct faults f = {.faults.add = add_fault, .c = c, .node = node};
    return tls_client_new(ca_file, verify, &f.faults);
}
