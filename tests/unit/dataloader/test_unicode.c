// Cleaning and splitting of captions. What is expected was worked out from Python's
// html.unescape(), str.split() and str.lower(), which open_clip calls, and from CLIP's word
// pattern.
#include "tests/test.h"

#include "dataloader/tokenizer/clean.h"
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
    { "sigma_before_a_mark_and_a_letter", "Α\xcc\x81Σ\xcc\x81Α", "άσ\xcc\x81α" },
    { "sigma_behind_a_mark_at_the_end", "Α\xcc\x81Σ'", "άς'" },
    { "sigma_alone", "Σ", "σ" },
    { "named_entity", "a &lt; b &amp; &Eacute;&hearts;", "a < b & é♥" },
    { "sure_entities_are_unescaped_to_the_end", "&amp;lt; &amp;amp;lt;", "< <" },
    { "behind_a_tag_they_are_unescaped_twice_not_thrice", "<&lt;&amp;lt;&amp;amp;lt;", "<<<&lt;" },
    { "ligatures_quotes_wide_forms_and_escapes", "ﬁ ﬂ “x” ‘y’ ＡＢ\x1b[31mred",
      "fi fl \"x\" 'y' abred" },
    { "c1_controls_are_windows_1252", "caf\xc2\x85\xc2\x91x\xc2\x92", "caf…'x'" },
    { "entity_of_two_characters", "&ngtv; <a>\n&nGt;&notit;", "&ngtv; <a> ≫\xe2\x83\x92¬it;" },
    { "entity_written_in_capitals", "&EACUTE;&eacute", "éé" },
    { "hangul_is_composed", "가\u1100\u1161", "가가" },
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

static const th_cleaner open_clip = { .kind = TH_CLEANUP_OPEN_CLIP };

static void cleans(void **state)
{
    const struct clean_case *c = *state;
    size_t                   size = strlen(c->text);
    char                    *text = exactly(c->text, size);
    th_clean_room            room = { 0 };
    const char              *out = th_text_clean(&open_clip, text, size, &room, &size);

    assert_non_null(out);
    assert_int_equal(size, strlen(c->clean));
    assert_memory_equal(out, c->clean, size);
    free(text);
    th_clean_room_done(&room);
}

static void a_zero_byte_is_a_character(void **state)
{
    const th_cleaner hf = { .kind = TH_CLEANUP_HF };
    th_clean_room    room = { 0 };
    size_t           size;

    (void)state;
    assert_memory_equal(th_text_clean(&hf, "A\0 b&lt\0;", 9, &room, &size), "a\0 b&lt\0;", 9);
    assert_int_equal(size, 9);
    th_clean_room_done(&room);
}

static const struct split_case {
    const char *name, *text, *words; // words with '_' between
    th_cleanup  kind;
    bool        cuts_specials;
} split_cases[] = {
    { "letters_and_spaces", "a photo  of", "a_photo_of", TH_CLEANUP_OPEN_CLIP, false },
    { "each_digit_is_a_word", "4x16", "4_x_1_6", TH_CLEANUP_OPEN_CLIP, false },
    { "contractions", "it's we're i'm you'll he'd 've't", "it_'s_we_'re_i_'m_you_'ll_he_'d_'ve_'t",
      TH_CLEANUP_OPEN_CLIP, false },
    { "contraction_takes_only_its_letters", "'stop", "'s_top", TH_CLEANUP_OPEN_CLIP, false },
    { "apostrophe_of_no_contraction", "'rx 'l 'v'", "'_rx_'_l_'_v_'", TH_CLEANUP_OPEN_CLIP, false },
    { "apostrophes_in_a_run", "a''s!'s", "a_''_s_!'_s", TH_CLEANUP_OPEN_CLIP, false },
    { "special_tokens", "<start_of_text>a<end_of_text>", "<start_of_text>_a_<end_of_text>",
      TH_CLEANUP_OPEN_CLIP, false },
    { "special_token_inside_a_run", "!<end_of_text>", "!<_end___of___text_>", TH_CLEANUP_OPEN_CLIP,
      false },
    { "special_token_cut_short", "<end_of_text", "<_end___of___text", TH_CLEANUP_OPEN_CLIP, false },
    { "combining_marks_are_no_letters", "e\xcc\x81x", "e_\xcc\x81_x", TH_CLEANUP_OPEN_CLIP, false },
    { "other_scripts", "собака雪½?", "собака雪_½_?", TH_CLEANUP_OPEN_CLIP, false },
    { "emoji_and_punctuation_are_one_run", "😀!?a", "😀!?_a", TH_CLEANUP_OPEN_CLIP, false },
    { "hf_has_no_specials_of_its_own", "<|endoftext|>!a", "<|_endoftext_|>!_a", TH_CLEANUP_HF,
      false },
    { "hf_may_cut_specials_in_three", "<|endoftext|>!a", "<|_endoftext_|>_!_a", TH_CLEANUP_HF,
      true },
    { "hf_knows_no_long_s", "'\u017ft", "'_\u017ft", TH_CLEANUP_HF, false },
    { "a_long_s_is_an_s_to_open_clip", "'\u017ft", "'\u017f_t", TH_CLEANUP_OPEN_CLIP, false },
    { "words_of_bert_stand_between_spaces", "it ' s", "it_'_s", TH_CLEANUP_BERT, false },
};

static void splits(void **state)
{
    const struct split_case *c = *state;
    th_splitter splitter = { c->kind, c->cuts_specials, c->text, c->text + strlen(c->text), NULL };
    char        words[128] = "";
    th_word     word;

    while (th_word_next(&splitter, &word)) {
        strncat(words, words[0] ? "_" : "", 2);
        strncat(words, word.text, word.size);
    }
    assert_string_equal(words, c->words);
    assert_ptr_equal(splitter.at, splitter.end);
}

static void special_words_are_told(void **state)
{
    const char *text = "<end_of_text><start_of_text>a";
    th_splitter at = { TH_CLEANUP_OPEN_CLIP, false, text, text + strlen(text), NULL };
    th_word     word;

    (void)state;
    assert_true(th_word_next(&at, &word) && word.kind == TH_WORD_END);
    assert_true(th_word_next(&at, &word) && word.kind == TH_WORD_START);
    assert_true(th_word_next(&at, &word) && word.kind == TH_WORD_TEXT);
    assert_false(th_word_next(&at, &word));
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
