/* SPDX-License-Identifier: ISC
 *
 * admin/control_state: what one process writes, the next one takes, and nothing else. */
#include "admin/control_state.h"
#include "config.h"
#include "hold.h"
#include "node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void goes_over_to_the_next_process(void **state)
{
    (void)state;
    struct config_service service = {.name = "imap", .protocol = protocol_find("imap")};
    struct config config = {.services = &service, .service_count = 1};
    node_configure(&config);
    struct node *node = node_get(service.group, NULL, "127.0.0.1", 143);
    assert_true(node_drain("127.0.0.1:143"));
    assert_int_equal(hold_add("b\"\xc3\xb6\\b@example.org"), HOLD_DONE);
    char *text = control_state_write();
    node_undrain("127.0.0.1:143");
    hold_remove("b\"\xc3\xb6\\b@example.org");
    assert_false(node_is_drained(node));
    assert_true(control_state_read(str_of(text)));
    assert_true(node_is_drained(node));
    assert_true(hold_has("b\"\xc3\xb6\\b@example.org"));
    assert_true(node_undrain("127.0.0.1:143"));
    assert_true(hold_remove("b\"\xc3\xb6\\b@example.org"));
    node_unref(node);
    free(text);
}

static void takes_nothing_else(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "null",
                                        "[]",
                                        "{}",
                                        "{\"held\": [\"bob\"]}",
                                        "{\"held\": [\"bob\"], \"drained\": 1}",
                                        "{\"held\": [\"bob\"], \"drained\": []"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(control_state_read(str_of(texts[i])));
    assert_false(hold_has("bob"));
    assert_true(control_state_read(str_of("{\"held\": [1, null], \"drained\": [{}]}")));
    char *text = control_state_write();
    assert_string_equal(text, "{\"drained\":[],\"held\":[]}");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_over_to_the_next_process),
        cmocka_unit_test(takes_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
