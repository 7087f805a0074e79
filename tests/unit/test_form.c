/* SPDX-License-Identifier: ISC
 *
 * Forms as browsers post them and as nodes get them, and the hidden fields of pages. */
#include "web/form.h"

#include "web/markup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char space[8192];

/* Reads TEXT; its fields as NAME=VALUE, one a line. */
static const char *read_form(const char *text)
{
    static char told[8192];
    struct form form;
    strcpy(space, text);
    if (!form_read(&form, space, strlen(space)))
        return "no form";
    char *to = told;
    *to = 0;
    for (size_t i = 0; i < form.count; i++) {
        const struct form_field *f = &form.list[i];
        to += sprintf(to, "%.*s=%.*s\n", (int)f->name.n, f->name.n ? f->name.p : "",
                      (int)f->value.n, f->value.n ? f->value.p : "");
    }
    return told;
}

static void reads_what_browsers_post(void **state)
{
    (void)state;
    assert_string_equal(read_form(""), "");
    assert_string_equal(read_form("a=b"), "a=b\n");
    assert_string_equal(read_form("username=alice%40example.org&password=p+w%2B%26%3d"),
                        "username=alice@example.org\npassword=p w+&=\n");
    assert_string_equal(read_form("a&b=&=c&&d=e=f"), "a=\nb=\n=c\nd=e=f\n");
    assert_string_equal(read_form("k%C3%A4se=%E2%82%AC"), "k\xc3\xa4se=\xe2\x82\xac\n");
}

static void refuses_what_they_do_not(void **state)
{
    char many[FORM_FIELDS_MAX * 4 + 8] = "";
    (void)state;
    assert_string_equal(read_form("a=%"), "no form");
    assert_string_equal(read_form("a=%4"), "no form");
    assert_string_equal(read_form("a=%4g"), "no form");
    assert_string_equal(read_form("%zz=b"), "no form");
    for (size_t i = 0; i < FORM_FIELDS_MAX; i++)
        strcat(many, "a=b&");
    assert_string_not_equal(read_form(many), "no form");
    strcat(many, "a=b");
    assert_string_equal(read_form(many), "no form");
}

static void finds_fields(void **state)
{
    struct form form;
    (void)state;
    strcpy(space, "a=1&b=2&b=3&c=");
    assert_true(form_read(&form, space, strlen(space)));
    assert_true(str_eq(form_find(&form, "a"), str_of("1")));
    assert_null(form_find(&form, "b").p); /* which of them? */
    assert_non_null(form_find(&form, "c").p);
    assert_int_equal(form_find(&form, "c").n, 0);
    assert_null(form_find(&form, "A").p);
}

static void writes_forms(void **state)
{
    struct buf body;
    struct form form;
    (void)state;
    char every[256];
    for (size_t i = 0; i < sizeof every; i++)
        every[i] = (char)i;
    buf_init(&body, NULL, 0, 8192);
    form_write(&body, str_of("user"), str_of("a b@c*-._~"));
    form_write(&body, str_of("every"), (struct str){every, sizeof every});
    struct str text = buf_str(&body);
    assert_memory_equal(text.p, "user=a+b%40c*-._%7E&every=%00%01", 32);
    memcpy(space, text.p, text.n);
    assert_true(form_read(&form, space, text.n));
    assert_int_equal(form.count, 2);
    assert_true(str_eq(form.list[1].value, (struct str){every, sizeof every}));
    buf_free(&body);
}

static void writes_json(void **state)
{
    struct buf body;
    (void)state;
    buf_init(&body, NULL, 0, 8192);
    buf_adds(&body, "{");
    assert_true(form_write_json(&body, str_of("userName"), str_of("a\"b\\c")));
    assert_true(form_write_json(&body, str_of("p"), str_of("\n\x1f\x7f\xc3\xa4\xf0\x9f\x98\x80")));
    buf_adds(&body, "}");
    buf_add(&body, "", 1);
    assert_string_equal(buf_str(&body).p, "{\"userName\":\"a\\\"b\\\\c\",\"p\":\"\\u000a\\u001f\x7f"
                                          "\xc3\xa4\xf0\x9f\x98\x80\"}");
    static const char *const bad[] = {
        "\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80", "\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(form_write_json(&body, str_of("p"), str_of(bad[i])));
    buf_free(&body);
}

/* ---- pages ---- */

/* The hidden fields of TEXT, as a form is posted. */
static const char *hidden(const char *text)
{
    static char told[8192];
    struct form form;
    struct buf room, out;
    buf_init(&room, NULL, 0, 4096);
    buf_init(&out, told, sizeof told, sizeof told);
    if (!markup_hidden(str_of(text), "pass", &room, &form))
        buf_adds(&out, "too many");
    for (size_t i = 0; i < form.count && !room.full; i++)
        form_write(&out, form.list[i].name, form.list[i].value);
    buf_add(&out, "", 1);
    buf_free(&room);
    return told;
}

static void finds_hidden_fields(void **state)
{
    (void)state;
    assert_string_equal(hidden(""), "");
    assert_string_equal(hidden("<input type=hidden name=a value=b>"), "a=b");
    assert_string_equal(hidden("<INPUT VALUE='b c' NAME=\"a\" TYPE=\"Hidden\" />"), "a=b+c");
    assert_string_equal(hidden("<input type=hidden name=a><input type=text name=b value=c>"), "a=");
    assert_string_equal(hidden("<input type=hidden value=x><inputs type=hidden name=b>"), "");
    assert_string_equal(hidden("<input\ntype = hidden\tname=a value=\"1>2\">"), "a=1%3E2");
    assert_string_equal(hidden("<input type=hidden name=a value=\"&lt;&amp;&quot;&#39;&#x41;&#8364;"
                               "&nix;&#0;&\">"),
                        "a=%3C%26%22%27A%E2%82%AC%26nix%3B%26%230%3B%26");
}

static void passes_over_what_is_no_markup(void **state)
{
    (void)state;
    assert_string_equal(hidden("<!-- <input type=hidden name=a value=b> --><p>"
                               "<script>'<input type=hidden name=c value=d>'</script>"
                               "<style><input type=hidden name=e></style>"
                               "<input type=hidden name=f value=g>"),
                        "f=g");
    assert_string_equal(hidden("a < b <3 <input type=hidden name=f value=g"), "f=g");
    assert_string_equal(hidden("<!-- <input type=hidden name=a>"), "");
    assert_string_equal(hidden("<script><input type=hidden name=a>"), "");
}

static void takes_the_form_with_the_password(void **state)
{
    (void)state;
    assert_string_equal(hidden("<form><input type=hidden name=a value=1><input name=q></form>"
                               "<form><input type=hidden name=b value=2><input name=pass "
                               "type=password></form><form><input type=hidden name=c></form>"),
                        "b=2");
    assert_string_equal(hidden("<form><input type=hidden name=a value=1></form>"
                               "<input type=hidden name=b value=2>"),
                        "a=1&b=2");
    assert_string_equal(hidden("<form><input name=pass><input type=hidden name=a value=1>"), "a=1");
}

static void fields_are_bounded(void **state)
{
    static char page[64 * 1024];
    char *to = page;
    (void)state;
    for (size_t i = 0; i <= FORM_FIELDS_MAX; i++)
        to += sprintf(to, "<input type=hidden name=a%zu>", i);
    assert_string_equal(hidden(page), "too many");
    to = page + sprintf(page, "<input type=hidden name=a value='");
    memset(to, 'x', 5000);
    strcpy(to + 5000, "'>");
    assert_string_equal(hidden(page), "too many");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_browsers_post),
        cmocka_unit_test(refuses_what_they_do_not),
        cmocka_unit_test(finds_fields),
        cmocka_unit_test(writes_forms),
        cmocka_unit_test(writes_json),
        cmocka_unit_test(finds_hidden_fields),
        cmocka_unit_test(passes_over_what_is_no_markup),
        cmocka_unit_test(takes_the_form_with_the_password),
        cmocka_unit_test(fields_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
