/* SPDX-License-Identifier: ISC
 *
 * The login page and its static files: see page.h. A template's files come from files.c, which may
 * have to read them; what is built in is there at once. */
#include "web/page.h"

#include "web/cookie.h"
#include "web/files.h"
#include "web/site.h"
#include "web/template.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    DATE = 32, /* bytes of a date with its NUL */
    ETAG = 48,
    USER_MAX = 1024 /* bytes of a login that are shown again */
};

/* An answer that waits for its file. */
struct page {
    struct web_job job;
    struct web_request *request;
    struct files_ask ask;
    unsigned status; /* of the page; 0: it is a static file */
    const char *message;
    struct str user;
    char room[];
};

/* ---- header fields ---- */

struct str page_header(const struct web_request *r, const char *name)
{
    const struct http_field *field = http_head_named(r->head, name);
    return field ? field->value : (struct str){"", 0};
}

void page_set_cookie(struct buf *fields, const struct web_request *r, const char *name,
                     const char *value)
{
    buf_addf(fields, "Set-Cookie: %s=%s; Path=/; HttpOnly; SameSite=Lax%s%s\r\n", name,
             value ? value : "", r->https ? "; Secure" : "", value ? "" : "; Max-Age=0");
}

static char *visit_name(const struct web_request *r)
{
    return xasprintf("%s_page", r->client->service->web.session.cookie);
}

struct str page_visit(const struct web_request *r)
{
    char *name = visit_name(r);
    struct str visit = http_head_cookie(r->head, name);
    free(name);
    return visit;
}

void page_redirect(struct web_request *r, const char *target, struct str fields)
{
    struct buf all;
    buf_init(&all, NULL, 0, PAGE_FIELDS_MAX);
    buf_addf(&all, "Location: %s\r\nCache-Control: no-store\r\n", target);
    buf_add(&all, fields.p, fields.n);
    if (all.full)
        web_refuse(r, 500);
    else
        web_answer(r, 303, buf_str(&all), (struct str){"", 0});
    buf_free(&all);
}

/* Nothing runs in the page but what is beside it, nothing frames it, nobody keeps it. A template of
 * the operator's may have styles in it. */
static void add_page_fields(struct buf *fields, bool own, unsigned status)
{
    buf_addf(
        fields,
        "Content-Type: text/html; charset=utf-8\r\n"
        "Content-Security-Policy: default-src 'none'; img-src 'self' data:; style-src 'self'%s; "
        "%sform-action 'self'; frame-ancestors 'none'; base-uri 'none'\r\n"
        "X-Frame-Options: DENY\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Referrer-Policy: same-origin\r\n"
        "Cache-Control: no-store\r\n",
        own ? "" : " 'unsafe-inline'", own ? "" : "script-src 'self'; font-src 'self'; ");
    if (status == 503)
        buf_adds(fields, "Retry-After: 30\r\n");
}

/* ---- the page ---- */

/* Fills TEXT in and answers with it. */
static void answer_page(const struct page *p, struct str text, bool own)
{
    struct web_request *r = p->request;
    const struct config_web *web = &r->client->service->web;
    struct str host = http_host_name(r->head->host), visit = page_visit(r);
    char new_visit[COOKIE_VISIT_TEXT], token[COOKIE_TOKEN_TEXT];
    struct buf fields, body;
    buf_init(&fields, NULL, 0, PAGE_FIELDS_MAX);
    buf_init(&body, NULL, 0, TEMPLATE_MAX);
    add_page_fields(&fields, own, p->status);
    if (!cookie_is_visit(visit)) {
        char *name = visit_name(r);
        cookie_visit(new_visit);
        visit = str_of(new_visit);
        page_set_cookie(&fields, r, name, new_visit);
        free(name);
    }
    cookie_token(web->cookie_keys, visit, (uint64_t)time(NULL), token);
    const struct template_values values = {
        .user = p->user,
        .message = str_of(p->message ? p->message : ""),
        .action = str_of(web->login_path),
        .token = str_of(token),
        .host = host.n ? host : str_of(r->client->config->global.hostname),
        .user_field = str_of(web->user_field),
        .password_field = str_of(web->password_field),
    };
    template_fill(&body, text, &values);
    if (body.full || fields.full)
        web_refuse(r, 500);
    else
        web_answer(r, p->status, buf_str(&fields), buf_str(&body));
    buf_free(&body);
    buf_free(&fields);
}

/* A page that was changed for the worse is not taken; the log says why. In the thread pool. */
static bool is_good(const char *path, struct str text)
{
    struct problems problems = {0};
    template_check(text, path, &problems);
    bool good = problems.errors == 0;
    log_problems(&problems);
    problems_free(&problems);
    return good;
}

/* ---- static files ---- */

static const char *type_of(struct str name)
{
    static const char *const types[][2] = {
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".html", "text/html; charset=utf-8"},
        {".txt", "text/plain; charset=utf-8"},
        {".json", "application/json"},
        {".webmanifest", "application/manifest+json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
        {".avif", "image/avif"},
        {".ico", "image/x-icon"},
        {".woff", "font/woff"},
        {".woff2", "font/woff2"},
        {".ttf", "font/ttf"},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t n = strlen(types[i][0]);
        if (name.n >= n && str_same_nocase(name.p + name.n - n, types[i][0], n))
            return types[i][1];
    }
    return "application/octet-stream";
}

/* The file that R asks for, below the template's folder; empty: none that there can be. */
static struct str name_of(const struct web_request *r)
{
    struct str path = r->head->target;
    const char *query = memchr(path.p, '?', path.n);
    size_t skip = strlen(PAGE_STATIC);
    path.n = query ? (size_t)(query - path.p) : path.n;
    return path.n > skip ? (struct str){path.p + skip, path.n - skip} : (struct str){"", 0};
}

/* Whether the browser has it already (RFC 9110, 13.1.2 and 13.1.3). */
static bool is_known(const struct web_request *r, const char *etag, const struct timespec *modified)
{
    struct str list = page_header(r, "If-None-Match");
    struct str since = page_header(r, "If-Modified-Since");
    if (list.n) {
        for (struct str one; (one = http_list_next(&list)).n;) {
            bool weak = one.n > 2 && memcmp(one.p, "W/", 2) == 0;
            if (str_is(one, "*") ||
                str_eq((struct str){one.p + 2 * weak, one.n - 2 * weak}, str_of(etag)))
                return true;
        }
        return false;
    }
    char text[DATE];
    struct tm tm = {0};
    if (!modified || since.n == 0 || since.n >= sizeof text)
        return false;
    memcpy(text, since.p, since.n);
    text[since.n] = 0;
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return end && !*end && modified->tv_sec <= timegm(&tm);
}

static void answer_file(struct web_request *r, struct str content, const char *etag,
                        const struct timespec *modified)
{
    char date[DATE] = "";
    struct buf fields;
    struct tm tm;
    bool known = is_known(r, etag, modified);
    buf_init(&fields, NULL, 0, PAGE_FIELDS_MAX);
    buf_addf(&fields, "ETag: %s\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n",
             etag);
    if (modified && gmtime_r(&modified->tv_sec, &tm)) {
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        buf_addf(&fields, "Last-Modified: %s\r\n", date);
    }
    if (!known)
        buf_addf(&fields, "Content-Type: %s\r\n", type_of(name_of(r)));
    web_answer(r, known ? 304 : 200, buf_str(&fields), known ? (struct str){"", 0} : content);
    buf_free(&fields);
}

/* What belongs to the built-in page. It changes with the program only. */
static bool answer_own_file(struct web_request *r)
{
    const struct {
        const char *name;
        struct str content;
    } files[] = {{"login.css", template_style}, {"login.svg", template_icon}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char etag[ETAG];
        uint64_t hash = 14695981039346656037u; /* FNV-1a */
        if (!str_eq(name_of(r), str_of(files[i].name)))
            continue;
        for (size_t k = 0; k < files[i].content.n; k++)
            hash = (hash ^ (unsigned char)files[i].content.p[k]) * 1099511628211u;
        snprintf(etag, sizeof etag, "\"%llx\"", (unsigned long long)hash);
        answer_file(r, files[i].content, etag, NULL);
        return true;
    }
    return false;
}

/* ---- asking for files ---- */

/* What P waits for is there. */
static void answer(const struct page *p)
{
    struct web_request *r = p->request;
    const struct file *file = p->ask.file;
    char etag[ETAG];
    if (p->status && (file || p->ask.error != EBUSY)) {
        answer_page(p, file ? file->content : template_page, !file);
    } else if (file) {
        snprintf(etag, sizeof etag, "\"%llx-%llx-%lx\"", (unsigned long long)file->inode,
                 (unsigned long long)file->modified.tv_sec, file->modified.tv_nsec);
        answer_file(r, file->content, etag, &file->modified);
    } else if (p->ask.error == EBUSY) {
        web_refuse(r, 503);
    } else if (p->ask.error != ENOENT || !answer_own_file(r)) {
        web_refuse(r, 404);
    }
}

static void page_free(struct page *p)
{
    files_cancel(&p->ask);
    free(p);
}

static void cancel(struct web_job *job)
{
    page_free(OUTER(job, page, job));
}

static void found(struct files_ask *ask)
{
    struct page *p = OUTER(ask, page, ask);
    p->request->login = NULL;
    answer(p);
    page_free(p);
}

/* The template's folder: phones may have one of their own. */
static const char *folder_of(const struct web_request *r)
{
    const struct config_web *web = &r->client->service->web;
    bool phone = r->device && strcmp(r->device, "mobile") == 0;
    return phone && !web->mobile.no_template ? web->mobile.template
           : r->template_name                ? r->template_name
                                             : SITE_DEFAULT;
}

/* Asks for the file NAME of the template, and answers when it is there. */
static void ask(struct page *p, struct str name)
{
    const char *templates = p->request->client->service->web.templates;
    char path[2 * FILES_NAME_MAX];
    int n = snprintf(path, sizeof path, "%s/%.*s", folder_of(p->request), (int)name.n, name.p);
    bool whole = name.n <= FILES_NAME_MAX && n < (int)sizeof path;
    p->ask.error = ENOENT;
    p->ask.done = found;
    p->job.cancel = cancel;
    p->request->login = &p->job;
    if (!templates || !whole || files_get(&p->ask, p->request->client->worker, templates, path))
        found(&p->ask);
}

void page_show(struct web_request *r, unsigned status, const char *message, struct str user)
{
    user.n = user.n > USER_MAX ? USER_MAX : user.n;
    struct page *p = xcalloc(1, sizeof *p + user.n);
    if (user.n)
        memcpy(p->room, user.p, user.n);
    p->request = r;
    p->status = status;
    p->message = message;
    p->user = (struct str){p->room, user.n};
    p->ask.check = is_good;
    ask(p, str_of("login.html"));
}

void page_file(struct web_request *r)
{
    struct str name = name_of(r);
    if (!files_is_name(name) || str_is(name, "login.html")) {
        web_refuse(r, 404);
        return;
    }
    struct page *p = xcalloc(1, sizeof *p);
    p->request = r;
    ask(p, name);
}
