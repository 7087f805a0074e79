/* SPDX-License-Identifier: ISC
 *
 * Reads *.talk files: see script.h. A dialogue begins with "== TITLE", then come "protocol NAME"
 * and "set KEY VALUE", then what is said, a line each. */
#include "script.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct word {
    const char *word;
    enum line_kind kind;
} words[] = {
    {"C:", LINE_CLIENT},        {"C>", LINE_CLIENT},       {"N:", LINE_NODE},
    {"N>", LINE_NODE},          {"S:", LINE_TO_CLIENT},    {"S>", LINE_TO_CLIENT},
    {"P:", LINE_TO_NODE},       {"P>", LINE_TO_NODE},      {"V:", LINE_VERDICT},
    {"C-TLS", LINE_CLIENT_TLS}, {"N-TLS", LINE_NODE_TLS},  {"S-END", LINE_SERVER_END},
    {"C-END", LINE_CLIENT_END}, {"P-END", LINE_PROXY_END},
};

static void die(const char *file, unsigned line, const char *text)
{
    fprintf(stderr, "%s:%u: %s\n", file, line, text);
    exit(1);
}

static int hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Resolves \r \n \t \0 \\ and \xHH in place; returns the length, or -1. */
static ssize_t unescape(char *p)
{
    static const char names[] = "rnt0\\", bytes[] = "\r\n\t\0\\";
    char *to = p, *start = p;
    for (; *p; p++) {
        if (*p != '\\') {
            *to++ = *p;
            continue;
        }
        const char *at = *++p ? strchr(names, *p) : NULL;
        if (at) {
            *to++ = bytes[at - names];
        } else if (*p == 'x' && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
            *to++ = (char)(hex(p[1]) * 16 + hex(p[2]));
            p += 2;
        } else {
            return -1;
        }
    }
    return to - start;
}

/* Makes L of what stands behind its first word, MARK. */
static bool fill_line(struct line *l, char mark, char *rest)
{
    ssize_t n = mark == '>' ? unescape(rest) : (ssize_t)strlen(rest);
    if (n < 0)
        return false;
    bool speech = mark == ':' && l->kind != LINE_VERDICT;
    bool expected = l->kind == LINE_TO_CLIENT || l->kind == LINE_TO_NODE;
    l->prefix = speech && expected && n >= 3 && memcmp(rest + n - 3, "...", 3) == 0;
    l->n = (size_t)n - (l->prefix ? 3 : 0);
    l->text = xcalloc(1, l->n + 3);
    memcpy(l->text, rest, l->n);
    if (speech && !l->prefix) {
        memcpy(l->text + l->n, "\r\n", 2);
        l->n += 2;
    }
    return true;
}

static void add_line(struct dialogue *d, char *text, unsigned number)
{
    if (d->count == SCRIPT_LINES_MAX)
        die(d->file, number, "too many lines in one dialogue");
    struct line *l = &d->lines[d->count];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i].word);
        if (strncmp(text, words[i].word, n) != 0 || (text[n] && text[n] != ' '))
            continue;
        *l = (struct line){.kind = words[i].kind, .number = number};
        if (!fill_line(l, text[1], text + n + (text[n] == ' ')))
            die(d->file, number, "unknown escape");
        d->count++;
        return;
    }
    die(d->file, number, "unknown line");
}

static void add_setting(struct dialogue *d, const char *text, unsigned number)
{
    if (d->setting_count == SCRIPT_SETTINGS_MAX || d->count)
        die(d->file, number, "too many settings, or behind the first line");
    d->settings[d->setting_count++] = xstrdup(text);
}

static void add(struct dialogue *d, char *text, unsigned number)
{
    if (strncmp(text, "set ", 4) == 0)
        add_setting(d, text + 4, number);
    else if (strncmp(text, "protocol ", 9) != 0)
        add_line(d, text, number);
    else if (!(d->protocol = protocol_find(text + 9)))
        die(d->file, number, "unknown protocol");
}

static struct dialogue *dialogue_new(const char *file, const char *title)
{
    struct dialogue *d = xcalloc(1, sizeof *d);
    d->file = file;
    d->title = xstrdup(title);
    d->protocol = protocol_find("imap");
    return d;
}

static void dialogue_free(struct dialogue *d)
{
    for (unsigned i = 0; i < d->count; i++)
        free(d->lines[i].text);
    for (unsigned i = 0; i < d->setting_count; i++)
        free(d->settings[i]);
    free(d->title);
    free(d);
}

static void finish(struct dialogue *d, void (*each)(const struct dialogue *d))
{
    if (d) {
        each(d);
        dialogue_free(d);
    }
}

void script_read(const char *file, void (*each)(const struct dialogue *d))
{
    FILE *in = fopen(file, "r");
    if (!in)
        die(file, 0, strerror(errno));
    char *text = NULL;
    size_t size = 0;
    struct dialogue *d = NULL;
    ssize_t n;
    for (unsigned number = 1; (n = getline(&text, &size, in)) > 0; number++) {
        if (text[n - 1] == '\n')
            text[--n] = 0;
        if (n == 0 || text[0] == '#')
            continue;
        if (strncmp(text, "== ", 3) == 0) {
            finish(d, each);
            d = dialogue_new(file, text + 3);
        } else if (d) {
            add(d, text, number);
        } else {
            die(file, number, "a dialogue begins with == and its title");
        }
    }
    finish(d, each);
    free(text);
    fclose(in);
}
