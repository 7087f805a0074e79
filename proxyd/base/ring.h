/* SPDX-License-Identifier: ISC
 *
 * Rings: doubly linked lists whose links are part of what is linked, with a head that is a link
 * itself. Adding and removing take constant time and cannot fail. */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdbool.h>

struct ring {
    struct ring *next, *prev;
};

/* An empty ring, or a link that is in none. */
static inline void ring_init(struct ring *r)
{
    r->next = r->prev = r;
}

static inline bool ring_is_empty(const struct ring *head)
{
    return head->next == head;
}

static inline void ring_add_first(struct ring *head, struct ring *r)
{
    r->prev = head;
    r->next = head->next;
    head->next->prev = r;
    head->next = r;
}

static inline void ring_add_last(struct ring *head, struct ring *r)
{
    ring_add_first(head->prev, r);
}

/* Takes R out of its ring; it is in none then, and may be removed again. */
static inline void ring_remove(struct ring *r)
{
    r->next->prev = r->prev;
    r->prev->next = r->next;
    ring_init(r);
}

/* For every link of the ring at HEAD; the body may remove the link that it is at, and no other. */
#define RING_EACH(link, head)                                                                      \
    for (struct ring *link = (head)->next, *link##_next = link->next; link != (head);              \
         link = link##_next, link##_next = link->next)

#endif
