/* SPDX-License-Identifier: ISC
 *
 * Asking a running daemon: see proxyctl.h and control.h. */
#include "admin/proxyctl.h"

#include "admin/text.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum { PATIENCE = 60 }; /* s without a word, where the daemon answers at once */

static int connect_to(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof sun.sun_path)
        errno = ENAMETOOLONG;
    else if (fd >= 0) {
        strcpy(sun.sun_path, path);
        if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
            return fd;
    }
    fprintf(stderr, "proxyctl: cannot talk to proxyd at %s: %s\n", path,
            errno == ECONNREFUSED ? "nobody listens there" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A reload takes as long as reading takes, a trace as long as was asked for. */
static void set_patience(int fd, const struct control_request *r)
{
    const struct timeval patience = {.tv_sec = PATIENCE};
    if (r->command != CONTROL_RELOAD && r->command != CONTROL_TRACE)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

static bool send_line(int fd, const char *line)
{
    for (size_t n = strlen(line); n;) {
        ssize_t sent = send(fd, line, n, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        line += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* Shows the answer, the lines of IN; the status in its last line, or EX_TEMPFAIL. */
static int show(FILE *in, struct proxyctl_print *print)
{
    int status = -1;
    size_t size = 0;
    char *line = NULL;
    while (status < 0 && getline(&line, &size, in) > 0) {
        json_t *object = json_loads(line, 0, NULL), *last = json_object_get(object, "status");
        if (last) {
            status = (int)json_integer_value(last);
            proxyctl_print_end(print, object);
        } else {
            proxyctl_print_item(print, object);
        }
        json_decref(object);
    }
    free(line);
    if (status < 0)
        fputs("proxyctl: proxyd has not answered to the end\n", stderr);
    return status < 0 ? EX_TEMPFAIL : status;
}

int proxyctl_ask(const char *path, const struct control_request *r, bool json)
{
    struct proxyctl_print print = {.request = r, .json = json};
    char *line = control_request_write(r);
    int status = EX_UNAVAILABLE, fd = connect_to(path);
    if (fd >= 0) {
        set_patience(fd, r);
        FILE *in = fdopen(fd, "r");
        locale_t old = text_begin();
        status = send_line(fd, line) ? show(in, &print) : EX_TEMPFAIL;
        text_end(old);
        fclose(in);
    }
    json_decref(print.rows);
    free(line);
    return fflush(stdout) == 0 ? status : EX_IOERR;
}
