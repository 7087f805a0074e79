/* SPDX-License-Identifier: ISC
 *
 * A stream: a non-blocking socket with or without TLS on it, one interface for both. It takes all
 * that is written: what the socket has no room for is kept (`pend`), and its user reads from the
 * other side only while nothing is kept. TLS records are gathered in a buffer of the thread and
 * leave with one send (stream_push), so a handshake's last flight and the greeting share a segment.
 *
 * The socket is registered once, edge-triggered; the stream remembers what the edges said, and does
 * not ask the kernel for what it knows. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "base/addr.h"
#include "net/tls.h"
#include "worker.h"

struct pend; /* bytes kept */

struct stream {
    struct watch watch; /* `ready` is the user's: it calls stream_events first */
    int fd;             /* -1: closed or never opened */
    bool readable;      /* bytes, or the end, may be waiting in the socket */
    bool hung_up;       /* the peer has sent its end (it may still be unread) */
    bool broken;        /* the socket has an error to tell */
    bool gone;          /* that, or nothing can be sent to the peer any more either */
    bool urgent;        /* the peer has sent TCP urgent data: reads stop there (RFC 6093) */
    bool at_end;        /* the socket has no more; TLS may still hold some */
    bool connecting;
    bool ended;      /* the end was read, or a TLS close_notify came */
    bool failed;     /* broken: nothing can be read or written any more */
    bool shut;       /* stream_shutdown was done */
    bool handshaken; /* TLS is up */
    int error;       /* the errno of `failed`, or 0 */
    void *ssl;       /* OpenSSL's, or NULL */
    struct pend *pend;
};

enum stream_result { STREAM_AGAIN = -1, STREAM_FAILED = -2 };
/* besides these: a count of bytes, 0 at the peer's end */

enum {
    STREAM_TURN = 32
}; /* reads in a row, of who never stops talking: then others have their turn */

/* Takes over the connected socket FD; 0 or an errno, and then the caller still has FD. */
int stream_open(struct stream *st, struct worker *w, int fd,
                void (*ready)(struct watch *, uint32_t));

/* Begins to connect to ADDR, from SOURCE if that has a length; 0 or an errno. `ready` is called
 * when it is connected (`connecting` goes) or cannot be (`failed`). */
int stream_connect(struct stream *st, struct worker *w, const struct addr *addr,
                   const struct addr *source, void (*ready)(struct watch *, uint32_t));

/* Notes that the stream is broken, for the first reason that is told. */
void stream_fail(struct stream *st, int error);

/* Notes what epoll_wait said. */
void stream_events(struct stream *st, uint32_t events);

/* Up to N bytes into P: their number, 0 at the end, STREAM_AGAIN, STREAM_FAILED. */
ssize_t stream_read(struct stream *st, void *p, size_t n);

/* Whether bytes are in the socket that nobody has read yet. */
bool stream_waiting(const struct stream *st);

/* Whether a stream that was left alone is as it was: the peer has neither ended nor said a word.
 * Asks the kernel. */
bool stream_is_quiet(const struct stream *st);

/* As stream_read on a stream without TLS, but the bytes stay in the socket; and drops N of them. */
ssize_t stream_peek(struct stream *st, void *p, size_t n);
void stream_skip(struct stream *st, size_t n);

/* Writes, or keeps, all N bytes; false when the stream has failed. With TLS they leave at the next
 * stream_push at the latest. */
bool stream_write(struct stream *st, const void *p, size_t n);

/* Sends gathered TLS records and what is kept, as far as the socket takes it. */
void stream_push(struct stream *st);

/* Tells the peer at once that its bytes have come. While we have nothing to say, a peer with
 * Nagle's algorithm holds the rest of its answer back until then, up to 40 ms. */
void stream_acknowledge(struct stream *st);

/* Bytes kept. */
size_t stream_pending(const struct stream *st);

/* Says that nothing more will be written (close_notify, then FIN), once all that is kept is gone;
 * call it again until it returns true. */
bool stream_shutdown(struct stream *st);

/* Closes; what is kept is dropped. Harmless on a closed stream. */
void stream_close(struct stream *st);

/* Begins TLS on ST as server, or as client of the host NAME (a name or an address; checked against
 * the certificate where the context verifies). Then call stream_handshake. */
void stream_tls_server(struct stream *st, struct tls_server *ctx);
void stream_tls_client(struct stream *st, struct tls_client *ctx, const char *name);

/* Goes on with the handshake: 0 done, STREAM_AGAIN, STREAM_FAILED. */
int stream_handshake(struct stream *st);

/* Of a finished handshake: "TLSv1.3", and the e-mail name (else the CN) of the peer's verified
 * certificate into NAME, false if it has none. */
const char *stream_tls_version(const struct stream *st);
bool stream_peer_name(const struct stream *st, char *name, size_t size);

/* The name by which the client of a finished handshake called us (RFC 6066, 3), or NULL. It is
 * whatever it said, and lasts as long as the stream. */
const char *stream_tls_name(const struct stream *st);

/* Why TLS failed, in a few words, into TEXT; returns TEXT. */
const char *stream_error_text(const struct stream *st, char *text, size_t size);

/* Gives back what this thread has for all its streams. At the thread's end. */
void stream_thread_end(void);

#endif
