/* SPDX-License-Identifier: ISC
 *
 * The main thread's desk: see desk.h. */
#include "admin/desk.h"

static struct {
    pthread_mutex_t lock;
    struct ring posts;
    uv_async_t wake;
    bool open; /* under the lock */
} desk = {.lock = PTHREAD_MUTEX_INITIALIZER, .posts = {&desk.posts, &desk.posts}};

static void run_all(uv_async_t *wake)
{
    struct ring posts;
    (void)wake;
    pthread_mutex_lock(&desk.lock);
    ring_take(&posts, &desk.posts);
    pthread_mutex_unlock(&desk.lock);
    while (!ring_is_empty(&posts)) {
        struct post *p = OUTER(posts.next, post, ring);
        ring_remove(&p->ring);
        p->run(p);
    }
}

void desk_open(uv_loop_t *loop)
{
    uv_async_init(loop, &desk.wake, run_all);
    uv_unref((uv_handle_t *)&desk.wake);
    desk.open = true;
}

void desk_close(void)
{
    pthread_mutex_lock(&desk.lock);
    desk.open = false;
    pthread_mutex_unlock(&desk.lock);
    run_all(&desk.wake);
    uv_close((uv_handle_t *)&desk.wake, NULL);
}

void desk_post(struct post *p)
{
    pthread_mutex_lock(&desk.lock);
    ring_add_last(&desk.posts, &p->ring);
    if (desk.open)
        uv_async_send(&desk.wake);
    pthread_mutex_unlock(&desk.lock);
}
