/* SPDX-License-Identifier: ISC
 *
 * Reading a small file whole. Blocks: at start or in the thread pool. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>

/* The content of the file at PATH with a NUL behind it, *SIZE bytes without that: the caller's to
 * free. NULL and errno where it cannot be read; EFBIG where it has more than MAX bytes. */
char *file_read(const char *path, size_t max, size_t *size);

#endif
