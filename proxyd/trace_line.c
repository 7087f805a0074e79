/* SPDX-License-Identifier: ISC
 *
 * Blanking: see trace_line.h. A command is known by its first word, or by its second behind an
 * IMAP tag. */
#include "trace_line.h"

#include "auth/sasl.h"

enum { TAG_MAX = 20, ANSWER_WORDS = 4 };

/* Commands (IMAP, POP3, SMTP, ManageSieve) that have no secret in them. */
static const char *const harmless[] = {"CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "ID",   "ENABLE",
                                       "CAPA",       "STLS", "QUIT",   "USER",     "EHLO", "HELO",
                                       "LHLO",       "RSET", "MAIL",   "RCPT",     "DATA", NULL};

static const char *const secretive[] = {"LOGIN", "AUTHENTICATE", "AUTH", "PASS", "APOP", NULL};

/* Words that say how a command ended (RFC 9051, 7.1; RFC 5530; RFC 2449, 8; RFC 3206; RFC 5804). */
static const char *const endings[] = {"*",
                                      "+",
                                      "OK",
                                      "NO",
                                      "BAD",
                                      "BYE",
                                      "PREAUTH",
                                      "+OK",
                                      "-ERR",
                                      "[ALERT]",
                                      "[AUTH]",
                                      "[AUTHENTICATIONFAILED]",
                                      "[AUTHORIZATIONFAILED]",
                                      "[CANNOT]",
                                      "[CAPABILITY",
                                      "[CLIENTBUG]",
                                      "[CONTACTADMIN]",
                                      "[EXPIRED]",
                                      "[IN-USE]",
                                      "[INUSE]",
                                      "[LIMIT]",
                                      "[LOGIN-DELAY]",
                                      "[NOPERM]",
                                      "[OVERQUOTA]",
                                      "[PRIVACYREQUIRED]",
                                      "[REFERRAL",
                                      "[SERVERBUG]",
                                      "[SYS/PERM]",
                                      "[SYS/TEMP]",
                                      "[UNAVAILABLE]",
                                      "(AUTH-TOO-WEAK)",
                                      "(ENCRYPT-NEEDED)",
                                      "(REFERRAL",
                                      "(TRANSITION-NEEDED)",
                                      "(TRYLATER)",
                                      NULL};

/* Fields of HTTP whose values have no secret in them, but for a query. */
static const char *const plain_fields[] = {"Accept",
                                           "Accept-Encoding",
                                           "Accept-Language",
                                           "Accept-Ranges",
                                           "Allow",
                                           "Cache-Control",
                                           "Connection",
                                           "Content-Encoding",
                                           "Content-Length",
                                           "Content-Range",
                                           "Content-Type",
                                           "DAV",
                                           "Date",
                                           "Depth",
                                           "Expect",
                                           "Forwarded",
                                           "Host",
                                           "If-Modified-Since",
                                           "If-None-Match",
                                           "Keep-Alive",
                                           "Last-Modified",
                                           "Location",
                                           "Origin",
                                           "Range",
                                           "Retry-After",
                                           "Server",
                                           "Transfer-Encoding",
                                           "Upgrade",
                                           "User-Agent",
                                           "Vary",
                                           "WWW-Authenticate",
                                           "X-Forwarded-For",
                                           "X-Forwarded-Host",
                                           "X-Forwarded-Proto",
                                           "X-Request-ID",
                                           NULL};

static bool is_one_of(struct str word, const char *const *words)
{
    for (; *words; words++)
        if (str_is(word, *words))
            return true;
    return false;
}

static struct str skip_blanks(struct str text)
{
    while (text.n && (*text.p == ' ' || *text.p == '\t')) {
        text.p++;
        text.n--;
    }
    return text;
}

void trace_line_blank(struct str text, struct buf *out)
{
    size_t n = skip_blanks(text).n;
    if (n)
        buf_addf(out, "%s[%zu bytes]", buf_len(out) ? " " : "", n);
}

static void add_word(struct buf *out, struct str word)
{
    if (buf_len(out))
        buf_adds(out, " ");
    buf_add(out, word.p, word.n);
}

/* A secret: not even its length is told. */
static void add_secret(struct buf *out)
{
    static const struct str stars = STR("********");
    add_word(out, stars);
}

static bool is_tag(struct str word)
{
    for (size_t i = 0; i < word.n; i++)
        if (!((word.p[i] | 32) >= 'a' && (word.p[i] | 32) <= 'z') &&
            !(word.p[i] >= '0' && word.p[i] <= '9'))
            return false;
    return word.n > 0 && word.n <= TAG_MAX;
}

/* A mechanism's name, quoted by ManageSieve; what else stands there is blanked. */
static void add_mechanism(struct buf *out, struct str *rest)
{
    enum sasl_mech mech;
    struct str before = *rest, word = str_word(rest), name = word;
    if (name.n > 2 && *name.p == '"') {
        name.p++;
        name.n -= 2;
    }
    if (sasl_find(name, UINT32_MAX, &mech))
        add_word(out, word);
    else
        *rest = before;
}

/* The command's word in LINE, *REST being what follows it; an empty one for none that is known. A
 * tag may look like a command: what could tell a secret is looked for first. */
static struct str command_of(struct str line, struct str *rest)
{
    struct str after_first = line, first = str_word(&after_first);
    struct str after_second = after_first, second = str_word(&after_second);
    bool tagged = is_tag(first);
    *rest = after_first;
    if (is_one_of(first, secretive))
        return first;
    if (is_one_of(first, harmless) && !is_one_of(second, secretive))
        return first;
    *rest = after_second;
    if (tagged && (is_one_of(second, secretive) || is_one_of(second, harmless)))
        return second;
    return (struct str){line.p, 0};
}

bool trace_line_command(struct str line, bool *secret, struct buf *out)
{
    struct str rest, word = command_of(line, &rest);
    bool known = word.n > 0;
    if (!*secret && known && !is_one_of(word, secretive)) {
        trace_line_all(line, out);
        return false;
    }
    if (*secret) {
        add_secret(out);
        return true;
    }
    if (!known) {
        trace_line_blank(line, out);
        return false;
    }
    *secret = true;
    add_word(out, (struct str){line.p, (size_t)(word.p + word.n - line.p)});
    if (str_starts(word, "AUTH"))
        add_mechanism(out, &rest);
    if (rest.n)
        add_secret(out);
    return true;
}

void trace_line_answer(struct str line, bool *secret)
{
    bool asks = str_starts(line, "334") || str_starts(line, "+ ") || str_is(line, "+");
    if (!asks)
        *secret = false;
}

/* "535", "535-5.7.8"; behind that "5.7.8" (RFC 3463). */
static bool is_status(struct str word, bool first)
{
    size_t digits = 0, dots = 0;
    for (size_t i = 0; i < word.n; i++) {
        bool digit = word.p[i] >= '0' && word.p[i] <= '9';
        digits = digit ? digits + 1 : 0;
        dots += word.p[i] == '.';
        if (digits > 3 || (!digit && word.p[i] != '.' && word.p[i] != '-'))
            return false;
    }
    return word.n >= 3 && word.n <= 9 && (first || dots == 2);
}

/* LINE without the tag of a command, which is what the client likes: a password in the wrong place.
 */
static struct str without_tag(struct str line)
{
    struct str behind = line, first = str_word(&behind), peek = behind, second = str_word(&peek);
    bool ends = str_is(second, "OK") || str_is(second, "NO") || str_is(second, "BAD");
    return ends && !is_one_of(first, endings) && !is_status(first, true) ? behind : line;
}

struct str trace_line_codes(struct str line, struct buf *out)
{
    struct str rest = without_tag(line), before = rest;
    for (int i = 0; i < ANSWER_WORDS; i++) {
        struct str word = str_word(&rest);
        if (!is_one_of(word, endings) && !is_status(word, i == 0))
            break;
        add_word(out, word);
        before = rest;
    }
    return before;
}

void trace_line_own(struct str line, struct buf *out)
{
    trace_line_all(skip_blanks(without_tag(line)), out);
}

/* TEXT up to its query, of which only the length is told, and what follows the query. */
static void add_without_query(struct buf *out, struct str text)
{
    const char *query = text.n ? memchr(text.p, '?', text.n) : NULL;
    struct str before = {text.p, query ? (size_t)(query + 1 - text.p) : text.n};
    struct str rest = {text.p + before.n, text.n - before.n};
    buf_add(out, before.p, before.n);
    size_t n = 0;
    while (n < rest.n && rest.p[n] != ' ')
        n++;
    if (query)
        buf_addf(out, "[%zu bytes]", n);
    buf_add(out, rest.p + n, rest.n - n);
}

void trace_line_http(struct str line, bool first, struct buf *out)
{
    const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
    struct str name = {line.p, colon ? (size_t)(colon - line.p) : 0};
    struct str value = {line.p + name.n, line.n - name.n};
    if (first) {
        add_without_query(out, line);
    } else if (name.n && is_one_of(name, plain_fields)) {
        buf_add(out, name.p, name.n);
        add_without_query(out, value);
    } else {
        buf_addf(out, "%.*s: ********", (int)name.n, name.p);
    }
}

void trace_line_all(struct str line, struct buf *out)
{
    add_word(out, line);
}
