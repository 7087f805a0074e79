/* SPDX-License-Identifier: ISC
 *
 * The control socket's file: see control_socket.h. */
#include "admin/control_socket.h"

#include "base/mem.h"
#include "base/socket_file.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 16, ASIDE_MAX = 64 };

struct control_socket {
    char *path, *group; /* as in the configuration */
    int fd;
    dev_t device;
    ino_t inode; /* of the file that we have made; 0: it is not ours to remove */
};

/* Who we become. */
static bool find_owner(const struct config *config, uid_t *uid, gid_t *gid)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam(config->global.user) : NULL;
    if (!user)
        return false;
    *uid = user->pw_uid;
    *gid = user->pw_gid;
    return true;
}

/* The folder, where only it itself is missing: /run is empty after a start of the machine. */
static void make_folder(const char *path, const struct config *config)
{
    uid_t uid;
    gid_t gid;
    char *copy = xstrdup(path);
    const char *folder = dirname(copy);
    if (mkdir(folder, 0755) == 0 && find_owner(config, &uid, &gid) && chown(folder, uid, gid) < 0)
        rmdir(folder);
    free(copy);
}

/* 0, or an errno. The mode comes first: who has given a file away may be allowed no more than that,
 * even as root (systemd bounds capabilities). */
static int set_owner(const struct config *config, const char *path)
{
    uid_t uid = (uid_t)-1;
    gid_t gid = (gid_t)-1;
    const char *name = config->global.control_group;
    const struct group *group = name ? getgrnam(name) : NULL;
    if (name && !group)
        return ENOENT;
    find_owner(config, &uid, &gid);
    if (chmod(path, group ? 0660 : 0600) < 0)
        return errno;
    return chown(path, uid, group ? group->gr_gid : gid) < 0 ? errno : 0;
}

/* Notes which file is ours. */
static int take_file(struct control_socket *s)
{
    struct stat st;
    if (lstat(s->path, &st) < 0)
        return errno;
    s->device = st.st_dev;
    s->inode = st.st_ino;
    return 0;
}

/* What fchmod has said of the socket is what bind makes the file with: at no time is there one that
 * everybody may use. Returns 0, or an errno. */
static int make_file(struct control_socket *s, const struct config *config)
{
    struct addr addr = {.un.sun_family = AF_UNIX, .len = sizeof addr.un};
    strncpy(addr.un.sun_path, s->path, sizeof addr.un.sun_path - 1);
    make_folder(s->path, config);
    socket_file_remove_stale(&addr);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || fchmod(s->fd, 0600) < 0 || bind(s->fd, &addr.sa, addr.len) < 0 ||
        listen(s->fd, BACKLOG) < 0)
        return errno;
    return take_file(s);
}

/* Takes over PATH. */
static struct control_socket *new_socket(const struct config *config, char *path, int fd)
{
    const char *group = config->global.control_group;
    struct control_socket *s = xcalloc(1, sizeof *s);
    s->path = path;
    s->group = group ? xstrdup(group) : NULL;
    s->fd = fd;
    return s;
}

/* Why there can be no socket at PATH, in words. */
static const char *trouble(const char *path, int error)
{
    struct stat st;
    if (error != EADDRINUSE)
        return strerror(error);
    return lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode) ? "something else stands there"
                                                          : "another process does";
}

struct control_socket *control_socket_open(const struct config *config, int inherited,
                                           struct problems *problems)
{
    struct place place = config->global.control_socket_place;
    struct control_socket *s =
        new_socket(config, xstrdup(config->global.control_socket), inherited);
    int error = inherited >= 0 ? take_file(s) : make_file(s, config);
    if (!error)
        error = set_owner(config, s->path);
    if (!error)
        return s;
    (place.file ? problem_error : problem_warning)(
        problems, place, "cannot listen for proxyctl on %s: %s", s->path, trouble(s->path, error));
    if (inherited >= 0)
        control_socket_hand_over(s);
    control_socket_close(s);
    return NULL;
}

/* Whether the file NAME is what a process beside the socket BASE has for its own. */
static bool is_aside(const char *name, const char *base)
{
    size_t n = strlen(base);
    return strncmp(name, base, n) == 0 && name[n] == '.' && name[n + 1] &&
           name[n + 1 + strspn(name + n + 1, "0123456789")] == 0;
}

struct names control_socket_find_aside(const char *path)
{
    char *copy = xstrdup(path), *other = xstrdup(path);
    const char *folder = dirname(copy), *base = basename(other);
    struct names found = {0};
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && found.count < ASIDE_MAX && (entry = readdir(dir)) != NULL;)
        if (is_aside(entry->d_name, base)) {
            char *name = xasprintf("%s/%s", folder, entry->d_name);
            names_add(&found, name);
            free(name);
        }
    if (dir)
        closedir(dir);
    free(copy);
    free(other);
    return found;
}

static void remove_stale_aside(const char *path)
{
    struct names found = control_socket_find_aside(path);
    for (size_t i = 0; i < found.count; i++) {
        struct addr addr = {.un.sun_family = AF_UNIX, .len = sizeof addr.un};
        strncpy(addr.un.sun_path, found.list[i], sizeof addr.un.sun_path - 1);
        socket_file_remove_stale(&addr);
    }
    names_free(&found);
}

struct control_socket *control_socket_open_aside(const struct config *config)
{
    const char *path = config->global.control_socket;
    char *own = xasprintf("%s.%d", path, (int)getpid());
    struct control_socket *s = new_socket(config, own, -1);
    remove_stale_aside(path);
    bool fits = strlen(own) < sizeof((struct sockaddr_un *)NULL)->sun_path;
    int error = fits ? make_file(s, config) : ENAMETOOLONG;
    if (!error)
        error = set_owner(config, own);
    if (!error)
        return s;
    log_message(LOG_LEVEL_WARNING, "control", "proxyctl will not see what is left here: %s: %s",
                own, strerror(error));
    control_socket_close(s);
    return NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool control_socket_is_at(const struct control_socket *s, const struct config *config)
{
    return s && strcmp(s->path, config->global.control_socket) == 0;
}

bool control_socket_is_for(const struct control_socket *s, const struct config *config)
{
    return control_socket_is_at(s, config) && same_text(s->group, config->global.control_group);
}

int control_socket_fd(const struct control_socket *s)
{
    return s->fd;
}

void control_socket_hand_over(struct control_socket *s)
{
    if (s)
        s->inode = 0;
}

void control_socket_close(struct control_socket *s)
{
    struct stat st;
    if (!s)
        return;
    if (s->inode && lstat(s->path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
        unlink(s->path);
    if (s->fd >= 0)
        close(s->fd);
    free(s->path);
    free(s->group);
    free(s);
}
