/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for what the login reads of browsers and of nodes' pages, and writes: forms,
 * hidden fields, templates, hosts and places. The first byte chooses. What a form says is read
 * again as it is written; nothing in a value becomes markup. */
#include "web/form.h"
#include "web/markup.h"
#include "web/site.h"
#include "web/template.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct form *form)
{
    static struct form again;
    struct buf body;
    buf_init(&body, NULL, 0, 1u << 20);
    for (size_t i = 0; i < form->count; i++)
        form_write(&body, form->list[i].name, form->list[i].value);
    if (!body.full) {
        assert(form_read(&again, body.data + body.start, buf_len(&body)));
        assert(again.count == form->count);
        for (size_t i = 0; i < form->count; i++)
            assert(str_eq(form->list[i].name, again.list[i].name) &&
                   str_eq(form->list[i].value, again.list[i].value));
    }
    buf_free(&body);
}

static void try_form(struct str text)
{
    static struct form form;
    struct buf json;
    char *copy = malloc(text.n + 1);
    memcpy(copy, text.p, text.n);
    buf_init(&json, NULL, 0, 1u << 16);
    buf_adds(&json, "{");
    if (form_read(&form, copy, text.n)) {
        check_again(&form);
        form_find(&form, "password");
        for (size_t i = 0; i < form.count; i++)
            if (!form_write_json(&json, form.list[i].name, form.list[i].value))
                break;
    }
    for (uint32_t i = 0; i < buf_len(&json); i++)
        assert((unsigned char)buf_str(&json).p[i] >= ' ');
    buf_free(&json);
    free(copy);
}

static void try_page(struct str text)
{
    static struct form form;
    struct buf room;
    buf_init(&room, NULL, 0, ROOM);
    if (markup_hidden(text, "pass", &room, &form))
        check_again(&form);
    else
        assert(form.count == 0);
    buf_free(&room);
}

static void try_template(struct str text)
{
    struct problems problems = {0};
    struct buf out;
    struct str half = {text.p + text.n / 2, text.n - text.n / 2};
    const struct template_values values = {half, half, half, half, half, half, half};
    template_check(text, "login.html", &problems);
    problems_free(&problems);
    buf_init(&out, NULL, 0, 1u << 16);
    template_fill(&out, text, &values);
    buf_clear(&out);
    template_fill(&out, (struct str)STR("{{user}}"), &values);
    for (uint32_t i = 0; i < buf_len(&out); i++)
        assert(!strchr("<>\"'", buf_str(&out).p[i]) || !buf_str(&out).p[i]);
    buf_free(&out);
}

/* Hosts and places are compared with themselves, too. */
static void try_places(struct str text)
{
    static struct config_virtual_host hosts[] = {{"*.example.net", "plain"}, {NULL, "own"}};
    char *copy = strndup(text.p, text.n);
    struct str whole = str_of(copy);
    hosts[1].host = copy;
    const struct config_web web = {
        .hosts = hosts, .host_count = 2, .login_path = "/login", .node = {.path = copy}};
    bool plain = whole.n && *copy != '*' && !strpbrk(copy, ":].");
    assert(!plain || strcmp(site_template(&web, whole), "own") == 0);
    assert(site_target_is(whole, copy));
    site_location_is(whole, "/?_task=login");
    site_leads_to_login(&web, text);
    site_is_mobile(whole, text);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data + 1, size - 1};
    if (size == 0)
        return 0;
    switch (data[0] % 4) {
    case 0:
        try_form(text);
        break;
    case 1:
        try_page(text);
        break;
    case 2:
        try_places(text);
        break;
    default:
        try_template(text);
    }
    return 0;
}
