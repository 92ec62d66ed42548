#include "dataloader/tokenizer/merges.h"

#include "dataloader/tokenizer/unicode.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char fix_merges[] =
    "use a merges file as thaw and CLIP write it: \"#version: ...\", then "
    "\"left right\" a line";
static const char word_end[] = "</w>";
#define WORD_END 4 // bytes of it

uint32_t th_symbol_read(const th_symbols *symbols, const char *text, size_t size, char *bytes)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + size;
    bool                 ends = size > WORD_END && memcmp(end - WORD_END, word_end, WORD_END) == 0;
    size_t               count = 0;

    if (ends)
        end -= WORD_END;
    while (at < end) {
        int byte = th_byte_of_character(th_utf8_next(&at, end));

        if (byte < 0)
            return TH_NO_SYMBOL;
        bytes[count++] = (char)byte;
    }
    return count == 0 ? TH_NO_SYMBOL : th_symbols_find(symbols, bytes, count, ends);
}

static th_code read_line(th_bpe *bpe, const char *line, size_t size, char *bytes, th_err *err)
{
    th_code     rc = TH_OK;
    const char *space = memchr(line, ' ', size);
    uint32_t    left, right;

    TH_CHECK(space, TH_EDATA, fix_merges, "a line of %zu bytes is no pair", size);
    left = th_symbol_read(&bpe->symbols, line, (size_t)(space - line), bytes);
    right = th_symbol_read(&bpe->symbols, space + 1, size - (size_t)(space - line) - 1, bytes);
    TH_CHECK(left != TH_NO_SYMBOL && right != TH_NO_SYMBOL, TH_EDATA, fix_merges,
             "\"%.*s\" is not made of tokens of the lines before it", size < 80 ? (int)size : 80,
             line);
    TH_CHECK(!bpe->symbols.rows[left].ends, TH_EDATA, fix_merges,
             "\"%.*s\" merges across the end of a word", size < 80 ? (int)size : 80, line);
    TH_TRY(th_bpe_add(bpe, left, right, err));
out:
    return rc;
}

// The end of the first `most` lines, or of all when there are fewer; *out_count = how many.
static const char *end_of_lines(const char *text, const char *end, size_t most, size_t *out_count)
{
    size_t count = 0;

    for (const char *next; text < end && count < most; text = next) {
        next = memchr(text, '\n', (size_t)(end - text));
        next = next ? next + 1 : end;
        count++;
    }
    *out_count = count;
    return text;
}

// The lines behind the first, which says that it is a merges file: *at to *end.
static th_code find_lines(const char *text, size_t size, const char **at, const char **end,
                          size_t *out_count, th_err *err)
{
    static const char version[] = "#version: ", clip[] = "\"bpe_simple_vocab_16e6.txt#version: ";
    th_code           rc = TH_OK;
    bool              is_clip = size >= sizeof clip - 1 && memcmp(text, clip, sizeof clip - 1) == 0;
    size_t            most = is_clip ? TH_CLIP_MERGES : TH_SYMBOLS_MOST;

    TH_CHECK(is_clip ||
                 (size >= sizeof version - 1 && memcmp(text, version, sizeof version - 1) == 0),
             TH_EDATA, fix_merges, "a merges file starts with \"#version: \"");
    *end = text + size;
    *at = memchr(text, '\n', size);
    *at = *at ? *at + 1 : *end;
    *end = end_of_lines(*at, *end, most, out_count);
    while (*end > *at && (*end)[-1] == '\n')
        (*end)--;
    TH_CHECK(*out_count <= TH_SYMBOLS_MOST - TH_BYTE_SYMBOLS, TH_EDATA, fix_merges,
             "%zu merges, more than %u", *out_count, TH_SYMBOLS_MOST - TH_BYTE_SYMBOLS);
out:
    return rc;
}

th_code th_merges_read(const char *text, size_t size, th_bpe *out, char **out_lines,
                       size_t *out_lines_size, th_err *err)
{
    th_code     rc = TH_OK;
    th_bpe      bpe = { 0 };
    char       *bytes = NULL;
    const char *first = NULL, *end = NULL, *next;
    size_t      count = 0;
    int64_t     line = 1;

    TH_TRY(find_lines(text, size, &first, &end, &count, err));
    TH_TRY(th_bpe_open(&bpe, (uint32_t)count, err));
    bytes = malloc(size + 1);
    TH_CHECK(bytes, TH_EIO, "free some memory", "no memory for merges of %zu bytes", size);
    for (const char *at = first; at < end; at = next + 1) {
        line++;
        next = memchr(at, '\n', (size_t)(end - at));
        next = next ? next : end;
        TH_TRY(read_line(&bpe, at, (size_t)(next - at), bytes, err));
    }
    TH_TRY(th_bpe_finish(&bpe, err));
    *out = bpe;
    *out_lines = bytes; // all that was decoded is over
    *out_lines_size = (size_t)(end - first);
    memcpy(bytes, first, *out_lines_size);
    return rc;
out:
    free(bytes);
    th_bpe_close(&bpe);
    return th_during(err, "reading line %lld of the merges", (long long)line);
}

void th_symbol_write(FILE *file, const th_symbols *symbols, uint32_t symbol)
{
    const struct th_symbol *row = &symbols->rows[symbol];

    for (uint32_t i = 0; i < row->size; i++) {
        char   utf8[4];
        size_t bytes =
            th_utf8_put(th_character_of_byte((unsigned char)symbols->bytes[row->at + i]), utf8);

        (void)fwrite(utf8, 1, bytes, file); // the stream remembers; asked below
    }
    if (row->ends)
        (void)fputs(word_end, file);
}

th_code th_merges_write(const th_symbols *symbols, const uint32_t *pairs, size_t count,
                        char **out_text, size_t *out_size, th_err *err)
{
    th_code rc = TH_OK;
    char   *text = NULL;
    size_t  size = 0;
    bool    failed;
    FILE   *file = open_memstream(&text, &size);

    TH_CHECK(file, TH_EIO, "free some memory", "no memory for the text of %zu merges", count);
    (void)fputs("#version: 0.2\n", file);
    for (size_t i = 0; i < count; i++) {
        th_symbol_write(file, symbols, pairs[2 * i]);
        (void)fputc(' ', file);
        th_symbol_write(file, symbols, pairs[2 * i + 1]);
        (void)fputc('\n', file);
    }
    failed = ferror(file) != 0;
    failed |= fclose(file) != 0;
    if (failed)
        free(text);
    TH_CHECK(!failed, TH_EIO, "free some memory", "no memory for the text of %zu merges", count);
    *out_text = text;
    *out_size = size;
out:
    return rc;
}
