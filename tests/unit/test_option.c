/* SPDX-License-Identifier: ISC
 *
 * The types of options, over a table of our own: what each takes, and what it says otherwise. */
#include "base/mem.h"
#include "config.h"
#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct item {
    char *name;
    unsigned number;
};

struct target {
    bool boolean;
    unsigned number, cpus, word, mechanisms;
    uint16_t port;
    uint64_t duration, size;
    char *string, *hostname, *secret, *keys;
    struct config_address address;
    struct addr ip;
    struct strings strings, names;
    struct config_networks networks;
    struct item *named, *list, *pairs;
    size_t named_count, list_count, pair_count;
};

#define AT(member) .offset = offsetof(struct target, member)

static const struct option_word words[] = {{"one", 1}, {"two", 2}, {"eleven", 11}, {0}};

static const struct option item[] = {
    {"number", &option_number, .offset = offsetof(struct item, number), .initial = "7"}, {0}};

static const struct option table[] = {
    {"boolean", &option_boolean, AT(boolean)},
    {"number", &option_number, AT(number), .min = "2", .max = "9", .initial = "5"},
    {"cpus", &option_cpus, AT(cpus), .min = "1", .max = "256"},
    {"word", &option_word, AT(word), .words = words},
    {"mechanisms", &option_mechanisms, AT(mechanisms), .words = words},
    {"port", &option_port, AT(port), .min = "1", .max = "65535"},
    {"duration", &option_duration, AT(duration), .max = "24h"},
    {"size", &option_size, AT(size), .max = "2G"},
    {"string", &option_string, AT(string)},
    {"hostname", &option_hostname, AT(hostname)},
    {"secret", &option_secret, AT(secret)},
    {"keys", &option_keys, AT(keys)},
    {"address", &option_address, AT(address)},
    {"ip", &option_ip, AT(ip)},
    {"strings", &option_strings, AT(strings)},
    {"names", &option_tls_names, AT(names)},
    {"networks", &option_networks, AT(networks)},
    {"named", &option_named, AT(named), .count = offsetof(struct target, named_count),
     .size = sizeof(struct item), .options = item},
    {"list", &option_list, AT(list), .count = offsetof(struct target, list_count),
     .size = sizeof(struct item), .options = item},
    {"pairs", &option_pairs, AT(pairs), .count = offsetof(struct target, pair_count),
     .size = sizeof(struct item), .options = item},
    {0}};

static struct target target;
static struct problems problems;

static int begin(void **state)
{
    (void)state;
    target = (struct target){0};
    problems = (struct problems){0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    options_free(table, &target);
    problems_free(&problems);
    return 0;
}

static void read_text(const char *text)
{
    struct yaml_node *root = yaml_tree_parse("f", str_of(text), &problems);
    assert_non_null(root);
    options_complete(table, root);
    options_read(table, root, &target, &problems);
    yaml_tree_free(root);
}

static void good(const char *text)
{
    end(NULL);
    begin(NULL);
    read_text(text);
    if (problems.count)
        fail_msg("%s: %s", text, problems.list[0].message);
}

/* TEXT is refused with MESSAGE. */
static void bad(const char *text, const char *message)
{
    end(NULL);
    begin(NULL);
    read_text(text);
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.list[0].message, message);
}

static void numbers(void **state)
{
    (void)state;
    good("number: 9\n");
    assert_int_equal(target.number, 9);
    good("number: ~\n");
    assert_int_equal(target.number, 5);
    bad("number: 10\n", "number must be a number from 2 to 9, not '10'");
    assert_int_equal(target.number, 5);
    bad("number: 1\n", "number must be a number from 2 to 9, not '1'");
    bad("number: -3\n", "number must be a number from 2 to 9, not '-3'");
    bad("number: 99999999999999999999\n",
        "number must be a number from 2 to 9, not '99999999999999999999'");
    bad("number: [3]\n", "number must be a number from 2 to 9, not a list");
    good("cpus: auto\n");
    assert_in_range(target.cpus, 1, 4096);
    bad("cpus: many\n", "cpus must be auto or a number from 1 to 256, not 'many'");
    good("port: 65535\n");
    assert_int_equal(target.port, 65535);
    bad("port: 65536\n", "port must be a port number from 1 to 65535, not '65536'");
}

static void durations_and_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } durations[] = {{"500ms", 500},  {"5s", 5000}, {"10m", 600000},
                     {"1h", 3600000}, {"0s", 0},    {"24h", 86400000}};
    (void)state;
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        char *text = xasprintf("duration: %s\n", durations[i].text);
        good(text);
        assert_int_equal(target.duration, durations[i].ms);
        free(text);
    }
    static const char *const none[] = {"60",   "s",   "1.5h", "5 s",
                                       "1h5m", "-1s", "25h",  "99999999999999999h"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char *text = xasprintf("duration: %s\n", none[i]);
        char *message = xasprintf("duration must be a duration with its unit (500ms, 5s, 10m, 1h) "
                                  "to 24h, not '%s'",
                                  none[i]);
        bad(text, message);
        free(text);
        free(message);
    }
    good("size: 64K\n");
    assert_int_equal(target.size, 65536);
    good("size: 16M\n");
    assert_int_equal(target.size, 16 << 20);
    good("size: 512\n");
    assert_int_equal(target.size, 512);
    bad("size: 3G\n", "size must be a size in bytes (512, 64K, 16M, 1G) to 2G, not '3G'");
    bad("size: 5k\n", "size must be a size in bytes (512, 64K, 16M, 1G) to 2G, not '5k'");
}

static void booleans_and_words(void **state)
{
    static const char *const yes[] = {"true", "yes", "on", "True", "'on'"};
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        char *text = xasprintf("boolean: %s\n", yes[i]);
        good(text);
        assert_true(target.boolean);
        free(text);
    }
    good("boolean: off\n");
    assert_false(target.boolean);
    bad("boolean: 1\n", "boolean must be true or false, not '1'");
    good("word: two\n");
    assert_int_equal(target.word, 2);
    bad("word: elevn\n",
        "word must be one of one, two, eleven, not 'elevn'; did you mean 'eleven'?");
    bad("word: nothing\n", "word must be one of one, two, eleven, not 'nothing'");
    good("mechanisms: one\n");
    assert_int_equal(target.mechanisms, 1 << 1);
    good("mechanisms: [two, one]\n");
    assert_int_equal(target.mechanisms, 1 << 1 | 1 << 2);
}

static void texts(void **state)
{
    (void)state;
    good("string: no\n");
    assert_string_equal(target.string, "no");
    good("hostname: no\n");
    assert_string_equal(target.hostname, "no");
    bad("hostname: a b\n", "hostname must be a host name, not 'a b'");
    bad("string: \"\"\n", "string must be a text that is not empty and has no control characters, "
                          "not ''");
    bad("string: \"a\\nb\"\n", "string must be a text that is not empty and has no control "
                               "characters, not 'a\nb'");
    good("strings: a\n");
    assert_int_equal(target.strings.count, 1);
    good("strings: [a, b]\n");
    assert_string_equal(target.strings.list[1], "b");
    bad("strings: [a, [b]]\n", "strings must be a text, or a list of texts, not a list");
    bad("strings: [a, ~]\n", "strings must be a text, or a list of texts, not nothing");
    good("names: [\"*.example.net\", mail.example.org]\n");
    bad("names: [\"mail.*.net\"]\n", "names must be a host name or \"*.DOMAIN\", not 'mail.*.net'");
}

static void addresses(void **state)
{
    (void)state;
    good("address: 192.0.2.1:143\n");
    assert_string_equal(target.address.host, "192.0.2.1");
    assert_int_equal(target.address.port, 143);
    good("address: \"[::1]:143\"\n");
    assert_string_equal(target.address.host, "::1");
    good("address: host.example.org:143\n");
    good("address: unix:/run/x\n");
    assert_string_equal(target.address.host, "unix:/run/x");
    bad("address: 143\n", "address must be an address: HOST, HOST:PORT, \"[IPv6]:PORT\" or "
                          "unix:/PATH, not '143'");
    good("ip: \"2001:db8::1\"\n");
    assert_int_equal(target.ip.sa.sa_family, AF_INET6);
    bad("ip: unix:/x\n", "ip must be an IP address, not 'unix:/x'");
    good("networks: [127.0.0.0/8, \"::1/128\"]\n");
    assert_int_equal(target.networks.count, 2);
    bad("networks: [127.0.0.1/8]\n", "networks must be a network (192.0.2.0/24, \"2001:db8::/32\"; "
                                     "no bits set behind the prefix), not '127.0.0.1/8'");
}

static char *temporary(const char *content, size_t n)
{
    char path[] = "/tmp/proxyd-test-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, content, n), n);
    close(fd);
    return xstrdup(path);
}

/* Reads FORMAT with the path of a file with CONTENT in it. */
static void with_file(const char *format, const char *content, size_t n)
{
    char *path = temporary(content, n), *text = xasprintf("%s", format);
    char *before = strstr(text, "PATH");
    char *whole = xasprintf("%.*s%s%s\n", (int)(before - text), text, path, before + 4);
    end(NULL);
    begin(NULL);
    read_text(whole);
    unlink(path);
    free(path);
    free(text);
    free(whole);
}

static void secrets(void **state)
{
    (void)state;
    good("secret: hunter2\n");
    assert_string_equal(target.secret, "hunter2");
    with_file("secret: \"${file:PATH}\"", "hunter3\n", 8);
    assert_int_equal(problems.count, 0);
    assert_string_equal(target.secret, "hunter3");
    with_file("keys: PATH", "a\nb\r\n", 5);
    assert_string_equal(target.keys, "a\nb");
    with_file("keys: \"${file:PATH}\"", "a", 1);
    assert_string_equal(target.keys, "a");
}

/* Neither a secret, nor what might be one by mistake, is in a message. */
static void secrets_stay_out_of_messages(void **state)
{
    (void)state;
    bad("secret: \"hunt\\ner\"\n", "secret must be a text that is not empty, or \"${file:PATH}\"");
    bad("secret: [hunter2]\n",
        "secret must be a text that is not empty, or \"${file:PATH}\", not a list");
    bad("secret: \"${file:/nowhere/hunter2}\"\n",
        "secret: cannot read the file named here: No such file or directory");
    bad("secret: \"${flie:hunter2}\"\n",
        "secret must be a text that is not empty, or \"${file:PATH}\"");
    bad("keys: hunter2\n", "keys: cannot read the file named here: No such file or directory");
    bad("keys: /\n", "keys: cannot read the file named here: Is a directory");
    with_file("secret: \"${file:PATH}\"", "hunt\ner", 7);
    assert_string_equal(problems.list[0].message, "secret has a control character in it");
    with_file("secret: \"${file:PATH}\"", "\n\n", 2);
    assert_string_equal(problems.list[0].message, "secret: the file named here is empty");
    with_file("keys: PATH", "a\0b", 3);
    assert_string_equal(problems.list[0].message, "keys: the file named here has NUL bytes in it");
    char *big = memset(xmalloc(70000), 'x', 70000);
    with_file("keys: PATH", big, 70000);
    assert_string_equal(problems.list[0].message,
                        "keys: cannot read the file named here: File too large");
    free(big);
}

static void containers(void **state)
{
    (void)state;
    good("named: {a: {number: 1}, b: {}, c: ~}\nlist: [{number: 3}, {}]\npairs: {x: 4, y: ~}\n");
    assert_int_equal(target.named_count, 2);
    assert_string_equal(target.named[1].name, "b");
    assert_int_equal(target.named[1].number, 7);
    assert_int_equal(target.list_count, 2);
    assert_int_equal(target.list[0].number, 3);
    assert_int_equal(target.list[1].number, 7);
    assert_int_equal(target.pair_count, 1);
    assert_string_equal(target.pairs[0].name, "x");
    assert_int_equal(target.pairs[0].number, 4);
    bad("named: [a]\n", "named must be a mapping of names to mappings");
    bad("named: {a: 1}\n", "a must be a mapping (key: value)");
    bad("named: {\"\": {number: 1}}\n", "a name must not be empty or have control characters");
    bad("list: {number: 1}\n", "list must be a list of mappings (- key: value)");
    bad("list: [{numbr: 1}]\n", "unknown key 'numbr'; did you mean 'number'?");
    bad("pairs: {x: y}\n", "x must be a number, not 'y'");
    bad("lst: []\n", "unknown key 'lst'; did you mean 'list'?");
    bad("other: []\n", "unknown key 'other'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers, begin, end),
        cmocka_unit_test_setup_teardown(durations_and_sizes, begin, end),
        cmocka_unit_test_setup_teardown(booleans_and_words, begin, end),
        cmocka_unit_test_setup_teardown(texts, begin, end),
        cmocka_unit_test_setup_teardown(addresses, begin, end),
        cmocka_unit_test_setup_teardown(secrets, begin, end),
        cmocka_unit_test_setup_teardown(secrets_stay_out_of_messages, begin, end),
        cmocka_unit_test_setup_teardown(containers, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
