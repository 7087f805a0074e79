/* SPDX-License-Identifier: ISC
 *
 * Files of unix sockets: see socket_file.h. */
#include "base/socket_file.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

void socket_file_remove_stale(const struct addr *addr)
{
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (lstat(addr->un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
        connect(fd, &addr->sa, addr->len) < 0 && errno == ECONNREFUSED)
        unlink(addr->un.sun_path);
    close(fd);
}
