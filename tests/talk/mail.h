/* SPDX-License-Identifier: ISC
 *
 * Dialogues of port 25 and LMTP: see mail.c. Called by talk.c. */
#ifndef TALK_MAIL_H
#define TALK_MAIL_H

#include "script.h"

/* Plays D with its input in pieces of at most MAX bytes, or cut at random with MAX 0; MODE names
 * that. False, and it is said why, when anything is not as D has it. */
bool mail_play(const struct dialogue *d, const char *mode, size_t max);

#endif
