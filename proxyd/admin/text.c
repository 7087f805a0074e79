/* SPDX-License-Identifier: ISC
 *
 * Escaping: see text.h. */
#include "admin/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

locale_t text_begin(void)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    return uselocale(utf8);
}

void text_end(locale_t old)
{
    locale_t utf8 = uselocale(old);
    if (utf8 != old)
        freelocale(utf8);
}

/* Writes the character at *TEXT, of which N bytes are left; returns its columns. */
static unsigned put_character(FILE *out, const char **text, size_t n)
{
    wchar_t character;
    mbstate_t state = {0};
    size_t size = mbrtowc(&character, *text, n, &state);
    bool printable = size <= n && iswprint((wint_t)character);
    if (out && printable)
        fwrite(*text, 1, size, out);
    else if (out)
        fprintf(out, "\\%02x", (unsigned char)**text);
    *text += printable ? size : 1;
    int width = printable ? wcwidth(character) : 3;
    return width > 0 ? (unsigned)width : 0;
}

unsigned text_put(FILE *out, const char *text)
{
    unsigned columns = 0;
    for (const char *end = text + strlen(text); text < end;)
        columns += put_character(out, &text, (size_t)(end - text));
    return columns;
}

void text_say(FILE *out, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    text_put(out, text);
    putc('\n', out);
    free(text);
}

/* JSON has no bytes that are no UTF-8. */
static json_t *escaped(const char *text)
{
    char *copy = NULL;
    size_t size;
    FILE *out = open_memstream(&copy, &size);
    text_put(out, text);
    fclose(out);
    json_t *string = json_string(copy);
    free(copy);
    return string;
}

json_t *text_json(const char *text)
{
    if (!text || !*text)
        return json_null();
    json_t *string = json_string(text);
    return string ? string : escaped(text);
}
