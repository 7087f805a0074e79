/* SPDX-License-Identifier: ISC
 *
 * What the parts of a worker's side of a connector share (see directory_client.h): the servers, the
 * questions, the connections, and directory_client.c, which brings them together. */
#ifndef AUTH_DIRECTORY_PARTS_H
#define AUTH_DIRECTORY_PARTS_H

#include "auth/directory_client.h"
#include "auth/directory_connect.h"
#include "base/log.h"
#include "base/ring.h"

enum {
    DIRECTORY_BUCKETS = 1024,
    DIRECTORY_LENT = 512 /* bytes of an entry's values that need no memory of their own */
};

enum { DIRECTORY_SEARCHES, DIRECTORY_BINDS, DIRECTORY_CHANNELS };

struct connection {
    struct watch watch;
    struct ring ring; /* of the channel's */
    struct directory_client *client;
    struct channel *channel;
    LDAP *ld;   /* NULL: closed */
    int server; /* index */
    struct ring sent;
    unsigned load;        /* of these */
    uint64_t heard, used; /* ms: when something came, when something was sent */
    bool retiring;        /* ends with its last question */
    bool blocked;         /* the server takes no more at the moment */
    struct post post;     /* to be freed after this round */
};

struct channel {
    struct ring waiting, connections, trying;
    unsigned count, max, in_flight;
    unsigned attempts;   /* of `trying`: those that may still come to something in time */
    uint64_t grow_after; /* ms: a connection more was refused, while others are well */
};

struct directory_client {
    struct worker_guest guest;
    struct worker *worker;
    struct directory *directory;
    struct channel channels[DIRECTORY_CHANNELS];
    struct directory_question *by_key[DIRECTORY_BUCKETS];
    unsigned questions, chases;
    struct post dispatch;
    struct timer patrol;
    uint64_t active; /* ms: the last question */
    char buffer[DIRECTORY_VALUES_MAX + 1];
};

struct directory_question {
    struct ring ring; /* waiting, or sent on a connection; alone while referrals are followed */
    struct directory_client *client;
    struct directory_question *same_bucket;
    struct directory_ask *asks;
    struct connection *connection; /* NULL: not sent */
    struct chase *chase;
    struct timer deadline;
    uint64_t asked; /* ns */
    uint64_t sent;  /* ms */
    unsigned tries, matches;
    int id; /* of its message */
    bool bind, referred, finishing;
    uint32_t hash;
    struct buf values;
    char lent[DIRECTORY_LENT];
    char *password; /* of a bind */
    size_t password_size;
    size_t key_size;
    char key[];
};

/* An attempt to connect, in the pool. */
struct attempt {
    struct ring ring; /* of the channel's */
    uv_work_t work;
    struct directory_client *client;
    struct channel *channel;
    int server;
    uint64_t started; /* ms */
    uint64_t limit;
    LDAP *ld;
    char error[DIRECTORY_ERROR_MAX];
};

static inline const struct directory_settings *
directory_settings_of(const struct directory_client *c)
{
    return &c->directory->settings;
}

static inline const char *directory_url_of(const struct directory_client *c, int server)
{
    return directory_settings_of(c)->servers.list[server];
}

/* ms: one clock for all workers. */
static inline uint64_t directory_now(void)
{
    return uv_hrtime() / 1000000;
}

/* ---- directory_server.c: which servers are well ---- */

void directory_server_log(const struct directory_client *c, enum log_level level, int server,
                          const char *message);
void directory_server_failed(struct directory_client *c, int server, const char *why);
void directory_server_answers(struct directory_client *c, int server);

/* The first server that is well; else, or (ANY) before it, the first that may be tried again. -1:
 * none. */
int directory_server_pick(const struct directory_client *c, bool any);

/* ms that a server may be silent. With other servers to go to, half of the time has to do: one
 * deadline stands for all. */
uint64_t directory_server_patience(const struct directory_client *c);

/* ---- directory_question.c: from being asked to being answered ---- */

/* One that asks the same and is not answered yet, or NULL; binds are never the same. */
struct directory_question *directory_question_same(struct directory_client *c, uint32_t hash,
                                                   struct str key);

/* A new one, which waits in its channel. The caller sets its deadline. */
struct directory_question *directory_question_new(struct directory_client *c, uint32_t hash,
                                                  struct str key, struct str password);

/* Hands it to libldap; an LDAP result code. */
int directory_question_send(struct directory_question *q, LDAP *ld);

/* Something came for it: an entry, or the result, CODE with a few WORDS. */
void directory_question_collect(struct directory_question *q, LDAP *ld, LDAPMessage *entry);
void directory_question_answered(struct directory_question *q, int server, int code,
                                 const char *words);

/* Its connection is lost: it waits for another one, unless that happened too often. */
void directory_question_again(struct directory_question *q, const char *why);

/* Ends it: with RESULT, which SERVER (-1: none) told; or because no server answers, and then what
 * the cache still knows must do. All who asked are told. */
void directory_question_finish(struct directory_question *q, enum directory_result result,
                               int server, const char *error);
void directory_question_unanswered(struct directory_question *q, const char *error);

/* Takes it out of all lists, so that nothing comes to it any more; and frees it. */
void directory_question_detach(struct directory_question *q);
void directory_question_free(struct directory_question *q);

/* ---- directory_connection.c: to servers ---- */

/* Opens one more in the pool; `dispatch` runs when that has ended. */
void directory_connection_open(struct directory_client *c, struct channel *channel, int server);

/* Ends it. Its questions are lost with the first, wait for another one with the second. */
void directory_connection_close(struct connection *n);
void directory_connection_lose(struct connection *n, const char *why);

/* Ends it if it is to retire and has nothing under way. */
void directory_connection_retire(struct connection *n);

/* SERVER is silent or busy: all connections to it are left. */
void directory_connection_leave_server(struct directory_client *c, int server, const char *why);

/* ---- directory_client.c ---- */

/* Sends what waits, at the end of this round. */
void directory_client_dispatch(struct directory_client *c);

#endif
