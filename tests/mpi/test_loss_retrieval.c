#include "mpi_test.h"

#include "base/philox.h"
#include "trainer/loss/retrieval.h"
#include <math.h>
#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>

struct problem {
    th_retrieval_input in;
    th_real           *image, *text;
    int64_t           *image_of;
    uint8_t           *asks;
};

static void *zeros(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    assert_non_null(memory);
    return memory;
}

// Features in steps of 1/4 between -1 and 1: dot products are exact in any order, and ties abound.
// Captions belong to images at random: some images have none, some many. Every fifth does not ask.
static struct problem problem_open(int64_t images, int64_t captions, int64_t d)
{
    struct problem p = { .in = { .images = images, .captions = captions, .d = d } };
    th_rng         rng;

    th_rng_init(&rng, 5, TH_FOR_TEST, (uint32_t)images, (uint64_t)captions);
    p.in.image = p.image = zeros((size_t)(images * d), sizeof *p.image);
    p.in.text = p.text = zeros((size_t)(captions * d), sizeof *p.text);
    p.in.image_of = p.image_of = zeros((size_t)captions, sizeof *p.image_of);
    p.in.asks = p.asks = zeros((size_t)captions, 1);
    for (int64_t i = 0; i < images * d; i++)
        p.image[i] = (th_real)((double)th_rng_below(&rng, 9) / 4 - 1);
    for (int64_t i = 0; i < captions; i++) {
        p.image_of[i] = (int64_t)th_rng_below(&rng, (uint64_t)images);
        p.asks[i] = i % 5 != 2;
        for (int64_t j = 0; j < d; j++) // close to its image, so that some are right
            p.text[i * d + j] = (th_real)((double)th_rng_below(&rng, 9) / 4 - 1) +
                                (i % 2 ? p.image[p.image_of[i] * d + j] : 0);
    }
    return p;
}

static void problem_close(struct problem *p)
{
    free(p->image);
    free(p->text);
    free(p->image_of);
    free(p->asks);
}

static double similarity(const struct problem *p, int64_t image, int64_t caption)
{
    double sum = 0;

    for (int64_t j = 0; j < p->in.d; j++)
        sum += (double)p->image[image * p->in.d + j] * (double)p->text[caption * p->in.d + j];
    return sum;
}

static bool asks(const struct problem *p, int64_t caption)
{
    return !p->in.asks || p->in.asks[caption];
}

static int64_t rank_from(int64_t above, int64_t equal)
{
    return 1 + above + (equal + 1) / 2;
}

static int64_t rank_of_image(const struct problem *p, int64_t caption)
{
    int64_t above = 0, equal = 0;
    double  own = similarity(p, p->image_of[caption], caption);

    for (int64_t i = 0; i < p->in.images; i++) {
        if (i == p->image_of[caption])
            continue;
        double other = similarity(p, i, caption);
        above += !(other <= own);
        equal += other == own;
    }
    return rank_from(above, equal);
}

// 0 when the image has no caption that asks.
static int64_t rank_of_caption(const struct problem *p, int64_t image)
{
    int64_t above = 0, equal = 0, captions = 0;
    double  own = -INFINITY;

    for (int64_t c = 0; c < p->in.captions; c++) {
        if (p->image_of[c] != image || !asks(p, c))
            continue;
        own = captions++ ? fmax(own, similarity(p, image, c)) : similarity(p, image, c);
    }
    if (captions == 0)
        return 0;
    for (int64_t c = 0; c < p->in.captions; c++) {
        if (p->image_of[c] == image || !asks(p, c))
            continue;
        double other = similarity(p, image, c);
        above += !(other <= own);
        equal += other == own;
    }
    return rank_from(above, equal);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void check_ranks(int64_t *rank, int64_t count, const double recall[3], double median)
{
    const int64_t depth[] = { 1, 5, 10 };

    for (int k = 0; k < 3; k++) {
        int64_t right = 0;
        for (int64_t i = 0; i < count; i++)
            right += rank[i] <= depth[k];
        assert_true(recall[k] == (count ? (double)right / (double)count : 0));
    }
    qsort(rank, (size_t)count, sizeof *rank, ascending);
    int64_t half = count / 2, below = (count - 1) / 2;
    double  want = count > 0 ? ((double)rank[below] + (double)rank[half]) / 2 : 0;
    assert_true(median == want);
}

static th_retrieval run(const struct problem *p)
{
    th_retrieval got = { 0 };
    th_err       err = { 0 };

    th_assert_ok(th_retrieve(&th_mpi_world, &p->in, &got, &err), &err);
    return got;
}

static void check(const struct problem *p)
{
    th_retrieval got = run(p);
    int64_t     *rank = zeros((size_t)(p->in.captions + p->in.images), sizeof *rank), count = 0;

    for (int64_t c = 0; c < p->in.captions; c++)
        if (asks(p, c))
            rank[count++] = rank_of_image(p, c);
    assert_int_equal(got.text_queries, count);
    check_ranks(rank, count, got.text_to_image, got.text_to_image_median);
    count = 0;
    for (int64_t i = 0; i < p->in.images; i++)
        if ((rank[count] = rank_of_caption(p, i)) > 0)
            count++;
    assert_int_equal(got.image_queries, count);
    check_ranks(rank, count, got.image_to_text, got.image_to_text_median);
    free(rank);
}

// Against the plain reference, exactly: at 1 to 4 ranks the counts are the same integers.
static void recall_is_the_plain_count(void **state)
{
    const int64_t sizes[][3] = { { 1, 1, 4 },     { 1, 7, 4 },     { 7, 1, 4 },    { 9, 30, 8 },
                                 { 193, 400, 8 }, { 600, 385, 8 }, { 50, 900, 40 } };

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct problem p = problem_open(sizes[i][0], sizes[i][1], sizes[i][2]);
        check(&p);
        p.in.asks = NULL; // all ask
        check(&p);
        problem_close(&p);
    }
}

static void nobody_asks(void **state)
{
    struct problem p = problem_open(9, 30, 8);

    (void)state;
    memset(p.asks, 0, 30);
    th_retrieval got = run(&p);
    assert_int_equal(got.text_queries + got.image_queries, 0);
    assert_true(got.text_to_image[2] == 0 && got.image_to_text_median == 0);
    problem_close(&p);
}

// All features are one, of numbers whose sums are rounded: every similarity must come out alike, at
// whatever place of whatever tile, and the model is worth half of the ranking.
static void a_collapsed_model_scores_chance(void **state)
{
    struct problem p = problem_open(401, 802, 37);
    th_rng         rng;

    (void)state;
    th_rng_init(&rng, 6, TH_FOR_TEST, 0, 0);
    for (int64_t j = 0; j < 37; j++)
        p.image[j] = (th_real)(th_rng_normal(&rng) / 6);
    for (int64_t i = 0; i < 401; i++)
        memcpy(p.image + i * 37, p.image, 37 * sizeof *p.image);
    for (int64_t i = 0; i < 802; i++) {
        memcpy(p.text + i * 37, p.image, 37 * sizeof *p.text);
        p.image_of[i] = i / 2;
    }
    p.in.asks = NULL;
    th_retrieval got = run(&p);
    assert_true(got.text_to_image[2] == 0 && got.image_to_text[2] == 0);
    assert_true(got.text_to_image_median == 201); // 1 + 400 / 2
    assert_true(got.image_to_text_median == 401); // 1 + 800 / 2
    problem_close(&p);
}

static void nan_is_never_right(void **state)
{
    struct problem p = problem_open(9, 30, 8);

    (void)state;
    for (int64_t i = 0; i < p.in.images * p.in.d; i++)
        p.image[i] = NAN;
    th_retrieval got = run(&p);
    assert_true(got.text_to_image[1] == 0 && got.text_to_image_median == 9);
    problem_close(&p);
}

static void threads_change_nothing(void **state)
{
    struct problem p = problem_open(600, 800, 37);
    int            before = omp_get_max_threads();
    th_retrieval   one = { 0 };

    (void)state;
    for (int64_t i = 0; i < p.in.images * p.in.d; i++)
        p.image[i] *= TH_REAL_C(0.3); // not exact any more
    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        th_retrieval got = run(&p);
        if (threads == 1)
            one = got;
        assert_memory_equal(&got, &one, sizeof got);
    }
    omp_set_num_threads(before);
    problem_close(&p);
}

static void the_best_come_first(void **state)
{
    const th_real query[] = { 1, 0 };
    const th_real image[] = { 3, 0, NAN, 0, 5, 0, 4, 0, 5, 1, 1, 0 };
    int64_t       index[6];
    th_real       found[6];
    th_err        err = { 0 };

    (void)state;
    th_assert_ok(th_retrieve_best(query, image, 6, 2, 3, index, found, &err), &err);
    assert_true(index[0] == 2 && index[1] == 4 && index[2] == 3); // of equals the first
    assert_true(found[0] == 5 && found[1] == 5 && found[2] == 4);
    th_assert_ok(th_retrieve_best(query, image, 6, 2, 6, index, found, &err), &err);
    assert_true(index[3] == 0 && index[4] == 5 && index[5] == 1 && isnan(found[5]));
    assert_int_equal(th_retrieve_best(query, image, 6, 2, 7, index, found, &err), TH_EUSAGE);
    assert_non_null(strstr(err.what, "best 7 of 6 images"));
    assert_int_equal(th_retrieve_best(query, image, 6, 2, 0, index, found, &err), TH_EUSAGE);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recall_is_the_plain_count),       cmocka_unit_test(nobody_asks),
        cmocka_unit_test(a_collapsed_model_scores_chance), cmocka_unit_test(nan_is_never_right),
        cmocka_unit_test(threads_change_nothing),          cmocka_unit_test(the_best_come_first),
    };
    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
}
