/* SPDX-License-Identifier: ISC
 *
 * Reading a small file whole: see file.h. It may hold a secret: no copy of it stays elsewhere. */
#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST = 4096 };

/* A bigger block with the N bytes of OLD, which is wiped. */
static char *grow(char *old, size_t n, size_t size)
{
    char *p = xmalloc(size);
    memcpy(p, old, n);
    mem_wipe(old, n);
    free(old);
    return p;
}

char *file_read(const char *path, size_t max, size_t *size)
{
    size_t room = FIRST, n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *p = xmalloc(room);
    ssize_t got;
    while ((got = read(fd, p + n, room - 1 - n)) > 0 || (got < 0 && errno == EINTR)) {
        n += got > 0 ? (size_t)got : 0;
        if (n > max)
            break;
        if (n == room - 1)
            p = grow(p, n, room *= 2);
    }
    int error = got < 0 ? errno : n > max ? EFBIG : 0;
    close(fd);
    p[n] = 0;
    *size = n;
    if (error == 0)
        return p;
    mem_wipe(p, n);
    free(p);
    errno = error;
    return NULL;
}
