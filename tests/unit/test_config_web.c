/* SPDX-License-Identifier: ISC
 *
 * Webmail services in the configuration: what ends up in struct config_web, which keys they have
 * and which they have not, what is refused and where, -T. */
#include "config_case.h"

#define KEY  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"
#define MAPS "maps: {local: {type: file, path: users.map}}\n"

/* A webmail service with MORE in it, which begins in line 5, column 5. */
#define SERVICE(more)                                                                              \
    MAPS "services:\n  webmail:\n    {maps: [local], listeners: [{address: 127.0.0.1:2080}],\n"    \
         "    session: {keys: " KEY "},\n    " more "}\n"

static void has_defaults(void **state)
{
    (void)state;
    struct config *config = good(SERVICE(""));
    const struct config_service *service = &config->services[0];
    const struct config_web *web = &service->web;
    assert_string_equal(web->login_path, "/login");
    assert_string_equal(web->user_field, "username");
    assert_string_equal(web->password_field, "password");
    assert_null(web->node.page);
    assert_string_equal(web->node.path, "/login");
    assert_int_equal(web->node.format, CONFIG_FORM_FORM);
    assert_int_equal(web->node.statuses.count, 2);
    assert_int_equal(web->node.statuses.list[1], 303);
    assert_null(web->node.cookie);
    assert_null(web->logout_path);
    assert_string_equal(web->start, "/");
    assert_null(web->templates);
    assert_false(web->mobile.detect);
    assert_false(web->secure_login);
    assert_string_equal(web->session.cookie, "proxyd_route");
    assert_int_equal(web->session.lifetime, 12 * 3600 * 1000);
    assert_int_equal(web->http.header_size, 64 << 10);
    assert_int_equal(web->http.body_size, 64 << 10);
    assert_int_equal(web->http.upload_size, 16 << 20);
    assert_int_equal(web->http.request_timeout, 60000);
    assert_int_equal(web->http.keepalive_timeout, 75000);
    assert_int_equal(service->backend.port, 80);
    assert_int_equal(service->backend.max_requests, 64);
    assert_int_equal(service->backend.queue_size, 64);
    assert_int_equal(service->backend.queue_timeout, 10000);
    assert_int_equal(service->backend.response_timeout, 60000);
    config_unref(config);
}

static void takes_what_is_written(void **state)
{
    (void)state;
    struct config *config =
        good(SERVICE("login: {path: /in, user_field: u, password_field: p, backend: {page: "
                     "/?_task=login, fields: {_action: login, no: \"1\"}, format: json, success: "
                     "{status: 200, cookie: sid}}},\n"
                     "    virtual_hosts: {}, start: /?_task=mail, logout_path: /?_task=logout"));
    const struct config_web *web = &config->services[0].web;
    assert_string_equal(web->login_path, "/in");
    assert_string_equal(web->node.page, "/?_task=login");
    assert_int_equal(web->node.field_count, 2);
    assert_string_equal(web->node.fields[1].name, "no");
    assert_string_equal(web->node.fields[1].value, "1");
    assert_int_equal(web->node.format, CONFIG_FORM_JSON);
    assert_int_equal(web->node.statuses.count, 1);
    assert_int_equal(web->node.statuses.list[0], 200);
    assert_string_equal(web->node.cookie, "sid");
    config_unref(config);
}

static void has_keys_of_its_own(void **state)
{
    (void)state;
    refused(SERVICE("mechanisms: [plain], backend: {login: master, max_connections: 3, "
                    "max_request: 1}"),
            "t.yaml:6:5: warning: 'mechanisms' is not used by services of this protocol\n"
            "t.yaml:6:36: warning: 'login' is not used by services of this protocol\n"
            "t.yaml:6:51: warning: 'max_connections' is not used by services of this protocol\n"
            "t.yaml:6:71: error: unknown key 'max_request'; did you mean 'max_requests'?\n");
    refused(MAPS "services: {imap: {maps: [local], plaintext_auth: always, listeners: [{address: "
                 "127.0.0.1:2143}],\n  start: /, backend: {max_requests: 3}}}\n",
            "t.yaml:3:3: error: unknown key 'start'\n"
            "t.yaml:3:23: error: unknown key 'max_requests'\n");
    /* Nor by another name. */
    refused(MAPS "services: {post: {protocol: webmail, maps: [local], listeners: [{address: "
                 "127.0.0.1:2080}],\n  session: {keys: " KEY "}, max_errors: 3}}\n",
            "t.yaml:3:86: warning: 'max_errors' is not used by services of this protocol\n");
}

static void refuses_values(void **state)
{
    (void)state;
    refused(SERVICE("start: inbox, logout_path: //evil.example.org/"),
            "t.yaml:6:12: error: start must be a path in a URL, beginning with one / (/login, "
            "/?task=login), not 'inbox'\n"
            "t.yaml:6:32: error: logout_path must be a path in a URL, beginning with one / "
            "(/login, /?task=login), not '//evil.example.org/'\n");
    refused(SERVICE("login: {backend: {success: {status: [302, 99], cookie: \"a;b\"}}}"),
            "t.yaml:6:47: error: status must be a status of HTTP from 200 to 599, or a list of up "
            "to 16 such, not '99'\n"
            "t.yaml:6:60: error: cookie must be a name as cookies have them: letters, digits and "
            "some signs, not 'a;b'\n");
    refused(SERVICE("templates: users.map"), "t.yaml:6:16: error: templates: users.map is no "
                                             "folder\n");
}

static void refuses_combinations(void **state)
{
    (void)state;
    refused(SERVICE("secure_login: true, backend: {tls: starttls}"),
            "t.yaml:6:19: error: secure_login needs a listener with tls: implicit to redirect to\n"
            "t.yaml:6:40: error: tls: webmail has no starttls: it must be none or implicit\n");
    refused(SERVICE("login: {path: \"/a?b\", user_field: x, password_field: x}, logout_path: "
                    "/_proxyd/out"),
            "t.yaml:6:19: error: path: a login page's path has no query\n"
            "t.yaml:6:58: error: password_field must not be the user_field\n"
            "t.yaml:6:75: error: logout_path must not be below /_proxyd/, where static files "
            "are\n");
    refused(SERVICE("login: {path: /a}, logout_path: /a"),
            "t.yaml:6:37: error: logout_path must not be the path of the login page\n");
}

#define WITHOUT_KEYS(more)                                                                         \
    MAPS "services:\n  webmail:\n    maps: [local]\n"                                              \
         "    listeners: [{address: 127.0.0.1:2080}]\n    " more "\n"

static void has_keys_or_makes_one(void **state)
{
    (void)state;
    refused(WITHOUT_KEYS("session: {lifetime: 1h}"),
            "t.yaml:6:5: warning: session.keys of service 'webmail' is not set: a key is made when "
            "proxyd starts, so that no other front end knows its users, nor it itself after a "
            "restart\n");
    write_file("keys", KEY "\n\n0123\n");
    refused(WITHOUT_KEYS("session: {keys: \"${file:keys}\"}"),
            "t.yaml:6:21: error: keys: line 3: a key is 64 hexadecimal digits\n");
    refused(WITHOUT_KEYS("session: {keys: secret}"),
            "t.yaml:6:21: error: keys: line 1: a key is 64 hexadecimal digits\n");
    refused(WITHOUT_KEYS("session: {keys: \"${file:nowhere}\"}"),
            "t.yaml:6:21: error: keys: cannot read the file named here: No such file or "
            "directory\n");
    write_file("keys", KEY "\n" KEY "\n");
    accepted(WITHOUT_KEYS("session: {keys: \"${file:keys}\"}"));
    assert_int_equal(chmod("keys", 0644), 0);
    refused(WITHOUT_KEYS("session: {keys: \"${file:keys}\"}"),
            "t.yaml:6:21: warning: keys: everybody can read keys\n");
    unlink("keys");
}

static void prints_no_key(void **state)
{
    (void)state;
    write_file("keys", KEY);
    write_file("t.yaml", WITHOUT_KEYS("session: {keys: \"${file:keys}\"}"));
    char *text = print("t.yaml");
    assert_null(strstr(text, "0123"));
    assert_null(strstr(text, "mechanisms"));
    assert_non_null(strstr(text, "      keys: \"${file:keys}\"  # t.yaml:6\n"));
    assert_non_null(strstr(text, "      upload_size: 16M  # default\n"));
    reads_back(text);
    write_file("t.yaml", SERVICE(""));
    text = print("t.yaml");
    assert_null(strstr(text, "0123"));
    assert_non_null(strstr(text, "      keys: \"********\"  # t.yaml:5\n"));
    reads_back(text);
    refused(
        WITHOUT_KEYS("session: {keys: \"********\"}"),
        "t.yaml:6:15: warning: session.keys of service 'webmail' is not set: a key is made when "
        "proxyd starts, so that no other front end knows its users, nor it itself after a "
        "restart\n"
        "t.yaml:6:21: warning: keys: ******** is what -T shows instead of a secret: put the "
        "secret here, or where it is\n");
}

static void has_templates(void **state)
{
    (void)state;
    assert_int_equal(mkdir("templates", 0700) | mkdir("templates/corporate", 0700), 0);
    write_file("templates/corporate/login.html", "{{token}}");
    refused(SERVICE("virtual_hosts: {a.example: corporate}"),
            "t.yaml:6:32: error: template 'corporate': templates, their folder, is not set\n");
    accepted(SERVICE("templates: templates, virtual_hosts: {a.example: corporate, "
                     "\"*.example\": corporate, b: default}, mobile: {detect: true}"));
    refused(SERVICE("templates: templates, virtual_hosts: {a.example: none, \"a..b\": corporate, "
                    "A.EXAMPLE: ../templates/corporate}"),
            "t.yaml:6:54: error: template 'none': cannot read templates/none/login.html: No such "
            "file or directory\n"
            "t.yaml:6:60: error: virtual_hosts: 'a..b' is neither a host name nor \"*.DOMAIN\"\n"
            "t.yaml:6:79: error: virtual_hosts: there is 'A.EXAMPLE' already: upper and lower case "
            "are the same here\n"
            "t.yaml:6:90: error: '../templates/corporate' is not the name of a template\n");
    refused(SERVICE("templates: templates, mobile: {detect: true, template: phone}"),
            "t.yaml:6:60: error: template 'phone': cannot read templates/phone/login.html: No such "
            "file or directory\n");
    assert_int_equal(mkdir("templates/default", 0700), 0);
    write_file("templates/default/login.html", "\n {{tokn}}{{token}}");
    refused(SERVICE("templates: templates"),
            "templates/default/login.html:2:2: error: unknown placeholder '{{tokn}}'; there are "
            "{{user}} {{message}} {{action}} {{token}} {{host}} {{user_field}} "
            "{{password_field}}\n");
    write_file("templates/default/login.html", "{{token}}");
    accepted(SERVICE("templates: templates"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_defaults),         cmocka_unit_test(takes_what_is_written),
        cmocka_unit_test(has_keys_of_its_own),  cmocka_unit_test(refuses_values),
        cmocka_unit_test(refuses_combinations), cmocka_unit_test(has_keys_or_makes_one),
        cmocka_unit_test(prints_no_key),        cmocka_unit_test(has_templates),
    };
    return cmocka_run_group_tests(tests, config_make_folder, folder_remove);
}
