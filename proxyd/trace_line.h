/* SPDX-License-Identifier: ISC
 *
 * What of a line of a dialogue may be shown to an administrator who watches it (trace.h): never a
 * password, a token or an answer in a SASL exchange, whoever says it, in whatever protocol. Only
 * words that are known to be harmless are shown where there could be one. Does no I/O. */
#ifndef TRACE_LINE_H
#define TRACE_LINE_H

#include "base/buf.h"

/* Adds to OUT what may be shown of LINE, said by who logs in. *SECRET is whether he is in the
 * middle of telling who he is, for which he may need more lines than one: it is set here, and stays
 * until trace_line_answer. Returns whether LINE has told a secret. */
bool trace_line_command(struct str line, bool *secret, struct buf *out);

/* LINE answers him: ends his *SECRET, unless it asks for more of it. */
void trace_line_answer(struct str line, bool *secret);

/* Adds to OUT what may be shown of LINE, said by or for a node that has been told a secret, and may
 * repeat it in any form: the words that say how a command ended, of a known few. Returns the rest.
 */
struct str trace_line_codes(struct str line, struct buf *out);

/* Adds to OUT what may be shown of a line of an HTTP head: of the FIRST one all but the query,
 * which may have a token in it, of a field its name, and its value where that is known to be
 * harmless. */
void trace_line_http(struct str line, bool first, struct buf *out);

/* Adds "[N bytes]" in the place of TEXT, if it has any. */
void trace_line_blank(struct str text, struct buf *out);

/* Adds LINE, an answer of our own to a client, but for the tag that it had chosen. */
void trace_line_own(struct str line, struct buf *out);

/* Adds LINE as it is. */
void trace_line_all(struct str line, struct buf *out);

#endif
