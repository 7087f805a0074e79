/* SPDX-License-Identifier: ISC
 *
 * The content of a map file: see map_table.h. The text is a private copy (a file that is mapped and
 * then truncated kills who reads it), in which every key ends with NUL. The index holds where keys
 * begin in the text: buckets of one cache line, so that a login that is not there costs one miss of
 * the cache, and one that is there two. Patterns stand in a list, in file order. */
#include "maps/map_table.h"

#include "base/mem.h"
#include "maps/map_line.h"
#include "maps/map_pattern.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    SLOTS = 12,       /* of a bucket: what fits into 64 bytes */
    FILL = 9,         /* keys for each bucket, on average */
    MARK_LINES = 1024 /* lines from one mark to the next */
};

struct bucket {
    _Alignas(64) uint8_t tags[SLOTS]; /* of the keys' hashes; 0: free, and so are the next */
    uint32_t keys[SLOTS];             /* where they begin in the text */
};

struct pattern {
    regex_t regex;
    const char *key;
};

struct map_table {
    struct stat file; /* when it was read */
    char *text;       /* file.st_size bytes, then LF */
    struct bucket *buckets;
    size_t bucket_count;
    uint64_t seed;
    struct pattern *patterns;
    size_t pattern_count;
    const char *all; /* the key `*`, or NULL */
    size_t count;
    uint32_t *marks; /* where every MARK_LINES-th line begins */
    size_t mark_count;
};

/* A file being read. */
struct load {
    struct map_table *table;
    struct problems *problems;
    struct place at;
    unsigned password_line; /* the first with a password; 0: none yet */
    unsigned all_line;
};

/* ---- the index ---- */

/* Finds KEY, or the slot where it would have to be put. */
static bool find_slot(const struct map_table *t, const char *key, size_t n, struct bucket **bucket,
                      unsigned *slot, uint8_t *tag)
{
    uint64_t hash = XXH3_64bits_withSeed(key, n, t->seed);
    size_t at = (size_t)((hash >> 32) * t->bucket_count >> 32);
    *tag = (uint8_t)(hash % 255 + 1);
    for (;; at = at + 1 == t->bucket_count ? 0 : at + 1) {
        *bucket = &t->buckets[at];
        for (*slot = 0; *slot < SLOTS; (*slot)++) {
            if (!(*bucket)->tags[*slot])
                return false;
            if ((*bucket)->tags[*slot] == *tag &&
                strcmp(t->text + (*bucket)->keys[*slot], key) == 0)
                return true;
        }
    }
}

/* The key in the text that equals the N bytes at KEY (and the NUL behind them), or NULL. */
static const char *find_key(const struct map_table *t, const char *key, size_t n)
{
    struct bucket *bucket;
    unsigned slot;
    uint8_t tag;
    return find_slot(t, key, n, &bucket, &slot, &tag) ? t->text + bucket->keys[slot] : NULL;
}

/* ---- loading: the entries ---- */

static void add_login(struct load *l, const struct map_line *line)
{
    struct map_table *t = l->table;
    struct bucket *bucket;
    unsigned slot;
    uint8_t tag;
    if (!find_slot(t, line->key, line->key_size, &bucket, &slot, &tag)) {
        bucket->tags[slot] = tag;
        bucket->keys[slot] = (uint32_t)(line->key - t->text);
    } else if (l->problems->kept < PROBLEMS_MAX) {
        problem_error(l->problems, l->at, "the login stands in line %u already",
                      map_table_line(t, t->text + bucket->keys[slot]));
    } else {
        problem_error(l->problems, l->at, "the login stands twice");
    }
}

static void add_pattern(struct load *l, const struct map_line *line)
{
    struct map_table *t = l->table;
    if (t->pattern_count == MAP_PATTERNS_MAX) {
        problem_error(l->problems, l->at, "too many regular expressions");
        return;
    }
    if (!t->patterns)
        t->patterns = xcalloc(MAP_PATTERNS_MAX, sizeof *t->patterns);
    struct pattern *p = &t->patterns[t->pattern_count];
    p->key = line->key;
    if (map_pattern_compile(&p->regex, line->key, l->problems, l->at))
        t->pattern_count++;
}

static void add_all(struct load *l, const struct map_line *line)
{
    if (l->table->all)
        problem_error(l->problems, l->at, "`*` stands in line %u already", l->all_line);
    l->table->all = line->key;
    l->all_line = l->at.line;
}

static void add_line(struct load *l, char *text, size_t n)
{
    struct map_line line;
    if (!map_line_split(&line, text, n, l->problems, l->at) || line.kind == MAP_LINE_NONE)
        return;
    l->table->count++;
    if (line.password && !l->password_line)
        l->password_line = l->at.line;
    if (line.kind == MAP_LINE_LOGIN)
        add_login(l, &line);
    else if (line.kind == MAP_LINE_PATTERN)
        add_pattern(l, &line);
    else
        add_all(l, &line);
}

static void add_mark(struct map_table *t, const char *line)
{
    size_t n = t->mark_count;
    if ((n & (n - 1)) == 0)
        t->marks = xrealloc(t->marks, (n ? 2 * n : 1) * sizeof *t->marks);
    t->marks[t->mark_count++] = (uint32_t)(line - t->text);
}

static void add_lines(struct load *l)
{
    char *text = l->table->text, *end = text + l->table->file.st_size, *next;
    for (char *line = text; line < end; line = next) {
        if (l->at.line % MARK_LINES == 0)
            add_mark(l->table, line);
        l->at.line++;
        char *stop = memchr(line, '\n', (size_t)(end + 1 - line));
        next = stop + 1;
        if (stop > line && stop[-1] == '\r')
            stop--;
        if (line == text && stop - line >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
            line += 3; /* a byte order mark */
        add_line(l, line, (size_t)(stop - line));
    }
}

/* ---- loading: the file ---- */

static void *map_memory(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Fills T->text from FD. NULL, or what went wrong. */
static const char *read_text(struct map_table *t, int fd)
{
    struct stat now;
    size_t size, have = 0;
    if (fstat(fd, &t->file) < 0)
        return strerror(errno);
    if (!S_ISREG(t->file.st_mode))
        return "not a regular file";
    if (t->file.st_size >= UINT32_MAX)
        return "a map file has to be smaller than 4 GiB";
    size = (size_t)t->file.st_size;
    t->text = map_memory(size + 1);
    if (!t->text)
        return "not enough memory for it";
    while (have < size) {
        ssize_t n = read(fd, t->text + have, size - have);
        if (n < 0 && errno != EINTR)
            return strerror(errno);
        if (n == 0)
            break;
        have += n > 0 ? (size_t)n : 0;
    }
    t->text[size] = '\n';
    if (fstat(fd, &now) < 0)
        return strerror(errno);
    return have == size && same_file(&now, &t->file) ? NULL : "changed while it was read";
}

/* Makes an empty index with room for as many keys as the text has lines. */
static const char *make_index(struct map_table *t)
{
    size_t lines = 1;
    const char *end = t->text + t->file.st_size;
    for (const char *p = t->text; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        lines++;
    t->bucket_count = lines / FILL + 1;
    t->buckets = map_memory(t->bucket_count * sizeof *t->buckets);
    if (getrandom(&t->seed, sizeof t->seed, 0) != sizeof t->seed)
        return strerror(errno);
    return t->buckets ? NULL : "not enough memory for it";
}

static const char *read_file(struct map_table *t, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* does not wait at a FIFO */
    if (fd < 0)
        return strerror(errno);
    const char *why = read_text(t, fd);
    close(fd);
    return why ? why : make_index(t);
}

struct map_table *map_table_load(const char *path, struct place at, struct problems *problems)
{
    struct map_table *t = xcalloc(1, sizeof *t);
    struct load load = {.table = t, .problems = problems, .at.file = path};
    size_t errors = problems->errors;
    const char *why = read_file(t, path);
    if (why && at.file)
        problem_error(problems, at, "%s: %s", path, why);
    else if (why)
        problem_error(problems, load.at, "%s", why);
    else
        add_lines(&load);
    load.at.line = load.password_line;
    if (load.password_line && (t->file.st_mode & S_IROTH))
        problem_warning(problems, load.at, "there are passwords in a file that everybody can read");
    if (problems->errors == errors)
        return t;
    map_table_free(t);
    return NULL;
}

void map_table_free(struct map_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->pattern_count; i++)
        regfree(&t->patterns[i].regex);
    free(t->patterns);
    free(t->marks);
    if (t->text)
        munmap(t->text, (size_t)t->file.st_size + 1);
    if (t->buckets)
        munmap(t->buckets, t->bucket_count * sizeof *t->buckets);
    free(t);
}

/* ---- asking ---- */

static const char *find_pattern(const struct map_table *t, const char *email)
{
    for (size_t i = 0; i < t->pattern_count; i++)
        if (regexec(&t->patterns[i].regex, email, 0, NULL, 0) == 0)
            return t->patterns[i].key;
    return NULL;
}

/* The key of the entry for QUERY. */
static const char *find(const struct map_table *t, const struct map_query *query)
{
    char login[MAP_LOGIN_MAX + 1];
    size_t email_size = strlen(query->email), login_size = strlen(query->login);
    const char *key = find_key(t, query->email, email_size);
    if (!key && login_size < sizeof login) {
        memcpy(login, query->login, login_size + 1);
        str_lower(login, login_size);
        if (strcmp(login, query->email) != 0)
            key = find_key(t, login, login_size);
    }
    const char *at = key ? NULL : strrchr(query->email, '@');
    if (at)
        key = find_key(t, at, email_size - (size_t)(at - query->email));
    if (!key && email_size <= MAP_LOGIN_MAX)
        key = find_pattern(t, query->email);
    return key || query->named ? key : t->all;
}

const char *map_table_find(const struct map_table *t, const struct map_query *query,
                           struct map_entry *entry)
{
    const char *key = find(t, query);
    if (!key)
        return NULL;
    const char *rest = key + strlen(key) + 1, *end = rawmemchr(rest, '\n');
    if (end[-1] == '\r')
        end--;
    map_line_read((struct str){rest, (size_t)(end - rest)}, query, entry);
    return key;
}

unsigned map_table_line(const struct map_table *t, const char *key)
{
    size_t mark = t->mark_count - 1;
    while (t->text + t->marks[mark] > key)
        mark--;
    unsigned line = (unsigned)mark * MARK_LINES + 1;
    const char *lf = t->text + t->marks[mark];
    while ((lf = memchr(lf, '\n', (size_t)(key - lf)))) {
        lf++;
        line++;
    }
    return line;
}

size_t map_table_count(const struct map_table *t)
{
    return t->count;
}

bool map_table_is_of(const struct map_table *t, const struct stat *file)
{
    return same_file(file, &t->file);
}
