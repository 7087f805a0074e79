/* SPDX-License-Identifier: ISC
 *
 * A dialogue as it is written in a *.talk file. Called by talk.c. */
#ifndef TALK_SCRIPT_H
#define TALK_SCRIPT_H

#include "proto/proto.h"

enum { SCRIPT_LINES_MAX = 400, SCRIPT_SETTINGS_MAX = 32 };

enum line_kind {
    LINE_CLIENT,    /* C: C> */
    LINE_NODE,      /* N: N> */
    LINE_TO_CLIENT, /* S: S> */
    LINE_TO_NODE,   /* P: P> */
    LINE_VERDICT,   /* V: */
    LINE_CLIENT_TLS,
    LINE_NODE_TLS,
    LINE_SERVER_END,
    LINE_CLIENT_END,
    LINE_PROXY_END
};

struct line {
    enum line_kind kind;
    bool prefix; /* the rest of the line is free */
    unsigned number;
    char *text; /* the bytes, with CR LF; NUL-terminated besides */
    size_t n;
};

struct dialogue {
    const char *file;
    char *title;
    const struct protocol *protocol;
    char *settings[SCRIPT_SETTINGS_MAX]; /* "KEY VALUE" */
    unsigned setting_count;
    struct line lines[SCRIPT_LINES_MAX];
    unsigned count;
};

/* Calls EACH for every dialogue of FILE. A file that cannot be read ends the program with a message
 * that names the line. */
void script_read(const char *file, void (*each)(const struct dialogue *d));

#endif
