/* SPDX-License-Identifier: ISC
 *
 * proxyd/node: the gate (places, order, bound, down and up), capabilities of several nodes, and
 * names that resolve, with a real worker to deliver to. */
#include "config.h"
#include "node.h"
#include "worker_case.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config_service service;
static struct config config = {.services = &service, .service_count = 1};

/* A service of its own for each test: groups live for ever. */
static struct node *make_node(const char *name, unsigned max, unsigned queue)
{
    service = (struct config_service){
        .name = (char *)name,
        .protocol = protocol_find("imap"),
        .backend = {.port = 143,
                    .max_connections = max,
                    .queue_size = queue,
                    .check = {.interval = 1000, .fall = 2, .rise = 2}},
    };
    node_configure(&config);
    return node_get(service.group, NULL, "127.0.0.1", 143);
}

struct client {
    struct node_ticket ticket;
    sem_t granted;
};

static void granted(struct post *post)
{
    sem_post(&((struct client *)post)->granted);
}

static enum node_ticket_state enter(struct node *node, struct client *c)
{
    memset(c, 0, sizeof *c);
    c->ticket.post.run = granted;
    sem_init(&c->granted, 0, 0);
    return node_enter(node, &c->ticket, worker);
}

static bool waits(struct client *c)
{
    return sem_trywait(&c->granted) != 0;
}

static void first_come_first_served(void **state)
{
    (void)state;
    struct node *node = make_node("order", 1, 2);
    struct client c[4];
    assert_int_equal(enter(node, &c[0]), TICKET_GRANTED);
    assert_int_equal(enter(node, &c[1]), TICKET_WAITING);
    assert_int_equal(enter(node, &c[2]), TICKET_WAITING);
    assert_int_equal(enter(node, &c[3]), TICKET_NONE);
    node_leave(&c[3].ticket);
    node_leave(&c[0].ticket);
    sem_wait(&c[1].granted);
    assert_true(waits(&c[2]));
    node_leave(&c[1].ticket);
    sem_wait(&c[2].granted);
    node_leave(&c[2].ticket);
    assert_int_equal(enter(node, &c[0]), TICKET_GRANTED);
    node_leave(&c[0].ticket);
    node_leave(&c[0].ticket);
    node_unref(node);
}

static void who_leaves_the_queue_is_passed_over(void **state)
{
    (void)state;
    struct node *node = make_node("leavers", 1, 3);
    struct client c[4];
    for (int i = 0; i < 4; i++)
        enter(node, &c[i]);
    node_leave(&c[2].ticket);
    node_leave(&c[1].ticket);
    node_leave(&c[0].ticket);
    sem_wait(&c[3].granted);
    assert_true(waits(&c[1]) && waits(&c[2]));
    node_leave(&c[3].ticket);
    node_unref(node);
}

static void down_makes_wait_and_up_lets_in(void **state)
{
    (void)state;
    struct node *node = make_node("health", 0, 8);
    struct client c[2];
    struct str none = {"IMAP4rev1", 9};
    node_checked(node, "refused", (struct str){NULL, 0});
    assert_true(node_is_up(node));
    node_checked(node, NULL, none); /* not in a row */
    node_checked(node, "refused", (struct str){NULL, 0});
    assert_true(node_is_up(node));
    node_checked(node, "refused", (struct str){NULL, 0});
    assert_false(node_is_up(node));
    assert_int_equal(enter(node, &c[0]), TICKET_WAITING);
    assert_int_equal(enter(node, &c[1]), TICKET_WAITING);
    node_checked(node, NULL, none);
    assert_false(node_is_up(node));
    assert_true(waits(&c[0]));
    node_checked(node, NULL, none);
    assert_true(node_is_up(node));
    sem_wait(&c[0].granted);
    sem_wait(&c[1].granted);
    node_leave(&c[0].ticket);
    node_leave(&c[1].ticket);
    node_unref(node);
}

static void drained_makes_wait_and_lives_on(void **state)
{
    (void)state;
    struct node *node = make_node("drained", 0, 2);
    struct client c[2];
    assert_false(node_drain("127.0.0.1:144"));
    assert_true(node_drain("127.0.0.1:143"));
    assert_true(node_is_drained(node));
    assert_int_equal(enter(node, &c[0]), TICKET_WAITING);
    node_configure(&config);
    assert_true(node_is_drained(node) && waits(&c[0]));
    assert_false(node_undrain("127.0.0.1"));
    assert_true(waits(&c[0]));
    assert_true(node_undrain("127.0.0.1:143"));
    assert_false(node_undrain("127.0.0.1:143"));
    sem_wait(&c[0].granted);
    assert_false(node_is_drained(node));
    node_leave(&c[0].ticket);
    node_unref(node);
}

static void drained_takes_who_is_there_already(void **state)
{
    (void)state;
    struct node *node = make_node("drained but for", 1, 4);
    struct client c[3] = {0};
    assert_true(node_drain("127.0.0.1:143"));
    assert_int_equal(enter(node, &c[0]), TICKET_WAITING);
    for (int i = 1; i < 3; i++) {
        c[i].ticket = (struct node_ticket){.post.run = granted, .runs = true};
        sem_init(&c[i].granted, 0, 0);
    }
    assert_int_equal(node_enter(node, &c[1].ticket, worker), TICKET_GRANTED);
    assert_int_equal(node_enter(node, &c[2].ticket, worker), TICKET_WAITING);
    node_leave(&c[1].ticket);
    sem_wait(&c[2].granted); /* before him who came first */
    assert_true(waits(&c[0]));
    node_leave(&c[2].ticket);
    assert_true(waits(&c[0]));
    assert_true(node_undrain("127.0.0.1:143"));
    sem_wait(&c[0].granted);
    node_leave(&c[0].ticket);
    node_unref(node);
}

static void a_name_given_later_is_known(void **state)
{
    (void)state;
    struct node *node = make_node("renamed", 0, 2);
    struct config_node named = {.name = "Node1", .address = {.host = "127.0.0.1"}};
    const char *before = node_name(node);
    assert_string_equal(before, "127.0.0.1:143");
    assert_false(node_drain("node1"));
    service.map_count = 1;
    config.nodes = &named;
    config.node_count = 1;
    node_configure(&config);
    assert_string_equal(node_name(node), "Node1");
    assert_string_equal(before, "127.0.0.1:143");
    assert_true(node_drain("NODE1"));
    named.address.host = "127.0.0.2"; /* it moves */
    node_configure(&config);
    struct node *moved = node_get(service.group, "Node1", "127.0.0.2", 143);
    assert_true(node_is_drained(moved));
    config.node_count = 0;
    assert_true(node_undrain("node1"));
    assert_false(node_is_drained(moved) || node_is_drained(node));
    node_unref(moved);
    node_unref(node);
}

static void drained_goes_to_another_process(void **state)
{
    (void)state;
    struct node *node = make_node("handed over", 0, 2);
    assert_true(node_drain("127.0.0.1"));
    struct names keys = node_drained();
    assert_int_equal(keys.count, 1);
    assert_true(node_undrain("127.0.0.1"));
    node_drain_again(&keys);
    assert_true(node_is_drained(node));
    assert_true(node_undrain("127.0.0.1"));
    names_free(&keys);
    node_unref(node);
}

static void the_list_has_all_of_the_newest_configuration(void **state)
{
    (void)state;
    struct node *node = make_node("listed", 3, 2);
    struct client c[1];
    size_t count;
    enter(node, &c[0]);
    struct node_state *list = node_list(&count);
    assert_int_equal(count, 1);
    assert_ptr_equal(list[0].node, node);
    assert_int_equal(list[0].active, 1);
    assert_int_equal(list[0].max_connections, 3);
    assert_true(list[0].up && !list[0].drained);
    node_list_free(list, count);
    node_leave(&c[0].ticket);
    node_unref(node);
}

static void a_higher_limit_lets_in(void **state)
{
    (void)state;
    struct node *node = make_node("limit", 1, 8);
    struct client c[3];
    for (int i = 0; i < 3; i++)
        enter(node, &c[i]);
    service.backend.max_connections = 2;
    node_configure(&config);
    sem_wait(&c[1].granted);
    assert_true(waits(&c[2]));
    service.backend.max_connections = 0;
    node_configure(&config);
    sem_wait(&c[2].granted);
    for (int i = 0; i < 3; i++)
        node_leave(&c[i].ticket);
    node_unref(node);
}

static void announces_what_all_can(void **state)
{
    (void)state;
    struct node *a = make_node("words", 0, 8);
    struct node *b = node_get(service.group, "second", "127.0.0.2", 143);
    assert_null(node_capabilities(service.group));
    node_checked(a, NULL, str_of("IMAP4rev1 IDLE MOVE AUTH=PLAIN STARTTLS ID"));
    assert_string_equal(node_capabilities(service.group), "IMAP4rev1 IDLE MOVE ID ");
    node_checked(b, NULL, str_of("IMAP4rev1 IDLE ID"));
    assert_string_equal(node_capabilities(service.group), "IMAP4rev1 IDLE ID ");
    node_checked(b, "gone", (struct str){NULL, 0});
    node_checked(b, "gone", (struct str){NULL, 0});
    assert_string_equal(node_capabilities(service.group), "IMAP4rev1 IDLE MOVE ID ");
    assert_string_equal(node_name(b), "second");
    assert_string_equal(node_name(a), "127.0.0.1:143");
    node_unref(a);
    node_unref(b);
}

/* The host of the next node to be checked, of all services' that are configured. */
static const char *due(uint64_t now)
{
    struct node *node = node_check_due(now);
    const char *host = node ? node_host(node) : "none";
    node_unref(node);
    return host;
}

static void forgets_nodes_that_a_reload_removes(void **state)
{
    struct map *maps[1];
    struct config_node nodes[] = {{.name = (char *)"old", .address = {(char *)"127.0.0.2", 0}},
                                  {.name = (char *)"new", .address = {(char *)"127.0.0.3", 0}}};
    (void)state;
    node_unref(make_node("reloaded", 0, 8));
    service.maps = maps;
    service.map_count = 1;
    config.nodes = &nodes[0];
    config.node_count = 1;
    node_configure(&config);
    struct node *old = node_get(service.group, NULL, "127.0.0.2", 143);
    assert_string_equal(node_name(old), "old");
    node_checked(old, NULL, str_of("IMAP4rev1 IDLE"));
    config.nodes = &nodes[1];
    node_configure(&config);
    struct node *new = node_get(service.group, NULL, "127.0.0.3", 143);
    node_checked(old, NULL, str_of("IMAP4rev1 IDLE")); /* that was under way */
    node_checked(new, NULL, str_of("IMAP4rev1 IDLE MOVE"));
    assert_string_equal(node_capabilities(service.group), "IMAP4rev1 IDLE MOVE ");
    node_unref(node_get(service.group, NULL, "127.0.0.1", 143));
    assert_string_not_equal(due(1), "127.0.0.2");
    assert_string_not_equal(due(1), "127.0.0.2");
    assert_string_equal(due(1), "none"); /* the two others had their turn */
    config.node_count = 0;
    node_unref(new);
    node_unref(old);
}

/* Of hosts that only a map names, nobody says when they are gone. */
static void stops_checking_hosts_that_nobody_uses(void **state)
{
    (void)state;
    struct node *node = make_node("unused", 0, 8);
    struct client c;
    unsigned checks = 0;
    enter(node, &c);
    for (uint64_t now = 1000; now < 1000000; now += 1000)
        assert_string_equal(due(now), "127.0.0.1");
    node_leave(&c.ticket);
    node_checked(node, "gone", (struct str){NULL, 0});
    node_checked(node, "gone", (struct str){NULL, 0});
    assert_false(node_is_up(node));
    for (uint64_t now = 1000000; now < 2000000; now += 1000)
        checks += strcmp(due(now), "none") != 0;
    assert_in_range(checks, 10, 100);
    assert_true(node_is_up(node)); /* for all that is known now */
    node_unref(node_get(service.group, NULL, "127.0.0.1", 143));
    assert_string_equal(due(2000000), "127.0.0.1");
    node_unref(node);
}

static void bring_down(struct node *node)
{
    for (int i = 0; i < 2; i++)
        node_checked(node, "cannot connect", (struct str){NULL, 0});
}

/* Nor does it hold back any more what clients are told. */
static void what_is_forgotten_was_not_announced(void **state)
{
    (void)state;
    struct node *a = make_node("forgetful", 0, 8);
    struct node *b = node_get(service.group, NULL, "127.0.0.2", 143);
    struct client c;
    enter(a, &c);
    node_checked(a, NULL, str_of("IMAP4rev1 IDLE"));
    node_checked(b, NULL, str_of("IMAP4rev1"));
    assert_string_equal(node_capabilities(service.group), "IMAP4rev1 ");
    for (uint64_t now = 3000000; now < 4000000; now += 1000)
        while (strcmp(due(now), "none") != 0)
            ;
    assert_string_equal(node_capabilities(service.group), "IMAP4rev1 IDLE ");
    node_leave(&c.ticket);
    node_unref(a);
    node_unref(b);
}

/* However many hosts maps have named. */
static void keeps_nodes_of_the_configuration(void **state)
{
    struct map *maps[1];
    struct config_node nodes[] = {{.name = (char *)"here", .address = {(char *)"127.0.0.9", 0}}};
    (void)state;
    node_unref(make_node("crowded", 0, 8));
    service.maps = maps;
    service.map_count = 1;
    config.nodes = nodes;
    config.node_count = 1;
    node_configure(&config);
    struct node *node = node_get(service.group, NULL, "127.0.0.9", 143);
    bring_down(node);
    node_unref(node);
    for (unsigned i = 0; i < 10000; i++) {
        char host[32];
        snprintf(host, sizeof host, "10.0.%u.%u", i / 256, i % 256);
        node_unref(node_get(service.group, NULL, host, 143));
    }
    node = node_get(service.group, NULL, "127.0.0.9", 143);
    assert_string_equal(node_name(node), "here");
    assert_false(node_is_up(node));
    node_unref(node);
    config.node_count = 0;
}

static void failover_may_be_a_node(void **state)
{
    struct config_node nodes[] = {
        {.name = (char *)"spare", .address = {(char *)"127.0.0.4", 1143}}};
    (void)state;
    node_unref(make_node("failover", 0, 8));
    service.failover.host = (char *)"Spare";
    config.nodes = nodes;
    config.node_count = 1;
    node_configure(&config);
    struct node *node = node_get(service.group, NULL, "127.0.0.4", 1143);
    assert_string_equal(node_name(node), "spare");
    node_unref(node);
    config.node_count = 0;
}

static bool is_usable(char why[200])
{
    *why = 0;
    return node_group_usable(service.group, why, 200);
}

static void usable_while_one_of_its_nodes_is_up(void **state)
{
    struct config_node nodes[2] = {{.name = "one", .address = {"127.0.0.1", 0}},
                                   {.name = "two", .address = {"127.0.0.2", 0}}};
    char why[200];
    (void)state;
    config.nodes = nodes;
    config.node_count = 2;
    service = (struct config_service){.name = "usable",
                                      .protocol = protocol_find("imap"),
                                      .map_count = 1,
                                      .failover = {"127.0.0.3", 143},
                                      .backend = {.port = 143, .check = {1000, 2, 2}}};
    node_configure(&config);
    struct node *one = node_get(service.group, NULL, "127.0.0.1", 143);
    struct node *two = node_get(service.group, NULL, "127.0.0.2", 143);
    bring_down(one);
    assert_true(is_usable(why));
    bring_down(two); /* the failover is up, and the two nodes' users do not live there */
    assert_false(is_usable(why));
    assert_non_null(strstr(why, "none of 2 nodes is up"));
    assert_non_null(strstr(why, ": cannot connect"));
    config.node_count = 0; /* what the configuration no longer names does not count */
    node_configure(&config);
    assert_true(is_usable(why));
    config.nodes = NULL;
    node_unref(one);
    node_unref(two);
}

static void is_seen_as_it_is(void **state)
{
    struct client c[3];
    size_t count;
    (void)state;
    struct node *node = make_node("seen", 1, 1);
    for (int i = 0; i < 3; i++)
        enter(node, &c[i]);
    node_count_rejected(node);
    node_sample();
    bring_down(node);
    struct node_state *list = node_list(&count), *view = list;
    assert_int_equal(count, 1);
    assert_string_equal(view->service, "seen");
    assert_string_equal(view->name, "127.0.0.1:143");
    assert_false(view->up);
    assert_int_equal(view->active, 1);
    assert_int_equal(view->waiting, 1);
    assert_int_equal(view->rejected, 2);
    assert_int_equal(view->recent[NODE_RECENT - 1], 1);
    assert_int_equal(view->recent[NODE_RECENT - 2], 0);
    assert_string_equal(view->trouble, "cannot connect");
    node_list_free(list, count);
    for (int i = 0; i < 3; i++)
        node_leave(&c[i].ticket);
    node_unref(node);
}

struct asker {
    struct node_resolve wait;
    sem_t answered;
    struct node *node;
    struct node_addresses out;
    struct post post;
    int result;
};

static void ask(struct asker *a)
{
    a->result = node_resolve(a->node, &a->out, &a->wait, worker);
    if (a->result != 1)
        sem_post(&a->answered);
}

/* As a session does that is stepped again, by a timer or a byte, before the answer is there. */
static void ask_often(struct post *post)
{
    struct asker *a = OUTER(post, asker, post);
    struct node_addresses out;
    for (int i = 0; i < 3; i++)
        node_resolve(a->node, &out, &a->wait, worker);
    ask(a);
}

static void ask_first(struct post *post)
{
    ask(OUTER(post, asker, post));
}

static void ask_again(struct post *post)
{
    ask(OUTER(post, asker, wait.post));
}

static int resolve(const char *service_name, const char *host, struct asker *a,
                   void (*first)(struct post *))
{
    *a = (struct asker){.post.run = first, .wait.post.run = ask_again};
    make_node(service_name, 0, 8);
    a->node = node_get(service.group, NULL, host, 1143);
    sem_init(&a->answered, 0, 0);
    worker_post(worker, &a->post);
    sem_wait(&a->answered);
    node_unref(a->node);
    return a->result;
}

static void names_are_resolved(void **state)
{
    (void)state;
    struct asker a;
    assert_int_equal(resolve("names", "localhost", &a, ask_first), 0);
    assert_true(a.out.count > 0 && addr_is_local(&a.out.list[0]));
    assert_int_equal(addr_port(&a.out.list[0]), 1143);
    assert_int_equal(resolve("names", "127.0.0.9", &a, ask_first), 0);
    assert_true(resolve("names", "no such name.invalid", &a, ask_first) < 0);
}

static void who_asks_often_is_told_once(void **state)
{
    struct asker a;
    (void)state;
    assert_int_equal(resolve("often", "localhost", &a, ask_often), 0);
    assert_true(a.out.count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(who_leaves_the_queue_is_passed_over),
        cmocka_unit_test(down_makes_wait_and_up_lets_in),
        cmocka_unit_test(drained_makes_wait_and_lives_on),
        cmocka_unit_test(drained_takes_who_is_there_already),
        cmocka_unit_test(a_name_given_later_is_known),
        cmocka_unit_test(drained_goes_to_another_process),
        cmocka_unit_test(the_list_has_all_of_the_newest_configuration),
        cmocka_unit_test(a_higher_limit_lets_in),
        cmocka_unit_test(announces_what_all_can),
        cmocka_unit_test(forgets_nodes_that_a_reload_removes),
        cmocka_unit_test(stops_checking_hosts_that_nobody_uses),
        cmocka_unit_test(what_is_forgotten_was_not_announced),
        cmocka_unit_test(keeps_nodes_of_the_configuration),
        cmocka_unit_test(failover_may_be_a_node),
        cmocka_unit_test(usable_while_one_of_its_nodes_is_up),
        cmocka_unit_test(is_seen_as_it_is),
        cmocka_unit_test(names_are_resolved),
        cmocka_unit_test(who_asks_often_is_told_once),
    };
    return cmocka_run_group_tests(tests, worker_case_start, worker_case_stop);
}
