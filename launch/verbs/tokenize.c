#include "launch/verbs/tokenize.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "dataloader/tokenizer/tokenizer.h"
#include "launch/verb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE    ((size_t)1 << 18) // bytes read, and written, at once
#define ID_BYTES 12                // of an id as text, with its space

typedef struct {
    const char *tokenizer, *cleanup;
    int64_t     context;
    bool        no_special, null;
} tokenize_options;

static const th_option table[] = {
    TH_OPTION(tokenize_options, "cleanup", cleanup, .choices = "open_clip hf", .when = TH_PER_START,
              .since = "0.2",
              .help = "how captions are cleaned for CLIP; by default as the tokenizer's files say"),
    TH_OPTION(tokenize_options, "context", context, .fallback = "0", .unit = "tokens",
              .max = (int64_t)TH_CAPTION_MOST, .when = TH_PER_START, .since = "0.2",
              .help = "longest line of ids; 0: 77 for CLIP, 128 for BERT, all with no_special"),
    TH_OPTION(tokenize_options, "no_special", no_special, .fallback = "false", .when = TH_PER_START,
              .since = "0.2", .help = "leave out the ids that stand around a caption"),
    TH_OPTION(
        tokenize_options, "null", null, .fallback = "false", .when = TH_PER_START, .since = "0.2",
        .help = "captions end with a zero byte, and may hold line ends, as from find -print0"),
    TH_OPTION(tokenize_options, "tokenizer", tokenizer, .required = true, .when = TH_PER_START,
              .since = "0.2",
              .help =
                  "merges file, tokenizer.json, vocab.json, vocab.txt, or a folder or pack of one"),
};

void th_tokenize_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ table, sizeof table / sizeof *table, NULL };
    *out_count = 1;
}

typedef struct {
    th_tokenizer   *tokenizer;
    th_token_cache *cache;
    bool            special;
    int64_t         context, line; // most ids of a line; number of captions read
    char           *in;            // what has been read and not yet encoded
    size_t          in_room, used;
    int32_t        *ids; // [id_room]
    char           *out; // what has been encoded and not yet written
    size_t          id_room, out_room, written;
} stream;

static th_code flush(stream *s, th_err *err)
{
    size_t size = s->written;

    s->written = 0;
    return th_write_all(STDOUT_FILENO, s->out, size, "standard output", err);
}

static void put_id(stream *s, int32_t id, char behind)
{
    char digits[ID_BYTES], *at = digits + sizeof digits;

    *--at = behind;
    do
        *--at = (char)('0' + id % 10);
    while ((id /= 10) > 0);
    memcpy(s->out + s->written, at, (size_t)(digits + sizeof digits - at));
    s->written += (size_t)(digits + sizeof digits - at);
}

static th_code grow(void *array, size_t *room, size_t need, size_t size, th_err *err)
{
    th_code rc = TH_OK;
    void  **at = array, *grown;

    if (need <= *room)
        return TH_OK;
    grown = reallocarray(*at, need + need / 2, size);
    TH_CHECK(grown, TH_EIO, "free some memory", "no memory for a caption of %zu bytes", need);
    *at = grown;
    *room = need + need / 2;
out:
    return rc;
}

static th_code encode(stream *s, const char *text, size_t size, th_err *err)
{
    th_code rc = TH_OK;
    int64_t around = s->special ? 2 : 0, room = s->context - around, count;

    s->line++;
    TH_CHECK(size <= TH_CAPTION_MOST, TH_EDATA, "cut it",
             "caption %lld has %zu bytes, more than %zu", (long long)s->line, size,
             TH_CAPTION_MOST);
    // A caption has at most three ids a byte: U+FFFD for a stray one.
    room = room < (int64_t)(3 * size) + 1 ? room : (int64_t)(3 * size) + 1;
    TH_TRY(grow(&s->ids, &s->id_room, (size_t)(room + 1), sizeof *s->ids, err));
    count = th_tokenizer_encode(s->tokenizer, text, size, s->cache, s->ids, room);
    TH_CHECK(count >= 0, TH_EIO, "free some memory", "no memory for caption %lld",
             (long long)s->line);
    count = count < room ? count : room;
    if (s->written > PIECE)
        TH_TRY(flush(s, err));
    TH_TRY(grow(&s->out, &s->out_room, s->written + (size_t)(count + 3) * ID_BYTES, 1, err));
    if (s->special)
        put_id(s, th_tokenizer_begin(s->tokenizer), ' ');
    for (int64_t i = 0; i < count; i++)
        put_id(s, s->ids[i], i + 1 < count || s->special ? ' ' : '\n');
    if (s->special)
        put_id(s, th_tokenizer_end(s->tokenizer), '\n');
    else if (count == 0)
        s->out[s->written++] = '\n';
out:
    return rc;
}

// Encodes the captions that are whole; what is left moves to the begin.
static th_code encode_whole(stream *s, char behind, th_err *err)
{
    th_code rc = TH_OK;
    char   *at = s->in, *end = s->in + s->used, *next;

    for (; (next = memchr(at, behind, (size_t)(end - at))); at = next + 1)
        TH_TRY(encode(s, at, (size_t)(next - at), err));
    s->used = (size_t)(end - at);
    memmove(s->in, at, s->used);
out:
    return rc;
}

static th_code run(stream *s, char behind, th_err *err)
{
    th_code rc = TH_OK;
    ssize_t got = 1;

    while (got > 0) {
        TH_CHECK(s->used <= TH_CAPTION_MOST + PIECE, TH_EDATA, "cut it",
                 "caption %lld has over %zu bytes", (long long)s->line + 1, TH_CAPTION_MOST);
        TH_TRY(grow(&s->in, &s->in_room, s->used + PIECE, 1, err));
        do
            got = read(STDIN_FILENO, s->in + s->used, PIECE);
        while (got < 0 && errno == EINTR);
        TH_CHECK(got >= 0, TH_EIO, "check where the captions come from",
                 "could not read captions: %s", strerror(errno));
        s->used += (size_t)got;
        TH_TRY(encode_whole(s, behind, err));
    }
    if (s->used > 0) // the last one may end with the file
        TH_TRY(encode(s, s->in, s->used, err));
    TH_TRY(flush(s, err));
out:
    return rc;
}

th_code th_verb_tokenize(const th_command_line *line, th_err *err)
{
    tokenize_options options;
    th_option_set    set = { table, sizeof table / sizeof *table, &options };
    stream           s = { 0 };
    th_arena         pool = { 0 };
    th_cleanup       cleanup = TH_CLEANUP_DEFAULT;
    th_code          rc = TH_OK;

    th_log_setup(TH_WARN, -1);
    TH_TRY(th_arena_open(&pool, (size_t)1 << 20, err));
    TH_TRY(th_command_line_apply(line, &set, 1, &pool, err));
    TH_CHECK(line->word_count == 0, TH_EUSAGE, "thaw tokenize --tokenizer FILE < captions.txt",
             "thaw tokenize takes options only, not \"%s\"", line->words[0]);
    TH_CHECK(options.tokenizer, TH_EUSAGE, "thaw tokenize --tokenizer FILE < captions.txt",
             "option --tokenizer is missing");
    if (options.cleanup)
        (void)th_cleanup_find(options.cleanup, &cleanup);
    TH_TRY(th_tokenizer_find(options.tokenizer, cleanup, &s.tokenizer, err));
    TH_TRY(th_token_cache_open(&s.cache, err));
    s.special = !options.no_special;
    s.context = options.context > 0 ? options.context
                : s.special         ? th_tokenizer_context(s.tokenizer)
                                    : 3 * (int64_t)TH_CAPTION_MOST;
    TH_CHECK(s.context >= 2 || !s.special, TH_EUSAGE, "use 2 or more",
             "a context of %lld has no place for the ids around a caption", (long long)s.context);
    TH_TRY(run(&s, options.null ? '\0' : '\n', err));
out:
    free(s.in);
    free(s.ids);
    free(s.out);
    th_token_cache_close(s.cache);
    th_tokenizer_close(s.tokenizer);
    th_arena_close(&pool);
    return rc;
}
