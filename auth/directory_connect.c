/* SPDX-License-Identifier: ISC
 *
 * Connecting to an LDAP server: see directory_connect.h. Each step gets what is left of the time.
 * The machine's ldap.conf and LDAP* variables have no say (LDAPNOINIT, set in directory.c). */
#include "auth/directory_connect.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FAST_BIND     "1.2.840.113556.1.4.1781" /* LDAP_SERVER_FAST_BIND_OID */
#define SYSTEM_CAS    "/etc/ssl/certs/ca-certificates.crt"
#define STEP_AT_LEAST 10 /* ms */

struct making {
    const struct directory_settings *settings;
    LDAP *ld;
    uint64_t deadline; /* ms */
    const char *what;  /* being done, for the error */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Why the last operation on LD, WHAT, failed with CODE, in words. */
static void explain(char error[DIRECTORY_ERROR_MAX], LDAP *ld, const char *what, int code)
{
    char *more = NULL;
    if (ld)
        ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
    snprintf(error, DIRECTORY_ERROR_MAX, "%s: %s%s%s%s", what, ldap_err2string(code),
             more && *more ? " (" : "", more ? more : "", more && *more ? ")" : "");
    ldap_memfree(more);
}

/* What is left of the time bounds the next step. */
static void begin(struct making *m, const char *what)
{
    uint64_t now = now_ms();
    uint64_t left = m->deadline > now + STEP_AT_LEAST ? m->deadline - now : STEP_AT_LEAST;
    struct timeval limit = {(time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000)};
    m->what = what;
    ldap_set_option(m->ld, LDAP_OPT_NETWORK_TIMEOUT, &limit);
    ldap_set_option(m->ld, LDAP_OPT_TIMEOUT, &limit);
}

static int set_tls(const struct making *m)
{
    int require = m->settings->verify ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER, server = 0;
    const char *cas = m->settings->ca_file ? m->settings->ca_file : SYSTEM_CAS;
    ldap_set_option(m->ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &require);
    if (m->settings->verify)
        ldap_set_option(m->ld, LDAP_OPT_X_TLS_CACERTFILE, cas);
    return ldap_set_option(m->ld, LDAP_OPT_X_TLS_NEWCTX, &server);
}

static int bind_as_configured(LDAP *ld, const struct directory_settings *s)
{
    struct berval password = {strlen(s->bind_password), s->bind_password};
    return ldap_sasl_bind_s(ld, s->bind_dn, LDAP_SASL_SIMPLE, &password, NULL, NULL, NULL);
}

/* Whether the server's root DSE (RFC 4512, 5.1) has VALUE among its extensions or controls. */
static bool announces(LDAP *ld, const char *value)
{
    char *attributes[] = {"supportedExtension", "supportedControl", NULL};
    LDAPMessage *result = NULL;
    bool found = false;
    if (ldap_search_ext_s(ld, "", LDAP_SCOPE_BASE, "(objectClass=*)", attributes, 0, NULL, NULL,
                          NULL, 1, &result) == LDAP_SUCCESS)
        for (size_t i = 0; attributes[i]; i++) {
            struct berval **values =
                ldap_get_values_len(ld, ldap_first_entry(ld, result), attributes[i]);
            for (size_t k = 0; values && values[k]; k++)
                found |= str_eq((struct str){values[k]->bv_val, values[k]->bv_len}, str_of(value));
            ldap_value_free_len(values);
        }
    ldap_msgfree(result);
    return found;
}

static void ask_for_fast_bind(struct making *m)
{
    struct berval *data = NULL;
    char *oid = NULL;
    if (!announces(m->ld, FAST_BIND))
        return;
    ldap_extended_operation_s(m->ld, FAST_BIND, NULL, NULL, NULL, &oid, &data);
    ldap_memfree(oid);
    ber_bvfree(data);
}

static int make(struct making *m, const char *url, bool for_binds, bool referrals)
{
    const struct directory_settings *s = m->settings;
    int version = LDAP_VERSION3;
    m->what = "cannot be used";
    int rc = ldap_initialize(&m->ld, url);
    if (rc != LDAP_SUCCESS)
        return rc;
    ldap_set_option(m->ld, LDAP_OPT_PROTOCOL_VERSION, &version);
    ldap_set_option(m->ld, LDAP_OPT_REFERRALS, referrals ? LDAP_OPT_ON : LDAP_OPT_OFF);
    begin(m, "TLS settings");
    if ((s->starttls || strncmp(url, "ldaps:", 6) == 0) && (rc = set_tls(m)) != LDAP_SUCCESS)
        return rc;
    begin(m, "connecting");
    if ((rc = ldap_connect(m->ld)) != LDAP_SUCCESS)
        return rc;
    begin(m, "StartTLS");
    if (s->starttls && (rc = ldap_start_tls_s(m->ld, NULL, NULL)) != LDAP_SUCCESS)
        return rc;
    if (!for_binds) {
        begin(m, "the connector's bind");
        return s->bind_dn ? bind_as_configured(m->ld, s) : LDAP_SUCCESS;
    }
    begin(m, "asking for fast bind");
    if (s->server_type == DIRECTORY_ACTIVE)
        ask_for_fast_bind(m);
    return LDAP_SUCCESS;
}

/* Nothing that the loop asks of LD later waits for anything. */
static bool let_go(LDAP *ld)
{
    struct timeval none = {-1, 0};
    int fd = -1;
    ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &none);
    ldap_set_option(ld, LDAP_OPT_TIMEOUT, &none);
    return ldap_get_option(ld, LDAP_OPT_DESC, &fd) == LDAP_OPT_SUCCESS && fd >= 0 &&
           fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

LDAP *directory_connect(const struct directory_settings *settings, const char *url, bool for_binds,
                        uint64_t limit, char error[DIRECTORY_ERROR_MAX])
{
    struct making m = {.settings = settings, .deadline = now_ms() + limit};
    int rc = make(&m, url, for_binds, false);
    if (rc == LDAP_SUCCESS && let_go(m.ld))
        return m.ld;
    explain(error, m.ld, m.what, rc == LDAP_SUCCESS ? LDAP_CONNECT_ERROR : rc);
    if (m.ld)
        ldap_unbind_ext(m.ld, NULL, NULL);
    return NULL;
}

static int bind_elsewhere(LDAP *ld, const char *url, ber_tag_t request, ber_int_t id, void *context)
{
    const struct directory_settings *settings = context;
    (void)url;
    (void)request;
    (void)id;
    return settings->bind_dn ? bind_as_configured(ld, settings) : LDAP_SUCCESS;
}

int directory_chase(const struct directory_settings *settings, const char *url,
                    const struct directory_request *request, uint64_t limit, LDAP **ld,
                    LDAPMessage **result, char error[DIRECTORY_ERROR_MAX])
{
    struct making m = {.settings = settings, .deadline = now_ms() + limit};
    int rc = make(&m, url, false, true);
    *result = NULL;
    if (rc == LDAP_SUCCESS) {
        ldap_set_rebind_proc(m.ld, bind_elsewhere, (void *)settings);
        begin(&m, "following referrals");
        rc = ldap_search_ext_s(m.ld, request->base, request->scope, request->filter,
                               (char **)request->attributes, 0, NULL, NULL, NULL,
                               request->size_limit, result);
    }
    if (rc != LDAP_SUCCESS)
        explain(error, m.ld, m.what, rc);
    *ld = m.ld;
    return rc;
}
