// Training. The slow twin counts all pairs of all words anew for each merge.
#include "tests/test.h"

#include "base/philox.h"
#include "dataloader/tokenizer/tokenizer.h"
#include <stdbool.h>

typedef struct {
    const char *const *captions;
    size_t             count, at;
} list;

static _Bool next_of_list(void *context, const char **text, size_t *size)
{
    list *l = context;

    if (l->at == l->count)
        return false;
    *text = l->captions[l->at++];
    *size = strlen(*text);
    return true;
}

static char *train(const char *const *captions, size_t count, int64_t vocabulary)
{
    list   l = { captions, count, 0 };
    char  *merges;
    size_t size;
    th_err err = { 0 };

    th_assert_ok(
        th_tokenizer_train(next_of_list, &l, vocabulary, TH_CLEANUP_DEFAULT, &merges, &size, &err),
        &err);
    assert_int_equal(strlen(merges), size);
    return merges;
}

static void small_corpus_by_hand(void **state)
{
    // Pairs: lo 4, ow</w> 2, ow 2, we 2, er</w> 2. First lo; of those with 2 the order of bytes
    // decides, the left side before the right one: "e r</w>" is before "lo w", "lo w</w>" and "w
    // e".
    static const char *const captions[] = { "low Low", "lower lower" };
    char                    *merges = train(captions, 2, 2000);

    (void)state;
    assert_string_equal(merges, "#version: 0.2\nl o\ne r</w>\nlo w\nlo w</w>\nlow er</w>\n");
    free(merges);
}

static void stops_at_the_vocabulary(void **state)
{
    static const char *const captions[] = { "low Low", "lower lower" };
    char                    *merges = train(captions, 2, 516);

    (void)state;
    assert_string_equal(merges, "#version: 0.2\nl o\ne r</w>\n");
    free(merges);
    merges = train(captions, 2, 514);
    assert_string_equal(merges, "#version: 0.2\n");
    free(merges);
}

static void bytes_are_written_in_clips_alphabet(void **state)
{
    static const char *const captions[] = { "é é" }; // c3 a9: the characters Ã and ©
    char                    *merges = train(captions, 1, 600);

    (void)state;
    assert_string_equal(merges, "#version: 0.2\nÃ ©</w>\n");
    free(merges);
}

static void refuses_what_cannot_be_trained(void **state)
{
    static const char *const captions[] = { "low" }, *const empty[] = { " ", "<end_of_text>" };
    list   l = { captions, 1, 0 };
    char  *merges;
    size_t size;
    th_err err = { 0 };

    (void)state;
    th_assert_error(
        th_tokenizer_train(next_of_list, &l, 513, TH_CLEANUP_DEFAULT, &merges, &size, &err),
        TH_EUSAGE, &err, "513");
    th_assert_error(
        th_tokenizer_train(next_of_list, &l, INT64_MAX, TH_CLEANUP_DEFAULT, &merges, &size, &err),
        TH_EUSAGE, &err, "9223372036854775807");
    l = (list){ NULL, 0, 0 };
    th_assert_error(
        th_tokenizer_train(next_of_list, &l, 1000, TH_CLEANUP_DEFAULT, &merges, &size, &err),
        TH_EDATA, &err, "no captions");
    l = (list){ empty, 2, 0 };
    th_assert_error(
        th_tokenizer_train(next_of_list, &l, 1000, TH_CLEANUP_DEFAULT, &merges, &size, &err),
        TH_EDATA, &err, "no captions");
}

// --- the twin --------------------------------------------------------------------------------

#define WORDS 400
#define PARTS 40
#define TOKEN 48

// A word as its tokens. Letters only, so a token's text is its bytes and a last one ends in "</w>".
typedef struct {
    char part[PARTS][TOKEN];
    int  count;
} twin_word;

// Tokens in the order of their bytes; of equal bytes, the one with </w> second.
static int compare_tokens(const char *a, const char *b)
{
    size_t n = strcspn(a, "<"), m = strcspn(b, "<");
    int    order = memcmp(a, b, n < m ? n : m);

    if (order != 0)
        return order;
    if (n != m)
        return n < m ? -1 : 1;
    return (a[n] != 0) - (b[m] != 0);
}

typedef struct {
    char left[TOKEN], right[TOKEN];
    int  count;
} twin_pair;

static bool is_better(const twin_pair *a, const twin_pair *b)
{
    int order = compare_tokens(a->left, b->left);

    if (a->count != b->count)
        return a->count > b->count;
    return order != 0 ? order < 0 : compare_tokens(a->right, b->right) < 0;
}

static twin_pair best_pair(const twin_word *words, int count)
{
    static twin_pair pairs[WORDS * PARTS];
    int              n = 0;
    twin_pair        best = { .count = 1 };

    for (int w = 0; w < count; w++)
        for (int i = 0; i + 1 < words[w].count; i++) {
            int p = 0;

            while (p < n && (strcmp(pairs[p].left, words[w].part[i]) != 0 ||
                             strcmp(pairs[p].right, words[w].part[i + 1]) != 0))
                p++;
            if (p == n) {
                memcpy(pairs[n].left, words[w].part[i], TOKEN);
                memcpy(pairs[n].right, words[w].part[i + 1], TOKEN);
                pairs[n++].count = 0;
            }
            pairs[p].count++;
        }
    for (int p = 0; p < n; p++)
        if (pairs[p].count > 1 && is_better(&pairs[p], &best))
            best = pairs[p];
    return best;
}

static void merge_in(twin_word *word, const twin_pair *pair)
{
    size_t left = strlen(pair->left), right = strlen(pair->right);

    for (int i = 0; i + 1 < word->count; i++) {
        if (strcmp(word->part[i], pair->left) != 0 || strcmp(word->part[i + 1], pair->right) != 0)
            continue;
        assert_true(left + right < TOKEN);
        memcpy(word->part[i] + left, pair->right, right + 1);
        memmove(word->part[i + 1], word->part[i + 2],
                (size_t)(word->count - i - 2) * sizeof word->part[0]);
        word->count--;
    }
}

static char *twin_train(const char *const *captions, int count, int merges)
{
    static twin_word words[WORDS];
    size_t           room = 1 << 16, used = 0;
    char            *text = malloc(room);

    assert_non_null(text);
    assert_true(count <= WORDS);
    used += (size_t)snprintf(text, room, "#version: 0.2\n");
    for (int w = 0; w < count; w++) {
        words[w].count = (int)strlen(captions[w]);
        for (int i = 0; i < words[w].count; i++)
            (void)snprintf(words[w].part[i], TOKEN, "%c%s", captions[w][i],
                           i == words[w].count - 1 ? "</w>" : "");
    }
    for (int m = 0; m < merges; m++) {
        twin_pair best = best_pair(words, count);

        if (best.count < 2)
            break;
        used += (size_t)snprintf(text + used, room - used, "%s %s\n", best.left, best.right);
        for (int w = 0; w < count; w++)
            merge_in(&words[w], &best);
    }
    return text;
}

static void training_equals_the_slow_twin(void **state)
{
    static char        words[WORDS][PARTS];
    static const char *captions[WORDS];
    th_rng             rng;

    (void)state;
    th_rng_init(&rng, 4, TH_FOR_TEST, 0, 0);
    for (int round = 0; round < 60; round++) {
        size_t   count = 1 + th_rng_below(&rng, 60);
        uint64_t letters = 1 + th_rng_below(&rng, 5), longest = 1 + th_rng_below(&rng, PARTS - 1);
        char    *fast, *slow;

        for (size_t w = 0; w < count; w++) { // few letters: runs such as "aaa", and many ties
            size_t size = 1 + th_rng_below(&rng, longest);

            for (size_t i = 0; i < size; i++)
                words[w][i] = (char)('a' + th_rng_below(&rng, letters));
            words[w][size] = 0;
            captions[w] = words[w];
        }
        fast = train(captions, count, 514 + 100);
        slow = twin_train(captions, (int)count, 100);
        assert_string_equal(fast, slow);
        free(fast);
        free(slow);
    }
}

// What is trained does not depend on the order of the captions, and opens as a tokenizer.
static void training_is_deterministic(void **state)
{
    static char              texts[3000][64];
    static const char       *forward[3000], *backward[3000];
    static const char *const stems[] = {
        "rood", "собак", "雪", "apple", "schlüssel", "κλειδί", "a"
    };
    th_rng        rng;
    char         *one, *other;
    th_tokenizer *tokenizer;
    th_err        err = { 0 };

    (void)state;
    th_rng_init(&rng, 5, TH_FOR_TEST, 0, 0);
    for (int i = 0; i < 3000; i++) {
        const char *a = stems[th_rng_below(&rng, 7)], *b = stems[th_rng_below(&rng, 7)];

        (void)snprintf(texts[i], sizeof texts[i], "%s%s %c%s", a, b,
                       (char)('a' + th_rng_below(&rng, 26)), a);
        forward[i] = backward[2999 - i] = texts[i];
    }
    one = train(forward, 3000, 800);
    other = train(backward, 3000, 800);
    assert_string_equal(one, other);
    th_assert_ok(th_tokenizer_open(one, strlen(one), &tokenizer, &err), &err);
    assert_true(th_tokenizer_vocabulary(tokenizer) > 600);
    th_tokenizer_close(tokenizer);
    free(one);
    free(other);
}

// A word of a megabyte costs what it holds, not its square; see a_megabyte_is_linear on the bound.
static void a_megabyte_of_one_letter_trains(void **state)
{
    size_t      size = (size_t)1 << 20;
    char       *text = malloc(size + 1), *merges;
    const char *captions[1] = { text };

    (void)state;
    assert_non_null(text);
    memset(text, 'a', size);
    text[size] = 0;
    merges = train(captions, 1, 8192);
    assert_non_null(strstr(merges, "\na a\naa aa\naaaa aaaa\n"));
    free(merges);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_corpus_by_hand),
        cmocka_unit_test(stops_at_the_vocabulary),
        cmocka_unit_test(bytes_are_written_in_clips_alphabet),
        cmocka_unit_test(refuses_what_cannot_be_trained),
        cmocka_unit_test(training_equals_the_slow_twin),
        cmocka_unit_test(training_is_deterministic),
        cmocka_unit_test(a_megabyte_of_one_letter_trains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
