/* SPDX-License-Identifier: ISC
 *
 * maps/map_file.c with map_table.c and map_line.c: what stands in a map file, which entry answers,
 * every error with its line, and a content that is replaced while others ask. */
#include "base/mem.h"
#include "maps/map_file.h"
#include "maps/map_line.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/test_map_file.XXXXXX", path[64];
static struct problems problems;
static struct map *map;
static struct map_entry entry;

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/users.map", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int forget(void **state)
{
    (void)state;
    problems_free(&problems);
    map_unref(map);
    map = NULL;
    unlink(path);
    return 0;
}

/* ---- tools ---- */

static void write_bytes(const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
}

static struct map_table *load(const char *text)
{
    write_bytes(text, strlen(text));
    problems_free(&problems);
    return map_table_load(path, (struct place){0}, &problems);
}

/* Makes a map of TEXT. */
static void use(const char *text)
{
    struct map_table *table = load(text);
    problems_print(&problems, stdout);
    assert_non_null(table);
    assert_int_equal(problems.count, 0);
    map_unref(map);
    map = map_file_new("local", path, table);
}

static enum map_result ask(const char *login, const char *email, const char *service,
                           const char *protocol)
{
    struct map_ask question = {.query = {login, email, service, protocol}};
    memset(question.entry.host, 'x', sizeof entry.host);
    memset(question.entry.login, 'x', sizeof entry.login);
    memset(question.entry.passwords, 'x', sizeof entry.passwords);
    enum map_result result = map_lookup(map, &question);
    entry = question.entry;
    return result;
}

static void assert_host(const char *email, const char *host)
{
    assert_int_equal(ask(email, email, "imap", "imap"), MAP_FOUND);
    assert_string_equal(entry.host, host);
}

static void assert_nowhere(const char *email)
{
    assert_int_equal(ask(email, email, "imap", "imap"), MAP_NOT_FOUND);
}

/* Where a service's sessions of bob go. */
static void assert_service(const char *service, const char *protocol, const char *host,
                           unsigned port)
{
    assert_int_equal(ask("bob", "bob", service, protocol), MAP_FOUND);
    assert_string_equal(entry.host, host);
    assert_int_equal(entry.port, port);
}

/* TEXT is refused, with exactly this as its problems: "LINE: error: MESSAGE", one a line. */
static void assert_bytes_refused(const char *text, size_t n, const char *expected)
{
    char *all = NULL;
    size_t size;
    write_bytes(text, n);
    problems_free(&problems);
    if (map_table_load(path, (struct place){0}, &problems))
        fail_msg("taken: %s", text);
    FILE *f = open_memstream(&all, &size);
    for (size_t i = 0; i < problems.kept; i++) {
        char *line = problem_text(&problems.list[i]);
        assert_memory_equal(line, path, strlen(path));
        fprintf(f, "%s\n", line + strlen(path) + 1);
        free(line);
    }
    fclose(f);
    assert_string_equal(all, expected);
    free(all);
}

static void assert_refused(const char *text, const char *expected)
{
    assert_bytes_refused(text, strlen(text), expected);
}

/* ---- which entry ---- */

static void test_the_contracts_example(void **state)
{
    (void)state;
    use("# login                  node             options\n"
        "alice@example.org        10.0.0.11\n"
        "bob@example.org          node2:1143       login=bob.b  password={PLAIN}secret\n"
        "carol@example.org        node1            imap=10.0.0.21:143 pop3=10.0.0.22:110  hold\n"
        "@example.net             node3            # everybody of the domain\n"
        "/^[a-m].*@big\\.example$/ node1            # over the full address\n"
        "*                        10.0.0.30\n");
    assert_host("alice@example.org", "10.0.0.11");
    assert_int_equal(entry.port, 0);
    assert_string_equal(entry.login, "");
    assert_string_equal(entry.passwords, "");
    assert_false(entry.hold);
    assert_host("bob@example.org", "node2");
    assert_int_equal(entry.port, 1143);
    assert_string_equal(entry.login, "bob.b");
    assert_memory_equal(entry.passwords, "{PLAIN}secret\0", 15);
    assert_host("carol@example.org", "10.0.0.21");
    assert_int_equal(entry.port, 143);
    assert_true(entry.hold);
    assert_int_equal(ask("carol@example.org", "carol@example.org", "mail", "smtp"), MAP_FOUND);
    assert_string_equal(entry.host, "node1");
    assert_host("dave@example.net", "node3");
    assert_host("anna@big.example", "node1");
    assert_host("zoe@big.example", "10.0.0.30");
}

static void test_the_most_exact_wins(void **state)
{
    (void)state;
    use("* rest\n"
        "/^[a-m].*@BIG\\.example$/ first\n"
        "/^a.*@big\\.example$/ second\n"
        "/@big\\.example$/ second\n"
        "/@example.net$/ never\n"
        "@example.net domain\n"
        "Alice@Example.NET exact\n");
    assert_host("alice@example.net", "exact");
    assert_host("bob@example.net", "domain");
    assert_host("odd@alice@example.net", "domain");
    assert_host("anna@big.example", "first");
    assert_host("zoe@big.example", "second");
    assert_host("bob@example.net.example", "rest");
    assert_host("@example.org", "rest");
    assert_host("*", "rest");
}

static void test_the_address_then_the_login(void **state)
{
    (void)state;
    use("bob@example.org  address\nBob typed\ncarol typed\n@example.org domain\n/@/ pattern\n");
    assert_int_equal(ask("BOB", "bob@example.org", "imap", "imap"), MAP_FOUND);
    assert_string_equal(entry.host, "address");
    assert_int_equal(ask("BOB", "bob@example.net", "imap", "imap"), MAP_FOUND);
    assert_string_equal(entry.host, "typed");
    assert_int_equal(ask("Carol", "carol@example.org", "imap", "imap"), MAP_FOUND);
    assert_string_equal(entry.host, "typed");
    assert_int_equal(ask("dave", "dave@example.org", "imap", "imap"), MAP_FOUND);
    assert_string_equal(entry.host, "domain");
    assert_nowhere("dave");
}

static void test_nothing_found(void **state)
{
    (void)state;
    use("");
    assert_nowhere("bob");
    assert_nowhere("");
    use("bob node\n@example.org node\n");
    assert_nowhere("bo");
    assert_nowhere("bobb");
    assert_nowhere("bob@example.net");
    assert_nowhere("example.org");
    assert_nowhere("bob node");
    assert_int_equal(entry.host[0], 'x'); /* untouched */
}

/* What port 25 asks about a recipient that is not of a domain that is hosted here. */
static void test_only_what_names_it(void **state)
{
    (void)state;
    use("*            node1\n@example.net node2\n/^ann@/      node3\n");
    const char *const asked[][2] = {
        {"bob@example.net", "node2"}, {"ann@example.com", "node3"}, {"bob@example.com", NULL}};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct map_ask question = {.query = {.login = asked[i][0],
                                             .email = asked[i][0],
                                             .service = "smtp",
                                             .protocol = "smtp",
                                             .named = true}};
        assert_int_equal(map_lookup(map, &question), asked[i][1] ? MAP_FOUND : MAP_NOT_FOUND);
        if (asked[i][1])
            assert_string_equal(question.entry.host, asked[i][1]);
    }
}

static void test_long_logins(void **state)
{
    char text[400], login[300];
    (void)state;
    memset(login, 'a', sizeof login);
    login[255] = 0;
    snprintf(text, sizeof text, "%s node\n", login);
    use(text);
    assert_host(login, "node");
    login[255] = 'a';
    login[256] = 0;
    assert_nowhere(login);
    use("/^a/ pattern\n");
    assert_nowhere(login);
    login[255] = 0;
    assert_host(login, "pattern");
}

static void test_many(void **state)
{
    enum { COUNT = 20000 };
    char *text = NULL, login[32], host[32];
    size_t size;
    (void)state;
    FILE *f = open_memstream(&text, &size);
    for (unsigned i = 0; i < COUNT; i++)
        fprintf(f, "user%u@example.org node%u\n", i, i);
    fclose(f);
    use(text);
    free(text);
    for (unsigned i = 0; i < 2 * COUNT; i++) {
        snprintf(login, sizeof login, "user%u@example.org", i);
        snprintf(host, sizeof host, "node%u", i);
        if (i < COUNT)
            assert_host(login, host);
        else
            assert_nowhere(login);
    }
}

static void test_count(void **state)
{
    (void)state;
    struct map_table *table = load("* a\nb c\n@d e\n/f/ g\n# h\n\n");
    assert_int_equal(map_table_count(table), 4);
    map_table_free(table);
}

/* ---- what stands in a line ---- */

static void test_ends_of_lines(void **state)
{
    (void)state;
    use("\xef\xbb\xbf"
        "bob\tnode1\tlogin=b\r\n\r\n \t\n  # indented\r\n\tcarol  node2  \r\ndave node3 hold\r\n"
        "*\tlast");
    assert_host("bob", "node1");
    assert_string_equal(entry.login, "b");
    assert_host("carol", "node2");
    assert_host("dave", "node3");
    assert_true(entry.hold);
    assert_host("zoe", "last");
}

static void test_comments(void **state)
{
    (void)state;
    use("#bob node\ncarol node # hold\ndave node login=d#v #hold\ner#ic node hold\n");
    assert_nowhere("#bob");
    assert_host("carol", "node");
    assert_false(entry.hold);
    assert_host("dave", "node");
    assert_false(entry.hold);
    assert_string_equal(entry.login, "d#v");
    assert_host("er#ic", "node");
    assert_true(entry.hold);
}

static void test_nodes(void **state)
{
    (void)state;
    use("bob 192.0.2.1:143\n");
    assert_service("imap", "imap", "192.0.2.1", 143);
    use("bob 2001:db8::1\n");
    assert_service("imap", "imap", "2001:db8::1", 0);
    use("bob [2001:db8::1]:65535\n");
    assert_service("imap", "imap", "2001:db8::1", 65535);
    use("bob mail-1.example.org.:1\n");
    assert_service("imap", "imap", "mail-1.example.org.", 1);
    use("bob unix:/run/node:1\n");
    assert_service("imap", "imap", "unix:/run/node:1", 0);
}

static void test_nodes_by_service(void **state)
{
    (void)state;
    use("bob other:1 imap=protocol Inside=service:3 submission=[::1]:587 plain=plain:4\n");
    assert_service("imap", "imap", "protocol", 0);
    assert_service("inside", "imap", "service", 3);
    assert_service("outside", "imap", "protocol", 0);
    assert_service("pop3", "pop3", "other", 1);
    assert_service("submission", "submission", "::1", 587);
    assert_service("plain", "pop3", "plain", 4);
    use("bob other inside=service:3 imap=protocol\n");
    assert_service("inside", "imap", "service", 3);
}

static void test_quotes(void **state)
{
    (void)state;
    use("\"John Smith@example.org\" node1 login=\"a \"\"b\"\" # c\" password=\"\"\" \"\" }\" hold\n"
        "\"\"\"j s\"\"@example.org\" node2\n"
        "\"*\" node3\n"
        "\"/b/\" node4\n"
        "\"#c\" node5\n"
        "\"@example.net\" node6 login=\"d\"\n"
        "DOMAIN\\user node7 login=a\"b\\c=d\n");
    assert_host("john smith@example.org", "node1");
    assert_string_equal(entry.login, "a \"b\" # c");
    assert_string_equal(entry.passwords, "\" \" }");
    assert_true(entry.hold);
    assert_host("\"j s\"@example.org", "node2");
    assert_host("*", "node3");
    assert_nowhere("b");
    assert_host("/b/", "node4");
    assert_host("#c", "node5");
    assert_host("zoe@example.net", "node6");
    assert_string_equal(entry.login, "d");
    assert_int_equal(ask("Domain\\User", "domain\\user@example.org", "imap", "imap"), MAP_FOUND);
    assert_string_equal(entry.host, "node7");
    assert_string_equal(entry.login, "a\"b\\c=d");
}

static void test_patterns(void **state)
{
    (void)state;
    use("/^a b$/ blank\n/^c\\/d$/ slash\n/^[\\/]+$/ slashes\n/^e\\\\$/ backslash\n/^f{2,3}$/ "
        "times\n"
        "/^(g|h)\\.?$/ either\n/^i+@(j+k+)+l+m+n+o+p+q+r+s+t+u+$/ plus\n/^[]v)\\1]{9}$/ bracket\n");
    assert_host("a b", "blank");
    assert_host("c/d", "slash");
    assert_host("//", "slashes");
    assert_nowhere("\\");
    assert_host("e\\", "backslash");
    assert_nowhere("f");
    assert_host("ff", "times");
    assert_host("h.", "either");
    assert_nowhere("gh");
    assert_host("i@jkjjkllmnopqrstuu", "plus");
    assert_host("v]\\v1)vvv", "bracket");
}

/* ---- errors ---- */

static void test_errors(void **state)
{
    static const struct {
        const char *line, *message;
    } wrong[] = {
        {"bob", "the node is missing"},
        {"bob \t ", "the node is missing"},
        {"bob # node", "the node is missing"},
        {"bob hold=", "the node is missing"},
        {"bob password={PLAIN}x", "the node is missing"},
        {"/x/", "the node is missing"},
        {"\"bob\"", "the node is missing"},
        {"*", "the node is missing"},
        {"@ node", "no domain behind the @"},
        {"\"\" node", "the login is empty"},
        {"\"bob node", "a quotation mark is not closed"},
        {"\"bob\"x node", "a blank is missing behind the quotation mark or slash"},
        {"bob node login=\"b", "a quotation mark is not closed"},
        {"bob node login=\"b\"c", "a blank is missing behind the quotation mark"},
        {"b\001b node", "a control character or NUL"},
        {"bob no\rde", "a control character or NUL"},
        {"bob node # \x7f", "a control character or NUL"},
        {"bob 10.0.0.300", "the node is no name, address or HOST:PORT"},
        {"bob 10.0.0.1:0", "the node is no name, address or HOST:PORT"},
        {"bob 10.0.0.1:65536", "the node is no name, address or HOST:PORT"},
        {"bob 10.0.0.1:imap", "the node is no name, address or HOST:PORT"},
        {"bob 10.0.0.1:", "the node is no name, address or HOST:PORT"},
        {"bob :143", "the node is no name, address or HOST:PORT"},
        {"bob [node]:143", "the node is no name, address or HOST:PORT"},
        {"bob [::1", "the node is no name, address or HOST:PORT"},
        {"bob no(de", "the node is no name, address or HOST:PORT"},
        {"bob unix:node", "the node is no name, address or HOST:PORT"},
        {"bob node hold=1", "option 'hold' takes no value"},
        {"bob node login", "option 'login' needs a value"},
        {"bob node login=", "option 'login' needs a value"},
        {"bob node password=\"\"", "option 'password' needs a value"},
        {"bob node password={ROT13}x", "option 'password' has a scheme or a hash that is unusable"},
        {"bob node password={CRYPT}*", "option 'password' has a scheme or a hash that is unusable"},
        {"bob node hold imap=a hold", "option 'hold' stands twice"},
        {"bob node imap=a IMAP=b", "option 'IMAP' stands twice"},
        {"bob node imap", "option 'imap' needs a host or HOST:PORT"},
        {"bob node imap=a:b", "option 'imap' needs a host or HOST:PORT"},
        {"bob node colour=red", "option 'colour' is unknown"},
        {"bob node =a:1", "option '' is unknown"},
        {"bob node hodl", "option 'hodl' is unknown: did you mean 'hold'?"},
        {"bob node pasword=a:1", "option 'pasword' is unknown: did you mean 'password'?"},
        {"bob node logn=b", "option 'logn' is unknown: did you mean 'login'?"},
        {"bob node password=two words=x", "an option behind the password is unknown"},
        {"// node", "the pattern is empty"},
        {"/x node", "no slash ends the pattern"},
        {"/x\\/ node", "no slash ends the pattern"},
        {"/x/y node", "a blank is missing behind the quotation mark or slash"},
        {"/(/ node", "the regular expression: Unmatched ( or \\("},
        {"/[[:x:]]/ node", "the regular expression: Invalid character class name"},
        {"/(a)\\1/ node",
         "the regular expression has a back-reference, which is not possible here"},
        {"/((a{1,20}){20}){3,}/ node", "the regular expression repeats too much"},
        {"/a{30}*{30}?{30}/ node", "the regular expression repeats too much"},
        {"/([]x)]{30}){40}/ node", "the regular expression repeats too much"},
        {"/([[:alpha:])]{30}){40}/ node", "the regular expression repeats too much"},
        {"/a+++++++++++/ node", "the regular expression repeats too much"},
        {"/((((((((((a+)+)+)+)+)+)+)+)+)+)/ node", "the regular expression repeats too much"},
        {"/a{99999999999999999999}/ node", "the regular expression repeats too much"},
        {"/a{-1}/ node", "the regular expression repeats too much"},
        {"/((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((("
         ")))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))/ node",
         "the regular expression has too many parentheses"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[256], expected[256];
        snprintf(text, sizeof text, "alice node\n%s\nzoe node\n", wrong[i].line);
        snprintf(expected, sizeof expected, "2: error: %s\n", wrong[i].message);
        assert_refused(text, expected);
        snprintf(text, sizeof text, "alice node\r\n%s", wrong[i].line); /* and as the last */
        assert_refused(text, expected);
    }
    assert_bytes_refused("bob node\0\n", 10, "1: error: a control character or NUL\n");
    assert_bytes_refused("bob node\n\0", 10, "2: error: a control character or NUL\n");
}

static void test_all_errors_are_told(void **state)
{
    (void)state;
    assert_refused("bob\n"
                   "alice node\n"
                   "\n"
                   "carol node hold=1 login= colour=red\n"
                   "ALICE node\n"
                   "* node\n"
                   "@example.org node\n"
                   "* node\n"
                   "\"@Example.Org\" node\n",
                   "1: error: the node is missing\n"
                   "4: error: option 'hold' takes no value\n"
                   "4: error: option 'login' needs a value\n"
                   "4: error: option 'colour' is unknown\n"
                   "5: error: the login stands in line 2 already\n"
                   "8: error: `*` stands in line 6 already\n"
                   "9: error: the login stands in line 7 already\n");
}

static void test_lengths(void **state)
{
    static const struct {
        const char *before, *behind;
        size_t good;
        const char *message;
    } fields[] = {
        {"", " node", 255, "the login is longer than 255 bytes"},
        {"/", "/ node", 512, "the pattern is too long"},
        {"bob node login=", "", 255, "option 'login' is too long"},
        {"bob node password=", "", 1022, "option 'password' is too long"},
        {"bob ", "", 63, "the node is no name, address or HOST:PORT"},
        {"bob node #", "", 8182, "the line is too long"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        for (size_t more = 0; more < 2; more++) {
            char text[9000] = "", expected[100];
            size_t n = strlen(fields[i].before);
            memcpy(text, fields[i].before, n);
            memset(text + n, 'a', fields[i].good + more);
            memcpy(text + n + fields[i].good + more, fields[i].behind, strlen(fields[i].behind));
            snprintf(expected, sizeof expected, "1: error: %s\n", fields[i].message);
            if (more)
                assert_refused(text, expected);
            else
                use(text);
        }
    }
}

static void test_too_many_options(void **state)
{
    (void)state;
    use("bob node a=h:1 b=h:1 c=h:1 d=h:1 e=h:1 f=h:1 g=h:1 h=h:1 i=h:1 j=h:1 k=h:1 l=h:1 m=h:1 "
        "n=h:1 o=h:1 hold\n");
    assert_host("bob", "node");
    assert_true(entry.hold);
    assert_refused("bob node a=h:1 b=h:1 c=h:1 d=h:1 e=h:1 f=h:1 g=h:1 h=h:1 i=h:1 j=h:1 k=h:1 "
                   "l=h:1 m=h:1 n=h:1 o=h:1 p=h:1 hold\n",
                   "1: error: more than 16 options\n");
}

static void test_too_many_patterns(void **state)
{
    char *text = NULL;
    size_t size;
    (void)state;
    FILE *f = open_memstream(&text, &size);
    for (unsigned i = 0; i < MAP_PATTERNS_MAX; i++)
        fprintf(f, "/^%u$/ node%u\n", i, i);
    fflush(f);
    use(text);
    assert_host("999", "node999");
    fputs("/x/ node\n", f);
    fclose(f);
    assert_refused(text, "1001: error: too many regular expressions\n");
    free(text);
}

/* The first line of a double is told wherever it stands; errors beyond a bound are counted. */
static void test_doubles(void **state)
{
    enum { COUNT = 5000 };
    char *text = NULL;
    size_t size;
    (void)state;
    FILE *f = open_memstream(&text, &size);
    for (unsigned i = 1; i <= COUNT; i++)
        fprintf(f, "user%u node\n", i);
    fputs("USER1024 node\nuser1025 node\nuser4999 node\n", f);
    fflush(f);
    assert_refused(text, "5001: error: the login stands in line 1024 already\n"
                         "5002: error: the login stands in line 1025 already\n"
                         "5003: error: the login stands in line 4999 already\n");
    for (unsigned i = 1; i <= COUNT; i++)
        fprintf(f, "user%u node\n", i);
    fclose(f);
    assert_null(load(text));
    assert_int_equal(problems.errors, COUNT + 3);
    assert_int_equal(problems.kept, PROBLEMS_MAX);
    free(text);
}

static void test_no_value_is_told(void **state)
{
    static const char *const lines[] = {
        "bob password=Secret",
        "bob node password={X}Secret",
        "bob node pasword=Secret:1",
        "bob node password=two Secret",
        "bob node password=\"two\" Secret=1",
        "bob node password=a password=Secret",
        "bob node login=\"Secret",
        "bob Secret=1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_null(load(lines[i]));
        assert_int_equal(problems.count, 1);
        assert_null(strstr(problems.list[0].message, "Secret"));
    }
}

static void test_readable_by_everybody(void **state)
{
    static const char text[] = "bob node\ncarol node password=a\ndave node password=b\n";
    (void)state;
    use(text);
    chmod(path, 0644);
    struct map_table *table = map_table_load(path, (struct place){0}, &problems);
    assert_non_null(table);
    map_table_free(table);
    assert_int_equal(problems.count, 1);
    assert_int_equal(problems.errors, 0);
    assert_int_equal(problems.list[0].line, 2);
    table = load("bob node\n");
    assert_int_equal(problems.count, 0);
    map_table_free(table);
}

/* ---- files ---- */

static void assert_unreadable(const char *name, const char *message)
{
    problems_free(&problems);
    assert_null(map_table_load(name, (struct place){0}, &problems));
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.list[0].file, name);
    assert_int_equal(problems.list[0].line, 0);
    assert_string_equal(problems.list[0].message, message);
}

static void test_unreadable_files(void **state)
{
    (void)state;
    assert_unreadable(path, "No such file or directory");
    assert_unreadable(folder, "not a regular file");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_unreadable(path, "not a regular file");
    unlink(path);
    write_bytes("", 0);
    assert_int_equal(truncate(path, UINT32_MAX), 0);
    assert_unreadable(path, "a map file has to be smaller than 4 GiB");
}

static atomic_bool stop;

static void *append(void *unused)
{
    int fd = open(path, O_WRONLY | O_APPEND);
    while (!stop && write(fd, "#\n", 2) == 2)
        continue;
    close(fd);
    return unused;
}

static void test_changed_while_it_was_read(void **state)
{
    pthread_t thread;
    (void)state;
    map_table_free(load("bob node\n"));
    stop = false;
    pthread_create(&thread, NULL, append, NULL);
    struct map_table *table;
    while ((table = map_table_load(path, (struct place){0}, &problems)))
        map_table_free(table);
    stop = true;
    pthread_join(thread, NULL);
    assert_string_equal(problems.list[0].message, "changed while it was read");
}

static void test_is_current(void **state)
{
    char other[80];
    (void)state;
    use("bob node\n");
    assert_string_equal(map_file_path(map), path);
    assert_true(map_file_is_current(map));
    chmod(path, 0640);
    assert_false(map_file_is_current(map));
    map_file_replace(map, map_table_load(path, (struct place){0}, &problems));
    assert_true(map_file_is_current(map));
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "#", 1), 1);
    close(fd);
    assert_false(map_file_is_current(map));
    map_file_replace(map, map_table_load(path, (struct place){0}, &problems));
    snprintf(other, sizeof other, "%s.new", path);
    assert_int_equal(rename(path, other), 0);
    assert_false(map_file_is_current(map));
    write_bytes("bob node\n#", 10);
    assert_false(map_file_is_current(map));
    assert_int_equal(rename(other, path), 0);
}

/* ---- explaining ---- */

static const char *why(const char *login)
{
    static struct map_report report;
    struct map_ask asked = {.query = {login, login, "imap", "imap"}, .report = &report};
    report = (struct map_report){.result = MAP_PENDING};
    enum map_result result = map_lookup(map, &asked);
    assert_int_equal(report.result, result);
    assert_string_equal(report.map, "local");
    return report.why;
}

static void test_says_why(void **state)
{
    char expected[300], filler[64 * 1024];
    (void)state;
    use("# users\nbob first\n\n/^a/ second\n");
    snprintf(expected, sizeof expected, "line 2 of %s", path);
    assert_string_equal(why("bob"), expected);
    snprintf(expected, sizeof expected, "line 4 of %s", path);
    assert_string_equal(why("alice"), expected);
    snprintf(expected, sizeof expected, "no entry for carol in %s", path);
    assert_string_equal(why("carol"), expected);
    size_t n = 0;
    for (int i = 0; i < 3000; i++) /* more than one mark of the table */
        n += (size_t)snprintf(filler + n, sizeof filler - n, "u%d node\n", i);
    snprintf(filler + n, sizeof filler - n, "* rest\n");
    use(filler);
    snprintf(expected, sizeof expected, "line 2500 of %s", path);
    assert_string_equal(why("u2499"), expected);
    snprintf(expected, sizeof expected, "line 3001 of %s", path);
    assert_string_equal(why("nobody"), expected);
}

/* ---- replacing ---- */

/* Asks until the second version has been seen often; each answer must be of one version. */
static void *ask_on(void *unused)
{
    struct map_ask asked = {.query = {"bob", "bob", "imap", "imap"}};
    while (!stop) {
        if (map_lookup(map, &asked) != MAP_FOUND ||
            strcmp(asked.entry.host, asked.entry.login) != 0)
            return &stop; /* mixed */
    }
    return unused;
}

static void test_replaced_while_others_ask(void **state)
{
    pthread_t threads[2];
    void *mixed[2];
    (void)state;
    use("bob first login=first\n");
    stop = false;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, ask_on, NULL);
    for (int i = 0; i < 500; i++)
        map_file_replace(map, load(i % 2 ? "bob first login=first\n"
                                         : "carol x\nbob second login=second password=x\n"));
    stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], &mixed[i]);
    assert_null(mixed[0]);
    assert_null(mixed[1]);
}

static void test_moved_to_another_map(void **state)
{
    (void)state;
    use("bob first\n");
    struct map *running = map_ref(map);
    map = map_file_new("local", path, load("bob second\n"));
    map_file_move(running, map);
    map_unref(map);
    map = running;
    assert_host("bob", "second");
    map_unref(running); /* the reference of `use`: there is one more */
    assert_host("bob", "second");
}

static void test_name_and_kind(void **state)
{
    (void)state;
    use("bob node\n");
    assert_string_equal(map->name, "local");
    assert_string_equal(map->kind->type, "file");
    map_unref(NULL);
    map_table_free(NULL);
}

#define TEST(name) cmocka_unit_test_teardown(name, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_contracts_example),
        TEST(test_the_most_exact_wins),
        TEST(test_the_address_then_the_login),
        TEST(test_nothing_found),
        TEST(test_only_what_names_it),
        TEST(test_long_logins),
        TEST(test_many),
        TEST(test_count),
        TEST(test_ends_of_lines),
        TEST(test_comments),
        TEST(test_nodes),
        TEST(test_nodes_by_service),
        TEST(test_quotes),
        TEST(test_patterns),
        TEST(test_errors),
        TEST(test_all_errors_are_told),
        TEST(test_lengths),
        TEST(test_too_many_options),
        TEST(test_too_many_patterns),
        TEST(test_doubles),
        TEST(test_no_value_is_told),
        TEST(test_readable_by_everybody),
        TEST(test_unreadable_files),
        TEST(test_changed_while_it_was_read),
        TEST(test_is_current),
        TEST(test_says_why),
        TEST(test_replaced_while_others_ask),
        TEST(test_moved_to_another_map),
        TEST(test_name_and_kind),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
