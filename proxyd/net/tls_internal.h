/* SPDX-License-Identifier: ISC
 *
 * What tls.c and stream.c share; the only header that shows OpenSSL. */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include "net/tls.h"

#include <openssl/ssl.h>

struct tls_server_name {
    char *name; /* "mail.example.net", or ".example.net" for "*.example.net" */
    SSL_CTX *ctx;
};

struct ticket_key {
    unsigned char name[16], mac[32], aes[32];
};

struct tls_server {
    SSL_CTX *ctx;
    struct tls_server_name *names;
    size_t name_count;
    SSL_CTX **contexts; /* those of `names`, each once */
    size_t context_count;
    struct ticket_key *tickets; /* the first makes them */
    size_t ticket_count;
    unsigned char alpn[32]; /* length byte and name */
};

struct tls_client {
    SSL_CTX *ctx;
    bool verify;
};

#endif
