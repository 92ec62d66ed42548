// One word cut into pieces, against BERT's loop as published: the longest rest that the list has,
// by comparing strings.
#include "base/philox.h"
#include "dataloader/tokenizer/wordpiece.h"
#include "tests/test.h"

#define TOKENS      120
#define TOKEN_BYTES 32
#define WORD_BYTES  64
#define MOST        9 // characters of a word that is cut

static const char *const letters[] = { "a", "b", "\xC3\xA9", "\xE4\xB8\xAD", "\xF0\x9F\x98\x80" };

typedef struct {
    char         texts[TOKENS][TOKEN_BYTES];
    th_token_row rows[TOKENS];
} vocabulary;

static int put_letters(th_rng *rng, int count, char *out)
{
    for (*out = '\0'; count > 0; count--)
        strcat(out, letters[th_rng_below(rng, sizeof letters / sizeof *letters)]);
    return (int)strlen(out);
}

// Short ones, so that many are beginnings of others and some stand twice; the ids are not in order.
static void draw_vocabulary(th_rng *rng, vocabulary *v)
{
    for (int i = 0; i < TOKENS; i++) {
        char *text = v->texts[i];
        if (i == 0)
            strcpy(text, "[UNK]");
        else if (i == 1)
            strcpy(text, "a\xFF"); // not UTF-8: no word has it
        else {
            strcpy(text, th_rng_below(rng, 2) ? "##" : "");
            (void)put_letters(rng, 1 + (int)th_rng_below(rng, 4), text + strlen(text));
        }
        v->rows[i] = (th_token_row){ text, strlen(text), (i * 7 + 3) % TOKENS };
    }
}

// The last of the equal ones counts.
static int32_t id_of(const vocabulary *v, const char *text)
{
    for (int i = TOKENS - 1; i >= 0; i--)
        if (strcmp(v->texts[i], text) == 0)
            return v->rows[i].id;
    return TH_NO_TOKEN;
}

static int64_t cut_plainly(const vocabulary *v, const char *word, int characters, int32_t *ids)
{
    int64_t count = 0;
    size_t  size = strlen(word);

    ids[0] = id_of(v, "[UNK]");
    if (characters > MOST)
        return 1;
    for (size_t at = 0; at < size;) {
        int32_t id = TH_NO_TOKEN;
        size_t  end = size;
        for (; end > at && id == TH_NO_TOKEN; end -= id == TH_NO_TOKEN) {
            char piece[WORD_BYTES + 3];
            (void)snprintf(piece, sizeof piece, "%s%.*s", at > 0 ? "##" : "", (int)(end - at),
                           word + at);
            id = id_of(v, piece);
        }
        if (id == TH_NO_TOKEN) {
            ids[0] = id_of(v, "[UNK]");
            return 1;
        }
        ids[count++] = id;
        at = end;
    }
    return count;
}

static void pieces_are_those_of_the_published_loop(void **state)
{
    (void)state;
    static vocabulary v;
    th_rng            rng;
    th_err            err = { 0 };
    int64_t           cut = 0;

    th_rng_init(&rng, 7, TH_FOR_TEST, 0, 0);
    for (int round = 0; round < 30; round++) {
        th_wordpiece pieces;
        draw_vocabulary(&rng, &v);
        th_assert_ok(th_wordpiece_open(v.rows, TOKENS, "[UNK]", MOST, &pieces, &err), &err);
        for (int i = 0; i < 200; i++) {
            char    word[WORD_BYTES];
            int32_t got[WORD_BYTES], want[WORD_BYTES];
            int     characters = 1 + (int)th_rng_below(&rng, MOST + 1);
            size_t  size = (size_t)put_letters(&rng, characters, word);
            int64_t count = cut_plainly(&v, word, characters, want);
            assert_int_equal(th_wordpiece_word(&pieces, word, size, got), count);
            assert_memory_equal(got, want, (size_t)count * sizeof *got);
            cut += count > 1;
        }
        th_wordpiece_close(&pieces);
    }
    assert_true(cut > 500); // not all of them were unknown
}

static void every_token_is_found(void **state)
{
    (void)state;
    static vocabulary v;
    th_rng            rng;
    th_err            err = { 0 };
    th_wordpiece      pieces;

    th_rng_init(&rng, 8, TH_FOR_TEST, 0, 0);
    draw_vocabulary(&rng, &v);
    th_assert_ok(th_wordpiece_open(v.rows, TOKENS, "[UNK]", MOST, &pieces, &err), &err);
    for (int i = 0; i < TOKENS; i++)
        assert_int_equal(th_wordpiece_find(&pieces, v.texts[i], strlen(v.texts[i])),
                         i == 1 ? TH_NO_TOKEN : id_of(&v, v.texts[i]));
    assert_int_equal(th_wordpiece_find(&pieces, "", 0), TH_NO_TOKEN);
    assert_int_equal(th_wordpiece_find(&pieces, "[UNK", 4), TH_NO_TOKEN);
    th_wordpiece_close(&pieces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_those_of_the_published_loop),
        cmocka_unit_test(every_token_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
