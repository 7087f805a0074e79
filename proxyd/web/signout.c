/* SPDX-License-Identifier: ISC
 *
 * Leaving: see signout.h. A node's own login page, which many show then, would lead nowhere: to
 * post to it needs a route. */
#include "web/signout.h"

#include "web/inside.h"
#include "web/page.h"
#include "web/site.h"

#include <stdlib.h>

struct signout {
    struct web_job job;
    struct web_request *request;
    struct call call;
};

void signout_answer(struct web_request *r, struct str fields)
{
    const struct config_web *web = &r->client->service->web;
    struct buf all;
    buf_init(&all, NULL, 0, 2 * INSIDE_MAX);
    buf_adds(&all, "Cache-Control: no-store\r\n");
    if (fields.n)
        buf_add(&all, fields.p, fields.n);
    else
        buf_addf(&all, "Location: %s\r\n", web->login_path);
    page_set_cookie(&all, r, web->session.cookie, NULL);
    if (all.full)
        web_refuse(r, 502);
    else
        web_answer(r, 303, buf_str(&all), (struct str){"", 0});
    buf_free(&all);
}

static void signout_free(struct signout *s)
{
    call_end(&s->call);
    free(s);
}

static void cancel(struct web_job *job)
{
    signout_free(OUTER(job, signout, job));
}

/* Where the node leads: elsewhere, as to the site of who looks after passwords, or to our page. */
static char *landing(const struct signout *s)
{
    const struct config_web *web = &s->request->client->service->web;
    const struct http_head *answer = &s->call.head;
    const struct http_field *location = http_head_find(answer, HTTP_FIELD_LOCATION);
    bool redirects = answer->status >= 300 && answer->status < 400 && location;
    if (!redirects || site_leads_to_login(web, location->value))
        return xstrdup(web->login_path);
    return inside_place(web->logout_path, location->value);
}

static void told(struct call *call)
{
    struct signout *s = OUTER(call, signout, call);
    struct web_request *r = s->request;
    struct buf fields;
    buf_init(&fields, NULL, 0, INSIDE_MAX);
    if (call->result == CALL_OK) {
        char *place = landing(s);
        inside_fields(&fields, r, &r->route, NULL, &call->head, place);
        free(place);
    }
    r->login = NULL;
    signout_answer(r, buf_str(&fields));
    buf_free(&fields);
    signout_free(s);
}

void signout_start(struct web_request *r)
{
    struct signout *s = xcalloc(1, sizeof *s);
    s->job.cancel = cancel;
    s->request = r;
    s->call.done = told;
    r->login = &s->job;
    if (inside_ask(&s->call, r, &r->route, r->head, (struct str){"", 0}))
        return;
    r->login = NULL;
    signout_answer(r, (struct str){"", 0});
    signout_free(s);
}
