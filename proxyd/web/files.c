/* SPDX-License-Identifier: ISC
 *
 * Files of templates: see files.h. What is kept is a list for the whole process, the last used
 * first; a lock is held to look a name up in it, never while a file is read. */
#include "web/files.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct entry {
    struct ring ring; /* in `kept` */
    struct file *file;
    uint64_t looked; /* ms, by uv_hrtime */
    char path[];     /* the folder, a slash, the name */
};

static struct {
    pthread_mutex_t lock;
    struct ring list;
    size_t count, bytes;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER, .list = {&kept.list, &kept.list}};

static atomic_uint jobs;

struct files_job {
    uv_work_t request;
    struct worker *worker;
    struct files_ask *ask; /* NULL: nobody waits any more */
    bool (*check)(const char *path, struct str content);
    struct file *file; /* what was kept; afterwards, the answer */
    int error;
    size_t name; /* where the name begins in the path */
    char path[];
};

/* ---- files ---- */

static struct file *file_ref(struct file *file)
{
    if (file)
        atomic_fetch_add(&file->references, 1);
    return file;
}

void file_unref(struct file *file)
{
    if (!file || atomic_fetch_sub(&file->references, 1) > 1)
        return;
    free((char *)file->content.p);
    free(file);
}

bool files_is_name(struct str name)
{
    if (name.n == 0 || name.n > FILES_NAME_MAX || str_has_control(name) ||
        memchr(name.p, '\\', name.n))
        return false;
    for (size_t i = 0, part = 0; i <= name.n; i++) {
        bool end = i == name.n || name.p[i] == '/';
        if (i == part && (end || name.p[i] == '.'))
            return false;
        if (end)
            part = i + 1;
    }
    return true;
}

/* ---- what is kept ---- */

static uint64_t clock_ms(void)
{
    return uv_hrtime() / 1000000;
}

static struct entry *find(const char *path)
{
    RING_EACH (r, &kept.list) {
        struct entry *e = OUTER(r, entry, ring);
        if (strcmp(e->path, path) == 0)
            return e;
    }
    return NULL;
}

static void drop(struct entry *e)
{
    ring_remove(&e->ring);
    kept.count--;
    kept.bytes -= e->file->content.n;
    file_unref(e->file);
    free(e);
}

/* The file that is kept for PATH, or NULL; *FRESH: it was looked at just now. */
static struct file *lookup(const char *path, bool *fresh)
{
    struct file *file = NULL;
    pthread_mutex_lock(&kept.lock);
    struct entry *e = find(path);
    if (e) {
        ring_remove(&e->ring);
        ring_add_first(&kept.list, &e->ring);
        *fresh = clock_ms() - e->looked < FILES_FRESH;
        file = file_ref(e->file);
    }
    pthread_mutex_unlock(&kept.lock);
    return file;
}

/* Keeps FILE (NULL: nothing) in the place of what was kept for PATH. */
static void keep(const char *path, struct file *file)
{
    pthread_mutex_lock(&kept.lock);
    struct entry *e = find(path);
    if (e)
        drop(e);
    if (file) {
        e = xmalloc(sizeof *e + strlen(path) + 1);
        e->file = file_ref(file);
        e->looked = clock_ms();
        strcpy(e->path, path);
        ring_add_first(&kept.list, &e->ring);
        kept.count++;
        kept.bytes += file->content.n;
    }
    while (kept.count > FILES_COUNT_MAX || kept.bytes > FILES_KEPT_MAX)
        drop(OUTER(kept.list.prev, entry, ring));
    pthread_mutex_unlock(&kept.lock);
}

/* ---- reading, in the pool ---- */

/* A descriptor of NAME below FOLDER: no link and no ".." leads out of it. -1 and errno. */
static int open_beneath(const char *folder, const char *name)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return -1;
    int fd = (int)syscall(SYS_openat2, at, name, &how, sizeof how);
    int error = errno;
    close(at);
    errno = error;
    return fd;
}

static bool is_same(const struct file *file, const struct stat *st)
{
    return file && file->inode == st->st_ino && file->size == st->st_size &&
           file->modified.tv_sec == st->st_mtim.tv_sec &&
           file->modified.tv_nsec == st->st_mtim.tv_nsec;
}

/* CONTENT, which is taken over, as of the file that ST describes. */
static struct file *make(char *content, size_t n, const struct stat *st)
{
    struct file *file = xcalloc(1, sizeof *file);
    atomic_init(&file->references, 1);
    file->content = (struct str){content, n};
    file->modified = st->st_mtim;
    file->size = st->st_size;
    file->inode = st->st_ino;
    return file;
}

/* All of FD, as ST describes it; NULL and errno. */
static struct file *read_all(int fd, const struct stat *st)
{
    size_t size = (size_t)st->st_size, n = 0;
    char *content = xmalloc(size + 1);
    ssize_t got = 1;
    while (n < size && (got = pread(fd, content + n, size - n, (off_t)n)) > 0)
        n += (size_t)got;
    if (got < 0) {
        int error = errno;
        free(content);
        errno = error;
        return NULL;
    }
    return make(content, n, st);
}

/* The file that FD is now, which may be the one that is kept: 0 or an errno. */
static int look(struct files_job *job, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return ENOENT;
    if (st.st_size > FILES_SIZE_MAX)
        return EFBIG;
    if (is_same(job->file, &st))
        return 0;
    struct file *file = read_all(fd, &st);
    if (!file)
        return errno;
    bool good = !job->check || job->check(job->path, file->content);
    if (!good && job->file) { /* what was good stays, until the file changes again */
        struct str old = job->file->content;
        file_unref(file);
        file = make(memcpy(xmalloc(old.n + 1), old.p, old.n), old.n, &st);
    }
    if (!good && !job->file) {
        file_unref(file);
        return EINVAL;
    }
    file_unref(job->file);
    job->file = file;
    return 0;
}

/* Whether the operator is to hear of it: not of names that just anybody asks for. */
static bool is_news(int error)
{
    return error != ENOENT && error != ENOTDIR && error != EXDEV && error != ELOOP;
}

static void run(uv_work_t *request)
{
    struct files_job *job = request->data;
    job->path[job->name - 1] = 0;
    int fd = open_beneath(job->path, job->path + job->name);
    job->error = fd < 0 ? errno : 0;
    job->path[job->name - 1] = '/';
    if (fd >= 0) {
        job->error = look(job, fd);
        close(fd);
    }
    if (job->error && is_news(job->error) && job->error != EINVAL) /* else it has been said */
        log_message(LOG_LEVEL_ERROR, "config", "%s cannot be read: %s", job->path,
                    strerror(job->error));
    if (job->error) {
        file_unref(job->file);
        job->file = NULL;
    }
    keep(job->path, job->file);
}

static void ran(uv_work_t *request, int status)
{
    struct files_job *job = request->data;
    struct files_ask *ask = job->ask;
    (void)status;
    atomic_fetch_sub(&jobs, 1);
    job->worker->busy_tasks--;
    if (ask) {
        ask->job = NULL;
        ask->file = file_ref(job->file);
        ask->error = is_news(job->error) ? job->error : ENOENT;
    }
    file_unref(job->file);
    free(job);
    if (ask)
        ask->done(ask);
}

/* ---- asking ---- */

static bool answer(struct files_ask *ask, struct file *file, int error)
{
    ask->file = file;
    ask->error = error;
    return true;
}

bool files_get(struct files_ask *ask, struct worker *w, const char *folder, const char *name)
{
    size_t at = strlen(folder) + 1;
    bool fresh = false;
    if (!files_is_name(str_of(name)))
        return answer(ask, NULL, ENOENT);
    struct files_job *job = xcalloc(1, sizeof *job + at + strlen(name) + 1);
    sprintf(job->path, "%s/%s", folder, name);
    job->file = lookup(job->path, &fresh);
    if (fresh || atomic_load(&jobs) >= FILES_JOBS_MAX) {
        struct file *file = job->file;
        free(job);
        return answer(ask, file, file ? 0 : EBUSY);
    }
    atomic_fetch_add(&jobs, 1);
    job->request.data = job;
    job->worker = w;
    job->ask = ask;
    job->check = ask->check;
    job->name = at;
    ask->job = job;
    w->busy_tasks++;
    uv_queue_work(&w->uv, &job->request, run, ran);
    return false;
}

void files_cancel(struct files_ask *ask)
{
    if (ask->job)
        ask->job->ask = NULL;
    ask->job = NULL;
    file_unref(ask->file);
    ask->file = NULL;
}
