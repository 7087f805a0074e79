/* SPDX-License-Identifier: ISC
 *
 * proxyd/admin/metrics: labels are escaped as the text format has it. What a whole page looks like
 * is tests/e2e/test_admin.py's. */
#include "admin/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void escapes_to(const char *value, const char *want)
{
    struct buf out;
    buf_init(&out, NULL, 0, 1000);
    metrics_escape(&out, value);
    buf_add(&out, "", 1);
    assert_string_equal(buf_str(&out).p, want);
    buf_free(&out);
}

static void labels_are_escaped(void **state)
{
    (void)state;
    escapes_to("", "");
    escapes_to("node1.example.org:143", "node1.example.org:143");
    escapes_to("a\\b\"c\nd", "a\\\\b\\\"c\\nd");
    escapes_to("\n", "\\n");
    escapes_to("ü €", "ü €");
    escapes_to("\xfc", "\xef\xbf\xbd");
    escapes_to("a\xc3", "a\xef\xbf\xbd");
    escapes_to("\xed\xa0\x80x", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
