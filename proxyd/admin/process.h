/* SPDX-License-Identifier: ISC
 *
 * What the kernel says of this process. Called by snapshot.c. */
#ifndef ADMIN_PROCESS_H
#define ADMIN_PROCESS_H

#include <stdint.h>

/* What could not be learned is 0. */
struct process {
    double cpu_seconds;              /* user and system */
    double start_seconds;            /* since the epoch */
    uint64_t resident, virtual_size; /* bytes */
    uint64_t open_files, max_files;
    uint64_t threads;
};

void process_look(struct process *p);

#endif
