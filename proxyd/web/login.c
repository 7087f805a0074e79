/* SPDX-License-Identifier: ISC
 *
 * The login on the web: see login.h. Nobody can be logged in yet but by Authorization. */
#include "web/login.h"

enum web_way web_login_decide(struct web_request *r)
{
    (void)r;
    return WEB_HERE;
}

void web_login_describe(struct web_request *r)
{
    (void)r;
}

void web_login_answered(struct web_request *r, const struct http_head *answer)
{
    (void)r;
    (void)answer;
}

void web_login_serve(struct web_request *r)
{
    web_refuse(r, 401);
}

void web_login_cancel(struct web_request *r)
{
    (void)r;
}
