/* SPDX-License-Identifier: ISC
 *
 * What an access list costs a connection: COUNT networks (default: 10,000, a third of IPv6), asked
 * for addresses of which half are in one of them, in no order that a cache could like; and the
 * whole of letting a connection in and out with limits at all levels. Prints one figure a line.
 * `make bench` runs it. */
#include "access.h"
#include "limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ASKED = 1 << 20, ADDRESSES = 1 << 16, NS = 1000000000 };

/* CPU time: others may use the machine too. */
static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static struct network any_network(bool six)
{
    struct network n = {.prefix = (uint8_t)(six ? 32 + rand() % 33 : 96 + 12 + rand() % 21)};
    if (six)
        memcpy(n.bytes, (unsigned char[2]){0x20, 0x01}, 2);
    else
        memcpy(n.bytes, (unsigned char[12]){[10] = 0xff, [11] = 0xff}, 12);
    for (unsigned i = six ? 2 : 12; i < 16; i++)
        n.bytes[i] = (unsigned char)rand();
    for (unsigned bit = n.prefix; bit < 128; bit++)
        n.bytes[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
    return n;
}

static void ask(unsigned count)
{
    struct access_rule *rules = calloc(count, sizeof *rules);
    struct network *asked = calloc(ADDRESSES, sizeof *asked);
    unsigned matched = 0;
    for (unsigned i = 0; i < count; i++)
        rules[i] = (struct access_rule){any_network(i % 3 == 0), i % 2};
    for (unsigned i = 0; i < ADDRESSES; i++) {
        asked[i] = any_network(i % 3 == 0);
        if (i % 2)
            memcpy(asked[i].bytes, rules[(unsigned)rand() % count].network.bytes, 16);
        asked[i].bytes[15] |= 1;
        asked[i].prefix = 128;
    }
    uint64_t begun = now();
    struct access *access = access_new(rules, count);
    uint64_t compiled = now();
    for (unsigned i = 0; i < ASKED; i++)
        matched += access_find(access, &asked[i * 40503u % ADDRESSES]) != NULL;
    uint64_t ended = now();
    printf("access: %u networks: %.0f ns a check (%u%% match), compiled in %.1f ms\n", count,
           (double)(ended - compiled) / ASKED, matched / (ASKED / 100),
           (double)(compiled - begun) / 1e6);
    access_free(access);
    free(rules);
    free(asked);
}

/* In and out, each time from another address of many. */
static void come_and_go(void)
{
    const struct config_limits limits = {.connections = 1000000,
                                         .connections_per_ip = 1000,
                                         .rate = 10000000,
                                         .rate_per_ip = 100000,
                                         .interval = 60000};
    static char name[] = "imap";
    static struct config_listener listener;
    static struct config_service service;
    static struct config config;
    service = (struct config_service){.name = name, .listeners = &listener, .listener_count = 1};
    config.services = &service;
    config.service_count = 1;
    config.global.limits = service.limits = listener.limits = limits;
    limit_configure(&config);
    const struct limit_place place = {&config, &service, &listener};
    struct limit_refusal refusal;
    struct limit_ticket ticket;
    struct addr client = {.len = sizeof client.in, .in.sin_family = AF_INET};
    uint64_t begun = now();
    for (unsigned i = 0; i < ASKED; i++) {
        client.in.sin_addr.s_addr = i * 40503u % ADDRESSES;
        if (!limit_enter(&place, &client, 1000, &ticket, &refusal))
            abort();
        limit_leave(&place, &client, 1000, &ticket);
    }
    printf("limits: %.0f ns a connection, with every limit at all three levels\n",
           (double)(now() - begun) / ASKED);
}

int main(int argc, char **argv)
{
    srand(6);
    ask(argc > 1 ? (unsigned)atoi(argv[1]) : 10000);
    ask(1000000);
    come_and_go();
    return 0;
}
