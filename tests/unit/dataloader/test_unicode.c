// Cleaning and splitting of captions. What is expected was worked out from Python's
// html.unescape(), str.split() and str.lower(), which open_clip calls, and from CLIP's word
// pattern.
#include "tests/test.h"

#include "dataloader/tokenizer/split.h"
#include "dataloader/tokenizer/unicode.h"

static const struct clean_case {
    const char *name, *text, *clean;
} clean_cases[] = {
    { "nothing", "", "" },
    { "only_white_space", " \t\n\x1c\xc2\xa0\xe3\x80\x80\xe2\x80\xa8 ", "" },
    { "runs_become_one_space", "  a \r\n b\xe2\x80\x83 c ", "a b c" },
    { "ascii_lower_case", "AZaz09[`{@", "azaz09[`{@" },
    { "lower_case_of_other_scripts", "ÄÖÜ ЖЗ ΑΒ Ⅷ", "äöü жз αβ ⅷ" },
    { "lower_case_that_grows_in_utf8", "\xc8\xba", "\xe2\xb1\xa5" },
    { "i_with_dot_becomes_two", "İX", "i\xcc\x87x" },
    { "sigma_at_the_end_of_a_word", "ΟΔΟΣ ΣΑΣ", "οδος σας" },
    { "sigma_before_a_mark_and_a_letter", "Α\xcc\x81Σ\xcc\x81Α", "α\xcc\x81σ\xcc\x81α" },
    { "sigma_behind_a_mark_at_the_end", "Α\xcc\x81Σ'", "α\xcc\x81ς'" },
    { "sigma_alone", "Σ", "σ" },
    { "named_entity", "a &lt; b &amp; &Eacute;&hearts;", "a < b & é♥" },
    { "entities_are_unescaped_twice_not_thrice", "&amp;lt; &amp;amp;lt;", "< &lt;" },
    { "bare_entity_with_letters_behind", "&eacutex &ampa &copy2", "éx &a ©2" },
    { "entity_that_needs_its_semicolon", "&hearts &alphax;", "&hearts &alphax;" },
    { "unknown_entity_stays", "&nonsense; &; & &", "&nonsense; &; & &" },
    { "entity_with_a_zero_inside_stays", "&l t;", "&l t;" },
    { "numeric_entities", "&#65;&#x42;&#X43;&#68x", "abcdx" },
    { "numeric_entity_of_windows_1252", "&#128;&#x99;", "€™" },
    { "numeric_entity_that_is_no_character", "&#0;&#xD800;&#x110000;&#99999999999999999999;",
      "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
    { "numeric_entity_of_a_control_vanishes", "a&#1;b&#xFFFE;c", "abc" },
    { "numeric_entity_without_digits_stays", "&#; &#x; &#", "&#; &#x; &#" },
    { "entity_of_white_space", "a&nbsp;&#32;b", "a b" },
    { "stray_continuation", "a\x80\xbf", "a\xef\xbf\xbd\xef\xbf\xbd" },
    { "sequence_cut_short_is_one_replacement", "\xe2\x82z\xf0\x9f\x98",
      "\xef\xbf\xbdz\xef\xbf\xbd" },
    { "overlong_and_surrogate", "\xc0\xaf\xed\xa0\x80",
      "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
    { "above_the_last_code_point", "\xf4\x90\x80\x80",
      "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
    { "last_code_point", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
};

// A copy of exactly `size` bytes, so that the sanitizer sees a read behind them.
static char *exactly(const char *text, size_t size)
{
    char *copy = malloc(size ? size : 1);

    assert_non_null(copy);
    memcpy(copy, text, size);
    return copy;
}

static void cleans(void **state)
{
    const struct clean_case *c = *state;
    size_t                   size = strlen(c->text);
    char                    *text = exactly(c->text, size), *work = exactly(c->text, size);
    char                    *out = malloc(TH_CLEAN_ROOM(size) + 1);

    assert_non_null(out);
    out[th_text_clean(text, size, work, out)] = 0;
    assert_string_equal(out, c->clean);
    free(text);
    free(work);
    free(out);
}

static void a_zero_byte_is_a_character(void **state)
{
    char work[9], out[TH_CLEAN_ROOM(9)];

    (void)state;
    assert_int_equal(th_text_clean("A\0 b&lt\0;", 9, work, out), 7);
    assert_memory_equal(out, "a\0 b<\0;", 7);
}

static const struct split_case {
    const char *name, *text, *words; // words with '_' between
} split_cases[] = {
    { "letters_and_spaces", "a photo  of", "a_photo_of" },
    { "each_digit_is_a_word", "4x16", "4_x_1_6" },
    { "contractions", "it's we're i'm you'll he'd 've't",
      "it_'s_we_'re_i_'m_you_'ll_he_'d_'ve_'t" },
    { "contraction_takes_only_its_letters", "'stop", "'s_top" },
    { "apostrophe_of_no_contraction", "'rx 'l 'v'", "'_rx_'_l_'_v_'" },
    { "apostrophes_in_a_run", "a''s!'s", "a_''_s_!'_s" },
    { "special_tokens", "<|startoftext|>a<|endoftext|>", "<|startoftext|>_a_<|endoftext|>" },
    { "special_token_inside_a_run", "!<|endoftext|>", "!<|_endoftext_|>" },
    { "special_token_cut_short", "<|endoftext|", "<|_endoftext_|" },
    { "combining_marks_are_no_letters", "e\xcc\x81x", "e_\xcc\x81_x" },
    { "other_scripts", "собака雪½?", "собака雪_½_?" },
    { "emoji_and_punctuation_are_one_run", "😀!?a", "😀!?_a" },
};

static void splits(void **state)
{
    const struct split_case *c = *state;
    const char              *at = c->text, *end = at + strlen(at);
    char                     words[128] = "";
    th_word                  word;

    while (th_word_next(&at, end, &word)) {
        strncat(words, words[0] ? "_" : "", 2);
        strncat(words, word.text, word.size);
    }
    assert_string_equal(words, c->words);
    assert_ptr_equal(at, end);
}

static void special_words_are_told(void **state)
{
    const char *text = "<|endoftext|><|startoftext|>a", *at = text;
    th_word     word;

    (void)state;
    assert_true(th_word_next(&at, text + strlen(text), &word) && word.kind == TH_WORD_EOT);
    assert_true(th_word_next(&at, text + strlen(text), &word) && word.kind == TH_WORD_SOT);
    assert_true(th_word_next(&at, text + strlen(text), &word) && word.kind == TH_WORD_TEXT);
    assert_false(th_word_next(&at, text + strlen(text), &word));
}

static void every_code_point_reads_back(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        char                 utf8[4];
        size_t               size;
        const unsigned char *at = (const unsigned char *)utf8;

        if (code >= 0xD800 && code <= 0xDFFF)
            continue;
        size = th_utf8_put(code, utf8);
        assert_int_equal(th_utf8_next(&at, at + size), code);
        assert_ptr_equal(at, utf8 + size);
    }
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

int main(void)
{
    struct CMUnitTest tests[COUNT(clean_cases) + COUNT(split_cases) + 3] = {
        cmocka_unit_test(a_zero_byte_is_a_character),
        cmocka_unit_test(special_words_are_told),
        cmocka_unit_test(every_code_point_reads_back),
    };
    size_t n = 3;

    for (size_t i = 0; i < COUNT(clean_cases); i++)
        tests[n++] = (struct CMUnitTest){ clean_cases[i].name, cleans, NULL, NULL,
                                          (void *)(uintptr_t)&clean_cases[i] };
    for (size_t i = 0; i < COUNT(split_cases); i++)
        tests[n++] = (struct CMUnitTest){ split_cases[i].name, splits, NULL, NULL,
                                          (void *)(uintptr_t)&split_cases[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
