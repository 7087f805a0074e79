/* SPDX-License-Identifier: ISC
 *
 * admin/control_request: what is an order, what is none, and why. */
#include "admin/control_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct control_request request;
static char error[CONTROL_ERROR];

static bool read_text(const char *line)
{
    error[0] = 0;
    return control_request_read(&request, str_of(line), error);
}

static void every_command_is_read(void **state)
{
    (void)state;
    assert_true(read_text("{\"command\": \"status\"}"));
    assert_int_equal(request.command, CONTROL_STATUS);
    assert_true(read_text("{\"command\": \"sessions\"}"));
    assert_true(read_text("{\"command\": \"sessions\", \"user\": \"bob\", \"service\": \"imap\"}"));
    assert_string_equal(request.user, "bob");
    assert_string_equal(request.service, "imap");
    assert_true(read_text("{\"command\": \"kick\", \"session\": \"9628fe15effdbbe9\"}"));
    assert_string_equal(request.session, "9628fe15effdbbe9");
    assert_true(read_text("{\"command\":\"drain\",\"node\":\"n\",\"close\":true,\"over\":30000}"));
    assert_true(request.close);
    assert_int_equal(request.over, 30000);
    assert_true(read_text("{\"command\": \"undrain\", \"node\": \"[::1]:143\"}"));
    assert_true(read_text("{\"command\": \"hold\", \"user\": \"b\\u00f6b\"}"));
    assert_string_equal(request.user, "b\xc3\xb6"
                                      "b");
    assert_true(read_text("{\"command\": \"release\", \"user\": \"bob\"}"));
    assert_true(read_text("{\"command\": \"reload\"}"));
    assert_true(read_text("{\"command\": \"flush\"}"));
    assert_true(read_text("{\"command\": \"trace\", \"who\": \"::1\", \"lasts\": 1000}"));
    assert_int_equal(request.lasts, 1000);
    assert_true(read_text("{\"command\": \"pardon\", \"who\": \"192.0.2.7\"}"));
}

static void what_is_no_order_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "status",
        "[]",
        "\"status\"",
        "{}",
        "{\"command\": 1}",
        "{\"command\": \"stop\"}",
        "{\"command\": \"status\"",
        "{\"command\": \"status\"} {}",
        "{\"command\": \"status\", \"command\": \"status\"}",
        "{\"command\": \"status\", \"user\": \"bob\"}",
        "{\"command\": \"status\", \"usr\": \"bob\"}",
        "{\"command\": \"kick\"}",
        "{\"command\": \"kick\", \"user\": \"\"}",
        "{\"command\": \"kick\", \"user\": 7}",
        "{\"command\": \"kick\", \"user\": \"bob\", \"node\": \"n\"}",
        "{\"command\": \"kick\", \"user\": \"bob\\n\"}",
        "{\"command\": \"kick\", \"user\": \"bo\\u0000b\"}",
        "{\"command\": \"kick\", \"user\": \"\xff\"}",
        "{\"command\": \"drain\", \"node\": \"n\", \"over\": 5}",
        "{\"command\": \"drain\", \"node\": \"n\", \"close\": 1}",
        "{\"command\": \"drain\", \"node\": \"n\", \"close\": true, \"over\": -1}",
        "{\"command\": \"drain\", \"node\": \"n\", \"close\": true, \"over\": 1e3}",
        "{\"command\": \"drain\", \"node\": \"n\", \"close\": true, \"over\": 86400001}",
        "{\"command\": \"hold\"}",
        "{\"command\": \"trace\", \"lasts\": 5}",
        "{\"command\": \"pardon\"}",
        "{\"command\": \"trace\", \"who\": \"bob\"}",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_false(read_text(lines[i]));
        assert_true(error[0]);
    }
}

static void a_text_has_a_bound(void **state)
{
    (void)state;
    char line[CONTROL_TEXT_MAX + 100], text[CONTROL_TEXT_MAX + 2] = {0};
    memset(text, 'x', CONTROL_TEXT_MAX);
    snprintf(line, sizeof line, "{\"command\": \"hold\", \"user\": \"%s\"}", text);
    assert_true(read_text(line));
    assert_string_equal(request.user, text);
    text[CONTROL_TEXT_MAX] = 'x';
    snprintf(line, sizeof line, "{\"command\": \"hold\", \"user\": \"%s\"}", text);
    assert_false(read_text(line));
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    struct control_request r = {
        .command = CONTROL_DRAIN, .node = "a \"b\" \\ \xc3\xa4", .close = true, .over = 86400000};
    assert_true(control_request_check(&r, error));
    char *line = control_request_write(&r);
    assert_int_equal(line[strlen(line) - 1], '\n');
    assert_null(memchr(line, '\n', strlen(line) - 1));
    assert_true(read_text(line));
    assert_memory_equal(&r, &request, sizeof r);
    free(line);
    strcpy(r.node, "\xc3");
    assert_false(control_request_check(&r, error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_is_read),
        cmocka_unit_test(what_is_no_order_is_refused),
        cmocka_unit_test(a_text_has_a_bound),
        cmocka_unit_test(what_is_written_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
