/* SPDX-License-Identifier: ISC
 *
 * TLS contexts: see tls.h. Everything is loaded here, once; a handshake touches no file. */
#include "net/tls.h"

#include "base/mem.h"
#include "net/tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TICKET_KEYS_MAX = 16 };

/* A context being made. */
struct making {
    struct tls_server *server;
    struct tls_faults *faults;
    size_t sni; /* as in struct tls_fault */
};

static void refuse(const struct making *m, const char *option, size_t index, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));

/* Tells of a fault. OpenSSL's own words go behind ours. */
static void refuse(const struct making *m, const char *option, size_t index, const char *format,
                   ...)
{
    char message[256];
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (reason && n >= 0 && (size_t)n < sizeof message)
        snprintf(message + n, sizeof message - (size_t)n, ": %s", reason);
    ERR_clear_error();
    m->faults->count++;
    m->faults->add(m->faults, &(struct tls_fault){option, index, m->sni, message, false});
}

/* ---- memory ---- */

static struct {
    void *(*get)(size_t size);
    void *(*more)(void *old, size_t size);
} allocate;

static void *get_memory(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return allocate.get(size);
}

static void *more_memory(void *old, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return allocate.more(old, size);
}

static void free_memory(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

void tls_allocate_by(void *(*get)(size_t size), void *(*more)(void *old, size_t size))
{
    allocate.get = get;
    allocate.more = more;
    CRYPTO_set_mem_functions(get_memory, more_memory, free_memory);
}

/* ---- certificates ---- */

/* Else OpenSSL would ask for it at the terminal. */
static int no_password(char *out, int size, int writing, void *asked)
{
    (void)out, (void)size, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *read_key(const struct making *m, size_t i, const char *file)
{
    bool asked = false;
    BIO *in = BIO_new_file(file, "r");
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_password, &asked) : NULL;
    BIO_free(in);
    if (asked)
        ERR_clear_error();
    if (!key)
        refuse(m, "key", i, "cannot use key %s%s", file, asked ? ": it needs a password" : "");
    return key;
}

/* Clients would refuse it; but a front end that does not start for it helps nobody. */
static void warn_of_age(const struct making *m, size_t i, const X509 *certificate, const char *file)
{
    const ASN1_TIME *begin = X509_get0_notBefore(certificate),
                    *end = X509_get0_notAfter(certificate);
    bool over = X509_cmp_current_time(end)<0, early = X509_cmp_current_time(begin)> 0;
    char message[256], date[32] = "";
    struct tm tm;
    if (!over && !early)
        return;
    if (ASN1_TIME_to_tm(over ? end : begin, &tm))
        strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(message, sizeof message, "%s %s %s UTC", file,
             over ? "has expired on" : "is not valid before", date);
    m->faults->add(m->faults, &(struct tls_fault){"certificate", i, m->sni, message, true});
}

static void add_pair(const struct making *m, SSL_CTX *ctx, size_t i, const char *certificate,
                     const char *file)
{
    ERR_clear_error();
    bool usable = SSL_CTX_use_certificate_chain_file(ctx, certificate) == 1;
    if (!usable)
        refuse(m, "certificate", i, "cannot use certificate %s", certificate);
    else
        warn_of_age(m, i, SSL_CTX_get0_certificate(ctx), certificate);
    EVP_PKEY *key = read_key(m, i, file);
    if (usable && key &&
        (SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
         SSL_CTX_check_private_key(ctx) != 1)) /* of the kind that was set last */
        refuse(m, "key", i, "%s is not the key of %s", file, certificate);
    EVP_PKEY_free(key);
}

static void add_pairs(const struct making *m, SSL_CTX *ctx, const struct strings *certificate,
                      const struct strings *key)
{
    for (size_t i = 0; i < certificate->count && i < key->count; i++)
        add_pair(m, ctx, i, certificate->list[i], key->list[i]);
}

/* Takes the first ALPN name that is ours (RFC 7301); a client that offers only others is refused.
 */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                       const unsigned char *in, unsigned in_size, void *arg)
{
    const struct tls_server *server = arg;
    const unsigned char *ours = server->alpn;
    (void)ssl;
    for (unsigned at = 0; at < in_size; at += in[at] + 1u) {
        if (in[at] != ours[0] || at + in[at] >= in_size || memcmp(in + at, ours, ours[0] + 1u))
            continue;
        *out = in + at + 1;
        *out_size = in[at];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- names ---- */

/* Whether PATTERN is NAME, or with STAR, whether it is a wildcard for it: one label in the place of
 * the star (RFC 6125, 6.4.3). */
static bool name_fits(const char *pattern, const char *name, bool star)
{
    const char *dot = strchr(name, '.');
    if (star)
        return pattern[0] == '.' && dot && dot > name && strcasecmp(dot, pattern) == 0;
    return strcasecmp(pattern, name) == 0;
}

static SSL_CTX *find_context(const struct tls_server *server, const char *name, bool star)
{
    for (size_t i = 0; i < server->name_count; i++)
        if (name_fits(server->names[i].name, name, star))
            return server->names[i].ctx;
    return NULL;
}

/* An exact name goes before a wildcard, wherever they stand. */
static int choose_context(SSL *ssl, int *alert, void *arg)
{
    const struct tls_server *server = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    SSL_CTX *ctx = name ? find_context(server, name, false) : NULL;
    if (name && !ctx)
        ctx = find_context(server, name, true);
    if (ctx)
        SSL_set_SSL_CTX(ssl, ctx);
    return SSL_TLSEXT_ERR_OK;
}

/* ---- tickets ---- */

/* RFC 5077, 4. as every server of the field does it: AES-256-CBC and HMAC-SHA-256. */
static int ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int sealing)
{
    const struct tls_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct ticket_key *key = server->tickets;
    if (sealing) {
        memcpy(name, key->name, sizeof key->name);
        if (RAND_bytes(iv, 16) != 1)
            return -1;
    } else {
        const struct ticket_key *end = key + server->ticket_count;
        while (key < end && memcmp(name, key->name, sizeof key->name) != 0)
            key++;
        if (key == end)
            return 0; /* not ours: a full handshake */
    }
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, sealing) != 1 ||
        EVP_MAC_CTX_set_params(mac, params) != 1)
        return -1;
    /* 2: good, but make a new one; with TLS 1.3 always, for a ticket is used once (RFC 8446, C.4)
     */
    return sealing || (key == server->tickets && SSL_version(ssl) < TLS1_3_VERSION) ? 1 : 2;
}

/* Without configured keys: one for the life of the process, so that a reload keeps the tickets. */
static struct ticket_key process_key;
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;
static bool process_key_set; /* by the process before */

static void make_process_key(void)
{
    if (!process_key_set && RAND_bytes((unsigned char *)&process_key, sizeof process_key) != 1)
        abort();
}

static bool read_ticket_key(struct ticket_key *key, struct str line)
{
    char bytes[(sizeof *key + 3) / 3 * 3];
    bool good = line.n == base64_size(sizeof *key) && base64_decode(bytes, line) == sizeof *key;
    if (good)
        memcpy(key, bytes, sizeof *key);
    mem_wipe(bytes, sizeof bytes);
    return good;
}

static bool add_ticket_key(struct tls_server *server, struct str line)
{
    return server->ticket_count < TICKET_KEYS_MAX &&
           read_ticket_key(&server->tickets[server->ticket_count++], line);
}

static bool read_ticket_keys(struct tls_server *server, const char *text)
{
    struct str rest = str_of(text), line;
    while (rest.n) {
        size_t used = rest.n;
        if (!str_line(rest, &line, &used))
            line = rest;
        rest = (struct str){rest.p + used, rest.n - used};
        line = str_word(&line);
        if (line.n && !add_ticket_key(server, line))
            return false;
    }
    return server->ticket_count > 0;
}

void tls_add_ticket_key(struct buf *out)
{
    pthread_once(&process_key_once, make_process_key);
    char *room = buf_room(out, (uint32_t)base64_size(sizeof process_key));
    if (room)
        buf_added(out, (uint32_t)base64_encode(room, &process_key, sizeof process_key));
}

void tls_set_ticket_key(struct str base64)
{
    process_key_set = read_ticket_key(&process_key, base64);
}

static void set_tickets(const struct making *m, const struct tls_settings *settings)
{
    struct tls_server *server = m->server;
    server->tickets = xcalloc(TICKET_KEYS_MAX, sizeof *server->tickets);
    if (!settings->ticket_keys) {
        pthread_once(&process_key_once, make_process_key);
        server->tickets[server->ticket_count++] = process_key;
    } else if (!read_ticket_keys(server, settings->ticket_keys)) {
        refuse(m, "ticket_keys", 0, "ticket keys are 1 to %d lines of base64, each of %zu bytes",
               TICKET_KEYS_MAX, sizeof(struct ticket_key));
    }
}

/* ---- contexts ---- */

static void set_client_ca(const struct making *m, SSL_CTX *ctx, const char *file)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);
    if (!names || SSL_CTX_load_verify_file(ctx, file) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        refuse(m, "client_ca", 0, "cannot use %s", file);
        return;
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
}

/* What server and client contexts have in common: nothing old, little memory, few system calls, and
 * no password left in a buffer. */
static void set_common(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
}

/* A ticket is good only for the same protocol and the same judge of client certificates. */
static void set_session_context(SSL_CTX *ctx, const struct tls_server *server,
                                const char *client_ca)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char *text = xasprintf("%s %s", server->alpn + 1, client_ca ? client_ca : "");
    EVP_Digest(text, strlen(text), digest, &n, EVP_sha256(), NULL);
    SSL_CTX_set_session_id_context(ctx, digest, n);
    free(text);
}

static SSL_CTX *new_context(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        abort(); /* out of memory */
    set_common(ctx);
    return ctx;
}

static SSL_CTX *server_context(const struct making *m, const struct tls_settings *settings)
{
    struct tls_server *server = m->server;
    SSL_CTX *ctx = new_context(TLS_server_method());
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_min_proto_version(ctx, settings->min_version);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_app_data(ctx, server);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket);
    set_session_context(ctx, server, settings->client_ca);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, server);
    SSL_CTX_set_tlsext_servername_callback(ctx, choose_context);
    SSL_CTX_set_tlsext_servername_arg(ctx, server);
    ERR_clear_error();
    if (settings->ciphers && SSL_CTX_set_cipher_list(ctx, settings->ciphers) != 1)
        refuse(m, "ciphers", 0, "cannot use cipher list '%s'", settings->ciphers);
    if (settings->client_ca)
        set_client_ca(m, ctx, settings->client_ca);
    return ctx;
}

static void add_name(struct tls_server *server, const char *name, SSL_CTX *ctx)
{
    server->names = xrealloc(server->names, (server->name_count + 1) * sizeof *server->names);
    server->names[server->name_count++] = (struct tls_server_name){
        .name = xstrdup(name[0] == '*' && name[1] == '.' ? name + 1 : name),
        .ctx = ctx,
    };
}

static void add_sni(struct making *m, const struct tls_settings *settings)
{
    struct tls_server *server = m->server;
    server->contexts = xcalloc(settings->sni_count, sizeof *server->contexts);
    for (size_t i = 0; i < settings->sni_count; i++) {
        const struct tls_sni *sni = &settings->sni[i];
        SSL_CTX *ctx = server_context(m, settings);
        m->sni = i + 1;
        add_pairs(m, ctx, &sni->certificate, &sni->key);
        m->sni = 0;
        server->contexts[server->context_count++] = ctx;
        for (size_t n = 0; n < sni->names.count; n++)
            add_name(server, sni->names.list[n], ctx);
    }
}

struct tls_server *tls_server_new(const struct tls_settings *settings, const char *alpn,
                                  struct tls_faults *faults)
{
    struct tls_server *server = xcalloc(1, sizeof *server);
    struct making m = {.server = server, .faults = faults};
    unsigned before = faults->count;
    server->alpn[0] =
        (unsigned char)snprintf((char *)server->alpn + 1, sizeof server->alpn - 1, "%s", alpn);
    set_tickets(&m, settings);
    server->ctx = server_context(&m, settings);
    add_pairs(&m, server->ctx, &settings->certificate, &settings->key);
    add_sni(&m, settings);
    if (faults->count == before)
        return server;
    tls_server_free(server);
    return NULL;
}

void tls_server_free(struct tls_server *server)
{
    if (!server)
        return;
    for (size_t i = 0; i < server->name_count; i++)
        free(server->names[i].name);
    for (size_t i = 0; i < server->context_count; i++)
        SSL_CTX_free(server->contexts[i]);
    SSL_CTX_free(server->ctx);
    if (server->tickets)
        mem_wipe(server->tickets, TICKET_KEYS_MAX * sizeof *server->tickets);
    free(server->tickets);
    free(server->names);
    free(server->contexts);
    free(server);
}

struct tls_client *tls_client_new(const char *ca_file, bool verify, struct tls_faults *faults)
{
    struct tls_client *client = xcalloc(1, sizeof *client);
    const struct making m = {.faults = faults};
    client->ctx = new_context(TLS_client_method());
    client->verify = verify;
    SSL_CTX_set_min_proto_version(client->ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(client->ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    ERR_clear_error();
    if (ca_file ? SSL_CTX_load_verify_file(client->ctx, ca_file) == 1
                : SSL_CTX_set_default_verify_paths(client->ctx) == 1)
        return client;
    refuse(&m, "ca_file", 0, "cannot use %s", ca_file ? ca_file : "the system's CAs");
    tls_client_free(client);
    return NULL;
}

void tls_client_free(struct tls_client *client)
{
    if (!client)
        return;
    SSL_CTX_free(client->ctx);
    free(client);
}
