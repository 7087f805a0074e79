/* SPDX-License-Identifier: ISC
 *
 * The files of templates' folders, as they are now: read in the thread pool, never on the loop,
 * never from outside of the folder, and kept for all workers up to a bound. One that was looked at
 * within FILES_FRESH is answered at once; else it is looked at again, and read where it changed.
 * Called by the login. */
#ifndef WEB_FILES_H
#define WEB_FILES_H

#include "base/str.h"
#include "worker.h"

#include <stdatomic.h>
#include <time.h>

enum {
    FILES_FRESH = 1000,                /* ms */
    FILES_NAME_MAX = 255,              /* bytes */
    FILES_SIZE_MAX = 4 * 1024 * 1024,  /* of a file; a larger one is not served */
    FILES_KEPT_MAX = 16 * 1024 * 1024, /* of all that are kept together */
    FILES_COUNT_MAX = 256,             /* how many are kept */
    FILES_JOBS_MAX = 64                /* under way; who wants one more is told to come later */
};

/* A file that was read; it does not change any more. */
struct file {
    atomic_uint references;
    struct str content;
    struct timespec modified; /* what it was read as, or refused as */
    off_t size;
    uint64_t inode;
};

struct files_job;

/* A question. All zero but for what the caller sets. */
struct files_ask {
    void (*done)(struct files_ask *ask); /* never from within files_get */
    /* Whether CONTENT may take the place of what PATH had before; NULL: any may. In the pool. */
    bool (*check)(const char *path, struct str content);
    /* ---- the answer */
    struct file *file; /* a reference, the caller's; or NULL: `error` says why */
    int error;         /* an errno; ENOENT for all that is not to be seen; EBUSY */
    /* ---- files.c's own */
    struct files_job *job;
};

/* Asks for the file NAME (with slashes) below FOLDER. True: answered at once. */
bool files_get(struct files_ask *ask, struct worker *w, const char *folder, const char *name);

/* Forgets a question under way. Harmless otherwise. */
void files_cancel(struct files_ask *ask);

/* One reference less. NULL is allowed. From any thread. */
void file_unref(struct file *file);

/* Whether NAME may be asked for: no empty or hidden part in it (".", "..", ".git"), and nothing but
 * letters that a path has. */
bool files_is_name(struct str name);

#endif
