/* SPDX-License-Identifier: ISC
 *
 * What this program is. */
#ifndef VERSION_H
#define VERSION_H

#define VERSION "0.1.0"

#endif
