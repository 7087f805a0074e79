/* SPDX-License-Identifier: ISC
 *
 * Carrying bytes from one stream to another, as the kernel does it best: short chatter by read and
 * write through the worker's scratch buffer, a bulk between two plain sockets by splice(2) through
 * a pipe of the thread's pool, held only while bytes are in it. A direction that is at rest has no
 * memory of its own. Nothing is read from one side while the other has not taken what came before.
 */
#ifndef NET_SPLICE_H
#define NET_SPLICE_H

#include "net/stream.h"

struct pipe;

/* Pipes of all threads together, two descriptors each. Where there are no more, bytes are copied.
 */
enum { SPLICE_PIPES_MAX = 96 };

/* One direction of a carried connection; all zero at the start, but for `seen`. */
struct splice {
    uint64_t bytes;    /* read from the source so far */
    struct pipe *pipe; /* NULL, or it holds bytes */
    uint32_t chunk;    /* how much is read at once: grows with a bulk, shrinks with a slow peer */
    bool bulk;         /* the last reads were full ones */
    /* Shown every piece before it is passed on; p is NULL where it passes unseen. NULL: nobody
     * wants to know. */
    void (*seen)(struct splice *s, struct str piece);
};

enum splice_result {
    SPLICE_IDLE,    /* the source has no more for now */
    SPLICE_BLOCKED, /* the destination takes no more for now */
    SPLICE_AGAIN,   /* had its turn: call again, after others had theirs */
    SPLICE_ENDED,   /* the source has ended, and the destination was told */
    SPLICE_FAILED   /* one of the two is broken */
};

/* Moves what can be moved now. */
enum splice_result splice_pump(struct splice *s, struct stream *from, struct stream *to,
                               struct worker *w);

/* Gives back what S holds. */
void splice_free(struct splice *s);

/* Closes the pipes of this thread's pool. At the thread's end. */
void splice_thread_end(void);

#endif
