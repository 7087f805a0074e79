/* SPDX-License-Identifier: ISC
 *
 * auth/directory_command.c: the lines, word by word and as shells take them, with a bind password
 * that comes from a file or from the keyboard and is never in them. (That OpenLDAP's tools take
 * them too is for tests/e2e.) */
#include "auth/directory_command.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define URL      "ldap://ldap1.example.org"
#define BASE     "ou=people,dc=example,dc=org"
#define PASSWORD "correct horse"

static char folder[] = "/tmp/test_directory_command.XXXXXX", path[64];
static char out[8192];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/secret", folder);
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
    unlink(path);
    return 0;
}

/* ---- tools ---- */

static struct directory_settings plain(void)
{
    return (struct directory_settings){
        .verify = true,
        .timeout = 4000,
        .attributes = {.host = "mailHost", .password = "userPassword"},
    };
}

static struct directory_settings bound(void)
{
    struct directory_settings settings = plain();
    settings.bind_dn = "cn=proxy,dc=example,dc=org";
    settings.bind_password = PASSWORD;
    return settings;
}

static void write_secret(const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void make(const struct directory_settings *settings, const char *server, const char *base,
                 const char *filter)
{
    memset(out, 'x', sizeof out);
    directory_command_search(out, sizeof out, settings, server, base, filter, false);
    assert_null(strstr(out, PASSWORD));
}

static void assert_search(struct directory_settings settings, const char *line)
{
    make(&settings, URL, BASE, "(mail=bob@example.org)");
    assert_string_equal(out, line);
}

/* What the SHELL prints that runs OUT where ldapsearch is a function with BODY. */
static char *run(const char *shell, const char *body)
{
    static char got[8192];
    char command[512];
    setenv("LINE", out, 1);
    snprintf(command, sizeof command,
             "LC_ALL=C %s -c 'ldapsearch() { %s; }; ldapwhoami() { ldapsearch \"$@\"; };"
             " eval \"$LINE\"'",
             shell, body);
    FILE *pipe = popen(command, "re");
    assert_non_null(pipe);
    got[fread(got, 1, sizeof got - 1, pipe)] = 0;
    assert_int_equal(pclose(pipe), 0);
    unsetenv("LINE");
    return got;
}

/* That OUT is words for both shells, of which LAST are the last, each with LF behind it. */
static void assert_last_words(const char *last)
{
    static const char *const shells[] = {"sh", "bash"};
    for (size_t i = 0; i < 2; i++) {
        const char *words = run(shells[i], "printf \"%s\\n\" \"$@\"");
        assert_true(strlen(words) > strlen(last));
        assert_string_equal(words + strlen(words) - strlen(last), last);
    }
}

/* ---- the lines ---- */

static void test_searches(void **state)
{
    struct directory_settings s = plain();
    (void)state;
    assert_search(s, "ldapsearch -LLL -o ldif-wrap=no -x -o nettimeout=4 -H " URL " -b " BASE
                     " -s sub -z 2 '(mail=bob@example.org)' mailHost");
    s.attributes.login = "uid";
    s.attributes.hold = "mailHold";
    s.search_scope = DIRECTORY_SCOPE_ONE;
    s.multiple_matches = DIRECTORY_MATCHES_FIRST;
    s.referrals = true;
    s.timeout = 1;
    assert_search(s, "ldapsearch -LLL -o ldif-wrap=no -x -o nettimeout=1 -H " URL " -C -b " BASE
                     " -s one -z 1 '(mail=bob@example.org)' mailHost uid mailHold");
    directory_command_search(out, sizeof out, &s, "ldapi://%2frun%2fldapi", "", "(cn=b)", true);
    assert_string_equal(
        out, "ldapsearch -LLL -o ldif-wrap=no -x -o nettimeout=1 -H ldapi://%2frun%2fldapi -C -b ''"
             " -s one -z 1 '(cn=b)' mailHost uid mailHold userPassword");
    s.search_scope = DIRECTORY_SCOPE_BASE;
    s.attributes = (struct directory_attributes){.password = "userPassword"};
    s.timeout = 2001;
    directory_command_search(out, sizeof out, &s, "ldap://[::1]:389", "dc=x", "cn=b", false);
    assert_string_equal(out, "ldapsearch -LLL -o ldif-wrap=no -x -o nettimeout=3 -H "
                             "'ldap://[::1]:389' -C -b dc=x -s base -z 1 cn=b");
}

static void assert_program(const struct directory_settings *s, const char *server, const char *line)
{
    directory_command_bind(out, sizeof out, s, server, "uid=bob,dc=x");
    assert_string_equal(out, line);
}

static void test_tls(void **state)
{
    struct directory_settings s = plain();
    (void)state;
    s.ca_file = "/etc/my ca.pem";
    assert_program(&s, "ldap://a", "ldapwhoami -x -o nettimeout=4 -H ldap://a -D uid=bob,dc=x -W");
    assert_program(&s, "ldapi:///",
                   "ldapwhoami -x -o nettimeout=4 -H ldapi:/// -D uid=bob,dc=x -W");
    assert_program(&s, "LDAPS://a",
                   "LDAPTLS_CACERT='/etc/my ca.pem' LDAPTLS_REQCERT=demand ldapwhoami -x"
                   " -o nettimeout=4 -H LDAPS://a -D uid=bob,dc=x -W");
    s.starttls = true;
    assert_program(&s, "ldap://a",
                   "LDAPTLS_CACERT='/etc/my ca.pem' LDAPTLS_REQCERT=demand ldapwhoami -x"
                   " -o nettimeout=4 -H ldap://a -ZZ -D uid=bob,dc=x -W");
    s.verify = false;
    assert_program(&s, "ldap://a",
                   "LDAPTLS_REQCERT=never ldapwhoami -x -o nettimeout=4 -H ldap://a -ZZ"
                   " -D uid=bob,dc=x -W");
    s.ca_file = NULL;
    s.verify = true;
    assert_program(&s, "ldap://a",
                   "LDAPTLS_REQCERT=demand ldapwhoami -x -o nettimeout=4 -H ldap://a -ZZ"
                   " -D uid=bob,dc=x -W");
}

/* ---- the bind password ---- */

static void test_a_password_in_the_configuration(void **state)
{
    (void)state;
    assert_search(bound(), "ldapsearch -LLL -o ldif-wrap=no -x -o nettimeout=4 -H " URL ""
                           " -D cn=proxy,dc=example,dc=org -W -b " BASE
                           " -s sub -z 2 '(mail=bob@example.org)' mailHost");
}

static void test_a_password_file(void **state)
{
    struct directory_settings s = bound();
    char line[512];
    (void)state;
    s.bind_password_file = path;
    write_secret(PASSWORD);
    snprintf(line, sizeof line,
             "ldapsearch -LLL -o ldif-wrap=no -x -o nettimeout=4 -H " URL ""
             " -D cn=proxy,dc=example,dc=org -y %s -b " BASE
             " -s sub -z 2 '(mail=bob@example.org)' mailHost",
             path);
    assert_search(s, line);
}

/* With a line's end; and one that cannot be looked at, which may have one. */
static void test_a_password_file_for_a_pipe(void **state)
{
    struct directory_settings s = bound();
    char line[512];
    (void)state;
    s.bind_password_file = path;
    s.starttls = true;
    snprintf(line, sizeof line,
             "tr -d '\\r\\n' <%s | LDAPTLS_REQCERT=demand ldapsearch -LLL -o ldif-wrap=no -x -o "
             "nettimeout=4 -H " URL " -ZZ -D cn=proxy,dc=example,dc=org -y /dev/stdin -b " BASE
             " -s sub -z 2 '(mail=bob@example.org)' mailHost",
             path);
    assert_search(s, line);
    write_secret(PASSWORD "\r\n");
    assert_search(s, line);
    assert_string_equal(run("sh", "cat"), PASSWORD);
    assert_string_equal(run("bash", "cat"), PASSWORD);
}

static void test_no_bind(void **state)
{
    struct directory_settings s = plain();
    (void)state;
    s.bind_password_file = path; /* means nothing without a DN */
    make(&s, URL, BASE, "(cn=b)");
    assert_null(strstr(out, path));
}

/* ---- quoting ---- */

static void test_words(void **state)
{
    static const char *const words[] = {
        "it's 'quoted'", "'",           "$HOME `id` $(id) ${x}",
        "a!b !! !$",     "\\ \\\\ \\'", "\"a\" \"",
        "* ? [a] {b,c}", "~ ~root",     "a;b & c | d > e < f",
        "# no comment",  " ",           "(x=j\xc3\xb6rg)",
        "\xff\x80",
    };
    struct directory_settings s = plain();
    (void)state;
    s.attributes.host = "a b";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char last[256];
        snprintf(last, sizeof last, "-b\n%s\n-s\nsub\n-z\n2\n%s\na b\n", words[i], words[i]);
        make(&s, URL, words[i], words[i]);
        assert_last_words(last);
        directory_command_bind(out, sizeof out, &s, words[i], words[i]);
        snprintf(last, sizeof last, "-H\n%s\n-D\n%s\n-W\n", words[i], words[i]);
        assert_last_words(last);
    }
}

/* Also what only means something to a shell that somebody types into, as ! does. */
static void test_what_needs_quotes(void **state)
{
    static const char special[] = "!#$&*()[]{}<>?;|~^`\"\\ \x80";
    struct directory_settings s = plain();
    char line[128];
    (void)state;
    for (const char *p = special; *p; p++) {
        snprintf(line, sizeof line, "ldapwhoami -x -o nettimeout=4 -H " URL " -D '%cb' -W", *p);
        char dn[] = {*p, 'b', 0};
        directory_command_bind(out, sizeof out, &s, URL, dn);
        assert_string_equal(out, line);
    }
}

static void test_every_byte(void **state)
{
    struct directory_settings s = plain();
    char filter[256], last[1024], *p = last;
    (void)state;
    for (int c = 1; c < 256; c++) {
        bool control = c < ' ' || c == 0x7f;
        filter[c - 1] = (char)c;
        p += sprintf(p, control ? "\\%02x" : "%c", c);
    }
    filter[255] = 0;
    strcpy(p, "\nmailHost\n");
    make(&s, URL, BASE, filter);
    assert_last_words(last);
    assert_false(str_has_control(str_of(out)));
}

/* ---- room ---- */

static void test_what_does_not_fit(void **state)
{
    struct directory_settings s = bound();
    (void)state;
    make(&s, URL, "o'b", "(cn=b)");
    size_t need = strlen(out) + 1;
    char *whole = strdup(out);
    for (size_t size = 0; size <= need; size++) {
        char *exact = malloc(size ? size : 1); /* so that ASan sees a byte too much */
        *exact = 'x';
        directory_command_search(exact, size, &s, URL, "o'b", "(cn=b)", false);
        assert_string_equal(size ? exact : "", size == need ? whole : "");
        free(exact);
    }
    free(whole);
    directory_command_bind(out, 20, &s, URL, "cn=b");
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_searches),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_a_password_in_the_configuration),
        cmocka_unit_test_teardown(test_a_password_file, forget),
        cmocka_unit_test_teardown(test_a_password_file_for_a_pipe, forget),
        cmocka_unit_test(test_no_bind),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_what_needs_quotes),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
