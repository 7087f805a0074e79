/* SPDX-License-Identifier: ISC
 *
 * Listening sockets: see listen_set.h. */
#include "listen_set.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

/* One that two sets have is the same one; the last of them closes it. */
struct listen_socket {
    atomic_uint references;
    struct addr addr;
    int fd;
    bool borrowed;    /* systemd's: it keeps the socket file */
    struct stat file; /* of unix:, while it is ours */
};

struct listen_set {
    atomic_uint references;
    size_t count, max, first_admin;
    struct listen_socket *sockets[];
};

/* ---- sockets ---- */

/* Options are inherited by what is accepted: no call for each connection. Urgent bytes are ones as
 * any other (RFC 6093, 5). */
static void set_options(int fd, int family)
{
    int one = 1;
    if (family == AF_UNIX)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
}

static int open_socket(const struct addr *addr)
{
    int one = 1, family = addr->sa.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (family == AF_UNIX)
        socket_file_remove_stale(addr);
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    set_options(fd, family);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, &addr->sa, addr->len) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void note_file(struct listen_socket *sock)
{
    if (sock->addr.sa.sa_family == AF_UNIX && !sock->borrowed)
        lstat(sock->addr.un.sun_path, &sock->file);
}

/* The file of a socket goes with it, unless it is another's by now. */
static void remove_file(const struct listen_socket *sock)
{
    struct stat now;
    const char *path = sock->addr.un.sun_path;
    if (sock->addr.sa.sa_family == AF_UNIX && lstat(path, &now) == 0 &&
        now.st_dev == sock->file.st_dev && now.st_ino == sock->file.st_ino)
        unlink(path);
}

void listen_socket_unref(struct listen_socket *sock)
{
    if (atomic_fetch_sub(&sock->references, 1) > 1)
        return;
    remove_file(sock);
    close(sock->fd);
    free(sock);
}

static struct listen_socket *find(const struct listen_set *set, const struct addr *addr)
{
    for (size_t i = 0; set && i < set->count; i++)
        if (addr_equal(&set->sockets[i]->addr, addr))
            return set->sockets[i];
    return NULL;
}

/* The socket for ADDR, of OLD if it has one; NULL and errno. */
static struct listen_socket *socket_get(const struct listen_set *old, const struct addr *addr)
{
    struct listen_socket *kept = find(old, addr);
    if (kept) {
        atomic_fetch_add(&kept->references, 1);
        return kept;
    }
    int fd = open_socket(addr);
    if (fd < 0)
        return NULL;
    struct listen_socket *sock = xcalloc(1, sizeof *sock);
    sock->references = 1;
    sock->addr = *addr;
    sock->fd = fd;
    note_file(sock);
    return sock;
}

/* ---- sets ---- */

struct listen_set *listen_set_new(size_t max)
{
    struct listen_set *set = xcalloc(1, sizeof *set + max * sizeof set->sockets[0]);
    set->references = 1;
    set->max = max;
    return set;
}

static size_t count_listeners(const struct config *config)
{
    size_t n = 0;
    for (size_t i = 0; i < config->service_count; i++)
        n += config->services[i].listener_count;
    return n;
}

static void add_socket(struct listen_set *set, const struct listen_set *old,
                       const struct addr *bind, struct place place, struct problems *problems)
{
    struct listen_socket *sock = socket_get(old, bind);
    char text[ADDR_TEXT];
    if (sock)
        set->sockets[set->count++] = sock;
    else
        problem_error(problems, place, "cannot listen on %s: %s", addr_format(bind, text),
                      strerror(errno));
}

struct listen_set *listen_set_open(const struct config *config, const struct listen_set *old,
                                   struct problems *problems)
{
    size_t services = count_listeners(config);
    struct listen_set *set = listen_set_new(services + config->admin.listener_count);
    set->first_admin = services;
    for (size_t i = 0; i < config->service_count; i++)
        for (size_t k = 0; k < config->services[i].listener_count; k++) {
            const struct config_listener *conf = &config->services[i].listeners[k];
            add_socket(set, old, &conf->bind, conf->place, problems);
        }
    for (size_t i = 0; i < config->admin.listener_count; i++)
        add_socket(set, old, &config->admin.listeners[i].bind, config->admin.listeners[i].place,
                   problems);
    if (problems->errors == 0)
        return set;
    listen_set_unref(set);
    return NULL;
}

struct listen_set *listen_set_ref(struct listen_set *set)
{
    atomic_fetch_add(&set->references, 1);
    return set;
}

void listen_set_unref(struct listen_set *set)
{
    if (!set || atomic_fetch_sub(&set->references, 1) > 1)
        return;
    for (size_t i = 0; i < set->count; i++)
        listen_socket_unref(set->sockets[i]);
    free(set);
}

struct listen_socket *listen_set_admin(struct listen_set *set, size_t index)
{
    if (set->first_admin + index >= set->count)
        return NULL;
    struct listen_socket *sock = set->sockets[set->first_admin + index];
    atomic_fetch_add(&sock->references, 1);
    return sock;
}

int listen_socket_fd(const struct listen_socket *sock)
{
    return sock->fd;
}

bool listen_set_is_idle(const struct listen_set *set)
{
    return atomic_load(&set->references) == 1;
}

/* ---- other processes' ---- */

static bool is_listening(int fd)
{
    int type = 0, listens = 0;
    socklen_t n = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens;
}

void listen_set_add(struct listen_set *set, int fd, bool borrowed)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    if (set->count == set->max || !is_listening(fd) ||
        getsockname(fd, (struct sockaddr *)&sa, &n) < 0) {
        log_message(LOG_LEVEL_WARNING, "listener", "descriptor %d does not listen", fd);
        close(fd);
        return;
    }
    struct listen_socket *sock = xcalloc(1, sizeof *sock);
    sock->references = 1;
    sock->fd = fd;
    sock->borrowed = borrowed;
    addr_from_sockaddr(&sock->addr, (struct sockaddr *)&sa, n);
    set_options(fd, sa.ss_family);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    listen(fd, BACKLOG); /* who opened it may have asked for a short queue */
    set->sockets[set->count++] = sock;
}

int listen_set_take(const struct listen_set *set, const struct addr *addr)
{
    struct listen_socket *sock = find(set, addr);
    if (!sock)
        return -1;
    sock->borrowed = false; /* is used, and the caller sees to its file */
    return fcntl(sock->fd, F_DUPFD_CLOEXEC, 0);
}

size_t listen_set_count(const struct listen_set *set)
{
    return set->count;
}

int listen_set_fd(const struct listen_set *set, size_t index)
{
    return set->sockets[index]->fd;
}

bool listen_set_is_borrowed(const struct listen_set *set, size_t index)
{
    return set->sockets[index]->borrowed;
}

void listen_set_own_files(struct listen_set *set, bool own)
{
    for (size_t i = 0; i < set->count; i++) {
        memset(&set->sockets[i]->file, 0, sizeof set->sockets[i]->file);
        if (own)
            note_file(set->sockets[i]);
    }
}

void listen_set_log_unused(const struct listen_set *set)
{
    char text[ADDR_TEXT];
    for (size_t i = 0; set && i < set->count; i++)
        if (set->sockets[i]->borrowed && atomic_load(&set->sockets[i]->references) == 1)
            log_message(LOG_LEVEL_WARNING, "listener",
                        "systemd listens on %s, but no listener of the configuration does",
                        addr_format(&set->sockets[i]->addr, text));
}
