/* SPDX-License-Identifier: ISC
 *
 * Rings: doubly linked lists whose links are part of what is linked, with a head that is a link
 * itself. Adding and removing take constant time and cannot fail. A link that is all zero is in no
 * ring. */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring {
    struct ring *next, *prev;
};

/* An empty ring. */
static inline void ring_init(struct ring *head)
{
    head->next = head->prev = head;
}

static inline bool ring_is_empty(const struct ring *head)
{
    return head->next == head;
}

/* Whether R, which is no head, is in a ring. */
static inline bool ring_has(const struct ring *r)
{
    return r->next;
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

/* Takes R out of its ring, if it is in one. */
static inline void ring_remove(struct ring *r)
{
    if (!r->next)
        return;
    r->next->prev = r->prev;
    r->prev->next = r->next;
    r->next = r->prev = NULL;
}

/* Makes TO the head of what FROM was the head of; FROM is empty then. */
static inline void ring_take(struct ring *to, struct ring *from)
{
    ring_add_first(from, to);
    ring_remove(from);
    ring_init(from);
}

/* For every link of the ring at HEAD; the body may remove the link that it is at, and no other. */
#define RING_EACH(link, head)                                                                      \
    for (struct ring *link = (head)->next, *link##_next = link->next; link != (head);              \
         link = link##_next, link##_next = link->next)

#endif
