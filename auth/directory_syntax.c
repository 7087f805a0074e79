/* SPDX-License-Identifier: ISC
 *
 * URLs, DNs, filters, attributes: see directory_syntax.h. libldap has no public function that only
 * parses a filter, but a search fails before anything is sent when its filter is none: so a search
 * is sent into a socket that nobody reads. */
#include "auth/directory_syntax.h"

#include "base/addr.h"

#include <ctype.h>
#include <ldap.h>
#include <openldap.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- URLs ---- */

static const char *const schemes[] = {
    [DIRECTORY_LDAP] = "ldap://", [DIRECTORY_LDAPS] = "ldaps://", [DIRECTORY_LDAPI] = "ldapi://"};
enum { SCHEMES = sizeof schemes / sizeof *schemes };

static const char *read_host(const LDAPURLDesc *parts, struct directory_url *url)
{
    struct addr numeric;
    struct str host = str_of(parts->lud_host ? parts->lud_host : "");
    url->local = url->scheme == DIRECTORY_LDAPI || host.n == 0 || str_is(host, "localhost");
    if (url->scheme == DIRECTORY_LDAPI)
        return host.n && *host.p != '/' ? "behind ldapi:// there must be a path (with %2f for /)"
                                        : NULL;
    if (parts->lud_port < 0 || parts->lud_port > UINT16_MAX)
        return "that is no port";
    if (addr_numeric(&numeric, host, 0))
        url->local = addr_is_local(&numeric);
    else if (host.n && !addr_is_hostname(host))
        return "that is no host";
    return NULL;
}

const char *directory_syntax_url(const char *text, struct directory_url *url)
{
    LDAPURLDesc *parts;
    size_t i = 0;
    while (i < SCHEMES && strncmp(text, schemes[i], strlen(schemes[i])) != 0)
        i++;
    if (i == SCHEMES)
        return "it must begin with ldap://, ldaps:// or ldapi://";
    *url = (struct directory_url){.scheme = i};
    const char *host = text + strlen(schemes[i]), *rest = host + strcspn(host, "/?");
    if (*rest && strcmp(rest, "/") != 0)
        return i == DIRECTORY_LDAPI
                   ? "the slashes of a socket's path are written as %2f"
                   : "a DN, attributes, a scope or a filter would be ignored here: they have keys "
                     "of their own";
    if (ldap_url_parse(text, &parts) != LDAP_URL_SUCCESS)
        return "that is no URL";
    const char *wrong = read_host(parts, url);
    ldap_free_urldesc(parts);
    return wrong;
}

/* ---- DNs, filters, attributes ---- */

bool directory_syntax_dn(const char *text)
{
    LDAPDN dn = NULL;
    bool good = ldap_str2dn(text, &dn, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS;
    ldap_dnfree(dn);
    return good;
}

bool directory_syntax_filter(const char *text)
{
    LDAP *ld = NULL;
    int pair[2], id;
    if (!*text) /* for libldap this is a search without a filter, which LDAP has not */
        return false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return true;              /* it cannot be told now; whoever searches will */
    setenv("LDAPNOINIT", "1", 0); /* as in directory.c: this may be libldap's first use */
    if (ldap_init_fd(pair[0], LDAP_PROTO_IPC, NULL, &ld) != LDAP_SUCCESS)
        abort(); /* as everywhere without memory */
    int result = ldap_search_ext(ld, "", LDAP_SCOPE_BASE, text, NULL, 0, NULL, NULL, NULL, 0, &id);
    ldap_unbind_ext(ld, NULL, NULL);
    close(pair[1]);
    return result == LDAP_SUCCESS;
}

/* Numbers with dots between (RFC 4512, 1.4). */
static bool is_oid(const char *text)
{
    size_t numbers = 0, n;
    for (; (n = strspn(text, "0123456789")) > 0; text += n + 1) {
        numbers++;
        if (!text[n])
            return numbers > 1;
        if (text[n] != '.')
            return false;
    }
    return false;
}

bool directory_syntax_attribute(const char *text)
{
    if (!isalpha((unsigned char)*text))
        return is_oid(text);
    while (isalnum((unsigned char)*text) || *text == '-')
        text++;
    return !*text;
}
