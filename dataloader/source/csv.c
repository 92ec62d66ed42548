// A table of captions as open_clip reads it through pandas: a header, TAB or comma between fields
// (or what the option says), fields quoted as in RFC 4180. A caption that pandas takes for "no
// value" is refused: open_clip would train on the word "nan".
#include "dataloader/source/captions.h"
#include "dataloader/source/rows.h"

#include "base/memory.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_COLUMNS      1000
#define MOST_HEADER_BYTES (1 << 20)

typedef struct {
    char  *bytes; // zero-terminated
    size_t size, room;
    bool   over; // longer than TH_SOURCE_TEXT_BYTES: the rest was not kept
} field;

typedef struct {
    th_rows rows;
    FILE   *file;
    int     delimiter;
    int     columns, filepath, title; // how many, and which two are used
    int64_t line;                     // of the next byte, from 1
    int64_t bytes;
    // The row at hand:
    int64_t row_line;
    int     row_fields;
    bool    row_open_quote, row_stray_quote;
    field   row_filepath, row_title;
} csv;

static int take(csv *c)
{
    int byte = getc_unlocked(c->file);

    c->bytes += byte != EOF;
    c->line += byte == '\n';
    return byte;
}

static int peek(csv *c)
{
    int byte = getc_unlocked(c->file);

    if (byte != EOF)
        (void)ungetc(byte, c->file);
    return byte;
}

static th_code add_byte(field *f, int byte, th_err *err)
{
    th_code rc = TH_OK;

    if (f->size >= TH_SOURCE_TEXT_BYTES) {
        f->over = true;
        return TH_OK;
    }
    if (f->size + 1 >= f->room) {
        size_t room = f->room ? f->room * 2 : 256;
        char  *bytes = realloc(f->bytes, room);
        TH_CHECK(bytes, TH_EIO, "free some memory", "could not read a csv field: out of memory");
        f->bytes = bytes;
        f->room = room;
    }
    f->bytes[f->size++] = (char)byte;
    f->bytes[f->size] = 0;
out:
    return rc;
}

// Reads one field into f (NULL: not kept); *out_last is what ended it: the delimiter, '\n' or EOF.
static th_code read_field(csv *c, field *f, int *out_last, th_err *err)
{
    th_code rc = TH_OK;
    bool    quoted = false, inside = false;

    for (bool first = true;; first = false) {
        int byte = take(c);
        if (byte == '\r' && !inside && (peek(c) == '\n' || peek(c) == EOF))
            continue;
        if (byte == EOF || (!inside && (byte == c->delimiter || byte == '\n'))) {
            c->row_open_quote |= inside;
            *out_last = byte;
            return TH_OK;
        }
        if (first && byte == '"') {
            quoted = inside = true;
            continue;
        }
        if (inside && byte == '"') {
            if (peek(c) != '"') {
                inside = false;
                continue;
            }
            (void)take(c); // two quotes stand for one
        } else if (quoted && !inside)
            c->row_stray_quote = true; // text behind the closing quote
        if (f)
            TH_TRY(add_byte(f, byte, err));
    }
out:
    return rc;
}

static void clear_row(csv *c)
{
    c->row_fields = 0;
    c->row_open_quote = c->row_stray_quote = false;
    c->row_filepath.size = c->row_title.size = 0;
    c->row_filepath.over = c->row_title.over = false;
    if (c->row_filepath.bytes)
        c->row_filepath.bytes[0] = 0;
    if (c->row_title.bytes)
        c->row_title.bytes[0] = 0;
}

// Takes an empty line away.
static bool is_empty_line(csv *c)
{
    if (peek(c) == '\r')
        (void)take(c);
    if (peek(c) != '\n' && peek(c) != EOF)
        return false;
    (void)take(c);
    return true;
}

// The next row that is not empty; *out_more is false at the end.
static th_code read_fields(csv *c, bool *out_more, th_err *err)
{
    th_code rc = TH_OK;
    int     last = c->delimiter;

    *out_more = false;
    clear_row(c);
    do {
        if (feof(c->file))
            goto out;
        c->row_line = c->line;
    } while (is_empty_line(c));
    while (last == c->delimiter) {
        int    column = c->row_fields++;
        field *f = column == c->filepath ? &c->row_filepath
                   : column == c->title  ? &c->row_title
                                         : NULL;
        TH_TRY(read_field(c, f, &last, err));
    }
    *out_more = true;
out:
    atomic_store(&c->rows.head.done_bytes, c->bytes);
    if (rc == TH_OK && ferror(c->file))
        rc = th_fail(err, TH_EIO, "check the file system", __FILE__, __LINE__,
                     "could not read \"%s\": %s", c->rows.path, strerror(errno));
    return rc;
}

// TAB when the first line holds one, else a comma.
static int find_delimiter(FILE *file)
{
    int byte = getc(file);

    for (int i = 0; i < MOST_HEADER_BYTES && byte != EOF && byte != '\n' && byte != '\t'; i++)
        byte = getc(file);
    rewind(file);
    return byte == '\t' ? '\t' : ',';
}

static th_code read_separator(const char *text, int *out, th_err *err)
{
    th_code rc = TH_OK;
    bool    tab = strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0;

    TH_CHECK(tab || (strlen(text) == 1 && !strchr("\"\r\n", text[0])), TH_EUSAGE,
             "write one byte, or tab", "separator \"%s\" cannot stand between fields", text);
    *out = tab ? '\t' : (unsigned char)text[0];
out:
    return rc;
}

static bool is_named(const field *name, const char *wanted)
{
    return name->size == strlen(wanted) &&
           (name->size == 0 || memcmp(name->bytes, wanted, name->size) == 0);
}

static th_code read_header(csv *c, const th_source_options *options, th_err *err)
{
    const char *img_key = options->img_key ? options->img_key : "filepath";
    const char *caption_key = options->caption_key ? options->caption_key : "title";
    th_code     rc = TH_OK;
    field       name = { 0 };
    int         last;

    if (options->separator)
        TH_TRY(read_separator(options->separator, &c->delimiter, err));
    else
        c->delimiter = find_delimiter(c->file);
    c->filepath = c->title = -1;
    if (peek(c) == 0xef) // a byte order mark, as spreadsheets write it: no part of the first name
        (void)(take(c) + take(c) + take(c));
    TH_CHECK(peek(c) != EOF, TH_EUSAGE, "write a header: filepath and title", "csv \"%s\" is empty",
             c->rows.path);
    do {
        name.size = 0;
        TH_TRY(read_field(c, &name, &last, err));
        if (is_named(&name, img_key))
            c->filepath = c->columns;
        if (is_named(&name, caption_key))
            c->title = c->columns;
        TH_CHECK(++c->columns <= MOST_COLUMNS && c->bytes <= MOST_HEADER_BYTES, TH_EUSAGE,
                 "check that this is a csv", "csv \"%s\" has no header but something else",
                 c->rows.path);
    } while (last == c->delimiter);
    TH_CHECK(c->filepath >= 0 && c->title >= 0, TH_EUSAGE,
             "name the columns of pictures and captions by --csv-img-key and --csv-caption-key",
             "csv \"%s\" has no column \"%s\"", c->rows.path,
             c->filepath < 0 ? img_key : caption_key);
out:
    free(name.bytes);
    return rc;
}

// What pandas reads as NaN: read_csv's default na_values.
static bool is_no_value(const field *f)
{
    static const char *const words[] = { "",         "#N/A", "#N/A N/A", "#NA",  "-1.#IND",
                                         "-1.#QNAN", "-NaN", "-nan",     "<NA>", "1.#IND",
                                         "1.#QNAN",  "N/A",  "NA",       "NULL", "NaN",
                                         "None",     "n/a",  "nan",      "null" };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_named(f, words[i]))
            return true;
    return false;
}

// The reason why the row at hand cannot be used, into the item; none when it can.
static void judge_row(const csv *c, th_item *item)
{
    const char *path = c->row_filepath.bytes ? c->row_filepath.bytes : "";

    if (c->row_open_quote)
        th_item_refuse(item, "broken csv row: line %" PRId64 ": a quote is not closed",
                       c->row_line);
    if (c->row_stray_quote)
        th_item_refuse(item, "broken csv row: line %" PRId64 ": text behind a closing quote",
                       c->row_line);
    if (c->row_filepath.over || c->row_title.over)
        th_item_refuse(item, "broken csv row: line %" PRId64 ": a field of more than %d bytes",
                       c->row_line, TH_SOURCE_TEXT_BYTES);
    if (c->row_fields != c->columns)
        th_item_refuse(item, "broken csv row: line %" PRId64 ": %d fields, the header has %d",
                       c->row_line, c->row_fields, c->columns);
    if (!path[0])
        th_item_refuse(item, "missing picture: line %" PRId64 ": filepath is empty", c->row_line);
    if (strlen(path) != c->row_filepath.size)
        th_item_refuse(item, "unsafe path: line %" PRId64 ": a zero byte in it", c->row_line);
    if (th_path_escapes(path, true))
        th_item_refuse(item, "unsafe path: line %" PRId64 ": \"..\" in it", c->row_line);
    if (is_no_value(&c->row_title))
        th_item_refuse(item, "empty caption: line %" PRId64 ": \"%s\" is no value", c->row_line,
                       c->row_title.bytes ? c->row_title.bytes : "");
}

static th_code read_row(th_rows *rows, th_item *out, char where[48], bool *out_more, th_err *err)
{
    csv    *c = (csv *)rows;
    th_code rc = TH_OK;

    TH_TRY(read_fields(c, out_more, err));
    if (!*out_more)
        goto out;
    th_item_start(out, rows->path, c->row_filepath.bytes ? c->row_filepath.bytes : "");
    (void)snprintf(where, 48, "line %" PRId64, c->row_line);
    judge_row(c, out);
    if (!out->reason[0])
        TH_TRY(th_item_add_caption(out, c->row_title.bytes, c->row_title.size, err));
out:
    return rc;
}

static void close_csv(th_rows *rows)
{
    csv *c = (csv *)rows;

    if (c->file)
        (void)fclose(c->file); // opened for reading: nothing left to lose
    free(c->row_filepath.bytes);
    free(c->row_title.bytes);
    free(c);
}

th_code th_csv_open(const char *path, const th_source_options *options, th_source **out,
                    th_err *err)
{
    th_code     rc = TH_OK;
    void       *memory = NULL;
    csv        *c = NULL;
    struct stat status;

    TH_TRY(th_alloc(1, sizeof *c, "a source", &memory, err));
    c = memory;
    c->rows.read_row = read_row;
    c->rows.close_rows = close_csv;
    c->rows.absolute_is_fine = true;
    c->line = 1;
    TH_TRY(th_rows_init(&c->rows, path, options, err));
    c->file = fopen(path, "re");
    TH_CHECK(c->file, errno == ENOENT ? TH_EUSAGE : TH_EIO, "check the path behind the colon",
             "could not open csv \"%s\": %s", path, strerror(errno));
    TH_CHECK(fstat(fileno(c->file), &status) == 0 && S_ISREG(status.st_mode), TH_EUSAGE,
             "name a file behind the colon", "csv \"%s\" is not a file", path);
    c->rows.head.total_bytes = status.st_size;
    TH_TRY(read_header(c, options, err));
    *out = &c->rows.head;
    c = NULL;
out:
    if (c)
        c->rows.head.close(&c->rows.head);
    return rc;
}
