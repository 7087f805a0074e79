/* SPDX-License-Identifier: ISC
 *
 * Streams: see stream.h. TLS reaches the socket through a BIO of ours (`bio_read`, `bio_write`):
 * reading skips the system call that would only say EAGAIN, writing gathers records in `gather`,
 * which belongs to one stream of the thread at a time. */
#include "net/stream.h"

#include "net/tls_internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    GATHER = 320 * 1024,  /* bytes: a worker's scratch in records, with their overhead */
    PEND_MAX = 512 * 1024 /* bytes kept for one stream; its users stop long before */
};

struct pend {
    size_t start, end;
    char data[];
};

/* Records on their way out, of the stream that wrote last. */
static _Thread_local struct {
    struct stream *owner;
    size_t n;
    char *data; /* GATHER bytes, or NULL: most threads need none */
} gather;

void stream_fail(struct stream *st, int error)
{
    if (st->failed)
        return;
    st->failed = true;
    st->error = error;
}

/* ---- the socket ---- */

int stream_open(struct stream *st, struct worker *w, int fd,
                void (*ready)(struct watch *, uint32_t))
{
    *st = (struct stream){.watch.ready = ready, .fd = fd};
    int error = worker_watch(w, fd, &st->watch);
    if (error)
        st->fd = -1;
    return error;
}

static int socket_for(const struct addr *addr, const struct addr *source)
{
    int one = 1;
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (addr->sa.sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (source->len && bind(fd, &source->sa, source->len) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int stream_connect(struct stream *st, struct worker *w, const struct addr *addr,
                   const struct addr *source, void (*ready)(struct watch *, uint32_t))
{
    int fd = socket_for(addr, source), error = 0;
    if (fd < 0)
        return -fd;
    if (connect(fd, &addr->sa, addr->len) < 0 && errno != EINPROGRESS)
        error = errno;
    else
        error = stream_open(st, w, fd, ready);
    if (error) {
        close(fd);
        st->fd = -1;
        return error;
    }
    st->connecting = true;
    return 0;
}

static void connected(struct stream *st)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(st->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
        error = errno;
    if (error)
        stream_fail(st, error);
    st->connecting = false;
}

void stream_events(struct stream *st, uint32_t events)
{
    if (st->connecting && events & (EPOLLERR | EPOLLHUP))
        connected(st);
    else if (events & EPOLLOUT)
        st->connecting = false;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        st->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        st->hung_up = true;
    if (events & EPOLLERR)
        st->broken = true;
    if (events & (EPOLLERR | EPOLLHUP))
        st->gone = true;
    if (events & EPOLLPRI)
        st->urgent = true;
}

bool stream_waiting(const struct stream *st)
{
    int n = 0;
    return ioctl(st->fd, FIONREAD, &n) == 0 && n > 0;
}

bool stream_is_quiet(const struct stream *st)
{
    char c;
    return !st->failed && recv(st->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

ssize_t stream_peek(struct stream *st, void *p, size_t n)
{
    ssize_t got = st->readable ? recv(st->fd, p, n, MSG_PEEK) : STREAM_AGAIN;
    if (got < 0 && st->readable && errno != EAGAIN && errno != EINTR) {
        stream_fail(st, errno);
        return STREAM_FAILED;
    }
    return got < 0 ? STREAM_AGAIN : got;
}

void stream_skip(struct stream *st, size_t n)
{
    char waste[512];
    while (n) {
        ssize_t got = recv(st->fd, waste, n < sizeof waste ? n : sizeof waste, 0);
        if (got <= 0)
            return; /* what was peeked at is there: the next read says what is wrong */
        n -= (size_t)got;
    }
}

/* A read that fills less than it might has emptied the socket (unless it stopped before a byte that
 * is urgent): the next bytes come with an edge, and where the peer's end has been announced, it
 * comes next. */
static ssize_t receive(struct stream *st, void *p, size_t n)
{
    if (!st->readable && !st->at_end)
        return STREAM_AGAIN;
    ssize_t got = st->at_end ? 0 : recv(st->fd, p, n, 0);
    if (got > 0) {
        bool emptied = (size_t)got < n && !st->broken && !st->urgent;
        st->readable = !emptied;
        st->at_end = emptied && st->hung_up;
        return got;
    }
    st->readable = false;
    if (got == 0) {
        st->at_end = st->ended = true;
        return 0;
    }
    if (errno == EAGAIN || errno == EINTR)
        return STREAM_AGAIN;
    stream_fail(st, errno);
    return STREAM_FAILED;
}

/* What is kept may be a login on its way to the node. */
static void drop_pend(struct stream *st)
{
    if (st->pend)
        mem_wipe(st->pend->data, st->pend->end);
    free(st->pend);
    st->pend = NULL;
}

static void keep(struct stream *st, const char *p, size_t n)
{
    size_t old = stream_pending(st);
    if (old + n > PEND_MAX) {
        stream_fail(st, ENOBUFS);
        return;
    }
    struct pend *pend = xmalloc(sizeof *pend + old + n);
    pend->start = 0;
    pend->end = old + n;
    if (old)
        memcpy(pend->data, st->pend->data + st->pend->start, old);
    memcpy(pend->data + old, p, n);
    drop_pend(st);
    st->pend = pend;
}

/* Bytes that the socket took; the rest has to wait for EPOLLOUT. */
static size_t give(struct stream *st, const char *p, size_t n)
{
    ssize_t sent = send(st->fd, p, n, MSG_NOSIGNAL);
    if (sent >= 0)
        return (size_t)sent;
    if (errno != EAGAIN && errno != EINTR)
        stream_fail(st, errno);
    return 0;
}

static bool transmit(struct stream *st, const char *p, size_t n)
{
    size_t sent = st->pend || st->connecting || st->failed ? 0 : give(st, p, n);
    if (sent < n && !st->failed)
        keep(st, p + sent, n - sent);
    return !st->failed;
}

static void push_gathered(void)
{
    struct stream *st = gather.owner;
    gather.owner = NULL;
    if (st && gather.n)
        transmit(st, gather.data, gather.n);
    gather.n = 0;
}

void stream_thread_end(void)
{
    free(gather.data);
    gather.data = NULL;
}

void stream_push(struct stream *st)
{
    if (gather.owner == st)
        push_gathered();
    if (!st->pend || st->connecting || st->failed)
        return;
    struct pend *pend = st->pend;
    pend->start += give(st, pend->data + pend->start, pend->end - pend->start);
    if (pend->start == pend->end)
        drop_pend(st);
}

void stream_acknowledge(struct stream *st)
{
    int one = 1;
    setsockopt(st->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

size_t stream_pending(const struct stream *st)
{
    return (st->pend ? st->pend->end - st->pend->start : 0) + (gather.owner == st ? gather.n : 0);
}

void stream_close(struct stream *st)
{
    if (gather.owner == st)
        push_gathered();
    SSL_free(st->ssl);
    st->ssl = NULL;
    st->handshaken = false;
    drop_pend(st);
    if (st->fd >= 0)
        worker_close(st->fd);
    st->fd = -1;
}

/* ---- TLS ---- */

static int bio_write(BIO *bio, const char *p, int n)
{
    struct stream *st = BIO_get_data(bio);
    if (gather.owner != st || gather.n + (size_t)n > GATHER) {
        push_gathered();
        gather.owner = st;
    }
    if ((size_t)n > GATHER) {
        stream_fail(st, ENOBUFS);
        return -1;
    }
    if (!gather.data)
        gather.data = xmalloc(GATHER);
    memcpy(gather.data + gather.n, p, (size_t)n);
    gather.n += (size_t)n;
    return st->failed ? -1 : n;
}

static int bio_read(BIO *bio, char *p, int n)
{
    struct stream *st = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t got = receive(st, p, (size_t)n);
    if (got == STREAM_AGAIN)
        BIO_set_retry_read(bio);
    return got > 0 ? (int)got : got == 0 ? 0 : -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *p)
{
    struct stream *st = BIO_get_data(bio);
    (void)number;
    (void)p;
    if (command == BIO_CTRL_EOF)
        return st->at_end;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    assert(bio_method);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

static SSL *begin_tls(struct stream *st, SSL_CTX *ctx)
{
    pthread_once(&bio_once, make_bio_method);
    SSL *ssl = SSL_new(ctx);
    BIO *bio = BIO_new(bio_method);
    assert(ssl && bio);
    BIO_set_data(bio, st);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    st->ssl = ssl;
    return ssl;
}

void stream_tls_server(struct stream *st, struct tls_server *ctx)
{
    SSL_set_accept_state(begin_tls(st, ctx->ctx));
}

void stream_tls_client(struct stream *st, struct tls_client *ctx, const char *name)
{
    SSL *ssl = begin_tls(st, ctx->ctx);
    struct addr numeric;
    SSL_set_connect_state(ssl);
    bool good = true;
    if (str_starts(str_of(name), "unix:")) {
        name = "localhost"; /* what a certificate for a socket file has to be for */
    } else if (addr_numeric(&numeric, str_of(name), 0)) {
        good = !ctx->verify || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
        name = NULL;
    }
    if (name) {
        SSL_set_tlsext_host_name(ssl, name);
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        good = !ctx->verify || SSL_set1_host(ssl, name);
    }
    if (!good)
        stream_fail(st, EPROTO); /* better none than one that is not verified */
}

/* Of earlier calls, which would be taken for this one's. Mostly there are none. */
static void forget_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

/* What OpenSSL's -1 means. */
static int tls_result(struct stream *st, int rc)
{
    switch (SSL_get_error(st->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return STREAM_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        st->ended = true;
        return 0;
    default:
        if (st->handshaken && st->at_end && ERR_peek_error() == 0)
            return 0; /* the peer left without close_notify, as many clients do */
        if (gather.owner == st)
            push_gathered(); /* the alert, which tells the peer why */
        stream_fail(st, st->error ? st->error : EPROTO);
        return STREAM_FAILED;
    }
}

int stream_handshake(struct stream *st)
{
    forget_errors();
    int rc = SSL_do_handshake(st->ssl);
    if (rc == 1) {
        st->handshaken = true;
        return 0;
    }
    int result = tls_result(st, rc);
    if (result == 0)
        stream_fail(st, ECONNRESET);
    return result == 0 ? STREAM_FAILED : result;
}

/* OpenSSL holds bytes that it has read from the socket. */
static bool has_more(const struct stream *st)
{
    return SSL_has_pending(st->ssl);
}

/* Reads, and leaves OpenSSL neither a password nor a buffer. It wipes what it hands out, as its
 * options say (tls.c); left to itself it would wipe, a word at a time, all 17 KB of the buffer too
 * when it gives that back, and most of it has never been anything but ciphertext. */
static int read_tls(struct stream *st, void *p, size_t n, size_t *got)
{
    SSL_clear_mode(st->ssl, SSL_MODE_RELEASE_BUFFERS);
    int rc = SSL_read_ex(st->ssl, p, n, got);
    SSL_set_mode(st->ssl, SSL_MODE_RELEASE_BUFFERS);
    if (!has_more(st)) {
        SSL_clear_options(st->ssl, SSL_OP_CLEANSE_PLAINTEXT);
        SSL_free_buffers(st->ssl);
        SSL_set_options(st->ssl, SSL_OP_CLEANSE_PLAINTEXT);
    }
    return rc;
}

ssize_t stream_read(struct stream *st, void *p, size_t n)
{
    size_t got;
    if (st->failed)
        return STREAM_FAILED;
    if (st->ended)
        return 0;
    if (!st->ssl)
        return receive(st, p, n);
    if (!st->readable && !st->at_end && !has_more(st))
        return STREAM_AGAIN;
    forget_errors();
    int rc = read_tls(st, p, n, &got);
    return rc == 1 ? (ssize_t)got : tls_result(st, rc);
}

bool stream_write(struct stream *st, const void *p, size_t n)
{
    size_t done;
    if (st->failed || n == 0)
        return !st->failed;
    if (!st->ssl)
        return transmit(st, p, n);
    forget_errors();
    for (size_t at = 0; at < n; at += done)
        if (SSL_write_ex(st->ssl, (const char *)p + at, n - at, &done) != 1) {
            stream_fail(st, EPROTO);
            return false;
        }
    return !st->failed;
}

bool stream_shutdown(struct stream *st)
{
    if (st->shut || st->failed)
        return true;
    if (st->ssl && st->handshaken && !(SSL_get_shutdown(st->ssl) & SSL_SENT_SHUTDOWN)) {
        forget_errors();
        SSL_shutdown(st->ssl);
    }
    stream_push(st);
    if (stream_pending(st))
        return false;
    shutdown(st->fd, SHUT_WR);
    st->shut = true;
    return true;
}

const char *stream_tls_version(const struct stream *st)
{
    return st->handshaken ? SSL_get_version(st->ssl) : NULL;
}

const char *stream_tls_name(const struct stream *st)
{
    return st->handshaken ? SSL_get_servername(st->ssl, TLSEXT_NAMETYPE_host_name) : NULL;
}

/* The first name of type GEN_EMAIL among the subject's alternative names. */
static bool email_name(X509 *cert, char *name, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        int len = n->type == GEN_EMAIL ? ASN1_STRING_length(n->d.rfc822Name) : 0;
        if (len <= 0 || (size_t)len >= size)
            continue;
        memcpy(name, ASN1_STRING_get0_data(n->d.rfc822Name), (size_t)len);
        name[len] = 0;
        found = strlen(name) == (size_t)len;
    }
    GENERAL_NAMES_free(names);
    return found;
}

static bool subject_name(X509 *cert, int nid, char *name, size_t size)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    int n = X509_NAME_get_text_by_NID(subject, nid, name, (int)size);
    return n > 0 && (size_t)n + 1 < size && strlen(name) == (size_t)n;
}

bool stream_peer_name(const struct stream *st, char *name, size_t size)
{
    X509 *cert = st->handshaken ? SSL_get0_peer_certificate(st->ssl) : NULL;
    if (!cert || SSL_get_verify_result(st->ssl) != X509_V_OK)
        return false;
    return email_name(cert, name, size) ||
           subject_name(cert, NID_pkcs9_emailAddress, name, size) || /* as old ones have it */
           subject_name(cert, NID_commonName, name, size);
}

const char *stream_error_text(const struct stream *st, char *text, size_t size)
{
    unsigned long code = st->ssl ? ERR_peek_last_error() : 0;
    long verify = st->ssl ? SSL_get_verify_result(st->ssl) : X509_V_OK;
    const char *words = code ? ERR_reason_error_string(code) : NULL;
    if (verify != X509_V_OK)
        words = X509_verify_cert_error_string(verify);
    if (!words)
        words = st->error ? strerror(st->error) : "closed";
    snprintf(text, size, "%s", words);
    return text;
}
