#include "dataloader/tokenizer/merges.h"

#include "base/hash.h"
#include "dataloader/tokenizer/unicode.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char fix_merges[] =
    "use a merges file as thaw and CLIP write it: \"#version: ...\", then "
    "\"left right\" a line";
static const char word_end[] = "</w>";
#define WORD_END 4 // bytes of it

// One side of a merge as it is written. TH_NO_SYMBOL when it is not made of earlier ones. The
// file's characters are decoded into `bytes`, which has room for `size`.
static uint32_t symbol_written(const th_symbols *symbols, const char *text, size_t size,
                               char *bytes)
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
    left = symbol_written(&bpe->symbols, line, (size_t)(space - line), bytes);
    right = symbol_written(&bpe->symbols, space + 1, size - (size_t)(space - line) - 1, bytes);
    TH_CHECK(left != TH_NO_SYMBOL && right != TH_NO_SYMBOL, TH_EDATA, fix_merges,
             "\"%.*s\" is not made of tokens of the lines before it", size < 80 ? (int)size : 80,
             line);
    TH_CHECK(!bpe->symbols.rows[left].ends, TH_EDATA, fix_merges,
             "\"%.*s\" merges across the end of a word", size < 80 ? (int)size : 80, line);
    TH_TRY(th_bpe_add(bpe, left, right, err));
out:
    return rc;
}

static size_t count_lines(const char *text, const char *end)
{
    size_t count = 0;

    for (; text < end; text++)
        count += *text == '\n';
    return count;
}

th_code th_merges_read(const char *text, size_t size, th_bpe *bpe, uint64_t *out_hash, th_err *err)
{
    static const char version[] = "#version: ";
    th_code           rc = TH_OK;
    char             *bytes = NULL;
    const char       *end = text + size, *at, *next;
    size_t            lines;
    int64_t           line = 1;

    *bpe = (th_bpe){ 0 };
    TH_CHECK(size >= sizeof version - 1 && memcmp(text, version, sizeof version - 1) == 0, TH_EDATA,
             fix_merges, "a merges file starts with \"#version: \"");
    while (end > text && end[-1] == '\n')
        end--;
    at = memchr(text, '\n', (size_t)(end - text));
    at = at ? at + 1 : end;
    lines = count_lines(at, end) + 1;
    TH_CHECK(lines <= TH_SYMBOLS_MOST - TH_BYTE_SYMBOLS, TH_EDATA, fix_merges,
             "%zu merges, more than %u", lines, TH_SYMBOLS_MOST - TH_BYTE_SYMBOLS);
    TH_TRY(th_bpe_open(bpe, (uint32_t)lines, err));
    bytes = malloc(size);
    TH_CHECK(bytes, TH_EIO, "free some memory", "no memory for merges of %zu bytes", size);
    *out_hash = th_hash(at, (size_t)(end - at));
    for (; at < end; at = next + 1) {
        line++;
        next = memchr(at, '\n', (size_t)(end - at));
        next = next ? next : end;
        TH_TRY(read_line(bpe, at, (size_t)(next - at), bytes, err));
    }
    TH_TRY(th_bpe_finish(bpe, err));
out:
    free(bytes);
    if (rc == TH_OK)
        return rc;
    th_bpe_close(bpe);
    return th_during(err, "reading line %lld of the merges", (long long)line);
}

static void write_symbol(FILE *file, const th_symbols *symbols, uint32_t symbol)
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
        write_symbol(file, symbols, pairs[2 * i]);
        (void)fputc(' ', file);
        write_symbol(file, symbols, pairs[2 * i + 1]);
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
