// Encoding. The slow twin is CLIP's loop as published: strings instead of numbers, the pair of
// lowest rank looked up anew in each round. It shares no code with the tokenizer but the splitter.
#include "tests/test.h"

#include "base/philox.h"
#include "dataloader/tokenizer/split.h"
#include "dataloader/tokenizer/tokenizer.h"
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

// In CLIP's byte order "a" is 64, "h" 71, "l" 75, "o" 78, "w" 86; 256 more at a word's end. Merges:
// 512 lo, 513 low</w>, 514 he, 515 ll, 516 hell, 517 aa, 518 aaaa.
static const char small[] = "#version: 0.2\nl o\nlo w</w>\nh e\nl l\nhe ll\na a\naa aa\n";

static th_tokenizer *open_text(const char *merges)
{
    th_tokenizer *tokenizer;
    th_err        err = { 0 };

    th_assert_ok(th_tokenizer_open(merges, strlen(merges), &tokenizer, &err), &err);
    return tokenizer;
}

static const struct known_case {
    const char *name, *text;
    int32_t     ids[12];
    int64_t     count;
} known_cases[] = {
    { "empty", " ", { 0 }, 0 },
    { "one_letter", "A", { 320 }, 1 },
    { "merged_to_the_end", "low", { 513 }, 1 },
    { "low_is_not_merged_inside_a_word", "lowl", { 512, 86, 331 }, 3 },
    { "two_words", "hello LOW", { 516, 334, 513 }, 3 },
    { "lowest_rank_first", "lloo", { 75, 512, 334 }, 3 },
    { "overlapping_pairs_from_the_left", "aaaaaaa", { 518, 517, 320 }, 3 },
    { "byte_order_of_printables", "!~", { 0, 256 + 93 }, 2 },
    { "bytes_of_utf8", "é", { 127, 256 + 102 }, 2 },
    { "controls_are_dropped", "\x01\x7f", { 0 }, 0 },
    { "special_tokens", "<start_of_text>low<End_of_text>", { 519, 513, 520 }, 3 },
};

static void known_ids(void **state)
{
    const struct known_case *c = *state;
    th_tokenizer            *tokenizer = open_text(small);
    int32_t                  ids[12];

    assert_int_equal(th_tokenizer_vocabulary(tokenizer), 521);
    assert_int_equal(th_tokenizer_encode(tokenizer, c->text, strlen(c->text), NULL, ids, 12),
                     c->count);
    for (int64_t i = 0; i < c->count; i++)
        assert_int_equal(ids[i], c->ids[i]);
    th_tokenizer_close(tokenizer);
}

static void a_cut_caption_is_told(void **state)
{
    th_tokenizer   *tokenizer = open_text(small);
    th_token_cache *cache;
    th_err          err = { 0 };
    int32_t         ids[4] = { -1, -1, -1, -1 };

    (void)state;
    th_assert_ok(th_token_cache_open(&cache, &err), &err);
    for (int repeat = 0; repeat < 2; repeat++) { // the second time from the cache
        assert_int_equal(th_tokenizer_encode(tokenizer, "hello low low", 13, cache, ids, 3), 4);
        assert_int_equal(ids[2], 513);
        assert_int_equal(ids[3], -1);
        assert_int_equal(th_tokenizer_encode(tokenizer, "hello", 5, cache, ids + 3, 0), 1);
        assert_int_equal(ids[3], -1);
    }
    th_token_cache_close(cache);
    th_tokenizer_close(tokenizer);
}

static void a_cache_may_change_tokenizers(void **state)
{
    th_tokenizer   *one = open_text(small), *other = open_text("#version: 0.2\nl o\n");
    th_token_cache *cache;
    th_err          err = { 0 };
    int32_t         ids[8];

    (void)state;
    assert_int_not_equal(th_tokenizer_hash(one), th_tokenizer_hash(other));
    th_assert_ok(th_token_cache_open(&cache, &err), &err);
    assert_int_equal(th_tokenizer_encode(one, "low", 3, cache, ids, 8), 1);
    assert_int_equal(th_tokenizer_encode(other, "low", 3, cache, ids, 8), 2);
    assert_int_equal(th_tokenizer_encode(one, "low", 3, cache, ids, 8), 1);
    th_token_cache_close(cache);
    th_tokenizer_close(one);
    th_tokenizer_close(other);
}

// Two merges with one string: both make the same token, and its id is the later one, as in CLIP.
static void equal_strings_are_one_token(void **state)
{
    th_tokenizer *tokenizer = open_text("#version: 0.2\nb c</w>\na b\nab c</w>\na bc</w>\n");
    int32_t       ids[4];

    (void)state;
    assert_int_equal(th_tokenizer_vocabulary(tokenizer), 518);
    assert_int_equal(th_tokenizer_encode(tokenizer, "abc", 3, NULL, ids, 4), 1);
    assert_int_equal(ids[0], 515);
    th_tokenizer_close(tokenizer);
}

static const struct refused_case {
    const char *name, *merges, *where;
} refused_cases[] = {
    { "no_version_line", "l o\n", "line 1" },
    { "no_pair", "#version: 0.2\nl o\nlo\n", "line 3" },
    { "an_empty_line", "#version: 0.2\n\nl o\n", "line 2" },
    { "three_words", "#version: 0.2\nl o w\n", "line 2" },
    { "a_token_that_is_not_there_yet", "#version: 0.2\nlo w\nl o\n", "line 2" },
    { "a_space_at_the_end", "#version: 0.2\nl o \n", "line 2" },
    { "windows_line_ends", "#version: 0.2\r\nl o\r\n", "line 2" },
    { "a_merge_across_the_end", "#version: 0.2\nl</w> o\n", "line 2" },
    { "invalid_utf8", "#version: 0.2\nl \xc3\n", "line 2" },
};

static void refuses(void **state)
{
    const struct refused_case *c = *state;
    th_tokenizer              *tokenizer;
    th_err                     err = { 0 };
    th_code code = th_tokenizer_open(c->merges, strlen(c->merges), &tokenizer, &err);

    assert_non_null(strstr(err.trail, c->where));
    th_assert_error(code, TH_EDATA, &err, NULL);
}

static void a_missing_file_is_named(void **state)
{
    th_tokenizer *tokenizer;
    th_err        err = { 0 };

    (void)state;
    th_assert_error(th_tokenizer_open_file("/nowhere/merges", &tokenizer, &err), TH_EIO, &err,
                    "/nowhere/merges");
}

// --- the twin --------------------------------------------------------------------------------

#define TWIN_MERGES 300
#define TWIN_TOKEN  128
typedef struct {
    char left[TWIN_TOKEN], right[TWIN_TOKEN];
} twin_merge;
typedef struct {
    twin_merge merges[TWIN_MERGES];
    int        count;
} twin;

static int twin_rank(const twin *t, const char *left, const char *right)
{
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->merges[i].left, left) == 0 && strcmp(t->merges[i].right, right) == 0)
            return i;
    return INT32_MAX;
}

static int32_t twin_id(const twin *t, const char *token)
{
    char joined[2 * TWIN_TOKEN];

    for (int i = t->count - 1; i >= 0; i--) {
        (void)snprintf(joined, sizeof joined, "%s%s", t->merges[i].left, t->merges[i].right);
        if (strcmp(joined, token) == 0)
            return 512 + i;
    }
    assert_in_range(token[0], 'a', 'd'); // the only letters of the twin's words
    return token[0] - 'a' + 64 + (token[1] ? 256 : 0);
}

static int64_t twin_word(const twin *t, const char *word, size_t size, int32_t *ids)
{
    static char part[256][TWIN_TOKEN], old[256][TWIN_TOKEN];
    int         n = (int)size;

    assert_true(size < 128);
    for (int i = 0; i < n; i++)
        (void)snprintf(part[i], TWIN_TOKEN, "%c%s", word[i], i == n - 1 ? "</w>" : "");
    for (;;) {
        int lowest = INT32_MAX, to = 0;

        for (int i = 0; i + 1 < n; i++) {
            int rank = twin_rank(t, part[i], part[i + 1]);

            lowest = rank < lowest ? rank : lowest;
        }
        if (lowest == INT32_MAX)
            break;
        memcpy(old, part, sizeof part);
        for (int i = 0; i < n; to++) {
            bool pair = i + 1 < n && strcmp(old[i], t->merges[lowest].left) == 0 &&
                        strcmp(old[i + 1], t->merges[lowest].right) == 0;

            memcpy(part[to], old[i], TWIN_TOKEN);
            if (pair)
                strncat(part[to], old[i + 1], TWIN_TOKEN - strlen(part[to]) - 1);
            i += pair ? 2 : 1;
        }
        n = to;
    }
    for (int i = 0; i < n; i++)
        ids[i] = twin_id(t, part[i]);
    return n;
}

// Random merges of earlier tokens, equal strings among them, in an order that training would not
// choose: a merge may make a pair of lower rank than its own.
static char *twin_open(twin *t, th_rng *rng)
{
    static char tokens[TWIN_MERGES + 8][TWIN_TOKEN];
    int         known = 8;
    size_t      used = 0, room = 1 << 18;
    char       *text = malloc(room);

    assert_non_null(text);
    for (int i = 0; i < 8; i++)
        (void)snprintf(tokens[i], TWIN_TOKEN, "%c%s", 'a' + i % 4, i < 4 ? "" : "</w>");
    used += (size_t)snprintf(text, room, "#version: test\n");
    for (t->count = 0; t->count < TWIN_MERGES;) {
        const char *left = tokens[th_rng_below(rng, (uint64_t)known)];
        const char *right = tokens[th_rng_below(rng, (uint64_t)known)];

        if (strstr(left, "</w>") || strlen(left) + strlen(right) > 12 ||
            twin_rank(t, left, right) != INT32_MAX)
            continue;
        (void)snprintf(t->merges[t->count].left, TWIN_TOKEN, "%s", left);
        (void)snprintf(t->merges[t->count].right, TWIN_TOKEN, "%s", right);
        memcpy(tokens[known], left, strlen(left) + 1);
        strncat(tokens[known++], right, TWIN_TOKEN / 2);
        used += (size_t)snprintf(text + used, room - used, "%s %s\n", left, right);
        t->count++;
    }
    return text;
}

static void encode_equals_the_slow_twin(void **state)
{
    static twin     t;
    static int32_t  ids[4096], want[4096];
    th_rng          rng;
    th_err          err = { 0 };
    th_token_cache *cache;

    (void)state;
    th_rng_init(&rng, 1, TH_FOR_TEST, 0, 0);
    for (int round = 0; round < 4; round++) {
        char         *merges = twin_open(&t, &rng);
        th_tokenizer *tokenizer = open_text(merges);

        th_assert_ok(th_token_cache_open(&cache, &err), &err);
        for (int i = 0; i < 1500; i++) {
            // One word in four is longer than 48 bytes: the heap's.
            uint64_t letters = 1 + th_rng_below(&rng, 2 + th_rng_below(&rng, 3));
            size_t   size = 1 + th_rng_below(&rng, th_rng_below(&rng, 4) ? 12 : 100);
            char     word[128];
            int64_t  n;

            for (size_t j = 0; j < size; j++)
                word[j] = (char)('a' + th_rng_below(&rng, letters < 4 ? letters : 4));
            n = twin_word(&t, word, size, want);
            assert_int_equal(
                th_tokenizer_encode(tokenizer, word, size, i % 2 ? cache : NULL, ids, 4096), n);
            assert_memory_equal(ids, want, (size_t)n * sizeof *ids);
        }
        th_token_cache_close(cache);
        th_tokenizer_close(tokenizer);
        free(merges);
    }
}

// --- captions of any kind --------------------------------------------------------------------

// Pieces of real writing and of none, put together at random.
static size_t random_caption(th_rng *rng, char *out, size_t room)
{
    static const char *const pieces[] = { "hello",         "low",    "LOW ",     " ",
                                          "aaaa",          "собака", "雪だるま", "ё",
                                          "\xcc\x81",      "'s",     "'",        "&amp;",
                                          "&#x41",         "\xff",   "\xe2\x82", "42",
                                          "<|endoftext|>", "😀",      "हिन्दी",    "!?" };
    size_t                   size = 0;

    for (uint64_t n = th_rng_below(rng, 12); n > 0; n--) {
        uint64_t    kind = th_rng_below(rng, sizeof pieces / sizeof *pieces + 2);
        char        byte = (char)th_rng_below(rng, 256);
        const char *piece = kind < sizeof pieces / sizeof *pieces ? pieces[kind] : &byte;
        size_t      length = piece == &byte ? 1 : strlen(piece);

        if (size + length > room)
            break;
        memcpy(out + size, piece, length);
        size += length;
    }
    return size;
}

// Tokens put together again, with a space at each word's end, are the cleaned caption's words.
static void tokens_read_back(void **state)
{
    th_tokenizer    *tokenizer = open_text(small);
    const th_cleaner cleaner = { .kind = th_tokenizer_cleanup(tokenizer) };
    th_clean_room    room = { 0 };
    th_rng           rng;

    (void)state;
    th_rng_init(&rng, 2, TH_FOR_TEST, 0, 0);
    for (int i = 0; i < 5000; i++) {
        char        text[256], want[2048] = "", got[2048] = "";
        int32_t     ids[1024];
        size_t      size = random_caption(&rng, text, sizeof text), wanted = 0, used = 0, bytes;
        int64_t     n = th_tokenizer_encode(tokenizer, text, size, NULL, ids, 1024);
        const char *clean = th_text_clean(&cleaner, text, size, &room, &bytes), *token;
        th_splitter splitter = { .kind = cleaner.kind, .at = clean, .end = clean + bytes };
        th_word     word;

        assert_non_null(clean);
        for (; th_word_next(&splitter, &word); want[wanted++] = ' ') {
            memcpy(want + wanted, word.text, word.size);
            wanted += word.size;
        }
        for (int64_t j = 0; j < n; j++) {
            _Bool ends;

            assert_true(th_tokenizer_token(tokenizer, ids[j], &token, &bytes, &ends));
            memcpy(got + used, token, bytes);
            used += bytes;
            if (ends)
                got[used++] = ' ';
        }
        assert_int_equal(used, wanted);
        assert_memory_equal(got, want, used);
    }
    th_clean_room_done(&room);
    th_tokenizer_close(tokenizer);
}

static void an_id_outside_is_no_token(void **state)
{
    th_tokenizer *tokenizer = open_text(small);
    const char   *bytes;
    size_t        size;
    _Bool         ends;

    (void)state;
    assert_false(th_tokenizer_token(tokenizer, -1, &bytes, &size, &ends));
    assert_false(th_tokenizer_token(tokenizer, 521, &bytes, &size, &ends));
    assert_true(th_tokenizer_token(tokenizer, 520, &bytes, &size, &ends));
    assert_memory_equal(bytes, "<|endoftext|>", size);
    th_tokenizer_close(tokenizer);
}

static double now_s(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// A megabyte that is one word, of one letter or of marks, sigmas or entities. A quadratic step
// would take minutes. Bound: 30 s of processor time, where 0.1 to 0.2 s are used (ten times that
// under the sanitizers, more on a machine whose cores are shared).
static void a_megabyte_is_linear(void **state)
{
    static const char *const units[] = { "a",  "ab", "\xcc\x81", "Σ\xcc\x81", "&amp;", "\xff",
                                         "lo", "&",  "<|",       "'",         "\0" };
    const size_t             size = (size_t)1 << 20;
    th_tokenizer            *tokenizer = open_text(small);
    char                    *text = malloc(size);
    int32_t                 *ids = malloc(3 * size * sizeof *ids);

    (void)state;
    assert_true(text && ids);
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        size_t length = units[u][0] ? strlen(units[u]) : 1;
        double began = now_s();

        for (size_t i = 0; i < size; i++)
            text[i] = units[u][i % length];
        assert_true(th_tokenizer_encode(tokenizer, text, size, NULL, ids, (int64_t)(3 * size)) >=
                    (units[u][0] ? 1 : 0)); // zeros are controls: nothing is left
        assert_true(now_s() - began < 30.0);
    }
    memset(text, 'a', size);
    assert_int_equal(th_tokenizer_encode(tokenizer, text, size, NULL, ids, (int64_t)size),
                     (int64_t)size / 4 + 2); // aaaa ..., then aa a a</w>: the last is never merged
    free(text);
    free(ids);
    th_tokenizer_close(tokenizer);
}

static void a_caption_over_the_limit_is_refused(void **state)
{
    th_tokenizer *tokenizer = open_text(small);
    char         *text = calloc(TH_CAPTION_MOST + 1, 1);
    int32_t       id;

    (void)state;
    assert_non_null(text);
    assert_int_equal(th_tokenizer_encode(tokenizer, text, TH_CAPTION_MOST + 1, NULL, &id, 1), -1);
    free(text);
    th_tokenizer_close(tokenizer);
}

typedef struct {
    const th_tokenizer *tokenizer;
    uint64_t            first;
    int64_t             ids_total;
    uint64_t            sum; // of ids and their places, over all captions
} thread_work;

// Encodes the same captions, starting from another one, so that the two caches fill differently.
static void *encode_all(void *context)
{
    thread_work    *work = context;
    th_token_cache *cache = NULL;

    if (th_token_cache_open(&cache, NULL) != TH_OK)
        return NULL;
    for (uint64_t i = 0; i < 20000; i++) {
        char    text[256];
        int32_t ids[1024];
        th_rng  rng;
        int64_t n;

        th_rng_init(&rng, 3, TH_FOR_TEST, 0, (i + work->first) % 20000);
        n = th_tokenizer_encode(work->tokenizer, text, random_caption(&rng, text, sizeof text),
                                cache, ids, 1024);
        work->ids_total += n;
        for (int64_t j = 0; j < n; j++)
            work->sum +=
                (uint64_t)(ids[j] + 1) * (uint64_t)(j + 1) * ((i + work->first) % 20000 + 1);
    }
    th_token_cache_close(cache);
    return work;
}

static void two_threads_agree(void **state)
{
    th_tokenizer *tokenizer = open_text(small);
    thread_work work[2] = { { .tokenizer = tokenizer }, { .tokenizer = tokenizer, .first = 7777 } };
    pthread_t   threads[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_all, &work[i]), 0);
    for (int i = 0; i < 2; i++) {
        void *result;

        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
    assert_true(work[0].ids_total > 0);
    assert_int_equal(work[0].ids_total, work[1].ids_total);
    assert_true(work[0].sum == work[1].sum);
    th_tokenizer_close(tokenizer);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

int main(void)
{
    struct CMUnitTest tests[10 + COUNT(known_cases) + COUNT(refused_cases)] = {
        cmocka_unit_test(a_cut_caption_is_told),
        cmocka_unit_test(a_cache_may_change_tokenizers),
        cmocka_unit_test(equal_strings_are_one_token),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(encode_equals_the_slow_twin),
        cmocka_unit_test(tokens_read_back),
        cmocka_unit_test(an_id_outside_is_no_token),
        cmocka_unit_test(a_megabyte_is_linear),
        cmocka_unit_test(a_caption_over_the_limit_is_refused),
        cmocka_unit_test(two_threads_agree),
    };
    size_t n = 10;

    for (size_t i = 0; i < COUNT(known_cases); i++)
        tests[n++] = (struct CMUnitTest){ known_cases[i].name, known_ids, NULL, NULL,
                                          (void *)(uintptr_t)&known_cases[i] };
    for (size_t i = 0; i < COUNT(refused_cases); i++)
        tests[n++] = (struct CMUnitTest){ refused_cases[i].name, refuses, NULL, NULL,
                                          (void *)(uintptr_t)&refused_cases[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
