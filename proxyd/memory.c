/* SPDX-License-Identifier: ISC
 *
 * Memory that comes to its end: see memory.h. The reserve is address space in pieces, so that two
 * threads that find none at the same time both get some. A control group has no failed allocation
 * to tell of its end: its files are read a few times a second, those of version 1 or 2, and what
 * the kernel would drop before it kills (inactive_file) does not count. */
#include "memory.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"

#include <fcntl.h>
#include <jansson.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    PIECES = 8,
    PIECE = 4 << 20, /* bytes */
    LOOK = 250,      /* ms between two looks */
    SHORT = 8,       /* less than this part of the group's limit is left */
    ENOUGH = 6,      /* more than this one is */
    MIB = 1 << 20
};

/* The files of a control group, by its version. */
static const struct version {
    const char *folder, *limit, *used, *dropped; /* the last one: a word in memory.stat */
} versions[] = {
    {"/sys/fs/cgroup", "memory.max", "memory.current", "\ninactive_file "},
    {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "\ntotal_inactive_file "},
};

static struct {
    _Atomic(void *) reserve[PIECES]; /* NULL: given */
    atomic_bool spent, full;         /* the reserve; the control group */
    unsigned served; /* sessions when the reserve was spent, and one; 0: it is not */
    unsigned (*sessions)(void);
    const struct version *version; /* NULL: no control group with a limit of memory */
    char group[1024];              /* its folder */
    uv_timer_t timer;
} memory;

/* ---- the reserve ---- */

static bool give(void)
{
    for (size_t i = 0; i < PIECES; i++) {
        void *piece = atomic_exchange(&memory.reserve[i], NULL);
        if (piece && munmap(piece, PIECE) == 0) {
            memory.spent = true;
            return true;
        }
    }
    return false;
}

/* Returns how many pieces there are. */
static unsigned put_by(void)
{
    unsigned count = 0;
    for (size_t i = 0; i < PIECES; i++) {
        void *piece = memory.reserve[i];
        if (!piece) {
            piece = mmap(NULL, PIECE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            memory.reserve[i] = piece == MAP_FAILED ? NULL : piece;
        }
        count += memory.reserve[i] != NULL;
    }
    return count;
}

static void *try_array(size_t count, size_t size)
{
    size_t n;
    void *p = __builtin_mul_overflow(count, size, &n) ? NULL : mem_try(n);
    return p ? memset(p, 0, n) : NULL;
}

void memory_prepare(void)
{
    mem_set_reserve(give);
    tls_allocate_by(mem_try, mem_try_more);
    uv_replace_allocator(mem_try, mem_try_more, try_array, free);
    json_set_alloc_funcs(mem_try, free);
    put_by();
}

/* ---- the control group ---- */

/* Reads a small file of the group; false: there is none. */
static bool read_file(const char *name, char *text, size_t size)
{
    char path[sizeof memory.group + 32];
    snprintf(path, sizeof path, "%s/%s", memory.group, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* A number of bytes; 0: there is none, or it is "max". */
static uint64_t read_bytes(const char *name)
{
    char text[64];
    return read_file(name, text, sizeof text) ? strtoull(text, NULL, 10) : 0;
}

/* Where LINE of /proc/self/cgroup, "NUMBER:CONTROLLERS:PATH", is of a group with the file of
 * VERSION that has the limit, in the folder or, as a container sees its own, at the top. */
static bool find_group(const struct version *version, char *line)
{
    char *controllers = strchr(line, ':'),
         *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return false;
    *path++ = 0;
    path[strcspn(path, "\n")] = 0;
    bool meant =
        version == versions ? strcmp(controllers, ":") == 0 : strstr(controllers, "memory") != NULL;
    for (int i = 0; meant && i < 2; i++) {
        snprintf(memory.group, sizeof memory.group, "%s%s", version->folder, i ? "" : path);
        if (access(memory.group, X_OK) == 0 && read_bytes(version->limit))
            return true;
    }
    return false;
}

static void find_version(void)
{
    char line[1024], copy[1024];
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && !memory.version && fgets(line, sizeof line, file))
        for (size_t i = 0; i < sizeof versions / sizeof *versions && !memory.version; i++) {
            strcpy(copy, line);
            if (find_group(&versions[i], copy))
                memory.version = &versions[i];
        }
    if (file)
        fclose(file);
}

static uint64_t dropped_first(void)
{
    char text[8192];
    const char *at =
        read_file("memory.stat", text, sizeof text) ? strstr(text, memory.version->dropped) : NULL;
    return at ? strtoull(at + strlen(memory.version->dropped), NULL, 10) : 0;
}

/* What is left in the group, in bytes, of LIMIT. */
static uint64_t left_of(uint64_t limit)
{
    uint64_t used = read_bytes(memory.version->used);
    return used < limit ? limit - used : 0;
}

static void look_at_group(void)
{
    uint64_t limit = memory.version ? read_bytes(memory.version->limit) : 0;
    if (!limit)
        return;
    uint64_t left = left_of(limit);
    if (left < limit / ENOUGH)
        left += dropped_first();
    bool was_full = memory.full;
    memory.full = was_full ? left <= limit / ENOUGH : left < limit / SHORT;
    if (memory.full && !was_full)
        log_message(LOG_LEVEL_ERROR, "memory",
                    "%llu of the %llu MiB that the control group may have are in use",
                    (unsigned long long)(limit - left) / MIB, (unsigned long long)limit / MIB);
}

/* ---- looking after both ---- */

/* The C library keeps most of what was freed, for us: so it is enough too that sessions have gone.
 */
static void look_at_reserve(void)
{
    unsigned sessions = memory.sessions();
    if (!memory.spent)
        return;
    if (!memory.served) {
        memory.served = sessions + 1;
        log_message(
            LOG_LEVEL_ERROR, "memory",
            "an allocation has failed, by a limit of address space or data (RLIMIT_AS, "
            "RLIMIT_DATA) or of the machine, with %u sessions: it was given from the reserve",
            sessions);
    } else if (put_by() == PIECES || sessions < memory.served - memory.served / 4) {
        memory.served = 0;
        memory.spent = false;
    }
}

static void look(uv_timer_t *timer)
{
    bool was_short = memory.served || memory.full;
    (void)timer;
    look_at_group();
    look_at_reserve();
    if (memory_is_short())
        malloc_trim(0); /* what those have left who are gone */
    else if (was_short)
        log_message(LOG_LEVEL_INFO, "memory", "there is enough again");
}

void memory_watch(uv_loop_t *loop, unsigned (*sessions)(void))
{
    memory.sessions = sessions;
    find_version();
    uv_timer_init(loop, &memory.timer);
    uv_unref((uv_handle_t *)&memory.timer);
    uv_timer_start(&memory.timer, look, LOOK, LOOK);
}

bool memory_is_short(void)
{
    return atomic_load_explicit(&memory.spent, memory_order_relaxed) ||
           atomic_load_explicit(&memory.full, memory_order_relaxed);
}
