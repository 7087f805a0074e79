/* SPDX-License-Identifier: ISC
 *
 * Changing the program while it serves: see upgrade.h. The new process is made by posix_spawn,
 * which shares our memory until the exec: a fork would copy the page tables of all sessions, and
 * stop the workers at their next write to each page. */
#include "upgrade.h"

#include "base/log.h"
#include "hold.h"
#include "inherit.h"
#include "limit.h"
#include "net/tls.h"
#include "node.h"
#include "revoke.h"
#include "web/cookie.h"
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE = 120000 /* ms for it to read its configuration and maps */ };

/* Of our environment, what was said to us and not to a successor. */
static const char *const ours[] = {
    INHERIT_VARIABLE "=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "WATCHDOG_PID="};

static struct {
    char *path;
    char **argv;
    pid_t pid; /* of the successor that is not ready yet; 0: none */
    int pipe;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned closing; /* handles of the last one */
    struct buf words; /* what it has said so far */
    void (*done)(pid_t pid);
} upgrade;

/* A symbolic link that leads to the program now may lead to another one later: so it is kept where
 * we were called by it. */
void upgrade_remember(char **argv)
{
    char folder[4096], self[4096];
    upgrade.argv = argv;
    if (argv[0][0] == '/') {
        upgrade.path = xstrdup(argv[0]);
    } else if (strchr(argv[0], '/') && getcwd(folder, sizeof folder)) {
        upgrade.path = xasprintf("%s/%s", folder, argv[0]);
    } else {
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n > 0 ? n : 0] = 0;
        upgrade.path = xstrdup(n > 0 ? self : argv[0]);
    }
}

const char *upgrade_program(void)
{
    return upgrade.path;
}

/* ---- what goes along ---- */

static void add_names(struct buf *out, const char *word, struct names names)
{
    for (size_t i = 0; i < names.count; i++)
        if (!str_has_control(str_of(names.list[i])))
            buf_addf(out, "%s %s\n", word, names.list[i]);
    names_free(&names);
}

/* The descriptors that are to stay open are put into FDS (room for all), their number returned. */
static size_t write_state(struct buf *out, const struct listen_set *set, const int *others,
                          size_t count, int *fds)
{
    size_t n = 0;
    for (size_t i = 0; i < listen_set_count(set); i++)
        buf_addf(out, "%s %d\n", listen_set_is_borrowed(set, i) ? INHERIT_BORROWED : INHERIT_SOCKET,
                 fds[n++] = listen_set_fd(set, i));
    for (size_t i = 0; i < count; i++)
        if (others[i] >= 0)
            buf_addf(out, "%s %d\n", INHERIT_SOCKET, fds[n++] = others[i]);
    buf_adds(out, INHERIT_TICKETS " ");
    tls_add_ticket_key(out);
    buf_adds(out, "\n" INHERIT_COOKIES " ");
    cookie_add_own_key(out);
    buf_adds(out, "\n");
    add_names(out, INHERIT_DRAINED, node_drained());
    add_names(out, INHERIT_HOLD, hold_list());
    revoke_save(out, INHERIT_REVOKED);
    limit_save(out, INHERIT_LIMITS, uv_hrtime() / 1000000);
    return n;
}

/* A file in memory with what OUT has; -1 and errno. */
static int state_file(const struct buf *out)
{
    struct str text = buf_str(out);
    int fd = memfd_create("proxyd-upgrade", MFD_CLOEXEC);
    while (fd >= 0 && text.n) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0) {
            close(fd);
            return -1;
        }
        text = (struct str){text.p + n, text.n - (size_t)n};
    }
    return fd;
}

static bool is_ours(const char *entry)
{
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strncmp(entry, ours[i], strlen(ours[i])) == 0)
            return true;
    return false;
}

static char **environment(int state, int pipe)
{
    size_t count = 0, n = 0;
    while (environ[count])
        count++;
    char **copy = xcalloc(count + 2, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        if (!is_ours(environ[i]))
            copy[n++] = xstrdup(environ[i]);
    copy[n] = xasprintf("%s=%d:%d:%d", INHERIT_VARIABLE, (int)getpid(), state, pipe);
    return copy;
}

/* ---- starting it ---- */

/* Returns 0 and the process id in upgrade.pid, or an errno. Duplicating a descriptor onto itself is
 * how posix_spawn is told to leave it open. */
static int spawn(const int *fds, size_t count, int state, int pipe)
{
    posix_spawn_file_actions_t actions;
    char **env = environment(state, pipe);
    posix_spawn_file_actions_init(&actions);
    for (size_t i = 0; i < count; i++)
        posix_spawn_file_actions_adddup2(&actions, fds[i], fds[i]);
    posix_spawn_file_actions_adddup2(&actions, state, state);
    posix_spawn_file_actions_adddup2(&actions, pipe, pipe);
    worker_descriptors_shared(true); /* the exec closes them, some time after this returns */
    int error = posix_spawn(&upgrade.pid, upgrade.path, &actions, NULL, upgrade.argv, env);
    posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; env[i]; i++)
        free(env[i]);
    free(env);
    return error;
}

static int start(const struct listen_set *set, const int *others, size_t count)
{
    int *fds = xcalloc(listen_set_count(set) + count, sizeof *fds), pipes[2] = {-1, -1};
    struct buf state;
    buf_init(&state, NULL, 0, INHERIT_STATE_MAX);
    size_t n = write_state(&state, set, others, count, fds);
    int file = state.full ? -1 : state_file(&state), error = state.full ? EFBIG : errno;
    buf_free(&state);
    if (file >= 0)
        error = pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0 ? errno : spawn(fds, n, file, pipes[1]);
    if (file >= 0)
        close(file);
    if (pipes[1] >= 0)
        close(pipes[1]);
    free(fds);
    upgrade.pipe = pipes[0];
    if (!error)
        return 0;
    if (pipes[0] >= 0)
        close(pipes[0]);
    upgrade.pid = 0;
    worker_descriptors_shared(false);
    return error;
}

/* ---- how it fares ---- */

static void closed(uv_handle_t *handle)
{
    (void)handle;
    upgrade.closing--;
}

static void let_go(void)
{
    worker_descriptors_shared(false);
    upgrade.pid = 0;
    upgrade.closing = 2;
    uv_close((uv_handle_t *)&upgrade.poll, closed);
    uv_close((uv_handle_t *)&upgrade.timer, closed);
    close(upgrade.pipe);
    buf_free(&upgrade.words);
}

/* It has ended, or is ended now: then waiting for it takes no time. */
static void fail(const char *why)
{
    int status = 0;
    pid_t pid = upgrade.pid;
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    let_go();
    if (why)
        log_message(LOG_LEVEL_ERROR, "upgrade", "process %d %s: this one goes on", (int)pid, why);
    else if (WIFSIGNALED(status))
        log_message(LOG_LEVEL_ERROR, "upgrade",
                    "process %d was ended by signal %d: this one goes on", (int)pid,
                    WTERMSIG(status));
    else
        log_message(LOG_LEVEL_ERROR, "upgrade", "process %d ended with status %d: this one goes on",
                    (int)pid, WEXITSTATUS(status));
}

static void too_slow(uv_timer_t *timer)
{
    (void)timer;
    fail("took too long to start");
    upgrade.done(0);
}

/* Whether one of the lines so far is that it serves; the others are logged. */
static bool hear(void)
{
    struct str line;
    size_t used;
    bool ready = false;
    while (!ready && str_line(buf_str(&upgrade.words), &line, &used)) {
        ready = str_is(line, INHERIT_READY);
        if (!ready)
            log_message(LOG_LEVEL_ERROR, "upgrade", "%.*s", (int)line.n, line.p);
        buf_take(&upgrade.words, (uint32_t)used);
    }
    return ready;
}

static void heard(uv_poll_t *poll, int status, int events)
{
    (void)poll, (void)status, (void)events;
    char *room = buf_room(&upgrade.words, 512);
    ssize_t n = room ? read(upgrade.pipe, room, 512) : 0;
    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0)
        buf_added(&upgrade.words, (uint32_t)n);
    pid_t pid = upgrade.pid;
    if (hear()) {
        let_go();
        log_message(LOG_LEVEL_INFO, "upgrade", "process %d serves in the place of this one",
                    (int)pid);
        upgrade.done(pid);
    } else if (n <= 0) {
        fail(NULL);
        upgrade.done(0);
    }
}

void upgrade_start(uv_loop_t *loop, const struct listen_set *set, const int *others, size_t count,
                   void (*done)(pid_t pid))
{
    if (upgrade.pid || upgrade.closing) {
        log_message(LOG_LEVEL_WARNING, "upgrade", "one is under way");
        return;
    }
    if (getpid() == 1) {
        log_message(LOG_LEVEL_ERROR, "upgrade",
                    "not as process 1, with which the container would end: replace the container");
        return;
    }
    int error = start(set, others, count);
    if (error) {
        log_message(LOG_LEVEL_ERROR, "upgrade", "cannot start %s: %s", upgrade.path,
                    strerror(error));
        return;
    }
    log_message(LOG_LEVEL_INFO, "upgrade", "starting %s as process %d", upgrade.path,
                (int)upgrade.pid);
    upgrade.done = done;
    buf_init(&upgrade.words, NULL, 0, INHERIT_WORDS_MAX);
    uv_poll_init(loop, &upgrade.poll, upgrade.pipe);
    uv_poll_start(&upgrade.poll, UV_READABLE, heard);
    uv_timer_init(loop, &upgrade.timer);
    uv_timer_start(&upgrade.timer, too_slow, PATIENCE, 0);
}

void upgrade_cancel(void)
{
    if (upgrade.pid)
        fail("was not ready when this one was told to end");
}
