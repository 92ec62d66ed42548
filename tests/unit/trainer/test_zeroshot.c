/* tests/unit/trainer/test_zeroshot.c - classes from prompts and places of pictures, beside a twin
 * in double that sorts. */
#include "tests/test.h"

#include "base/philox.h"
#include "trainer/loss/zeroshot.h"

#define PICTURES 400
#define CLASSES  12
#define D        7

static double random_step(th_rng *rng) // quarters: dot products are exact, and ties abound
{
    return (double)th_rng_below(rng, 9) / 4 - 1;
}

static void class_is_the_normalised_mean_of_its_prompts(void **state)
{
    static const int64_t first[] = { 0, 1, 4, 9 };
    th_real              prompt[9 * D], got[3 * D];
    th_rng               rng;

    (void)state;
    th_rng_init(&rng, 3, TH_FOR_TEST, 1, 1);
    for (int i = 0; i < 9 * D; i++)
        prompt[i] = (th_real)random_step(&rng);
    th_zeroshot_classes(prompt, first, 3, D, got);
    for (int c = 0; c < 3; c++) {
        double mean[D] = { 0 }, square = 0;
        for (int64_t p = first[c]; p < first[c + 1]; p++)
            for (int j = 0; j < D; j++)
                mean[j] += (double)prompt[p * D + j] / (double)(first[c + 1] - first[c]);
        for (int j = 0; j < D; j++)
            square += mean[j] * mean[j];
        for (int j = 0; j < D; j++) // two roundings to float
            th_assert_close((double)got[c * D + j], mean[j] / sqrt(square), 1.5e-7);
    }
}

static void prompts_that_cancel_out_leave_zeros(void **state)
{
    static const int64_t first[] = { 0, 2 };
    const th_real        prompt[] = { 1, 0, -1, 0 };
    th_real              got[2];

    (void)state;
    th_zeroshot_classes(prompt, first, 1, 2, got);
    th_assert_close((double)got[0], 0, 0);
    th_assert_close((double)got[1], 0, 0);
}

static int down(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

// Place of a class in the sorted similarities, in the middle of those that are equal, rounded up.
static int place_by_sorting(const th_real *image, int label, const th_real *class_)
{
    double all[CLASSES], own = 0;
    int    at = 0, equal = 0;

    for (int c = 0; c < CLASSES; c++) {
        all[c] = 0;
        for (int j = 0; j < D; j++)
            all[c] += (double)image[j] * (double)class_[c * D + j];
    }
    own = all[label];
    qsort(all, CLASSES, sizeof *all, down);
    while (all[at] != own)
        at++;
    while (at + equal < CLASSES && all[at + equal] == own)
        equal++;
    return at + 1 + equal / 2; // `equal` counts the class itself
}

static void places_match_a_sort(void **state)
{
    static th_real    image[PICTURES * D], class_[CLASSES * D];
    static int32_t    label[PICTURES];
    th_zeroshot_count count[CLASSES], want[CLASSES] = { 0 };
    th_zeroshot       all;
    th_rng            rng;
    th_err            err = { 0 };
    double            seen = 0, top1 = 0, top5 = 0, recall = 0;

    (void)state;
    th_rng_init(&rng, 4, TH_FOR_TEST, 1, 1);
    for (int i = 0; i < CLASSES * D; i++)
        class_[i] = (th_real)random_step(&rng);
    for (int i = 0; i < PICTURES; i++) {
        label[i] = (int32_t)th_rng_below(&rng, CLASSES) - 1; // the last class has no picture
        for (int j = 0; j < D; j++)
            image[i * D + j] = (th_real)random_step(&rng) +
                               (label[i] >= 0 && i % 3 ? class_[label[i] * D + j] : 0);
        if (label[i] < 0)
            continue;
        int place = place_by_sorting(image + (size_t)i * D, label[i], class_);
        want[label[i]].pictures++;
        want[label[i]].top1 += place <= 1;
        want[label[i]].top5 += place <= 5;
    }
    th_assert_ok(th_zeroshot_place(image, label, PICTURES, class_, CLASSES, D, count, &all, &err),
                 &err);
    for (int c = 0; c < CLASSES; c++) {
        assert_int_equal(count[c].pictures, want[c].pictures);
        assert_int_equal(count[c].top1, want[c].top1);
        assert_int_equal(count[c].top5, want[c].top5);
        seen += (double)want[c].pictures;
        top1 += (double)want[c].top1;
        top5 += (double)want[c].top5;
        if (c < CLASSES - 1)
            recall += (double)want[c].top1 / (double)want[c].pictures / (CLASSES - 1);
    }
    assert_int_equal(want[CLASSES - 1].pictures, 0);
    assert_int_equal(all.pictures, (int64_t)seen);
    assert_true(top1 > 0 && top1 < seen && top5 > top1);
    th_assert_close(all.top1, top1 / seen, 1e-12);
    th_assert_close(all.top5, top5 / seen, 1e-12);
    th_assert_close(all.mean_recall, recall, 1e-12);
}

static void a_collapsed_model_is_not_right(void **state)
{
    static const int32_t label[] = { 0, 3, 11 };
    th_real              image[3 * D] = { 0 }, class_[CLASSES * D] = { 0 };
    th_zeroshot_count    count[CLASSES];
    th_zeroshot          all;
    th_err               err = { 0 };

    (void)state;
    th_assert_ok(th_zeroshot_place(image, label, 3, class_, CLASSES, D, count, &all, &err), &err);
    th_assert_close(all.top1, 0, 0);
    th_assert_close(all.top5, 0, 0); // in the middle of twelve
    for (int j = 0; j < 3 * D; j++)
        image[j] = (th_real)NAN;
    th_assert_ok(th_zeroshot_place(image, label, 3, class_, CLASSES, D, count, &all, &err), &err);
    th_assert_close(all.top5, 0, 0);
}

static void no_label_is_an_error(void **state)
{
    static const int32_t label[] = { -1, -1 };
    th_real              image[2 * D] = { 0 }, class_[CLASSES * D] = { 0 };
    th_zeroshot_count    count[CLASSES];
    th_zeroshot          all;
    th_err               err = { 0 };

    (void)state;
    th_assert_error(th_zeroshot_place(image, label, 2, class_, CLASSES, D, count, &all, &err),
                    TH_EDATA, &err, "none of 2 pictures");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(class_is_the_normalised_mean_of_its_prompts),
        cmocka_unit_test(prompts_that_cancel_out_leave_zeros),
        cmocka_unit_test(places_match_a_sort),
        cmocka_unit_test(a_collapsed_model_is_not_right),
        cmocka_unit_test(no_label_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
