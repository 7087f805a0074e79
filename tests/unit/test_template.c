/* SPDX-License-Identifier: ISC
 *
 * Login pages: what is filled in, and how; what is wrong with one. And which one it is: hosts,
 * devices, places. */
#include "web/template.h"

#include "web/http_head.h"
#include "web/site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct template_values values = {
    .user = STR("<b>\"a&b'"),
    .message = STR(""),
    .action = STR("/login"),
    .token = STR("{{user}}"),
    .host = STR("mail.example.org"),
    .user_field = STR("u"),
    .password_field = STR("p"),
};

static const char *fill(const char *text)
{
    static char told[4096];
    struct buf out;
    buf_init(&out, told, sizeof told, sizeof told);
    template_fill(&out, str_of(text), &values);
    buf_add(&out, "", 1);
    assert_false(out.full);
    return told;
}

static void fills_in(void **state)
{
    (void)state;
    assert_string_equal(fill(""), "");
    assert_string_equal(fill("a{{action}}b{{ host\t}}c"), "a/loginbmail.example.orgc");
    assert_string_equal(fill("{{user}}{{message}}"), "&lt;b&gt;&quot;a&amp;b&#39;");
    assert_string_equal(fill("{{token}}"), "{{user}}"); /* and not filled in twice */
    assert_string_equal(fill("{{user_field}}{{password_field}}"), "up");
}

static void leaves_the_rest(void **state)
{
    (void)state;
    assert_string_equal(fill("{{nobody}} {{}} {{ }} {{user} {user}} {{ {{action}} }} {{"),
                        "{{nobody}} {{}} {{ }} {{user} {user}} {{ /login }} {{");
    assert_string_equal(fill("{{{action}}}"), "{/login}");
}

static void is_bounded(void **state)
{
    char little[8];
    struct buf out;
    (void)state;
    buf_init(&out, little, sizeof little, sizeof little);
    template_fill(&out, str_of("a {{host}} b"), &values);
    assert_true(out.full);
}

static void check(const char *text, const char *expected)
{
    struct problems problems = {0};
    char *told = NULL;
    size_t n;
    template_check(str_of(text), "login.html", &problems);
    FILE *out = open_memstream(&told, &n);
    problems_print(&problems, out);
    fclose(out);
    assert_string_equal(told, expected);
    free(told);
    problems_free(&problems);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    check("{{user}} {{message}} {{action}} {{token}} {{host}}", "");
    check("{{token}}\n <p>{{usr}}\n{{ x }}",
          "login.html:2:5: error: unknown placeholder '{{usr}}'; there are {{user}} {{message}} "
          "{{action}} {{token}} {{host}} {{user_field}} {{password_field}}\n"
          "login.html:3:1: error: unknown placeholder '{{x}}'; there are {{user}} {{message}} "
          "{{action}} {{token}} {{host}} {{user_field}} {{password_field}}\n");
    check("", "login.html: warning: there is no {{token}} in this page: nobody can log in by it\n");
}

static void has_a_page_of_its_own(void **state)
{
    struct problems problems = {0};
    (void)state;
    template_check(template_page, "login_page.html", &problems);
    assert_int_equal(problems.count, 0);
    assert_non_null(memmem(template_page.p, template_page.n, "name=\"{{password_field}}\"", 25));
    assert_null(memmem(template_page.p, template_page.n, "<script", 7));
    assert_null(memmem(template_page.p, template_page.n, "style=", 6));
    assert_true(template_style.n > 0 && template_icon.n > 0);
}

/* ---- which one ---- */

static struct config_virtual_host hosts[] = {{"mail.example.org", "corporate"},
                                             {"*.example.net", "plain"},
                                             {"*.mail.example.net", "narrow"},
                                             {"a.example.net", "exact"}};
static const struct config_web web = {.hosts = hosts, .host_count = 4};

static void goes_by_host(void **state)
{
    static const char *const cases[][2] = {
        {"mail.example.org", "corporate"},
        {"MAIL.example.org:8443", "corporate"},
        {"mail.example.org.", "corporate"},
        {"example.net", "default"},
        {"b.example.net", "plain"},
        {"c.b.example.net:80", "plain"},
        {"a.example.net", "exact"},
        {"x.mail.example.net", "narrow"},
        {".example.net", "default"},
        {"", "default"},
        {"[::1]:80", "default"},
        {"xmail.example.org", "default"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(site_template(&web, str_of(cases[i][0])), cases[i][1]);
    assert_true(str_eq(http_host_name(str_of("[::1]:80")), str_of("[::1]")));
    assert_true(str_eq(http_host_name(str_of("[::1]")), str_of("[::1]")));
}

static void knows_phones(void **state)
{
    static const char iphone[] = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) "
                                 "AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604.1";
    static const char desktop[] = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Firefox/120.0";
    struct str none = {NULL, 0};
    (void)state;
    assert_true(site_is_mobile(none, str_of(iphone)));
    assert_false(site_is_mobile(none, str_of(desktop)));
    assert_true(site_is_mobile(str_of("?1"), str_of(desktop)));
    assert_false(site_is_mobile(str_of("?0"), str_of(iphone)));
    assert_false(site_is_mobile(none, none));
}

static void knows_places(void **state)
{
    (void)state;
    assert_true(site_target_is(str_of("/logout"), "/logout"));
    assert_true(site_target_is(str_of("/logout?x=y"), "/logout"));
    assert_false(site_target_is(str_of("/logout/"), "/logout"));
    assert_false(site_target_is(str_of("/"), "/?_task=logout"));
    assert_true(site_target_is(str_of("/?_token=1&_task=logout"), "/?_task=logout"));
    assert_false(site_target_is(str_of("/?_task=logouts"), "/?_task=logout"));
    assert_false(site_target_is(str_of("/x?_task=logout"), "/?_task=logout"));
}

static void knows_where_a_location_leads(void **state)
{
    (void)state;
    assert_true(site_location_is(str_of("/login"), "/login"));
    assert_true(site_location_is(str_of("/login?next=%2F#top"), "/login"));
    assert_true(site_location_is(str_of("http://node1:8080/login"), "/login"));
    assert_true(site_location_is(str_of("./?_task=login"), "/?_task=login"));
    assert_true(site_location_is(str_of("?_task=login&_err=session"), "/mail/?_task=login"));
    assert_false(site_location_is(str_of("./?_task=mail"), "/?_task=login"));
    assert_false(site_location_is(str_of(""), "/"));
    assert_false(site_location_is(str_of("//evil.example.org/login"), "/login"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_in),
        cmocka_unit_test(leaves_the_rest),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(has_a_page_of_its_own),
        cmocka_unit_test(goes_by_host),
        cmocka_unit_test(knows_phones),
        cmocka_unit_test(knows_places),
        cmocka_unit_test(knows_where_a_location_leads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
