#include "launch/demo/names.h"

#include "base/file.h"
#include "dataloader/tokenizer/unicode.h"
#include <expat.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MOST ((size_t)16 << 20)
#define TEXT_MOST 1024 // bytes of a name, or of all keywords of a picture

typedef struct {
    XML_Parser  parser;
    th_names   *names;
    size_t      room;
    char        text[TEXT_MOST + 1]; // of the annotation that is open
    size_t      size;
    uint32_t    code;
    bool        open, is_name;
    const char *failed; // why reading was stopped
} reader;

static void stop(reader *r, const char *why)
{
    r->failed = why;
    (void)XML_StopParser(r->parser, XML_FALSE); // cannot fail inside a handler
}

static void on_start(void *context, const char *element, const char **attributes)
{
    reader     *r = context;
    const char *cp = NULL, *type = NULL;

    r->open = false;
    if (strcmp(element, "annotation") != 0)
        return;
    for (; attributes[0]; attributes += 2) {
        if (strcmp(attributes[0], "cp") == 0)
            cp = attributes[1];
        else if (strcmp(attributes[0], "type") == 0)
            type = attributes[1];
    }
    if (!cp || !*cp || (type && strcmp(type, "tts") != 0))
        return;
    const unsigned char *at = (const unsigned char *)cp, *end = at + strlen(cp);
    r->code = th_utf8_next(&at, end);
    r->open = at == end;
    r->is_name = type != NULL;
    r->size = 0;
}

static void on_text(void *context, const char *text, int size)
{
    reader *r = context;

    if (!r->open)
        return;
    if ((size_t)size > TEXT_MOST - r->size) {
        stop(r, "an annotation is too long");
        return;
    }
    memcpy(r->text + r->size, text, (size_t)size);
    r->size += (size_t)size;
}

// The row of the code point that is open; the file has its name and keywords one after the other.
static th_annotation *row_of(reader *r)
{
    th_names *names = r->names;

    if (names->count > 0 && names->rows[names->count - 1].code == r->code)
        return &names->rows[names->count - 1];
    if (names->count == r->room) {
        size_t room = 2 * r->room + 1024;
        void  *grown = reallocarray(names->rows, room, sizeof *names->rows);

        if (!grown)
            return NULL;
        names->rows = grown;
        r->room = room;
    }
    names->rows[names->count] = (th_annotation){ .code = r->code };
    return &names->rows[names->count++];
}

static void on_end(void *context, const char *element)
{
    reader        *r = context;
    th_annotation *row;
    char         **field;
    char          *begin = r->text;

    (void)element;
    if (!r->open)
        return;
    r->open = false;
    r->text[r->size] = 0;
    while (r->size > 0 && strchr(" \t\r\n", r->text[r->size - 1]))
        r->text[--r->size] = 0;
    begin += strspn(begin, " \t\r\n");
    for (char *c = begin; *c; c++) // a caption is a line
        *c = *c == '\n' || *c == '\r' || *c == '\t' ? ' ' : *c;
    if (*begin == 0)
        return;
    row = row_of(r);
    field = row ? (r->is_name ? &row->name : &row->keywords) : NULL;
    if (field && *field)
        return; // named twice: the first stands
    if (field)
        *field = strdup(begin);
    if (!field || !*field)
        stop(r, "memory is out");
}

static int by_code(const void *a, const void *b)
{
    const th_annotation *x = a, *y = b;

    return (x->code > y->code) - (x->code < y->code);
}

static th_code parse(const char *text, size_t size, th_names *names, th_err *err)
{
    th_code rc = TH_OK;
    reader  r = { .names = names, .parser = XML_ParserCreate("UTF-8") };

    TH_CHECK(r.parser, TH_EIO, "free some memory", "no memory to read XML");
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    TH_CHECK(size < INT_MAX && XML_Parse(r.parser, text, (int)size, 1) == XML_STATUS_OK, TH_EDATA,
             "reinstall unicode-cldr-core", "line %lu: %s",
             (unsigned long)XML_GetCurrentLineNumber(r.parser),
             r.failed ? r.failed : XML_ErrorString(XML_GetErrorCode(r.parser)));
    if (names->count > 0)
        qsort(names->rows, names->count, sizeof *names->rows, by_code);
    for (size_t i = 1; i < names->count; i++)
        TH_CHECK(names->rows[i - 1].code < names->rows[i].code, TH_EDATA,
                 "reinstall unicode-cldr-core", "U+%04X is annotated in two places",
                 names->rows[i].code);
out:
    if (r.parser)
        XML_ParserFree(r.parser);
    return rc;
}

th_code th_names_read(const char *folder, const char *language, th_names *names, th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX], *text = NULL;
    size_t  size;

    *names = (th_names){ 0 };
    TH_CHECK(snprintf(path, sizeof path, "%s/%s.xml", folder, language) < (int)sizeof path,
             TH_EUSAGE, "use a shorter path", "the path of folder \"%.80s...\" is too long",
             folder);
    TH_TRY(th_file_read(path, FILE_MOST, &text, &size, err));
    TH_TRY(parse(text, size, names, err));
out:
    free(text);
    if (rc == TH_OK)
        return rc;
    th_names_close(names);
    return th_during(err, "reading the annotations of language \"%s\"", language);
}

void th_names_close(th_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->rows[i].name);
        free(names->rows[i].keywords);
    }
    free(names->rows);
    *names = (th_names){ 0 };
}

const th_annotation *th_names_find(const th_names *names, uint32_t code)
{
    th_annotation key = { .code = code };

    return names->count ? bsearch(&key, names->rows, names->count, sizeof key, by_code) : NULL;
}
