/* SPDX-License-Identifier: ISC
 *
 * Carrying bytes: see splice.h. */
#include "net/splice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    CHUNK_MIN = 16 * 1024, /* a read that fills this is the beginning of a bulk */
    CHUNK_MAX = WORKER_SCRATCH,
    PIPE_SIZE = 1024 * 1024,
    PIPES_KEPT = 16,       /* empty ones, per thread */
    TURN = 4 * 1024 * 1024 /* bytes after which other sessions have their turn */
};

struct pipe {
    struct pipe *next;
    int read, write;
    size_t held, size;
};

static _Thread_local struct {
    struct pipe *idle;
    unsigned idle_count;
} pool;

static atomic_uint pipes; /* of all threads */

static void pipe_close(struct pipe *p)
{
    close(p->read);
    close(p->write);
    free(p);
    atomic_fetch_sub(&pipes, 1);
}

static struct pipe *pipe_get(void)
{
    struct pipe *p = pool.idle;
    int fds[2];
    if (p) {
        pool.idle = p->next;
        pool.idle_count--;
        return p;
    }
    if (atomic_fetch_add(&pipes, 1) >= SPLICE_PIPES_MAX || pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
        atomic_fetch_sub(&pipes, 1);
        return NULL;
    }
    int size = fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE);
    p = xmalloc(sizeof *p);
    *p = (struct pipe){.read = fds[0], .write = fds[1], .size = size > 0 ? (size_t)size : 65536};
    return p;
}

static void pipe_put(struct pipe *p)
{
    if (p->held || pool.idle_count == PIPES_KEPT) {
        pipe_close(p);
        return;
    }
    p->next = pool.idle;
    pool.idle = p;
    pool.idle_count++;
}

void splice_free(struct splice *s)
{
    if (s->pipe)
        pipe_put(s->pipe);
    s->pipe = NULL;
}

void splice_thread_end(void)
{
    while (pool.idle) {
        struct pipe *p = pool.idle;
        pool.idle = p->next;
        pipe_close(p);
    }
    pool.idle_count = 0;
}

/* Empties the pipe into the destination, as far as it goes. */
static enum splice_result drain_pipe(struct splice *s, struct stream *to)
{
    struct pipe *p = s->pipe;
    while (p->held) {
        ssize_t n = splice(p->read, NULL, to->fd, NULL, p->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n > 0)
            p->held -= (size_t)n;
        else if (n < 0 && errno == EAGAIN)
            return SPLICE_BLOCKED;
        else if (n == 0 || errno != EINTR) {
            stream_fail(to, n < 0 ? errno : EIO);
            return SPLICE_FAILED;
        }
    }
    splice_free(s);
    return SPLICE_IDLE;
}

/* One pipe full, without the bytes ever coming here. */
static ssize_t move_spliced(struct splice *s, struct stream *from)
{
    struct pipe *p = s->pipe;
    ssize_t n = splice(from->fd, NULL, p->write, NULL, p->size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0) {
        p->held = (size_t)n;
        if (s->seen)
            s->seen(s, (struct str){NULL, p->held});
        s->bulk = n >= CHUNK_MIN;
        return n;
    }
    if (n == 0)
        from->ended = true;
    else if (errno != EAGAIN && errno != EINTR)
        stream_fail(from, errno);
    else
        from->readable = false;
    s->bulk = false;
    return n == 0 ? 0 : from->failed ? STREAM_FAILED : STREAM_AGAIN;
}

/* Reads up to a chunk; more than one record's worth of TLS goes out at once. */
static ssize_t move_copied(struct splice *s, struct stream *from, struct stream *to,
                           struct worker *w)
{
    if (s->chunk < CHUNK_MIN)
        s->chunk = CHUNK_MIN;
    size_t n = 0;
    ssize_t got;
    do {
        got = stream_read(from, w->scratch + n, s->chunk - n);
        n += got > 0 ? (size_t)got : 0;
    } while (got > 0 && from->ssl && n < s->chunk);
    s->bulk = n == s->chunk;
    if (n == 0)
        return got;
    if (s->seen)
        s->seen(s, (struct str){w->scratch, n});
    if (!stream_write(to, w->scratch, n))
        return STREAM_FAILED;
    if (s->bulk && s->chunk < CHUNK_MAX)
        s->chunk *= 2;
    return (ssize_t)n;
}

static bool can_splice(const struct splice *s, const struct stream *from, const struct stream *to)
{
    return s->bulk && !from->ssl && !to->ssl && !from->urgent; /* splice(2) stops there for good */
}

static ssize_t move(struct splice *s, struct stream *from, struct stream *to, struct worker *w)
{
    if (!from->readable && !from->at_end && !from->ssl)
        return from->failed ? STREAM_FAILED : STREAM_AGAIN;
    if (can_splice(s, from, to) && (s->pipe = pipe_get()) != NULL) {
        ssize_t n = move_spliced(s, from);
        if (n <= 0)
            splice_free(s);
        return n;
    }
    return move_copied(s, from, to, w);
}

static enum splice_result flush(struct splice *s, struct stream *to)
{
    enum splice_result rest = s->pipe ? drain_pipe(s, to) : SPLICE_IDLE;
    if (rest != SPLICE_IDLE)
        return rest;
    stream_push(to);
    if (to->failed)
        return SPLICE_FAILED;
    return stream_pending(to) ? SPLICE_BLOCKED : SPLICE_IDLE;
}

enum splice_result splice_pump(struct splice *s, struct stream *from, struct stream *to,
                               struct worker *w)
{
    for (size_t moved = 0; moved < TURN;) {
        enum splice_result rest = flush(s, to);
        if (rest == SPLICE_BLOCKED)
            s->chunk /= 2;
        if (rest != SPLICE_IDLE)
            return rest;
        if (from->ended && to->ended && !to->ssl)
            return SPLICE_ENDED; /* both will be closed now: no need to say it twice */
        if (from->ended)
            return stream_shutdown(to) ? SPLICE_ENDED : SPLICE_BLOCKED;
        ssize_t n = move(s, from, to, w);
        if (n < 0)
            return n == STREAM_AGAIN ? SPLICE_IDLE : SPLICE_FAILED;
        moved += (size_t)n;
        s->bytes += (size_t)n;
    }
    return SPLICE_AGAIN;
}
