/* SPDX-License-Identifier: ISC
 *
 * Access lists: see access.h. A tree of networks, each below the smallest one that has it in it, is
 * walked down along the address, which takes as many steps as networks lie within one another and
 * never more than an address has bits; the first of the rules on the way is the answer. Where two
 * ways part there is a network without a rule. IPv4 has a tree of its own. */
#include "access.h"

#include "base/mem.h"

#include <stdlib.h>

enum { WORDS = 2, NO_RULE = UINT32_MAX };

struct branch {
    uint64_t bits[WORDS]; /* of the network, the first one highest */
    uint32_t rule;
    uint32_t below[2]; /* by the first bit behind the prefix; 0: nothing */
    uint8_t prefix;
};

struct access {
    const struct access_rule *rules;
    uint32_t roots[2], count; /* of IPv6, of IPv4; of the branches: the one at 0 is none */
    struct branch branches[];
};

static void read_bits(uint64_t *bits, const unsigned char *bytes)
{
    for (size_t i = 0; i < WORDS; i++) {
        bits[i] = 0;
        for (size_t k = 0; k < 8; k++)
            bits[i] = bits[i] << 8 | bytes[8 * i + k];
    }
}

static bool is_four(const uint64_t *bits, unsigned prefix)
{
    return prefix >= 96 && bits[0] == 0 && bits[1] >> 32 == 0xffff;
}

static unsigned bit_at(const uint64_t *bits, unsigned at)
{
    return bits[at / 64] >> (63 - at % 64) & 1;
}

/* How many bits, at most MOST, A and B begin with alike. */
static unsigned common(const uint64_t *a, const uint64_t *b, unsigned most)
{
    uint64_t first = a[0] ^ b[0], second = a[1] ^ b[1];
    unsigned n = first    ? (unsigned)__builtin_clzll(first)
                 : second ? 64 + (unsigned)__builtin_clzll(second)
                          : 128;
    return n < most ? n : most;
}

static uint32_t grow(struct access *a, const uint64_t *bits, unsigned prefix, uint32_t rule)
{
    struct branch *b = &a->branches[++a->count];
    *b = (struct branch){.bits = {bits[0], bits[1]}, .rule = rule, .prefix = (uint8_t)prefix};
    return a->count;
}

/* Puts a network without a rule, as long as the PREFIX that what is at AT shares with the new one,
 * above it. */
static void part(struct access *a, uint32_t *at, unsigned prefix)
{
    uint32_t old = *at;
    *at = grow(a, a->branches[old].bits, prefix, NO_RULE);
    a->branches[*at].below[bit_at(a->branches[old].bits, prefix)] = old;
}

static void add(struct access *a, uint32_t rule)
{
    const struct network *network = &a->rules[rule].network;
    uint64_t bits[WORDS];
    read_bits(bits, network->bytes);
    uint32_t *at = &a->roots[is_four(bits, network->prefix)];
    for (; *at; at = &a->branches[*at].below[bit_at(bits, a->branches[*at].prefix)]) {
        const struct branch *b = &a->branches[*at];
        unsigned most = b->prefix < network->prefix ? b->prefix : network->prefix;
        unsigned alike = common(b->bits, bits, most);
        if (alike < b->prefix)
            part(a, at, alike);
        if (a->branches[*at].prefix == network->prefix)
            break;
    }
    if (!*at)
        *at = grow(a, bits, network->prefix, rule);
    else if (a->branches[*at].rule == NO_RULE)
        a->branches[*at].rule = rule;
}

struct access *access_new(const struct access_rule *rules, size_t count)
{
    struct access *a = xcalloc(1, sizeof *a + (2 * count + 1) * sizeof *a->branches);
    a->rules = rules;
    for (size_t i = 0; i < count; i++)
        add(a, (uint32_t)i);
    return a;
}

void access_free(struct access *a)
{
    free(a);
}

const struct access_rule *access_find(const struct access *a, const struct network *network)
{
    uint64_t bits[WORDS];
    uint32_t first = NO_RULE;
    read_bits(bits, network->bytes);
    for (uint32_t at = a ? a->roots[is_four(bits, network->prefix)] : 0; at;) {
        const struct branch *b = &a->branches[at];
        if (b->prefix > network->prefix || common(b->bits, bits, b->prefix) < b->prefix)
            break;
        if (b->rule < first)
            first = b->rule;
        if (b->prefix == 128)
            break;
        at = b->below[bit_at(bits, b->prefix)];
    }
    return first == NO_RULE ? NULL : &a->rules[first];
}
