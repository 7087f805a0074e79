/* SPDX-License-Identifier: ISC
 *
 * Both ends of a measurement, for bench.py: the IMAP clients before the proxy and the node behind
 * it. It measures nothing itself, and talks to 127.0.0.1 only.
 *
 *   load node                               prints its ports: IMAP, and nginx's auth_http
 *   load WHAT PORT plain|tls CLIENTS LIMIT  WHAT is login, resume, noop, down or up for LIMIT
 *                                           milliseconds, or idle: LIMIT silent sessions in all
 *
 * The clients print `ready`, wait for a line, work, print how many they have done and how many TLS
 * sessions were resumed, and keep what they have open until their input ends. The node, too, ends
 * with its input. If anything but the expected happens to a client, all of them give up. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { MIB = 1 << 20, LINE = 1024, PATIENCE_SECONDS = 10, MAX_CLIENTS = 1000, USERS = 2000 };

/* What carries a MiB: the node's answer to a FETCH, and the client's APPEND. */
struct message {
    char bytes[MIB + 100];
    size_t len;
};

static struct message fetched, appended;

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(1);
}

static void make_message(struct message *m, const char *head, const char *tail)
{
    static const char line[] = "the quick brown fox jumps over the lazy dog 0123456789\r\n";
    m->len = (size_t)sprintf(m->bytes, "%s", head);
    for (size_t i = 0; i < MIB; i++)
        m->bytes[m->len++] = line[i % (sizeof line - 1)];
    m->len += (size_t)sprintf(m->bytes + m->len, "%s", tail);
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void send_at_once(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

/* ---- the node ---- */

struct peer {
    int fd;
    bool listens, auth, continued; /* continued: a literal of a LOGIN comes next */
    char tag[32];
    size_t to_send, to_take; /* of `fetched` and of `appended` */
    size_t len;
    char line[LINE];
};

static int epoll, node_port;

static void watch(struct peer *p, uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLET, .data.ptr = p};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

/* False when the session is at its end. The answers are short: the socket has room for them. */
static bool command(struct peer *p, const char *line)
{
    char verb[16] = "LOGIN";
    if (!p->continued && sscanf(line, "%31s %15s", p->tag, verb) != 2)
        return false;
    bool login = strcmp(verb, "LOGIN") == 0;
    p->continued = login && strchr(line, '{');
    if (p->continued)
        dprintf(p->fd, "+ go on\r\n");
    else if (login)
        dprintf(p->fd, "%s OK [CAPABILITY IMAP4rev1 LITERAL+] logged in\r\n", p->tag);
    else if (strcmp(verb, "FETCH") == 0)
        p->to_send = fetched.len;
    else if (strcmp(verb, "APPEND") == 0)
        p->to_take = MIB + 2;
    else if (strcmp(verb, "NOOP") == 0)
        dprintf(p->fd, "%s OK done\r\n", p->tag);
    else if (strcmp(verb, "LOGOUT") == 0)
        dprintf(p->fd, "* BYE\r\n%s OK done\r\n", p->tag);
    return strcmp(verb, "LOGOUT") != 0;
}

/* Takes a part of an APPEND's literal, which must be what the client has sent. */
static bool take(struct peer *p, const char *bytes, size_t len)
{
    if (memcmp(bytes, appended.bytes + appended.len - p->to_take, len) != 0)
        return false;
    p->to_take -= len;
    if (!p->to_take)
        dprintf(p->fd, "%s OK done\r\n", p->tag);
    return true;
}

/* The request ends with an empty line; the answer is the same for everybody. */
static bool auth_http(struct peer *p, const char *line)
{
    if (strcmp(line, "\r\n") != 0)
        return true;
    dprintf(p->fd,
            "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: %d\r\n\r\n",
            node_port);
    return false;
}

static bool collect(struct peer *p, const char *bytes, size_t len)
{
    if (p->len + len >= sizeof p->line)
        return false;
    memcpy(p->line + p->len, bytes, len);
    p->len += len;
    if (bytes[len - 1] != '\n')
        return true;
    p->line[p->len] = '\0';
    p->len = 0;
    return p->auth ? auth_http(p, p->line) : command(p, p->line);
}

static bool digest(struct peer *p, const char *bytes, size_t len)
{
    while (len) {
        const char *lf = memchr(bytes, '\n', len);
        size_t line = lf ? (size_t)(lf + 1 - bytes) : len;
        size_t part = !p->to_take ? line : p->to_take < len ? p->to_take : len;
        if (!(p->to_take ? take : collect)(p, bytes, part))
            return false;
        bytes += part;
        len -= part;
    }
    return true;
}

/* Reads until there is nothing more, as the edge-triggered epoll wants it. */
static bool hear(struct peer *p)
{
    static char in[256 * 1024];
    ssize_t n;
    while ((n = recv(p->fd, in, sizeof in, 0)) > 0)
        if (!digest(p, in, (size_t)n))
            return false;
    return n < 0 && errno == EAGAIN;
}

static bool speak(struct peer *p)
{
    while (p->to_send) {
        ssize_t n = send(p->fd, fetched.bytes + fetched.len - p->to_send, p->to_send, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
        p->to_send -= (size_t)n;
    }
    return true;
}

static void welcome(const struct peer *listener)
{
    int fd;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct peer *p = calloc(1, sizeof *p);
        if (!p)
            die("no memory");
        p->fd = fd;
        p->auth = listener->auth;
        send_at_once(fd);
        if (!p->auth)
            dprintf(p->fd, "* OK [CAPABILITY IMAP4rev1 LITERAL+] node\r\n");
        watch(p, EPOLLIN | EPOLLOUT);
    }
}

/* Returns the port. */
static int listen_at(struct peer *p)
{
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof address;
    p->listens = true;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(p->fd, (struct sockaddr *)&address, len) != 0 || listen(p->fd, 4096) != 0 ||
        getsockname(p->fd, (struct sockaddr *)&address, &len) != 0)
        die("listen: %s", strerror(errno));
    watch(p, EPOLLIN);
    return ntohs(address.sin_port);
}

static void serve(void)
{
    static struct peer input, imap, auth = {.auth = true};
    struct epoll_event events[64];
    epoll = epoll_create1(0);
    watch(&input, EPOLLIN);
    node_port = listen_at(&imap);
    printf("%d %d\n", node_port, listen_at(&auth));
    for (;;) {
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if (p == &input)
                return;
            if (p->listens) {
                welcome(p);
            } else if (!hear(p) || !speak(p)) {
                close(p->fd);
                free(p);
            }
        }
    }
}

/* ---- the clients ---- */

struct session {
    int fd;
    SSL *ssl;
    SSL_SESSION *ticket;
    long count, resumed;
    pthread_t thread;
};

static struct {
    const char *what;
    int port, clients;
    long limit;
    atomic_bool over;
    SSL_CTX *tls;
    pthread_barrier_t ready, go;
} job;

static bool job_is(const char *what)
{
    return strcmp(job.what, what) == 0;
}

static int keep_ticket(SSL *ssl, SSL_SESSION *ticket)
{
    struct session *s = SSL_get_app_data(ssl);
    SSL_SESSION_free(s->ticket);
    s->ticket = ticket;
    return 1;
}

/* The same for all proxies, so that none of them chooses a cheaper one. */
static SSL_CTX *make_tls(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls || !SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set1_groups_list(tls, "X25519"))
        die("OpenSSL has no TLS 1.3");
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls, keep_ticket);
    SSL_CTX_set_quiet_shutdown(tls, 1);
    return tls;
}

/* 0 at the end of the connection. */
static size_t receive(struct session *s, char *to, size_t room)
{
    size_t got = 0;
    errno = 0;
    if (s->ssl && SSL_read_ex(s->ssl, to, room, &got))
        return got;
    ssize_t n = s->ssl ? -1 : recv(s->fd, to, room, 0);
    if (n < 0 && errno == EAGAIN)
        die("%s: the proxy is silent", job.what);
    return n > 0 ? (size_t)n : 0;
}

static void transmit(struct session *s, const char *bytes, size_t len)
{
    while (len) {
        size_t sent = 0;
        if (s->ssl) {
            SSL_write_ex(s->ssl, bytes, len, &sent);
        } else {
            ssize_t n = send(s->fd, bytes, len, 0);
            sent = n > 0 ? (size_t)n : 0;
        }
        if (!sent)
            die("%s: the proxy takes nothing: %s", job.what, strerror(errno));
        bytes += sent;
        len -= sent;
    }
}

/* Empty while the line is not whole. */
static const char *last_line(const char *in, size_t len)
{
    const char *before = memrchr(in, '\n', len - 1);
    return in[len - 1] != '\n' ? "" : before ? before + 1 : in;
}

/* Sends the command, then reads up to a line that begins as expected. */
static void ask(struct session *s, const char *line, const char *expected)
{
    char in[LINE];
    size_t len = 0;
    transmit(s, line, strlen(line));
    for (;;) {
        size_t n = receive(s, in + len, sizeof in - 1 - len);
        in[len += n] = '\0';
        const char *last = n ? last_line(in, len) : "";
        if (strncmp(last, expected, strlen(expected)) == 0)
            return;
        if (!n || *last == 'a')
            die("%s: \"%s\" instead of %s", job.what, in, expected);
    }
}

static void start_tls(struct session *s)
{
    s->ssl = SSL_new(job.tls);
    if (!s->ssl || !SSL_set_fd(s->ssl, s->fd))
        die("no memory");
    SSL_set_app_data(s->ssl, s);
    if (job_is("resume") && s->ticket)
        SSL_set_session(s->ssl, s->ticket);
    if (SSL_connect(s->ssl) != 1)
        die("%s: the handshake failed", job.what);
    s->resumed += SSL_session_reused(s->ssl);
}

static void log_in(struct session *s)
{
    static atomic_uint users; /* each one is another, for a directory is asked once for equals */
    char login[LINE];
    struct sockaddr_in address = loopback(job.port);
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("%s: connect: %s", job.what, strerror(errno));
    send_at_once(s->fd);
    setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (job.tls)
        start_tls(s);
    ask(s, "", "* OK");
    snprintf(login, sizeof login, "a LOGIN user%04u@example.org secret\r\n",
             atomic_fetch_add(&users, 1) % USERS);
    ask(s, login, "a OK");
}

/* Waits for the proxy to close, so that the login is paid for in full. */
static void log_in_and_out(struct session *s)
{
    char rest[LINE];
    log_in(s);
    ask(s, "a LOGOUT\r\n", "a OK");
    while (receive(s, rest, sizeof rest))
        ;
    if (s->ssl)
        SSL_shutdown(s->ssl);
    SSL_free(s->ssl);
    s->ssl = NULL;
    close(s->fd);
}

static void noop(struct session *s)
{
    ask(s, "a NOOP\r\n", "a OK");
}

static void fetch(struct session *s)
{
    char in[64 * 1024];
    const char request[] = "a FETCH 1 BODY[]\r\n";
    transmit(s, request, sizeof request - 1);
    for (size_t at = 0, n; at < fetched.len; at += n) {
        n = receive(s, in, fetched.len - at < sizeof in ? fetched.len - at : sizeof in);
        if (!n || memcmp(in, fetched.bytes + at, n) != 0)
            die("%s: the MiB came damaged", job.what);
    }
}

static void append(struct session *s)
{
    transmit(s, appended.bytes, appended.len);
    ask(s, "", "a OK");
}

/* `first` comes before the measured part (for a ticket, too), `then` is what is counted. */
static const struct work {
    const char *what;
    void (*first)(struct session *);
    void (*then)(struct session *);
} works[] = {
    {"login", log_in_and_out, log_in_and_out},
    {"resume", log_in_and_out, log_in_and_out},
    {"idle", log_in, log_in},
    {"noop", log_in, noop},
    {"down", log_in, fetch},
    {"up", log_in, append},
};

static const struct work *find_work(void)
{
    size_t i = 0;
    while (!job_is(works[i].what))
        if (++i == sizeof works / sizeof works[0])
            die("what is %s?", job.what);
    return &works[i];
}

static void *client(void *arg)
{
    struct session *s = arg;
    const struct work *work = find_work();
    bool idle = job_is("idle");
    work->first(s);
    s->resumed = 0;
    pthread_barrier_wait(&job.ready);
    pthread_barrier_wait(&job.go);
    for (; idle ? s->count < job.limit / job.clients : !job.over; s->count++)
        work->then(s);
    return NULL;
}

static void work(void)
{
    static struct session sessions[MAX_CLIENTS];
    long count = 0, resumed = 0;
    pthread_barrier_init(&job.ready, NULL, (unsigned)job.clients + 1);
    pthread_barrier_init(&job.go, NULL, (unsigned)job.clients + 1);
    for (int i = 0; i < job.clients; i++)
        if (pthread_create(&sessions[i].thread, NULL, client, &sessions[i]) != 0)
            die("no thread");
    pthread_barrier_wait(&job.ready);
    puts("ready");
    if (getchar() == EOF)
        return;
    pthread_barrier_wait(&job.go);
    if (!job_is("idle"))
        usleep((useconds_t)job.limit * 1000);
    job.over = true;
    for (int i = 0; i < job.clients; i++) {
        pthread_join(sessions[i].thread, NULL);
        count += sessions[i].count;
        resumed += sessions[i].resumed;
    }
    printf("%ld %ld\n", count, resumed);
    while (getchar() != EOF)
        ;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    setlinebuf(stdout);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    make_message(&fetched, "* 1 FETCH (BODY[] {1048576}\r\n", ")\r\na OK done\r\n");
    make_message(&appended, "a APPEND INBOX {1048576+}\r\n", "\r\n");
    if (argc == 6) {
        job.what = argv[1];
        job.port = atoi(argv[2]);
        job.tls = strcmp(argv[3], "tls") == 0 ? make_tls() : NULL;
        job.clients = atoi(argv[4]) < MAX_CLIENTS ? atoi(argv[4]) : MAX_CLIENTS;
        job.limit = atol(argv[5]);
        work();
    } else {
        serve();
    }
    _exit(0); /* whatever is open is left to the kernel */
}
