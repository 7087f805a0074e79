/* SPDX-License-Identifier: ISC
 *
 * TLS contexts made from the configuration: for listeners (certificates by SNI name, tickets, ALPN,
 * client certificates) and for connections to nodes (verification, name check). The session-level
 * work is in net/stream. The only header besides stream.h behind which OpenSSL stands. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* Where TLS is. */
enum tls_mode { TLS_NONE, TLS_STARTTLS, TLS_IMPLICIT };

struct tls_sni {
    struct strings names; /* "mail.example.net", "*.example.net" */
    struct strings certificate, key;
};

/* The `tls` section, or what a listener puts in its place. */
struct tls_settings {
    struct strings certificate,
        key; /* PEM files, pairwise: an ECDSA and an RSA pair side by side */
    struct tls_sni *sni;
    size_t sni_count;
    int min_version;   /* OpenSSL's TLS1_2_VERSION ... */
    char *ciphers;     /* OpenSSL cipher list (TLS 1.2) or NULL */
    char *client_ca;   /* PEM file or NULL */
    char *ticket_keys; /* the keys themselves: lines of base64, 80 bytes each; or NULL */
};

struct tls_server; /* a listener's context */
struct tls_client; /* a service's context for its nodes */

/* What is wrong with a setting. */
struct tls_fault {
    const char *option; /* "certificate", "key", "ciphers", "client_ca", "ticket_keys", "ca_file" */
    size_t index;       /* in a list: which one */
    size_t sni;         /* of which entry of `sni`, counted from 1; 0: of none */
    const char *message;
    bool warning; /* it can be used all the same, and is not counted */
};

/* Who wants to know: told of every fault there is, one by one. */
struct tls_faults {
    void (*add)(struct tls_faults *to, const struct tls_fault *fault);
    unsigned count;
};

/* A server context that takes the ALPN name ALPN and refuses others; NULL when FAULTS were found: a
 * file cannot be read or does not fit. Where there are more certificates than keys, or fewer, that
 * is for the caller to say. Reads files: at start or in the thread pool. */
struct tls_server *tls_server_new(const struct tls_settings *settings, const char *alpn,
                                  struct tls_faults *faults);
void tls_server_free(struct tls_server *server);

/* The key of tickets where none are configured, made once a process: appends it, in base64, to OUT
 * for a process to come; takes that of a process before (anything else is ignored). Before there
 * are threads. */
void tls_add_ticket_key(struct buf *out);
void tls_set_ticket_key(struct str base64);

/* Has OpenSSL get its memory by GET and MORE, as malloc and realloc; before anything else of it. */
void tls_allocate_by(void *(*get)(size_t size), void *(*more)(void *old, size_t size));

/* A client context, or NULL; CA_FILE NULL: the system's. VERIFY false: any certificate will do. */
struct tls_client *tls_client_new(const char *ca_file, bool verify, struct tls_faults *faults);
void tls_client_free(struct tls_client *client);

#endif
