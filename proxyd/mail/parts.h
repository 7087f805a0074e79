/* SPDX-License-Identifier: ISC
 *
 * What the files of this folder have in common: a client's connection (mail.c), its transaction
 * with the recipients (transaction.c), where a recipient belongs (recipient.c), a connection to a
 * node (courier.c), the message on its way (message.c), our field in it (received.c), the log
 * (mail_log.c).
 *
 * mail.c steps; the others do what they are told, and note. Nothing but mail.c sets the state. */
#ifndef MAIL_PARTS_H
#define MAIL_PARTS_H

#include "client.h"
#include "hold.h"
#include "link.h"
#include "proto/smtp_client.h"
#include "proto/smtp_data.h"
#include "proto/smtp_server.h"
#include "route.h"
#include "trace.h"

enum {
    MAIL_IN_MAX = 112 * 1024, /* bytes of a client's that are kept: what one read of a message may
                                 bring from behind its end */
    MAIL_READ = 96 * 1024,    /* bytes of a message that are read at once */
    MAIL_OWED_MAX = 64,       /* recipients that may be asked about at a time */
    MAIL_COURIERS_MAX = 64    /* nodes of one client at a time */
};

struct courier;
struct mail;

/* ---- recipients ---- */

enum recipient_state {
    RECIPIENT_ASKED,     /* nobody knows yet */
    RECIPIENT_ACCEPTED,  /* by the node of its courier */
    RECIPIENT_DISCARDED, /* by us, for nobody */
    RECIPIENT_REFUSED
};

struct recipient {
    struct ring ring; /* in the transaction's `recipients`, in the order of coming */
    enum recipient_state state;
    bool sent;               /* RECIPIENT_ASKED: its courier has said RCPT */
    bool again;              /* RECIPIENT_ASKED: the maps are to be asked anew */
    uint64_t since;          /* ms: when it came */
    struct courier *courier; /* or NULL */
    const char *node;        /* where it goes, for the log; as long as its courier */
    char *answer;            /* what the client is to be told, but not before others; or NULL */
    char mailbox[SMTP_MAILBOX_MAX + 1]; /* as the maps know it */
    char args[];                        /* of RCPT */
};

/* What the maps say of a recipient. */
enum placing {
    PLACING_PENDING, /* ask again when the client is stepped */
    PLACING_NODE,    /* `node`, which speaks node_protocol(node): a reference for the caller */
    PLACING_DISCARD,
    PLACING_REFUSED /* `answer` */
};

struct placement {
    struct mail *mail;
    struct recipient *recipient;
    struct route route;
    struct hold_wait hold;
    struct creds creds;
    uint64_t again; /* ms: when the maps are asked again; or 0 */
    bool hosted, holding;
    bool barred;       /* from going anywhere */
    struct node *node; /* a reference, until somebody takes it */
    const char *answer;
};

/* Begins to ask where R of M belongs, and goes on; ends that. */
void placement_start(struct mail *m, struct recipient *r);
enum placing placement_step(struct placement *p);
void placement_end(struct mail *m);

/* Whether R's mailbox is on hold by hand. */
bool placement_held(const struct mail *m, const struct recipient *r);

/* ---- a transaction ---- */

struct transaction {
    struct ring recipients;
    unsigned count;          /* of them */
    unsigned again;          /* of these: to be placed anew */
    struct recipient *first; /* that is not answered yet (in this phase), or NULL: all are */
    struct courier *courier; /* SMTP: of the first recipient that was accepted, or NULL */
    char *args;              /* of MAIL; owned. NULL: there is no transaction */
    const char *sender;      /* in there, too */
    /* ---- the message */
    struct smtp_data data;
    bool started;        /* behind the answer to DATA, or the first chunk */
    bool told;           /* our field is written */
    const char *refusal; /* why it cannot be taken, whatever the nodes say (a whole line); or NULL
                          */
    uint64_t chunk;      /* bytes of this chunk that are still to come */
    size_t held;         /* bytes at the start of the input that may be the end's */
};

/* MAIL has come; RCPT has: it is asked about. */
void transaction_begin(struct mail *m);
struct recipient *transaction_add(struct mail *m);

/* R is to be placed anew; the first that is so, or NULL: then it is so no more. */
void transaction_place_again(struct mail *m, struct recipient *r);
struct recipient *transaction_next_again(struct mail *m);

/* R has an answer (TEXT, whole lines): it goes out in its turn. Who is refused is forgotten then.
 */
void transaction_answer(struct mail *m, struct recipient *r, struct str text);

/* R is not taken: by TEXT of ours, one line without its end. */
void transaction_refuse(struct mail *m, struct recipient *r, const char *text);

/* Behind the message: all recipients (LMTP), or all together, are to be answered again. */
void transaction_conclude(struct mail *m);

/* Instead of the message: no node takes it. One answer, or one for each recipient where a message
 * (the LAST chunk of it) has one. The transaction is over. */
void transaction_refuse_message(struct mail *m, bool last);

/* It is over; what was accepted and is not answered is logged as REASON says. */
void transaction_end(struct mail *m, const char *reason);

/* ---- a courier: a connection to a node ---- */

enum courier_state {
    COURIER_QUEUED,     /* for a place at the node */
    COURIER_CONNECTING, /* up to EHLO's answer */
    COURIER_IDLE,       /* no transaction of it is under way */
    COURIER_MAIL,       /* MAIL, and then RCPT, were said */
    COURIER_OPENING,    /* DATA was */
    COURIER_BODY,       /* takes the message */
    COURIER_FINAL,      /* has all of it */
    COURIER_DONE,       /* has said its last word about it */
    COURIER_LOST        /* gone: `refusal` is what its recipients are told */
};

struct courier {
    struct ring ring; /* in the client's `couriers` */
    struct pool *pool;
    struct mail *mail;
    struct node *node;
    struct node_ticket ticket;
    struct stream stream;
    struct post release; /* its end */
    struct link link;
    struct smtp_client client;
    enum courier_state state;
    bool lmtp;
    bool used;         /* may have been left by the node since its last transaction */
    bool spoiled;      /* RSET has to come before MAIL */
    bool chunks;       /* the message goes as chunks */
    unsigned accepted; /* recipients of this transaction */
    uint64_t deadline; /* ms; 0: none */
    uint64_t until;    /* ms: COURIER_QUEUED: it waits no longer */
    struct smtp_dots dots;
    char *refusal; /* of MAIL, DATA or the message; whole lines, owned; or NULL */
    char *reply;   /* SMTP: to the message; whole lines, owned; or NULL */
};

/* The connection to NODE (whose reference is taken), kept or new, for a recipient that has waited
 * SINCE. NULL: there are too many. */
struct courier *courier_get(struct mail *m, struct node *node, uint64_t since);

/* R is to be handed over to COURIER's node; R, which has not been, to another one, or none. */
void courier_offer(struct courier *courier, struct recipient *r);
void courier_forget(struct recipient *r);

/* Goes on as far as it can. */
void courier_step(struct courier *courier);

/* Asks for the message to come, CHUNKED as the client sends it, or not. */
void courier_open(struct courier *courier, bool chunked);

/* Writes N bytes of it, in the form that `chunks` says, with the end where they are the LAST.
 * Before P there are COURIER_HEAD bytes that may be written to. */
enum { COURIER_HEAD = 64 };
void courier_write(struct courier *courier, char *p, size_t n, bool last);

/* Closes: a message that is under way stays without an end. TEXT (one line without its end) is what
 * its recipients are told, WHY the log's. */
void courier_lose(struct courier *courier, const char *text, const char *why);

/* The transaction is over: it may be used for another one, or is freed. */
void courier_end_transaction(struct courier *courier);
void courier_free(struct courier *courier);

/* ---- the message ---- */

enum message_result {
    MESSAGE_MORE,  /* wait for the client or a node */
    MESSAGE_AGAIN, /* had its turn */
    MESSAGE_CHUNK, /* a chunk is whole, and was not the last */
    MESSAGE_END,   /* it is whole */
    MESSAGE_GONE   /* the client is */
};

/* Moves what can be moved now. */
enum message_result message_step(struct mail *m);

/* Puts our Received field into OUT. */
void received_write(const struct mail *m, struct buf *out);

/* ---- the client ---- */

enum mail_state {
    MAIL_ARRIVE, /* the load balancer's PROXY header and implicit TLS */
    MAIL_TLS,    /* handshake behind STARTTLS */
    MAIL_TALK,   /* its commands, and the nodes' answers to recipients */
    MAIL_PLACE,  /* a recipient's node is looked up, or has to wait for others' */
    MAIL_OPEN,   /* the nodes are asked for the message to come */
    MAIL_BODY,   /* the message, both ways at once */
    MAIL_FINAL,  /* the nodes' last word about it */
    MAIL_LEAVE,  /* our last words are on their way to the client */
    MAIL_END     /* closed; freed after this round */
};

struct mail {
    struct client client;
    enum mail_state state;
    uint64_t due;    /* ms: of the present state; 0: none */
    uint64_t active; /* ms: the client has said something */
    struct smtp_server server;
    struct buf in, out;
    struct ring couriers;
    unsigned courier_count;
    struct transaction transaction;
    struct placement *placement; /* of the recipient that is being placed, or NULL */
    struct addr local;           /* where the client came in; len 0: not asked for */
    bool lmtp;                   /* with the client */
    bool mailed;                 /* MAIL has come once */
    uint64_t in_bytes;           /* of messages */
    uint64_t out_bytes;          /* of answers */
    unsigned messages;           /* that were taken */
    char *name;                  /* of the client's address, as XCLIENT has told it; or NULL */
    char in_space[1024], out_space[512];
};

/* Adds to what the client is told. */
void mail_say(struct mail *m, struct str text);

/* A courier's event: steps. */
void mail_step(struct mail *m);

/* ---- the log ---- */

void mail_log_route(struct mail *m, const struct recipient *r, const char *reason);

/* What became of a recipient: RESULT in a word, and the words of who has decided. */
void mail_log_recipient(struct mail *m, const struct recipient *r, const char *result,
                        struct str answer);
void mail_log_close(struct mail *m, const char *detail);

#endif
