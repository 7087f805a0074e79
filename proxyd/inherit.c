/* SPDX-License-Identifier: ISC
 *
 * What a process finds when it starts: see inherit.h. */
#include "inherit.h"

#include "base/mem.h"
#include "hold.h"
#include "limit.h"
#include "net/tls.h"
#include "node.h"
#include "revoke.h"
#include "web/cookie.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_OF_SYSTEMD = 3, SOCKETS_MAX = 4096 };

static int to_before = -1; /* the pipe to the process before */

static bool is_open(int fd)
{
    return fd > STDERR_FILENO && fcntl(fd, F_GETFD) >= 0;
}

/* ---- systemd ---- */

static unsigned number(const char *text, unsigned max)
{
    uint64_t n = 0;
    return text && str_number(str_of(text), max, &n) ? (unsigned)n : 0;
}

static struct listen_set *take_from_systemd(void)
{
    bool ours = number(getenv("LISTEN_PID"), INT32_MAX) == (unsigned)getpid();
    unsigned count = ours ? number(getenv("LISTEN_FDS"), SOCKETS_MAX) : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (count == 0)
        return NULL;
    struct listen_set *set = listen_set_new(count);
    for (unsigned i = 0; i < count; i++)
        listen_set_add(set, FIRST_OF_SYSTEMD + (int)i, true);
    return set;
}

/* ---- the process before ---- */

/* The file in memory, with a NUL behind it; NULL when it cannot be read. */
static char *read_state(int fd, size_t *size)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size > INHERIT_STATE_MAX)
        return NULL;
    size_t n = 0;
    char *text = xmalloc((size_t)st.st_size + 1);
    for (ssize_t got; n < (size_t)st.st_size; n += (size_t)got)
        if ((got = pread(fd, text + n, (size_t)st.st_size - n, (off_t)n)) <= 0)
            break;
    text[n] = 0;
    *size = n;
    return text;
}

static void take_line(struct str line, struct listen_set *set, struct names *drained,
                      struct names *held)
{
    char text[1024];
    struct str word = str_word(&line);
    if (line.n < 2 || line.n > sizeof text)
        return;
    struct str value = {line.p + 1, line.n - 1};
    memcpy(text, value.p, value.n);
    text[value.n] = 0;
    if (str_is(word, INHERIT_SOCKET) || str_is(word, INHERIT_BORROWED))
        listen_set_add(set, (int)number(text, INT32_MAX), str_is(word, INHERIT_BORROWED));
    else if (str_is(word, INHERIT_DRAINED))
        names_add(drained, text);
    else if (str_is(word, INHERIT_HOLD))
        names_add(held, text);
    else if (str_is(word, INHERIT_LIMITS))
        limit_take(text, uv_hrtime() / 1000000);
    else if (str_is(word, INHERIT_REVOKED))
        revoke_take(text);
    else if (str_is(word, INHERIT_TICKETS))
        tls_set_ticket_key(value);
    else if (str_is(word, INHERIT_COOKIES))
        cookie_set_own_key(value);
    mem_wipe(text, sizeof text); /* of a word that is of a newer program too */
}

static struct listen_set *take_state(struct str text)
{
    struct listen_set *set = listen_set_new(SOCKETS_MAX);
    struct names drained = {0}, held = {0};
    struct str line;
    size_t used;
    while (str_line(text, &line, &used)) {
        take_line(line, set, &drained, &held);
        text = (struct str){text.p + used, text.n - used};
    }
    node_drain_again(&drained);
    hold_add_all(&held);
    names_free(&drained);
    names_free(&held);
    return set;
}

/* Only of our parent: what somebody's environment has kept is of no process that still waits. */
static struct listen_set *take_from_before(void)
{
    const char *variable = getenv(INHERIT_VARIABLE);
    struct listen_set *set = NULL;
    int pid = 0, state = -1, pipe = -1;
    size_t n;
    char *text;
    bool meant = variable && sscanf(variable, "%d:%d:%d", &pid, &state, &pipe) == 3 &&
                 pid == getppid() && is_open(state) && is_open(pipe);
    unsetenv(INHERIT_VARIABLE);
    if (!meant)
        return NULL;
    fcntl(pipe, F_SETFD, FD_CLOEXEC);
    to_before = pipe;
    if ((text = read_state(state, &n)) != NULL) {
        set = take_state((struct str){text, n});
        mem_wipe(text, n);
        free(text);
    }
    close(state);
    return set;
}

struct listen_set *inherit_take(void)
{
    struct listen_set *systemd = take_from_systemd(), *before = take_from_before();
    if (!before)
        return systemd;
    listen_set_unref(systemd);
    return before;
}

/* ---- telling it ---- */

static void tell(const char *text)
{
    if (to_before >= 0 &&
        (write(to_before, text, strlen(text)) < 0 || write(to_before, "\n", 1) < 0))
        log_message(LOG_LEVEL_ERROR, "upgrade", "the process before is gone: %s", strerror(errno));
}

void inherit_tell(const struct problems *problems)
{
    for (size_t i = 0; i < problems->kept; i++)
        if (!problems->list[i].warning) {
            char *text = problem_text(&problems->list[i]);
            tell(text);
            free(text);
        }
}

void inherit_ready(void)
{
    tell(INHERIT_READY);
    if (to_before >= 0)
        close(to_before);
    to_before = -1;
}
