/* SPDX-License-Identifier: ISC
 *
 * This process: see process.h. */
#include "admin/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The text of a file of /proc; "" where it cannot be read. */
static const char *read_text(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(text, 1, size - 1, file) : 0;
    if (file)
        fclose(file);
    text[n] = 0;
    return text;
}

/* proc(5): the fields of /proc/self/stat are counted from behind the name, which may have blanks
 * and parentheses. */
static void look_at_stat(struct process *p)
{
    char text[1024];
    unsigned long long user = 0, system = 0, threads = 0, start = 0, size = 0;
    long resident = 0, ticks = sysconf(_SC_CLK_TCK);
    const char *fields = strrchr(read_text("/proc/self/stat", text, sizeof text), ')');
    if (!fields ||
        sscanf(fields,
               ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %llu %*d "
               "%llu %llu %ld",
               &user, &system, &threads, &start, &size, &resident) != 6)
        return;
    p->cpu_seconds = (double)(user + system) / (double)ticks;
    p->start_seconds = (double)start / (double)ticks; /* since the machine's start */
    p->threads = threads;
    p->virtual_size = size;
    p->resident = (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double boot_seconds(void)
{
    char text[16 * 1024];
    unsigned long long seconds = 0;
    const char *line = strstr(read_text("/proc/stat", text, sizeof text), "\nbtime ");
    if (line)
        sscanf(line, "\nbtime %llu", &seconds);
    return (double)seconds;
}

/* Since Linux 6.2 the folder's size is the number of its entries; to count them takes long where
 * there are many. */
static uint64_t count_files(void)
{
    struct stat st;
    uint64_t count = 0;
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (uint64_t)st.st_size;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the folder itself */
}

void process_look(struct process *p)
{
    struct rlimit limit = {0};
    *p = (struct process){0};
    look_at_stat(p);
    double boot = boot_seconds();
    p->start_seconds = boot > 0 ? boot + p->start_seconds : 0;
    p->open_files = count_files();
    getrlimit(RLIMIT_NOFILE, &limit);
    p->max_files = limit.rlim_cur;
}
