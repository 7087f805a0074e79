/* SPDX-License-Identifier: ISC
 *
 * The commands: see directory_command.h. A word stands in single quotes, where nothing means
 * anything to a shell (nor to a history expansion), unless it has harmless characters only. */
#include "auth/directory_command.h"

#include "base/buf.h"

#include <strings.h>
#include <sys/stat.h>

/* ---- words ---- */

static bool is_harmless(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "@%+=:,./_-";
    return *text && text[strspn(text, letters)] == 0;
}

/* A control character, which DNs and filters from outside may have, would be acted on by the
 * terminal that the line is pasted into: it is written as both may write it. */
static void add_quoted(struct buf *b, const char *text)
{
    buf_adds(b, "'");
    for (const char *p = text; *p; p++) {
        if (*p == '\'')
            buf_adds(b, "'\\''");
        else if (str_has_control((struct str){p, 1}))
            buf_addf(b, "\\%02x", (unsigned char)*p);
        else
            buf_add(b, p, 1);
    }
    buf_adds(b, "'");
}

static void add_text(struct buf *b, const char *text)
{
    if (is_harmless(text))
        buf_adds(b, text);
    else
        add_quoted(b, text);
}

/* BEFORE, which needs no quotes, and TEXT. */
static void add(struct buf *b, const char *before, const char *text)
{
    buf_adds(b, before);
    add_text(b, text);
}

/* ---- parts ---- */

static bool is_tls(const struct directory_settings *settings, const char *server)
{
    return settings->starttls || strncasecmp(server, "ldaps:", 6) == 0;
}

static unsigned whole_seconds(uint64_t ms)
{
    return (unsigned)((ms + 999) / 1000);
}

/* PROGRAM, to reach SERVER as proxyd does. */
static void add_program(struct buf *b, const char *program,
                        const struct directory_settings *settings, const char *server)
{
    if (is_tls(settings, server)) {
        if (settings->verify && settings->ca_file) {
            add(b, "LDAPTLS_CACERT=", settings->ca_file);
            buf_adds(b, " ");
        }
        buf_addf(b, "LDAPTLS_REQCERT=%s ", settings->verify ? "demand" : "never");
    }
    buf_addf(b, "%s -x -o nettimeout=%u", program, whole_seconds(settings->timeout));
    add(b, " -H ", server);
    if (settings->starttls)
        buf_adds(b, " -ZZ");
}

/* -y takes a file whole, with the line's end that most have and proxyd does not take: then a pipe
 * has to drop that. */
static bool needs_pipe(const struct directory_settings *settings)
{
    struct stat file;
    return settings->bind_dn && settings->bind_password_file &&
           (stat(settings->bind_password_file, &file) < 0 ||
            (size_t)file.st_size != strlen(settings->bind_password));
}

static void add_bind(struct buf *b, const struct directory_settings *settings, bool piped)
{
    if (!settings->bind_dn)
        return;
    add(b, " -D ", settings->bind_dn);
    if (!settings->bind_password_file)
        buf_adds(b, " -W");
    else
        add(b, " -y ", piped ? "/dev/stdin" : settings->bind_password_file);
}

static void add_attributes(struct buf *b, const struct directory_attributes *attributes,
                           bool passwords)
{
    const char *const names[] = {attributes->host, attributes->login, attributes->hold,
                                 passwords ? attributes->password : NULL};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i])
            add(b, " ", names[i]);
}

/* ---- lines ---- */

static void begin(struct buf *b, char *out, size_t size)
{
    buf_init(b, out, (uint32_t)size, (uint32_t)size); /* never more, so it stays in OUT */
}

static void end(struct buf *b, char *out, size_t size)
{
    buf_add(b, "", 1);
    if (b->full && size > 0)
        *out = 0;
}

void directory_command_search(char *out, size_t size, const struct directory_settings *settings,
                              const char *server, const char *base, const char *filter,
                              bool passwords)
{
    static const char *const scopes[] = {[DIRECTORY_SCOPE_SUB] = "sub",
                                         [DIRECTORY_SCOPE_ONE] = "one",
                                         [DIRECTORY_SCOPE_BASE] = "base"};
    bool piped = needs_pipe(settings);
    struct buf b;
    begin(&b, out, size);
    if (piped) {
        add(&b, "tr -d '\\r\\n' <", settings->bind_password_file);
        buf_adds(&b, " | ");
    }
    add_program(&b, "ldapsearch -LLL -o ldif-wrap=no", settings, server);
    if (settings->referrals)
        buf_adds(&b, " -C");
    add_bind(&b, settings, piped);
    add(&b, " -b ", base);
    buf_addf(&b, " -s %s -z %d", scopes[settings->search_scope],
             settings->multiple_matches == DIRECTORY_MATCHES_FIRST ? 1 : 2);
    add(&b, " ", filter);
    add_attributes(&b, &settings->attributes, passwords);
    end(&b, out, size);
}

void directory_command_bind(char *out, size_t size, const struct directory_settings *settings,
                            const char *server, const char *dn)
{
    struct buf b;
    begin(&b, out, size);
    add_program(&b, "ldapwhoami", settings, server);
    add(&b, " -D ", dn);
    buf_adds(&b, " -W");
    end(&b, out, size);
}
