// What tokenizers are read from and written to, with vocabularies small enough to work out ids by
// hand. Whether large ones give the references' ids is for tests/parity/tokens.sh.
#include "tests/test.h"

#include "base/file.h"
#include "base/philox.h"
#include "dataloader/tokenizer/tokenizer.h"
#include <jansson.h>
#include <stdbool.h>
#include <time.h>
#include <zlib.h>

static const char merges[] = "#version: 0.2\nl o\nlo w</w>\nh e\nl l\nhe ll\na a\naa aa\n";
static const char uncased[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##aff\n##able\nhello\n,\n"
                              "\u4e2d\ne\n##e\n##hello\n##\n##un\n";
static const char cased[] =
    "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nHello\r\n\u00e9\r\nhello";
static const char twice[] = "[UNK]\n[CLS]\n[SEP]\nun\n[UNK]\nun\n##s\n\n[SEP]\n";

static th_tokenizer *open_as(const char *text, th_cleanup cleanup)
{
    th_tokenizer *tokenizer;
    th_err        err = { 0 };

    th_assert_ok(th_tokenizer_open_as(text, strlen(text), cleanup, &tokenizer, &err), &err);
    return tokenizer;
}

static th_tokenizer *find(const char *folder, const char *name)
{
    th_tokenizer *tokenizer;
    th_err        err = { 0 };
    char          path[4096];

    (void)snprintf(path, sizeof path, "%s%s%s", folder, *name ? "/" : "", name);
    th_assert_ok(th_tokenizer_find(path, TH_CLEANUP_DEFAULT, &tokenizer, &err), &err);
    return tokenizer;
}

static void put(const char *folder, const char *name, const char *text)
{
    th_err err = { 0 };
    char   path[4096];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    th_assert_ok(th_file_replace(path, text, strlen(text), &err), &err);
}

// Not inline: GCC 12 then takes what strstr() finds in the text for its local pointer.
__attribute__((noinline)) static char *take(const char *folder, const char *name)
{
    th_err err = { 0 };
    char   path[4096], *text;
    size_t size;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    th_assert_ok(th_file_read(path, 1 << 20, &text, &size, &err), &err);
    return text;
}

// --- WordPiece ---

static const struct piece_case {
    const char *name, *vocabulary, *text;
    int32_t     ids[8];
    int64_t     count;
} piece_cases[] = {
    { "longest_pieces_first", uncased, "unaffable", { 5, 6, 7 }, 3 },
    { "lower_case", uncased, "HELLO Un", { 8, 5 }, 2 },
    { "punctuation_is_a_word", uncased, "hello,hello", { 8, 9, 8 }, 3 },
    { "an_ideograph_is_a_word", uncased, "un\u4e2dun", { 5, 10, 5 }, 3 },
    { "accents_are_stripped", uncased, "\u00e9e\u0301", { 11, 12 }, 2 },
    { "a_word_that_cannot_be_cut_is_unknown", uncased, "unx e", { 1, 11 }, 2 },
    { "a_special_token_has_its_id", uncased, "e[SEP]e", { 11, 3, 11 }, 3 },
    { "a_special_token_in_lower_case_has_not", uncased, "[sep]", { 1, 1, 1 }, 3 },
    { "controls_are_dropped", uncased, "h\1el\u200blo", { 8 }, 1 },
    { "nothing", uncased, " \n ", { 0 }, 0 },
    { "cased_keeps_capitals", cased, "Hello hello HELLO", { 5, 7, 1 }, 3 },
    { "cased_keeps_accents", cased, "\u00e9 e", { 6, 1 }, 2 },
};

static void cuts_words(void **state)
{
    const struct piece_case *c = *state;
    th_tokenizer            *tokenizer = open_as(c->vocabulary, TH_CLEANUP_DEFAULT);
    int32_t                  ids[8] = { 0 };

    assert_int_equal(th_tokenizer_kind(tokenizer), TH_TOKENS_BERT);
    assert_int_equal(th_tokenizer_begin(tokenizer), 2);
    assert_int_equal(th_tokenizer_end(tokenizer), 3);
    assert_int_equal(th_tokenizer_context(tokenizer), 128);
    assert_int_equal(th_tokenizer_encode(tokenizer, c->text, strlen(c->text), NULL, ids, 8),
                     c->count);
    assert_memory_equal(ids, c->ids, sizeof ids);
    th_tokenizer_close(tokenizer);
}

static void a_word_of_over_100_characters_is_unknown(void **state)
{
    th_tokenizer *tokenizer = open_as(uncased, TH_CLEANUP_DEFAULT);
    char          text[102];
    int32_t       ids[200];

    (void)state;
    memset(text, 'e', sizeof text);
    assert_int_equal(th_tokenizer_encode(tokenizer, text, 100, NULL, ids, 200), 100);
    assert_int_equal(ids[99], 12);
    assert_int_equal(th_tokenizer_encode(tokenizer, text, 101, NULL, ids, 200), 1);
    assert_int_equal(ids[0], 1);
    th_tokenizer_close(tokenizer);
}

// A megabyte that is one word, of marks, of ideographs, of brackets: see a_megabyte_is_linear in
// test_tokenizer.c on the bound.
static void a_megabyte_is_linear_for_every_cleanup(void **state)
{
    static const char *const units[] = { "a",  "e\u0301", "\u0301\u0323", "\u4e2d", "[",
                                         "<|", "[SE",     "\u03a3",       "\uac00", "\xff" };
    const size_t             size = (size_t)1 << 20;
    th_tokenizer            *tokenizers[] = { open_as(uncased, TH_CLEANUP_DEFAULT),
                                              open_as(cased, TH_CLEANUP_DEFAULT),
                                              open_as(merges, TH_CLEANUP_HF) };
    char                    *text = malloc(size);
    int32_t                  ids[4];

    (void)state;
    assert_non_null(text);
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        for (size_t i = 0; i < size; i++)
            text[i] = units[u][i % strlen(units[u])];
        for (size_t t = 0; t < 3; t++) {
            clock_t began = clock();

            assert_true(th_tokenizer_encode(tokenizers[t], text, size, NULL, ids, 4) >= 0);
            assert_true(clock() - began < 3 * CLOCKS_PER_SEC);
        }
    }
    for (size_t t = 0; t < 3; t++)
        th_tokenizer_close(tokenizers[t]);
    free(text);
}

// --- files that say the same ---

// Two tokenizers give the same ids, if `same`, or ids[i] of the one is map[ids[i]] of the other.
static void encode_alike(const th_tokenizer *one, const th_tokenizer *other, const int32_t *map)
{
    static const char *const pieces[] = { "low",           " ",     "Hello", "\u00e9", "42",
                                          "<|endoftext|>", "&amp;", "!",     "aaaa" };
    th_rng                   rng;

    th_rng_init(&rng, 6, TH_FOR_TEST, 0, 0);
    for (int i = 0; i < 500; i++) {
        char    text[200] = "";
        int32_t ids[200], want[200];
        int64_t n;

        for (uint64_t k = th_rng_below(&rng, 10); k > 0; k--)
            strncat(text, pieces[th_rng_below(&rng, sizeof pieces / sizeof *pieces)], 20);
        n = th_tokenizer_encode(one, text, strlen(text), NULL, want, 200);
        assert_int_equal(th_tokenizer_encode(other, text, strlen(text), NULL, ids, 200), n);
        for (int64_t k = 0; k < n; k++)
            assert_int_equal(ids[k], map ? map[want[k]] : want[k]);
    }
}

static void what_is_written_reads_back(void **state)
{
    static const char *const names[] = { "", "vocab.json", "merges.txt", "tokenizer.json" };
    th_tokenizer            *plain = open_as(merges, TH_CLEANUP_HF);
    th_err                   err = { 0 };

    th_assert_ok(th_tokenizer_write_hf(plain, *state, 77, &err), &err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        th_tokenizer *other = find(*state, names[i]);

        assert_int_equal(th_tokenizer_cleanup(other), TH_CLEANUP_HF);
        assert_true(th_tokenizer_hash(other) == th_tokenizer_hash(plain));
        encode_alike(plain, other, NULL);
        th_tokenizer_close(other);
    }
    th_tokenizer_close(plain);
}

// vocab.json with its ids turned round: th_tokenizer_find() must take them from there.
static void ids_are_those_of_the_vocabulary(void **state)
{
    th_tokenizer *plain = open_as(merges, TH_CLEANUP_HF), *turned, *again;
    int32_t       map[600], last = (int32_t)th_tokenizer_vocabulary(plain) - 1;
    th_err        err = { 0 };
    char         *text;
    json_t       *json, *value;
    const char   *token, *name;
    size_t        size;

    th_assert_ok(th_tokenizer_write_hf(plain, *state, 77, &err), &err);
    text = take(*state, "vocab.json");
    assert_non_null(json = json_loads(text, 0, NULL));
    free(text);
    json_object_foreach(json, token, value)
        assert_int_equal(json_integer_set(value, last - json_integer_value(value)), 0);
    assert_non_null(text = json_dumps(json, 0));
    put(*state, "vocab.json", text);
    json_decref(json);
    free(text);
    for (int32_t i = 0; i <= last; i++)
        map[i] = last - i;
    turned = find(*state, "vocab.json");
    assert_int_equal(th_tokenizer_begin(turned), 1);
    assert_int_equal(th_tokenizer_end(turned), 0);
    assert_true(th_tokenizer_hash(turned) != th_tokenizer_hash(plain));
    encode_alike(plain, turned, map);
    th_assert_ok(th_tokenizer_print(turned, &text, &size, &name, &err), &err);
    assert_string_equal(name, TH_TOKENIZER_JSON);
    again = open_as(text, TH_CLEANUP_DEFAULT);
    assert_true(th_tokenizer_hash(turned) == th_tokenizer_hash(again));
    encode_alike(turned, again, NULL);
    free(text);
    th_tokenizer_close(again);
    th_tokenizer_close(turned);
    th_tokenizer_close(plain);
}

static void bert_is_printed_and_read_back(void **state)
{
    static const char *const lists[] = { uncased, cased, twice };

    (void)state;
    for (int i = 0; i < 3; i++) {
        th_tokenizer *one = open_as(lists[i], TH_CLEANUP_DEFAULT), *other;
        th_err        err = { 0 };
        char         *text;
        const char   *name;
        size_t        size;

        th_assert_ok(th_tokenizer_print(one, &text, &size, &name, &err), &err);
        assert_string_equal(name, TH_TOKENIZER_JSON);
        other = open_as(text, TH_CLEANUP_DEFAULT);
        assert_true(th_tokenizer_hash(one) == th_tokenizer_hash(other));
        encode_alike(one, other, NULL);
        free(text);
        th_tokenizer_close(one);
        th_tokenizer_close(other);
    }
}

static void bert_is_written_and_found(void **state)
{
    th_tokenizer *one = open_as(uncased, TH_CLEANUP_DEFAULT), *other;
    th_err        err = { 0 };

    th_assert_ok(th_tokenizer_write_hf(one, *state, 77, &err), &err);
    other = find(*state, "vocab.txt"); // tokenizer_config.json beside it
    assert_true(th_tokenizer_hash(one) == th_tokenizer_hash(other));
    th_tokenizer_close(other);
    put(*state, "tokenizer_config.json", "{\"do_lower_case\": false}");
    other = find(*state, "vocab.txt");
    assert_true(th_tokenizer_hash(one) != th_tokenizer_hash(other));
    th_tokenizer_close(other);
    th_tokenizer_close(one);
}

// --- gzip ---

static size_t zip(const char *text, char *out, size_t room)
{
    z_stream stream = { .next_in = (Bytef *)(uintptr_t)text,
                        .avail_in = (uInt)strlen(text),
                        .next_out = (Bytef *)out,
                        .avail_out = (uInt)room };

    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(deflateEnd(&stream), Z_OK);
    return room - stream.avail_out;
}

static void gzipped_merges_are_read(void **state)
{
    th_tokenizer *plain = open_as(merges, TH_CLEANUP_DEFAULT), *other = NULL;
    th_err        err = { 0 };
    char          bytes[1000];
    size_t        size = zip(merges, bytes, sizeof bytes);

    (void)state;
    th_assert_ok(th_tokenizer_open(bytes, size, &other, &err), &err);
    assert_true(th_tokenizer_hash(plain) == th_tokenizer_hash(other));
    th_tokenizer_close(other);
    for (size_t cut = 2; cut < size; cut++)
        th_assert_error(th_tokenizer_open(bytes, cut, &other, &err), TH_EDATA, &err, NULL);
    bytes[size - 6] ^= 1; // the check sum
    th_assert_error(th_tokenizer_open(bytes, size, &other, &err), TH_EDATA, &err, NULL);
    th_tokenizer_close(plain);
}

// --- cleanups ---

static void the_cleanup_is_part_of_the_hash(void **state)
{
    th_tokenizer *open_clip = open_as(merges, TH_CLEANUP_OPEN_CLIP),
                 *hf = open_as(merges, TH_CLEANUP_HF);
    th_tokenizer *fallback = open_as(merges, TH_CLEANUP_DEFAULT), *none;
    th_err        err = { 0 };
    int32_t       ids[8];

    (void)state;
    assert_true(th_tokenizer_hash(open_clip) == th_tokenizer_hash(fallback));
    assert_true(th_tokenizer_hash(open_clip) != th_tokenizer_hash(hf));
    assert_int_equal(th_tokenizer_encode(open_clip, "&lt;", 4, NULL, ids, 8), 1);
    assert_int_equal(th_tokenizer_encode(hf, "&lt;", 4, NULL, ids, 8), 4);
    assert_int_equal(th_tokenizer_encode(hf, "<|EndOfText|>", 13, NULL, ids, 8), 1);
    assert_int_equal(ids[0], th_tokenizer_end(hf));
    th_assert_error(th_tokenizer_open_as(uncased, strlen(uncased), TH_CLEANUP_HF, &none, &err),
                    TH_EUSAGE, &err, "hf");
    th_tokenizer_close(open_clip);
    th_tokenizer_close(hf);
    th_tokenizer_close(fallback);
}

// --- what is refused, by the name of the field ---

static const struct field_case {
    const char *name, *list, *is, *becomes, *words;
} field_cases[] = {
    { "another_model", merges, "\"type\":\"BPE\"", "\"type\":\"Unigram\"", "model.type" },
    { "another_normalizer", merges, "\"NFC\"", "\"NFKC\"", "normalizer.normalizers[0].type" },
    { "another_pattern", merges, "\"Regex\":\"'s|", "\"Regex\":\"'x|", "pattern.Regex" },
    { "a_prefix_space", merges, "\"add_prefix_space\":false,\"trim_offsets\":true",
      "\"add_prefix_space\":true,\"trim_offsets\":true", "add_prefix_space" },
    { "another_suffix", merges, "\"end_of_word_suffix\":\"</w>\"", "\"end_of_word_suffix\":\"\"",
      "end_of_word_suffix" },
    { "byte_fallback", merges, "\"byte_fallback\":false", "\"byte_fallback\":true",
      "byte_fallback" },
    { "merges_without_their_token", merges, "\"low</w>\":513,", "", "low</w>" },
    { "an_id_twice", merges, "\"low</w>\":513", "\"low</w>\":512", "512" },
    { "a_negative_id", merges, "\"low</w>\":513", "\"low</w>\":-1", "low</w>" },
    { "an_id_that_is_no_number", merges, "\"low</w>\":513", "\"low</w>\":\"a\"", "low</w>" },
    { "a_stripping_special", merges, "\"lstrip\":false", "\"lstrip\":true", "lstrip" },
    { "another_prefix_of_pieces", uncased, "\"continuing_subword_prefix\":\"##\"",
      "\"continuing_subword_prefix\":\"@\"", "continuing_subword_prefix" },
    { "no_unknown_piece", uncased, "\"unk_token\":\"[UNK]\"", "\"unk_token\":\"[UNX]\"", "[UNX]" },
    { "no_characters", uncased, "\"max_input_chars_per_word\":100",
      "\"max_input_chars_per_word\":0", "max_input_chars_per_word" },
    { "another_splitter", uncased, "\"BertPreTokenizer\"", "\"Whitespace\"", "pre_tokenizer.type" },
    { "a_flag_that_is_none", uncased, "\"strip_accents\":true", "\"strip_accents\":3",
      "strip_accents" },
    { "a_piece_with_an_id_twice", uncased, "\"un\":5", "\"un\":6", "6" },
    { "a_special_token_with_two_ids", uncased, "\"id\":1,\"content\":\"[UNK]\"",
      "\"id\":30,\"content\":\"[UNK]\"", "has the id 30, and in the vocabulary 1" },
    { "a_special_token_with_anothers_id", uncased, "\"content\":\"[MASK]\"",
      "\"content\":\"[MASQ]\"", "\"[MASQ]\" has the id 4, which is another token's" },
    { "special_tokens_with_one_id", merges, "\"id\":519,\"content\"", "\"id\":520,\"content\"",
      "have one id, 520" },
    { "broken_json", uncased, "\"vocab\":", "\"vocab\"", NULL },
};

// A copy with the first `is`, which must be there, as `becomes`.
static char *replaced(const char *text, const char *is, const char *becomes)
{
    const char *found = strstr(text, is);
    size_t      at = found ? (size_t)(found - text) : 0, size = strlen(text) + strlen(becomes) + 1;
    char       *copy = malloc(size);

    assert_true(found && copy);
    (void)snprintf(copy, size, "%.*s%s%s", (int)at, text, becomes, text + at + strlen(is));
    return copy;
}

static void refuses(void **state)
{
    const struct field_case *c = *state;
    th_tokenizer *tokenizer = open_as(c->list, TH_CLEANUP_HF * (c->list == merges)), *none;
    th_err        err = { 0 };
    char         *changed, *good, path[] = TH_TEST_BUILD "/test-XXXXXX";

    assert_non_null(mkdtemp(path));
    th_assert_ok(th_tokenizer_write_hf(tokenizer, path, 77, &err), &err);
    good = take(path, "tokenizer.json");
    changed = replaced(good, c->is, c->becomes);
    th_assert_error(th_tokenizer_open(changed, strlen(changed), &none, &err), TH_EDATA, &err,
                    c->words);
    free(changed);
    free(good);
    th_tokenizer_close(tokenizer);
    assert_int_equal(nftw(path, th_test_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void damaged_json_never_reads_beyond(void **state)
{
    th_tokenizer *tokenizer = open_as(uncased, TH_CLEANUP_DEFAULT), *other;
    th_err        err = { 0 };
    char         *text;
    const char   *name;
    size_t        size;

    (void)state;
    th_assert_ok(th_tokenizer_print(tokenizer, &text, &size, &name, &err), &err);
    for (size_t cut = 0; cut + 2 < size; cut += 7) { // the last two are "}\n"
        char *part = malloc(cut ? cut : 1);

        assert_non_null(part);
        memcpy(part, text, cut);
        th_assert_error(th_tokenizer_open(part, cut, &other, &err), TH_EDATA, &err, NULL);
        free(part);
    }
    free(text);
    th_tokenizer_close(tokenizer);
}

static void a_list_is_text(void **state)
{
    static const char zero[] = "[UNK]\n[CLS]\n[SEP]\na\0b\n",
                      broken[] = "[UNK]\n[CLS]\n[SEP]\n\xc3\n";
    th_tokenizer *tokenizer;
    th_err        err = { 0 };

    (void)state;
    th_assert_error(th_tokenizer_open(zero, sizeof zero - 1, &tokenizer, &err), TH_EDATA, &err,
                    "line 4");
    th_assert_error(th_tokenizer_open(broken, sizeof broken - 1, &tokenizer, &err), TH_EDATA, &err,
                    "line 4");
}

static void an_empty_folder_is_named(void **state)
{
    th_tokenizer *tokenizer;
    th_err        err = { 0 };

    th_assert_error(th_tokenizer_find(*state, TH_CLEANUP_DEFAULT, &tokenizer, &err), TH_EUSAGE,
                    &err, "no tokenizer is in folder");
    put(*state, "vocab.json", "{}");
    th_assert_error(th_tokenizer_find(*state, TH_CLEANUP_DEFAULT, &tokenizer, &err), TH_EUSAGE,
                    &err, "merges.txt");
}

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define IN_A_FOLDER(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    struct CMUnitTest tests[11 + COUNT(piece_cases) + COUNT(field_cases)] = {
        cmocka_unit_test(a_list_is_text),
        cmocka_unit_test(a_word_of_over_100_characters_is_unknown),
        cmocka_unit_test(a_megabyte_is_linear_for_every_cleanup),
        IN_A_FOLDER(what_is_written_reads_back),
        IN_A_FOLDER(ids_are_those_of_the_vocabulary),
        cmocka_unit_test(bert_is_printed_and_read_back),
        IN_A_FOLDER(bert_is_written_and_found),
        cmocka_unit_test(gzipped_merges_are_read),
        cmocka_unit_test(the_cleanup_is_part_of_the_hash),
        cmocka_unit_test(damaged_json_never_reads_beyond),
        IN_A_FOLDER(an_empty_folder_is_named),
    };
    size_t n = 11;

    for (size_t i = 0; i < COUNT(piece_cases); i++)
        tests[n++] = (struct CMUnitTest){ piece_cases[i].name, cuts_words, NULL, NULL,
                                          (void *)(uintptr_t)&piece_cases[i] };
    for (size_t i = 0; i < COUNT(field_cases); i++)
        tests[n++] = (struct CMUnitTest){ field_cases[i].name, refuses, NULL, NULL,
                                          (void *)(uintptr_t)&field_cases[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
