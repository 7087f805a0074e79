/* SPDX-License-Identifier: ISC
 *
 * Connections to a directory's servers: made in the pool, read in the worker. See
 * directory_parts.h. */
#include "auth/directory_parts.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

static void free_connection(struct post *post)
{
    free(OUTER(post, connection, post));
}

void directory_connection_close(struct connection *n)
{
    ring_remove(&n->ring);
    n->channel->count--;
    int fd = -1;
    ldap_get_option(n->ld, LDAP_OPT_DESC, &fd);
    worker_unwatch(fd);
    ldap_unbind_ext(n->ld, NULL, NULL);
    n->ld = NULL;
    worker_soon(n->client->worker, &n->post); /* this round's events may still name it */
}

void directory_connection_lose(struct connection *n, const char *why)
{
    directory_connection_close(n);
    while (!ring_is_empty(&n->sent))
        directory_question_again(OUTER(n->sent.prev, directory_question, ring), why);
}

void directory_connection_retire(struct connection *n)
{
    if (n->ld && n->retiring && n->load == 0)
        directory_connection_close(n);
}

static struct connection *connection_to(const struct channel *channel, int server)
{
    RING_EACH (ring, &channel->connections)
        if (OUTER(ring, connection, ring)->server == server)
            return OUTER(ring, connection, ring);
    return NULL;
}

/* Who is told of it may cancel other questions, and that may end connections: so each is looked for
 * afresh. */
void directory_connection_leave_server(struct directory_client *c, int server, const char *why)
{
    directory_server_failed(c, server, why);
    for (int i = 0; i < DIRECTORY_CHANNELS; i++)
        for (struct connection *n; (n = connection_to(&c->channels[i], server)) != NULL;)
            directory_connection_lose(n, why);
}

/* ---- what comes ---- */

static void result_came(struct connection *n, struct directory_question *q, LDAPMessage *message)
{
    char words[DIRECTORY_ERROR_MAX], *more = NULL;
    int code = LDAP_OTHER;
    ldap_parse_result(n->ld, message, &code, NULL, &more, NULL, NULL, 0);
    snprintf(words, sizeof words, "%s%s%.150s%s", ldap_err2string(code), more && *more ? " (" : "",
             more ? more : "", more && *more ? ")" : "");
    ldap_memfree(more);
    if (code != LDAP_BUSY && code != LDAP_UNAVAILABLE)
        atomic_store(&n->client->directory->heard, directory_now());
    if (code == LDAP_BUSY || code == LDAP_UNAVAILABLE)
        directory_connection_leave_server(n->client, n->server, words);
    else
        directory_question_answered(q, n->server, code, words);
}

static void message_came(struct connection *n, LDAPMessage *message)
{
    struct directory_question *q = NULL;
    int id = ldap_msgid(message), type = ldap_msgtype(message);
    RING_EACH (ring, &n->sent)
        if (OUTER(ring, directory_question, ring)->id == id) {
            q = OUTER(ring, directory_question, ring);
            break;
        }
    if (id == 0)
        directory_connection_lose(n, "the server ends the connection"); /* RFC 4511, 4.4.1 */
    else if (q && type == LDAP_RES_SEARCH_ENTRY)
        directory_question_collect(q, n->ld, message);
    else if (q && type == LDAP_RES_SEARCH_REFERENCE)
        q->referred = true;
    else if (q)
        result_came(n, q, message);
}

/* Bytes that libldap has not looked at: in the socket, in its TLS. */
static int unread(const struct connection *n)
{
    Sockbuf *sb = NULL;
    int fd = -1, bytes = 0;
    ldap_get_option(n->ld, LDAP_OPT_DESC, &fd);
    ldap_get_option(n->ld, LDAP_OPT_SOCKBUF, &sb);
    ioctl(fd, FIONREAD, &bytes);
    return bytes + (sb && ber_sockbuf_ctrl(sb, LBER_SB_OPT_DATA_READY, NULL) > 0);
}

/* All that has come, for there is no event but for what is new. That ldap_result has nothing to
 * give does not mean that all is read: answers to abandoned searches it drops one a call. Returns
 * what ldap_result did. */
static int read_all(struct connection *n)
{
    struct timeval none = {0, 0};
    LDAPMessage *message;
    int rc = 0;
    for (int left = -1, before; n->ld; left = before) {
        rc = ldap_result(n->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &none, &message);
        if (rc < 0)
            break;
        before = -1;
        if (rc == 0 && ((before = unread(n)) == 0 || before == left))
            break;
        if (rc > 0) {
            n->heard = directory_now();
            message_came(n, message);
            ldap_msgfree(message);
        }
    }
    return rc;
}

static void ready(struct watch *watch, uint32_t events)
{
    struct connection *n = OUTER(watch, connection, watch);
    n->blocked = false;
    int rc = read_all(n);
    if (n->ld && (rc < 0 || events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
        directory_connection_lose(n, "the server has closed the connection");
    directory_connection_retire(n);
    directory_client_dispatch(n->client);
}

/* ---- connecting ---- */

/* A better server is there: connections to those behind it end. */
static void retire_behind(struct channel *channel, int server)
{
    RING_EACH (ring, &channel->connections) {
        struct connection *n = OUTER(ring, connection, ring);
        if (n->server > server) {
            n->retiring = true;
            directory_connection_retire(n);
        }
    }
}

static void add_connection(struct directory_client *c, struct channel *channel, int server,
                           LDAP *ld)
{
    struct connection *n = xcalloc(1, sizeof *n);
    int fd = -1;
    *n = (struct connection){.watch.ready = ready,
                             .client = c,
                             .channel = channel,
                             .ld = ld,
                             .server = server,
                             .heard = directory_now(),
                             .used = directory_now(),
                             .post.run = free_connection};
    ring_init(&n->sent);
    ring_add_last(&channel->connections, &n->ring);
    channel->count++;
    ldap_get_option(ld, LDAP_OPT_DESC, &fd);
    if (worker_watch(c->worker, fd, &n->watch) != 0)
        directory_connection_close(n);
}

static void attempt_run(uv_work_t *work)
{
    struct attempt *a = work->data;
    const struct directory_client *c = a->client;
    a->ld = directory_connect(directory_settings_of(c), directory_url_of(c, a->server),
                              a->channel == &c->channels[DIRECTORY_BINDS], a->limit, a->error);
}

static void attempt_ended(uv_work_t *work, int status)
{
    struct attempt *a = work->data;
    struct directory_client *c = a->client;
    (void)status;
    if (a->started)
        a->channel->attempts--;
    ring_remove(&a->ring);
    c->worker->busy_tasks--;
    if (a->ld) {
        directory_server_answers(c, a->server);
        add_connection(c, a->channel, a->server, a->ld);
        retire_behind(a->channel, a->server);
    } else if (connection_to(a->channel, a->server)) {
        a->channel->grow_after = directory_now() + directory_settings_of(c)->retry_interval;
        directory_server_log(c, LOG_LEVEL_WARNING, a->server, a->error);
    } else {
        directory_server_failed(c, a->server, a->error);
    }
    directory_client_dispatch(c);
    free(a);
}

void directory_connection_open(struct directory_client *c, struct channel *channel, int server)
{
    struct attempt *a = xcalloc(1, sizeof *a);
    _Atomic uint64_t *retry_at = &c->directory->retry_at[server];
    if (atomic_load(retry_at) != 0) /* one trial at a time of a server that failed */
        atomic_store(retry_at, directory_now() + directory_server_patience(c) +
                                   directory_settings_of(c)->retry_interval);
    a->work.data = a;
    a->client = c;
    a->channel = channel;
    a->server = server;
    a->limit = directory_server_patience(c);
    a->started = directory_now();
    ring_add_last(&channel->trying, &a->ring);
    channel->attempts++;
    c->worker->busy_tasks++;
    uv_queue_work(&c->worker->uv, &a->work, attempt_run, attempt_ended);
}
