/* tests/bench/bench_tokenizer.c - captions encoded in a second by one thread, and a tokenizer's
 * training.
 *
 *     bench_tokenizer [CAPTIONS.txt]             one a line; else, as for -, the emoji names of
 *                                                unicode-cldr-core
 *     bench_tokenizer CAPTIONS.txt|- TOKENIZER   with a tokenizer that thaw tokenize reads
 *
 * The names are shuffled, so that neighbours share no language; a file's captions are taken as
 * they stand. Cold: each run opens a new cache, as each file of captions does; its opening counts.
 * Rates are of processor time. The tokenizer is trained on the same captions, vocabulary 8192. */
#include "base/file.h"
#include "base/memory.h"
#include "base/philox.h"
#include "dataloader/tokenizer/tokenizer.h"
#include "tests/bench/report.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLDR_NAMES  "/usr/share/unicode/cldr/common/annotations/*.xml"
#define MOST_TEXTS  512
#define MOST_BYTES  ((size_t)1 << 30)
#define VOCABULARY  8192
#define RUNS        7
#define CONTEXT_IDS 75

typedef struct {
    struct caption {
        const char *text;
        size_t      size;
    } * rows;
    size_t count, room, at, bytes;
    char  *files[MOST_TEXTS]; // what the captions point into
    int    file_count;
} corpus;

static th_code add(corpus *c, const char *text, size_t size, th_err *err)
{
    th_code rc = TH_OK;

    if (c->count == c->room) {
        size_t room = 2 * c->room + 4096;
        void  *grown = reallocarray(c->rows, room, sizeof *c->rows);

        TH_CHECK(grown, TH_EIO, "", "no memory for %zu captions", room);
        c->rows = grown;
        c->room = room;
    }
    c->rows[c->count++] = (struct caption){ text, size };
    c->bytes += size;
out:
    return rc;
}

static th_code read_lines(corpus *c, const char *path, th_err *err)
{
    th_code rc = TH_OK;
    size_t  size;
    char   *text;

    TH_CHECK(c->file_count < MOST_TEXTS, TH_EUSAGE, "", "more than %d files", MOST_TEXTS);
    TH_TRY(th_file_read(path, MOST_BYTES, &text, &size, err));
    c->files[c->file_count++] = text;
    for (char *next, *end = text + size; text < end; text = next + 1) {
        next = memchr(text, '\n', (size_t)(end - text));
        next = next ? next : end;
        if (next > text)
            TH_TRY(add(c, text, (size_t)(next - text), err));
    }
out:
    return rc;
}

// The names stand one a line: <annotation cp="..." type="tts">red apple</annotation>
static void keep_names(corpus *c, size_t first)
{
    static const char before[] = "type=\"tts\">";
    size_t            kept = first;

    for (size_t i = first; i < c->count; i++) {
        struct caption row = c->rows[i];
        const char    *name = memmem(row.text, row.size, before, sizeof before - 1), *end;

        c->bytes -= row.size;
        if (!name)
            continue;
        name += sizeof before - 1;
        end = memchr(name, '<', (size_t)(row.text + row.size - name));
        if (!end)
            continue;
        c->rows[kept++] = (struct caption){ name, (size_t)(end - name) };
        c->bytes += (size_t)(end - name);
    }
    c->count = kept;
}

static th_code read_cldr(corpus *c, th_err *err)
{
    th_code rc = TH_OK;
    glob_t  found = { 0 };

    TH_CHECK(glob(CLDR_NAMES, 0, NULL, &found) == 0, TH_EIO,
             "install unicode-cldr-core, or name a file of captions", "no file is %s", CLDR_NAMES);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        size_t first = c->count;

        TH_TRY(read_lines(c, found.gl_pathv[i], err));
        keep_names(c, first);
    }
out:
    globfree(&found);
    return rc;
}

static void shuffle(corpus *c)
{
    th_rng rng;

    th_rng_init(&rng, 1, TH_FOR_TEST, 0, 0);
    for (size_t i = c->count; i > 1; i--) {
        size_t         j = (size_t)th_rng_below(&rng, i);
        struct caption row = c->rows[i - 1];

        c->rows[i - 1] = c->rows[j];
        c->rows[j] = row;
    }
}

static _Bool next_caption(void *context, const char **text, size_t *size)
{
    corpus *c = context;

    if (c->at == c->count)
        return 0;
    *text = c->rows[c->at].text;
    *size = c->rows[c->at++].size;
    return 1;
}

static th_code encode(const corpus *c, const th_tokenizer *tokenizer, _Bool cached, double *seconds,
                      int64_t *ids_total, th_err *err)
{
    th_code         rc = TH_OK;
    th_token_cache *cache = NULL;
    int32_t         ids[CONTEXT_IDS];
    double          began = th_bench_processor();

    *ids_total = 0;
    if (cached)
        TH_TRY(th_token_cache_open(&cache, err));
    for (size_t i = 0; i < c->count; i++)
        *ids_total += th_tokenizer_encode(tokenizer, c->rows[i].text, c->rows[i].size, cache, ids,
                                          CONTEXT_IDS);
    *seconds = th_bench_processor() - began;
out:
    th_token_cache_close(cache);
    return rc;
}

static th_code run(corpus *c, const char *given, th_err *err)
{
    th_code       rc = TH_OK;
    th_tokenizer *tokenizer = NULL;
    char         *merges = NULL;
    size_t        size;
    int64_t       ids_total = 0;
    double        cold[RUNS], bare[RUNS], trained = th_bench_now();

    if (given)
        TH_TRY(th_tokenizer_open_file(given, &tokenizer, err));
    else
        TH_TRY(th_tokenizer_train(next_caption, c, VOCABULARY, TH_CLEANUP_DEFAULT, &merges, &size,
                                  err));
    trained = th_bench_now() - trained;
    if (!given)
        TH_TRY(th_tokenizer_open(merges, size, &tokenizer, err));
    for (int i = -1; i < RUNS; i++) { // the first is a warm-up of the processor, not of the cache
        TH_TRY(encode(c, tokenizer, 1, &cold[i < 0 ? 0 : i], &ids_total, err));
        TH_TRY(encode(c, tokenizer, 0, &bare[i < 0 ? 0 : i], &ids_total, err));
    }
    th_report_begin("tokenizer");
    th_report_number("captions", (double)c->count);
    th_report_number("bytes_a_caption", (double)c->bytes / (double)c->count);
    th_report_number("ids_a_caption", (double)ids_total / (double)c->count);
    th_report_number("vocabulary", (double)th_tokenizer_vocabulary(tokenizer));
    th_report_text("cleanup", th_cleanup_name(th_tokenizer_cleanup(tokenizer)));
    if (!given)
        th_report_number("train_s", trained);
    th_report_number("captions_per_second", (double)c->count / th_bench_median(cold, RUNS));
    th_report_number("slowest", (double)c->count / cold[RUNS - 1]);
    th_report_number("fastest", (double)c->count / cold[0]);
    th_report_number("without_cache", (double)c->count / th_bench_median(bare, RUNS));
    th_report_end();
out:
    th_tokenizer_close(tokenizer);
    free(merges);
    return rc;
}

int main(int count, char **words)
{
    _Bool   has_file = count > 1 && strcmp(words[1], "-") != 0;
    corpus  c = { 0 };
    th_err  err = { 0 };
    th_code rc = has_file ? read_lines(&c, words[1], &err) : read_cldr(&c, &err);

    if (!has_file)
        shuffle(&c);
    if (rc == TH_OK)
        rc = run(&c, count > 2 ? words[2] : NULL, &err);
    if (rc != TH_OK)
        (void)fprintf(stderr, "%s: %s (%s)\n", words[0], err.what, err.fix);
    free(c.rows);
    for (int i = 0; i < c.file_count; i++)
        free(c.files[i]);
    return th_exit_code(rc);
}
