// A table of captions as open_clip reads it: a header, TAB or comma between fields, fields quoted
// as in RFC 4180. Rows of one picture that follow each other become one sample with their captions.
#include "dataloader/source/kind.h"

#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_COLUMNS      1000
#define MOST_HEADER_BYTES (1 << 20)

typedef struct {
    char  *bytes; // zero-terminated
    size_t size, room;
    bool   over; // longer than TH_SOURCE_TEXT_BYTES: the rest was not kept
} field;

typedef struct {
    th_source head;
    FILE     *file;
    char     *path, *folder;
    int       delimiter;
    int       columns, filepath, title; // how many, and which two are used
    int64_t   line;                     // of the next byte, from 1
    int64_t   bytes;
    // The row at hand, when `has_row`:
    bool    has_row;
    int64_t row_line;
    int     row_fields;
    bool    row_open_quote, row_stray_quote;
    field   row_filepath, row_title;
    th_item sample; // being collected, when `collecting`
    bool    collecting;
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

// The next row that is not empty; c->has_row stays false at the end.
static th_code read_row(csv *c, th_err *err)
{
    th_code rc = TH_OK;
    int     last = c->delimiter;

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
    c->has_row = true;
out:
    atomic_store(&c->head.done_bytes, c->bytes);
    if (rc == TH_OK && ferror(c->file))
        rc = th_fail(err, TH_EIO, "check the file system", __FILE__, __LINE__,
                     "could not read \"%s\": %s", c->path, strerror(errno));
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

static th_code read_header(csv *c, th_err *err)
{
    th_code rc = TH_OK;
    field   name = { 0 };
    int     last;

    c->delimiter = find_delimiter(c->file);
    c->filepath = c->title = -1;
    if (peek(c) == 0xef) // a byte order mark, as spreadsheets write it: no part of the first name
        (void)(take(c) + take(c) + take(c));
    TH_CHECK(peek(c) != EOF, TH_EUSAGE, "write a header: filepath and title", "csv \"%s\" is empty",
             c->path);
    do {
        name.size = 0;
        TH_TRY(read_field(c, &name, &last, err));
        if (name.size == 8 && memcmp(name.bytes, "filepath", 8) == 0)
            c->filepath = c->columns;
        if (name.size == 5 && memcmp(name.bytes, "title", 5) == 0)
            c->title = c->columns;
        TH_CHECK(++c->columns <= MOST_COLUMNS && c->bytes <= MOST_HEADER_BYTES, TH_EUSAGE,
                 "check that this is a csv", "csv \"%s\" has no header but something else",
                 c->path);
    } while (last == c->delimiter);
    TH_CHECK(c->filepath >= 0 && c->title >= 0, TH_EUSAGE,
             "name the columns of pictures and captions filepath and title in the first line",
             "csv \"%s\" has no column \"%s\"", c->path, c->filepath < 0 ? "filepath" : "title");
out:
    free(name.bytes);
    return rc;
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
}

// Reads the picture's file. What is wrong with it is the item's reason.
static th_code read_picture(const csv *c, th_item *item, th_err *err)
{
    th_code     rc = TH_OK;
    char       *path = NULL;
    struct stat status;
    int         fd = -1;

    int length = c->row_filepath.bytes[0] == '/'
                     ? asprintf(&path, "%s", c->row_filepath.bytes)
                     : asprintf(&path, "%s/%s", c->folder, c->row_filepath.bytes);
    TH_CHECK(length >= 0, TH_EIO, "free some memory", "could not read a picture: out of memory");
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a named pipe must not stop us
    if (fd < 0 || fstat(fd, &status) != 0) {
        th_item_refuse(item, "missing picture: line %" PRId64 ": %s", c->row_line, strerror(errno));
        goto out;
    }
    if (!S_ISREG(status.st_mode) || status.st_size > TH_SOURCE_IMAGE_BYTES) {
        th_item_refuse(item, "%s: line %" PRId64 ": %" PRId64 " bytes",
                       S_ISREG(status.st_mode) ? "picture too large" : "not a file", c->row_line,
                       (int64_t)status.st_size);
        goto out;
    }
    item->image = malloc((size_t)status.st_size + 1);
    TH_CHECK(item->image, TH_EIO, "free some memory", "could not read a picture: out of memory");
    while (item->image_bytes < (size_t)status.st_size) {
        ssize_t got = read(fd, (char *)item->image + item->image_bytes,
                           (size_t)status.st_size - item->image_bytes);
        if (got > 0)
            item->image_bytes += (size_t)got;
        else if (got == 0 || errno != EINTR) {
            th_item_refuse(item, "unreadable picture: line %" PRId64 ": %s", c->row_line,
                           got == 0 ? "it became shorter" : strerror(errno));
            break;
        }
    }
out:
    if (fd >= 0)
        (void)close(fd); // opened for reading: nothing left to lose
    free(path);
    return rc;
}

// Adds the row's title as one more line of the sample's text.
static th_code add_title(csv *c, th_err *err)
{
    th_code  rc = TH_OK;
    th_item *sample = &c->sample;
    size_t   size = c->row_title.size;

    if (sample->text_bytes + size + 1 > TH_SOURCE_TEXT_BYTES) {
        th_item_refuse(sample, "too much text: more than %d bytes of captions",
                       TH_SOURCE_TEXT_BYTES);
        return TH_OK;
    }
    char *text = realloc(sample->text, sample->text_bytes + size + 1);
    TH_CHECK(text, TH_EIO, "free some memory", "could not read captions: out of memory");
    for (size_t i = 0; i < size; i++) { // one caption is one line
        char byte = c->row_title.bytes[i];
        text[sample->text_bytes + i] = byte;
        if (byte == '\n' || byte == '\r')
            text[sample->text_bytes + i] = ' ';
    }
    text[sample->text_bytes + size] = '\n';
    sample->text = text;
    sample->text_bytes += size + 1;
out:
    return rc;
}

static th_code next(th_source *source, th_item *out, bool *out_more, th_err *err)
{
    csv    *c = (csv *)source;
    th_code rc = TH_OK;

    *out_more = true;
    for (;;) {
        th_item item;
        if (!c->has_row)
            TH_TRY(read_row(c, err));
        if (c->has_row) {
            th_item_start(&item, c->path, c->row_filepath.bytes ? c->row_filepath.bytes : "");
            judge_row(c, &item);
        }
        bool same =
            c->collecting && c->has_row && !item.reason[0] && strcmp(item.key, c->sample.key) == 0;
        if (c->collecting && !same) { // the row at hand waits for the next call
            *out = c->sample;
            c->collecting = false;
            return TH_OK;
        }
        if (!c->has_row) {
            *out_more = false;
            return TH_OK;
        }
        c->has_row = false;
        if (item.reason[0]) {
            *out = item;
            return TH_OK;
        }
        if (!same) {
            c->sample = item;
            c->collecting = true;
            TH_TRY(read_picture(c, &c->sample, err));
        }
        TH_TRY(add_title(c, err));
    }
out:
    return rc;
}

static void close_source(th_source *source)
{
    csv *c = (csv *)source;

    if (c->file)
        (void)fclose(c->file); // opened for reading: nothing left to lose
    if (c->collecting)
        th_item_free(&c->sample);
    free(c->row_filepath.bytes);
    free(c->row_title.bytes);
    free(c->path);
    free(c->folder);
    free(c);
}

th_code th_csv_open(const char *path, th_source **out, th_err *err)
{
    th_code     rc = TH_OK;
    void       *memory = NULL;
    csv        *c = NULL;
    struct stat status;

    TH_TRY(th_alloc(1, sizeof *c, "a source", &memory, err));
    c = memory;
    c->head.next = next;
    c->head.close = close_source;
    c->line = 1;
    const char *slash = strrchr(path, '/');
    c->path = strdup(path);
    c->folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    TH_CHECK(c->path && c->folder, TH_EIO, "free some memory",
             "could not open a csv: out of memory");
    c->file = fopen(path, "re");
    TH_CHECK(c->file, errno == ENOENT ? TH_EUSAGE : TH_EIO,
             "check the path behind csv:", "could not open csv \"%s\": %s", path, strerror(errno));
    TH_CHECK(fstat(fileno(c->file), &status) == 0 && S_ISREG(status.st_mode), TH_EUSAGE,
             "name a file behind csv:", "csv \"%s\" is not a file", path);
    c->head.total_bytes = status.st_size;
    TH_TRY(read_header(c, err));
    *out = &c->head;
    c = NULL;
out:
    if (c)
        close_source(&c->head);
    return rc;
}
