/* SPDX-License-Identifier: ISC
 *
 * An order for a running proxyd, as it goes over the control socket: one JSON object on one line,
 *
 *     {"command": "kick", "user": "bob@example.org"}
 *
 * read and written here and nowhere else, so that proxyctl, which writes, and the daemon, which
 * reads (control.c), agree. Does no I/O. */
#ifndef ADMIN_CONTROL_REQUEST_H
#define ADMIN_CONTROL_REQUEST_H

#include "base/str.h"

enum {
    CONTROL_LINE_MAX = 4096, /* bytes of a request, with its line feed */
    CONTROL_TEXT_MAX = 255,  /* of a text in it */
    CONTROL_ERROR = 200
};

enum control_command {
    CONTROL_STATUS,
    CONTROL_SESSIONS,
    CONTROL_KICK,
    CONTROL_DRAIN,
    CONTROL_UNDRAIN,
    CONTROL_HOLD,
    CONTROL_RELEASE,
    CONTROL_RELOAD,
    CONTROL_FLUSH,
    CONTROL_TRACE,
    CONTROL_PARDON,
    CONTROL_COMMANDS
};

/* What is not given is empty, false or 0. */
struct control_request {
    enum control_command command;
    char user[CONTROL_TEXT_MAX + 1]; /* a login */
    char node[CONTROL_TEXT_MAX + 1];
    char service[CONTROL_TEXT_MAX + 1];
    char session[CONTROL_TEXT_MAX + 1];
    char who[CONTROL_TEXT_MAX +
             1];    /* trace: a login or a client's address; pardon: an address or "all" */
    bool close;     /* drain: sessions are closed too, */
    uint64_t over;  /* in the course of so many ms */
    uint64_t lasts; /* trace: ms */
};

const char *control_command_name(enum control_command command);

/* Finds the command called NAME; false: there is none. */
bool control_command_find(const char *name, enum control_command *command);

/* Reads a duration as the configuration has them (500ms, 5s, 10m, 1h) into ms; false: it is none.
 */
bool control_duration(const char *text, uint64_t *ms);

/* Whether R is what its command takes; if not, ERROR says why. */
bool control_request_check(const struct control_request *r, char error[CONTROL_ERROR]);

/* Reads LINE, of at most CONTROL_LINE_MAX bytes; false: it is none that control_request_check
 * approves of, and ERROR says why. */
bool control_request_read(struct control_request *r, struct str line, char error[CONTROL_ERROR]);

/* R as a line with its line feed, for the caller to free; it has to be approved of. */
char *control_request_write(const struct control_request *r);

#endif
