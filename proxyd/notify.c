/* SPDX-License-Identifier: ISC
 *
 * sd_notify in one datagram: see notify.h. libsystemd would bring five more libraries into the
 * address space of a network service for these lines. */
#include "notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct {
    bool (*well)(void);
    uv_timer_t timer;
    bool stopped;
} watchdog;

void notify(const char *state)
{
    const char *path = watchdog.stopped ? NULL : getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct timespec now;
    char text[128];
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path)
        return;
    size_t n = strlen(path);
    memcpy(to.sun_path, path, n);
    if (path[0] == '@')
        to.sun_path[0] = 0; /* an abstract name */
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "%s\nMONOTONIC_USEC=%llu", state,
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, size) <
        0)
        perror("notify");
    close(fd);
}

void notify_stop(void)
{
    watchdog.stopped = true;
}

static void look(uv_timer_t *timer)
{
    (void)timer;
    if (watchdog.well())
        notify("WATCHDOG=1");
}

/* Twice in the time that it waits, as sd_watchdog_enabled(3) has it. */
void notify_watchdog(uv_loop_t *loop, bool (*well)(void))
{
    const char *time = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    unsigned long long us = time ? strtoull(time, NULL, 10) : 0;
    if (us < 2000 || us > UINT64_MAX / 2 || (pid && atol(pid) != getpid()))
        return;
    watchdog.well = well;
    uv_timer_init(loop, &watchdog.timer);
    uv_timer_start(&watchdog.timer, look, us / 2000, us / 2000);
}
