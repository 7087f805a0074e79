/* SPDX-License-Identifier: ISC
 *
 * libFuzzer entry for what passes by after the login: the first byte names the protocol, then come
 * pieces, each behind a byte with its length and its direction. Where a line of the node's is not
 * whole, nothing of ours may stand. */
#include "proto/proto.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"imap", "pop3", "submission", "sieve"};
    struct turn turn;
    if (size == 0)
        return 0;
    const struct protocol *p = protocol_find(names[*data % 4]);
    turn_start(&turn);
    for (size_t at = 1; at < size;) {
        size_t n = data[at] / 2, left = size - at - 1;
        bool told = data[at++] % 2;
        n = n < left ? n : left;
        struct str piece = {(const char *)data + at, n};
        if (n)
            (told ? p->told : p->asked)(&turn, piece);
        else
            (told ? turn_told_unseen : turn_asked_unseen)(&turn);
        at += n;
        bool whole = n && piece.p[n - 1] == '\n';
        assert(!told || whole || !turn_is_between(&turn));
        assert(!turn_is_over(&turn) || turn_is_between(&turn));
    }
    return 0;
}
