/* SPDX-License-Identifier: ISC
 *
 * What every client's connection has in common, whatever is spoken on it: the stream, how it
 * arrives (PROXY header, TLS), its place in the worker's list, its name in the log, and how it
 * leaves. What is done with it between arriving and leaving is an engine's: session.c logs in and
 * carries, and others go on reading. An engine's own struct begins with a struct client.
 *
 * An engine is a machine that is stepped: whatever happens (an event on the stream, the timer, a
 * post of the client's, an order to stop) is noted and then stepped. All functions are for the
 * worker's own thread unless they say otherwise. */
#ifndef CLIENT_H
#define CLIENT_H

#include "admit.h"
#include "config.h"
#include "net/stream.h"
#include "worker.h"

/* Why a client's connection ended: the word in the log's `close` line. */
enum client_reason {
    REASON_LOGOUT,          /* logout: the client said goodbye before it logged in */
    REASON_CLIENT_CLOSED,   /* client_closed: the client ended the connection first */
    REASON_NODE_CLOSED,     /* node_closed: the node did (after a LOGOUT or QUIT that is the usual
                               end) */
    REASON_CLIENT_LOST,     /* client_lost: the connection to the client broke */
    REASON_NODE_LOST,       /* node_lost: the connection to the node broke */
    REASON_LOGIN_TIMEOUT,   /* login_timeout: not logged in in time */
    REASON_IDLE_TIMEOUT,    /* idle_timeout: nothing was carried for too long */
    REASON_TOO_MANY_ERRORS, /* too_many_errors: max_errors, max_auth_errors, or nothing to be talked
                               with */
    REASON_TLS,             /* tls: the handshake with the client failed */
    REASON_INJECTION,       /* injection: bytes behind STARTTLS in the clear */
    REASON_PROXY_HEADER,    /* proxy_header: none, a bad one, or one from an address that is not
                               trusted */
    REASON_SHUTDOWN,        /* shutdown: the process ends */
    REASON_KICKED,          /* kicked: by an order of the administrator's */
    REASON_DRAINED,         /* drained: its node is to be emptied */
    REASON_HELD,            /* held: its mailbox is being moved */
    REASON_REFUSED,         /* refused: by `access` or `limits` */
    REASON_COUNT
};

struct client;
struct node;
struct trace;

enum client_phase {
    CLIENT_TALKS,  /* not logged in, and no login is under way */
    CLIENT_ASKS,   /* a login is being looked up, or waits for `hold` or a place: nothing has begun
                      yet */
    CLIENT_SERVED, /* talking to a node, or there */
    CLIENT_LEAVES  /* all is over, but for our last words on their way */
};

/* What an engine has to tell of a client, for people. */
struct client_told {
    enum client_phase phase;
    const char *state;            /* a word */
    uint64_t bytes_in, bytes_out; /* carried from the client, and to it */
};

/* What a kind of service does with its clients. */
struct engine {
    unsigned pool; /* which of the worker's its clients come from */
    size_t size;   /* of its struct, which begins with a struct client */
    /* The client is connected, all zero behind its struct client; nothing was read yet. */
    void (*start)(struct client *c);
    /* Something has happened: see what can be done now. */
    void (*step)(struct client *c);
    /* Fills in TOLD, which is all zero. NULL: a client with a login is served, and that is all. */
    void (*tell)(const struct client *c, struct client_told *told);
};

struct client {
    const struct engine *engine;
    struct stream stream;
    struct worker *worker;
    struct ring ring;      /* in the worker's `clients` */
    struct config *config; /* a reference */
    const struct config_service *service;
    const struct config_listener *listener;
    struct timer timer;         /* at it the engine steps; client_arm */
    struct post post;           /* by worker_soon the engine steps again, in this round */
    uint64_t started, deadline; /* ms; of the present state, 0: none */
    uint64_t stop_at;           /* ms; 0: not. Then it is to stop for `stop_reason` */
    uint64_t stop_by; /* ms: who is `stopping` is at a command boundary until then, or not */
    enum client_reason reason; /* once it ends */
    enum client_reason stop_reason;
    uint16_t header_rest; /* bytes of the PROXY header that are still to be thrown away */
    bool arriving;        /* the PROXY header is still awaited */
    bool quiet;           /* may be a load balancer's check, which says nothing: not logged yet */
    bool announced;       /* by a PROXY header: not the load balancer itself */
    bool refused;         /* by admit.c, which has logged it: nothing more is */
    bool stopping;        /* is to end, for `reason`, as soon as the engine sees to it */
    struct limit_ticket ticket; /* what it is counted in, under `address` */
    char id[17];                /* the log's `session` */
    uint32_t drained;           /* bytes read away while our last words are on their way */
    char *user;                 /* the login, once it is known; owned */
    struct node *node;          /* the one that serves it now, or NULL; a reference, the engine's */
    struct trace *trace;        /* trace.c's, or NULL */
    unsigned trace_version;
    struct addr address; /* the client's; stays what it is once it has arrived */
};

/* Serves the connection FD from ADDRESS, accepted by LISTENER of SERVICE in CONFIG (of which the
 * client keeps a reference), by ENGINE, or refuses it. Takes FD in any case. */
void client_start(struct worker *w, const struct engine *engine, struct config *config,
                  const struct config_service *service, const struct config_listener *listener,
                  int fd, const struct addr *address);

/* Clients of the whole process. From any thread. */
unsigned client_total(void);

/* Ends C for REASON, or all of W's, one after the other over MS: those at a command boundary are
 * told. Who is in the middle of something has a while to come to its end if REASON bears that,
 * which client_may_go_on tells. */
void client_stop(struct client *c, enum client_reason reason);
void client_stop_all(struct worker *w, enum client_reason reason, uint64_t ms);

static inline bool client_may_go_on(const struct client *c)
{
    return c->worker->now < c->stop_by;
}

/* Has all of W's look what can be done now. */
void client_step_all(struct worker *w);

/* Ends C for REASON in MS from now, unless it is to stop earlier already. */
void client_stop_in(struct client *c, enum client_reason reason, uint64_t ms);

/* What C's engine tells of it. */
struct client_told client_tell(const struct client *c);

/* A walk over the clients that W has at its start, part of what walks. It may pause as long as it
 * likes, for clients may come and go meanwhile; W does not end before it. */
struct client_walk {
    struct ring ring;  /* in the worker's `walks` */
    struct ring *next; /* the next client, or the head */
    struct worker *worker;
};
void client_walk_begin(struct client_walk *walk, struct worker *w);
struct client *client_walk_next(struct client_walk *walk); /* NULL: that was the last one */
void client_walk_end(struct client_walk *walk);

/* ---- arriving ---- */

enum client_arrival {
    CLIENT_ARRIVING, /* more is awaited */
    CLIENT_ARRIVED,  /* talk with it; with TLS where the listener has it from the start */
    CLIENT_GONE /* it left or must not go on: `reason` is set, words for the log in TEXT or "" */
};

enum { CLIENT_TEXT = 100 }; /* bytes of such words, with their NUL */

/* Goes on with the beginning, again and again until it is not CLIENT_ARRIVING: PROXY header, then
 * implicit TLS. LOCAL gets the address that the client came to, where a header tells it. */
enum client_arrival client_arrive(struct client *c, struct addr *local, char text[CLIENT_TEXT]);

/* C, which is trusted, has said that it speaks for ADDRESS (XCLIENT): it is counted, and logged,
 * under that from now on. False: ADDRESS may not come in; what it is to be told is in WORDS, and
 * the reason is REASON_REFUSED. */
bool client_become(struct client *c, const struct addr *address, struct buf *words);

/* Sends what was answered and begins TLS; then client_handshake, again and again, as above. */
void client_starttls(struct client *c);
enum client_arrival client_handshake(struct client *c, char text[CLIENT_TEXT]);

/* What reading its last byte means, N being what stream_read returned: 0, or STREAM_FAILED. */
static inline enum client_reason client_left(ssize_t n)
{
    return n == 0 ? REASON_CLIENT_CLOSED : REASON_CLIENT_LOST;
}

/* Whether the client, or the load balancer before it, is one of trusted_networks (a socket file
 * has permissions of its own); and whether it may say a password as the connection is. */
bool client_is_trusted(const struct client *c);
bool client_plaintext(const struct client *c);

/* Fills in LOCAL, the client's own end of its connection, unless a header has told it, where the
 * service's nodes are to be told about it. */
void client_find_local(const struct client *c, struct addr *local);

/* The client is called LOGIN ("": nobody yet) from now on, in the log and by who watches it. */
void client_set_user(struct client *c, const char *login);

/* ---- the log ---- */

/* Begins a line about C; false: nothing to do. */
bool client_log(struct log_line *l, const struct client *c, enum log_level level,
                const char *event);

/* Begins the `close` line, `reason` being set: at level debug for a load balancer's check, which
 * has come and gone without a word, and then nobody is told that it came either. False: nothing to
 * do.
 */
bool client_log_close(struct log_line *l, struct client *c);

/* Ends that line, with what every engine has to say; DETAIL may be NULL. */
void client_log_end(struct log_line *l, const struct client *c, uint64_t bytes_in,
                    uint64_t bytes_out, const char *detail);

/* Counts a login of C that has ended with VERDICT; SINCE is when it was asked for (uv_hrtime). */
void client_count_login(const struct client *c, enum verdict verdict, uint64_t since);

/* A reason's word, and the words for a client at a command boundary, or NULL. */
const char *client_reason_word(enum client_reason reason);
const char *client_reason_text(enum client_reason reason);

/* ---- leaving ---- */

/* Sets the timer to `deadline`, or to LAST where that is earlier; 0 is no time. A timer that only
 * moves on costs nothing: it fires at an earlier time, and the step finds nothing to do. */
void client_arm(struct client *c, uint64_t last);

/* Whether the deadline of the present state is over. */
static inline bool client_timed_out(const struct client *c)
{
    return c->deadline && c->worker->now >= c->deadline;
}

/* Begins to leave: our last words (what the stream keeps) have some time to get to the client.
 * Closing at once would let unread input destroy them on their way (RFC 9112, 9.6): what still
 * comes is read away. Then client_drain until it is true. */
void client_leave(struct client *c);
bool client_drain(struct client *c);

/* Closes C and lets go of everything that is in struct client; the memory itself, the engine's too,
 * is freed at the end of the round. */
void client_close(struct client *c);

#endif
