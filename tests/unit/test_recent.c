/* SPDX-License-Identifier: ISC
 *
 * proxyd/recent: failures are kept in their order and bounded; who moves most is found among many
 * who move little, and is forgotten in time. */
#include "recent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct addr client;

static void the_last_failures_are_kept(void **state)
{
    static struct recent_failure list[RECENT_FAILURES];
    char login[20];
    (void)state;
    assert_int_equal(recent_failures(list), 0);
    recent_failure("imap", NULL, &client, "0123456789abcdef", "not allowed");
    assert_int_equal(recent_failures(list), 1);
    assert_string_equal(list[0].login, "");
    assert_string_equal(list[0].client, "192.0.2.1:143");
    assert_string_equal(list[0].session, "0123456789abcdef");
    for (int i = 0; i < 1000; i++) {
        snprintf(login, sizeof login, "user%d", i);
        recent_failure("a service whose name is longer than all others", login, &client, "", "no");
    }
    assert_int_equal(recent_failures(list), RECENT_FAILURES);
    assert_string_equal(list[0].login, "user999");
    assert_string_equal(list[RECENT_FAILURES - 1].login, "user950");
    assert_string_equal(list[0].service, "a service whose name is longer ");
}

static void the_largest_talkers_are_found(void **state)
{
    struct recent_talker list[RECENT_TALKERS];
    char login[20];
    (void)state;
    assert_int_equal(recent_talkers(list), 0);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(login, sizeof login, "user%u", i);
        recent_bytes(login, 100);
        recent_bytes(i % 2 ? "bob" : "ann", 2000);
    }
    assert_int_equal(recent_talkers(list), RECENT_TALKERS);
    for (int i = 0; i < 2; i++) {
        assert_true(list[i].login[0] == 'a' || list[i].login[0] == 'b');
        assert_in_range(list[i].bytes, 100000000 / 60, 100000000 / 60 + 100000);
    }
    for (int i = 0; i < 200; i++)
        recent_age();
    recent_bytes("eve", 60000);
    assert_in_range(recent_talkers(list), 1, RECENT_TALKERS);
    assert_string_equal(list[0].login, "eve");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_failures_are_kept),
        cmocka_unit_test(the_largest_talkers_are_found),
    };
    addr_numeric(&client, str_of("192.0.2.1"), 143);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
