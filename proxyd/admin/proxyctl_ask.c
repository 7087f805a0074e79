/* SPDX-License-Identifier: ISC
 *
 * Asking a running daemon: see proxyctl.h and control.h. After an upgrade there are processes
 * beside it, which go on with the sessions that they have: they are asked too, and all answers made
 * one. */
#include "admin/proxyctl.h"

#include "admin/control_socket.h"
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

/* -1 and errno. */
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
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
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

/* ---- one process ---- */

static int status_of(const json_t *answer)
{
    return (int)json_integer_value(json_object_get(answer, "status"));
}

/* Shows the lines of IN but the last one, which is returned; NULL: there is none. REPLACED: they
 * are of a process that has a successor. */
static json_t *show(FILE *in, struct proxyctl_print *print, bool replaced)
{
    json_t *last = NULL;
    size_t size = 0;
    char *line = NULL;
    while (!last && getline(&line, &size, in) > 0) {
        json_t *object = json_loads(line, 0, NULL);
        if (json_object_get(object, "status")) {
            last = object;
            continue;
        }
        if (replaced)
            json_object_set_new(object, "replaced", json_true());
        proxyctl_print_item(print, object);
        json_decref(object);
    }
    free(line);
    return last;
}

/* The end of the answer that comes from FD, which is closed; NULL: it has none. */
static json_t *ask(int fd, struct proxyctl_print *print, bool replaced)
{
    char *line = control_request_write(print->request);
    set_patience(fd, print->request);
    FILE *in = fdopen(fd, "r");
    json_t *answer = send_line(fd, line) ? show(in, print, replaced) : NULL;
    fclose(in);
    free(line);
    return answer;
}

/* ---- all of them ---- */

static json_t *add_status(json_t *answer, json_t *more)
{
    if (!json_object_get(answer, "replaced"))
        json_object_set_new(answer, "replaced", json_array());
    json_array_append_new(json_object_get(answer, "replaced"), more);
    return answer;
}

/* One that found what was meant is enough; how many there were is added up. Takes both. */
static json_t *add_numbers(json_t *answer, json_t *more)
{
    const char *key;
    json_t *value;
    if (status_of(answer) != EX_OK && status_of(more) == EX_OK) {
        json_decref(answer);
        return more;
    }
    json_object_foreach(more, key, value)
    {
        json_t *mine = json_object_get(answer, key);
        if (status_of(more) == EX_OK && strcmp(key, "status") != 0 && json_is_integer(mine))
            json_integer_set(mine, json_integer_value(mine) + json_integer_value(value));
    }
    json_decref(more);
    return answer;
}

/* ANSWER with those of the processes beside the socket PATH; takes ANSWER. */
static json_t *join(json_t *answer, const char *path, struct proxyctl_print *print)
{
    struct names aside = control_socket_find_aside(path);
    for (size_t i = 0; i < aside.count; i++) {
        int fd = connect_to(aside.list[i]);
        json_t *more = fd < 0 ? NULL : ask(fd, print, true);
        if (more)
            answer = print->request->command == CONTROL_STATUS ? add_status(answer, more)
                                                               : add_numbers(answer, more);
    }
    names_free(&aside);
    return answer;
}

static int ask_all(int fd, const char *path, struct proxyctl_print *print)
{
    enum control_command command = print->request->command;
    json_t *answer = ask(fd, print, false);
    if (!answer) {
        fputs("proxyctl: proxyd has not answered to the end\n", stderr);
        return EX_TEMPFAIL;
    }
    if (command != CONTROL_RELOAD && command != CONTROL_TRACE && status_of(answer) <= 1)
        answer = join(answer, path, print);
    proxyctl_print_end(print, answer);
    int status = status_of(answer);
    json_decref(answer);
    return status;
}

int proxyctl_ask(const char *path, const struct control_request *r, bool json)
{
    struct proxyctl_print print = {.request = r, .json = json};
    int fd = connect_to(path);
    if (fd < 0) {
        fprintf(stderr, "proxyctl: cannot talk to proxyd at %s: %s\n", path,
                errno == ECONNREFUSED ? "nobody listens there" : strerror(errno));
        return EX_UNAVAILABLE;
    }
    locale_t old = text_begin();
    int status = ask_all(fd, path, &print);
    text_end(old);
    json_decref(print.rows);
    return fflush(stdout) == 0 ? status : EX_IOERR;
}
