/* tests/mpi/loss_cases.h - the contrastive loss beside its formula, for both precisions.
 *
 * The reference forms the whole B x B matrix in double, from the same (rounded) features. */
#ifndef TH_TESTS_MPI_LOSS_CASES_H
#define TH_TESTS_MPI_LOSS_CASES_H

#include "mpi_test.h"

#include "base/philox.h"
#include "base/slice.h"
#include "trainer/loss/contrastive.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>

// Gradients are compared by the norm of the difference over the norm. In float the features' dot
// products carry about 1e-7, the scale of 14 makes that 1e-6, softmax and sums keep it.
#ifdef TH_DOUBLE
#define TOLERANCE      1e-12
#define LOSS_TOLERANCE 1e-13
#else
#define TOLERANCE      1e-5
#define LOSS_TOLERANCE 1e-6
#endif

struct problem {
    int64_t  B, d, K;
    double   logit_scale;
    th_real *image, *text;     // [B, d], [B, K, d]
    double  *d_image, *d_text; // the reference's gradients, of all rows
    double   loss, d_logit_scale;
};

static void *zeros(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    assert_non_null(memory);
    return memory;
}

static void close_to(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: got %.17g, want %.17g, off by %.3g, allowed %.3g", what, got, want,
                 fabs(got - want), tolerance);
}

// Unit rows, with a common part so that similarities are those of a model and not of noise.
static void random_rows(th_real *rows, int64_t count, int64_t d, uint64_t stream)
{
    th_rng rng;

    th_rng_init(&rng, 7, TH_FOR_TEST, 0, stream);
    for (int64_t i = 0; i < count; i++) {
        double square = 0;
        double row[1024];
        for (int64_t j = 0; j < d; j++) {
            row[j] = th_rng_normal(&rng) + (j == 0 ? 1.5 : 0);
            square += row[j] * row[j];
        }
        for (int64_t j = 0; j < d; j++)
            rows[i * d + j] = (th_real)(row[j] / sqrt(square));
    }
}

static struct problem problem_open(int64_t B, int64_t d, int64_t K, double logit_scale)
{
    struct problem p = { .B = B, .d = d, .K = K, .logit_scale = (double)(th_real)logit_scale };

    p.image = zeros((size_t)(B * d), sizeof *p.image);
    p.text = zeros((size_t)(B * K * d), sizeof *p.text);
    p.d_image = zeros((size_t)(B * d), sizeof *p.d_image);
    p.d_text = zeros((size_t)(B * K * d), sizeof *p.d_text);
    random_rows(p.image, B, d, 1);
    random_rows(p.text, B * K, d, 2);
    return p;
}

static void problem_close(struct problem *p)
{
    free(p->image);
    free(p->text);
    free(p->d_image);
    free(p->d_text);
}

static double dot_of(const th_real *a, const th_real *b, int64_t d)
{
    double sum = 0;

    for (int64_t j = 0; j < d; j++)
        sum += (double)a[j] * (double)b[j];
    return sum;
}

// log sum_j exp(x[j * step]).
static double log_sum_exp(const double *x, int64_t count, int64_t step)
{
    double most = -INFINITY, sum = 0;

    for (int64_t j = 0; j < count; j++)
        most = fmax(most, x[j * step]);
    for (int64_t j = 0; j < count; j++)
        sum += exp(x[j * step] - most);
    return most + log(sum);
}

// One pairing of the images with caption k of every sample, as the formula says it.
static void reference_pairing(struct problem *p, int64_t k)
{
    int64_t B = p->B, d = p->d, K = p->K;
    double  s = exp(p->logit_scale), *x = zeros((size_t)(B * B), sizeof *x);
    double *row = zeros((size_t)B, sizeof *row), *column = zeros((size_t)B, sizeof *column);

    for (int64_t i = 0; i < B; i++)
        for (int64_t j = 0; j < B; j++)
            x[i * B + j] = s * dot_of(p->image + i * d, p->text + (j * K + k) * d, d);
    for (int64_t i = 0; i < B; i++) {
        row[i] = log_sum_exp(x + i * B, B, 1);
        column[i] = log_sum_exp(x + i, B, B);
        p->loss += (row[i] + column[i] - 2 * x[i * B + i]) / (double)(2 * B * K);
    }
    for (int64_t i = 0; i < B; i++) {
        for (int64_t j = 0; j < B; j++) {
            double at = x[i * B + j];
            double g = exp(at - row[i]) + exp(at - column[j]) - (i == j ? 2 : 0);
            g /= (double)(2 * B * K);
            p->d_logit_scale += g * at;
            for (int64_t c = 0; c < d; c++) {
                p->d_image[i * d + c] += g * s * (double)p->text[(j * K + k) * d + c];
                p->d_text[(j * K + k) * d + c] += g * s * (double)p->image[i * d + c];
            }
        }
    }
    free(x);
    free(row);
    free(column);
}

static void reference(struct problem *p)
{
    p->loss = p->d_logit_scale = 0;
    memset(p->d_image, 0, (size_t)(p->B * p->d) * sizeof *p->d_image);
    memset(p->d_text, 0, (size_t)(p->B * p->K * p->d) * sizeof *p->d_text);
    for (int64_t k = 0; k < p->K; k++)
        reference_pairing(p, k);
}

struct result {
    th_contrastive_output out;
    int64_t               first, count;
};

// Runs the loss with exactly the memory that it plans. The gradients start as NaN: overwritten.
static struct result run_sides(th_world *world, const struct problem *p, bool image, bool text)
{
    th_err               err = { 0 };
    th_arena             arena = { 0 };
    struct result        result = { .first = th_slice_first(p->B, world->size, world->rank),
                                    .count = th_slice_count(p->B, world->size, world->rank) };
    th_contrastive_input in = { .B = p->B,
                                .d = p->d,
                                .K = p->K,
                                .image = p->image,
                                .text = p->text,
                                .logit_scale = (th_real)p->logit_scale,
                                .backward = image || text };
    size_t               images = (size_t)(result.count * p->d), texts = images * (size_t)p->K;

    if (image)
        result.out.d_image = zeros(images, sizeof(th_real));
    if (text)
        result.out.d_text = zeros(texts, sizeof(th_real));
    for (size_t i = 0; image && i < images; i++)
        result.out.d_image[i] = NAN;
    for (size_t i = 0; text && i < texts; i++)
        result.out.d_text[i] = NAN;
    size_t bytes = th_contrastive_bytes(world, p->B, p->d, p->K, in.backward);
    th_assert_ok(th_arena_open(&arena, bytes, &err), &err);
    th_assert_ok(th_contrastive(world, &in, &arena, &result.out, &err), &err);
    assert_int_equal(arena.used_bytes, 0);
    th_arena_close(&arena);
    return result;
}

static struct result run(th_world *world, const struct problem *p)
{
    return run_sides(world, p, true, true);
}

static void result_close(struct result *result)
{
    free(result->out.d_image);
    free(result->out.d_text);
}

// |got - want| <= tolerance |want|, with norms over the rows of this rank.
static void rows_close(const th_real *got, const double *want, int64_t count, double whole_norm,
                       const char *what)
{
    double off = 0;

    for (int64_t i = 0; i < count; i++)
        off += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
    close_to(sqrt(off), 0, TOLERANCE * whole_norm, what);
}

static double norm_of(const double *values, int64_t count)
{
    double square = 0;

    for (int64_t i = 0; i < count; i++)
        square += values[i] * values[i];
    return sqrt(square);
}

static void check(const struct problem *p, const struct result *result)
{
    int64_t d = p->d, K = p->K;

    close_to(result->out.loss, p->loss, LOSS_TOLERANCE * p->loss, "loss");
    close_to(result->out.d_logit_scale, p->d_logit_scale, TOLERANCE * fabs(p->d_logit_scale),
             "d_logit_scale");
    rows_close(result->out.d_image, p->d_image + result->first * d, result->count * d,
               norm_of(p->d_image, p->B * d), "d_image");
    rows_close(result->out.d_text, p->d_text + result->first * K * d, result->count * K * d,
               norm_of(p->d_text, p->B * K * d), "d_text");
}

// The same bits on all ranks: the largest of x and of -x are the same number.
static void same_everywhere(th_world *world, double value)
{
    th_err err = { 0 };
    double both[2] = { value, -value };

    th_assert_ok(th_world_max(world, both, 2, &err), &err);
    assert_true(both[0] == value && both[1] == -value);
}

static const int64_t batches[] = { 1, 2, 3, 5, 7, 64, 193 };
#define BATCHES (int)(sizeof batches / sizeof *batches)

static void loss_and_gradients_are_the_formula(void **state)
{
    (void)state;
    for (int i = 0; i < BATCHES; i++) {
        for (int64_t K = 1; K <= 3; K += 2) {
            struct problem p = problem_open(batches[i], 24, K, 2.6592600369); // ln(1 / 0.07)
            reference(&p);
            if (batches[i] == 1) // one pair: loss and gradients are 0, and so is the tolerance
                p.loss = p.d_logit_scale = 0;
            struct result result = run(&th_mpi_world, &p);
            check(&p, &result);
            same_everywhere(&th_mpi_world, result.out.loss);
            same_everywhere(&th_mpi_world, result.out.d_logit_scale);
            result_close(&result);
            problem_close(&p);
        }
    }
}

// More samples than one tile a side in every part, at the width that matters.
static void tiles_add_up(void **state)
{
    (void)state;
    struct problem p = problem_open(1100, 64, 1, 2.6592600369);

    reference(&p);
    struct result result = run(&th_mpi_world, &p);
    check(&p, &result);
    result_close(&result);
    problem_close(&p);
}

// The run that has all ranks, and each rank alone with the whole batch.
static void world_size_does_not_change_the_loss(void **state)
{
    (void)state;
    for (int i = 0; i < BATCHES; i++) {
        struct problem p = problem_open(batches[i], 24, 3, 2.6592600369);
        th_world       alone = { .rank = 0, .size = 1 };
        struct result  shared = run(&th_mpi_world, &p), whole = run(&alone, &p);
        close_to(shared.out.loss, whole.out.loss, 1e-6 * whole.out.loss, "loss");
        result_close(&shared);
        result_close(&whole);
        problem_close(&p);
    }
}

static void thread_count_does_not_change_a_bit(void **state)
{
    (void)state;
    struct problem p = problem_open(193, 24, 3, 2.6592600369);
    struct result  one = { 0 };
    int            before = omp_get_max_threads();

    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        struct result result = run(&th_mpi_world, &p);
        if (threads == 1) {
            one = result;
            continue;
        }
        size_t images = (size_t)(result.count * p.d) * sizeof(th_real);
        assert_true(result.out.loss == one.out.loss);
        assert_true(result.out.d_logit_scale == one.out.d_logit_scale);
        assert_memory_equal(result.out.d_image, one.out.d_image, images);
        assert_memory_equal(result.out.d_text, one.out.d_text, images * (size_t)p.K);
        result_close(&result);
    }
    result_close(&one);
    omp_set_num_threads(before);
    problem_close(&p);
}

// What a frozen tower does not ask for changes nothing in what the other one gets.
static void a_side_can_be_left_out(void **state)
{
    (void)state;
    struct problem p = problem_open(64, 24, 3, 2.6592600369);
    struct result  both = run(&th_mpi_world, &p), image = run_sides(&th_mpi_world, &p, true, false);
    struct result  text = run_sides(&th_mpi_world, &p, false, true);
    struct result  none = run_sides(&th_mpi_world, &p, false, false);
    size_t         images = (size_t)(both.count * p.d) * sizeof(th_real);

    assert_memory_equal(image.out.d_image, both.out.d_image, images);
    assert_memory_equal(text.out.d_text, both.out.d_text, images * (size_t)p.K);
    assert_true(image.out.loss == both.out.loss && text.out.loss == both.out.loss);
    assert_true(none.out.loss == both.out.loss);
    close_to(text.out.d_logit_scale, image.out.d_logit_scale,
             TOLERANCE * fabs(both.out.d_logit_scale), "d_logit_scale");
    result_close(&both);
    result_close(&image);
    result_close(&text);
    result_close(&none);
    problem_close(&p);
}

// All similarities are the same: loss = log B, and the gradients vanish. A row has length 1 to
// 1e-7 only, so 100 times a difference of such similarities is what may remain.
static void identical_features_at_the_scale_limit(void **state)
{
    (void)state;
    struct problem p = problem_open(193, 24, 1, log(100.0));

    for (int64_t i = 0; i < p.B; i++) {
        memcpy(p.image + i * p.d, p.image, (size_t)p.d * sizeof *p.image);
        memcpy(p.text + i * p.d, p.image, (size_t)p.d * sizeof *p.image);
    }
    struct result result = run(&th_mpi_world, &p);
    close_to(result.out.loss, log(193.0), 100 * LOSS_TOLERANCE, "loss");
    close_to(result.out.d_logit_scale, 0, 100 * TOLERANCE, "d_logit_scale");
    for (int64_t i = 0; i < result.count * p.d; i++)
        close_to((double)result.out.d_image[i], 0, 100 * TOLERANCE / 193, "d_image");
    result_close(&result);
    problem_close(&p);
}

// One image and one caption are the same, everything else is at a right angle to them: at scale 100
// the other rows' maxima are 100 below, where a softmax taken from the tile's maximum underflows.
static void far_below_the_largest_similarity_is_exact(void **state)
{
    (void)state;
    struct problem p = problem_open(7, 24, 1, log(100.0));

    for (int64_t i = 0; i < p.B; i++) {
        th_real *image = p.image + i * p.d, *text = p.text + i * p.d;
        if (i == 3) {
            memset(image, 0, (size_t)p.d * sizeof *image);
            image[0] = 1;
            memcpy(text, image, (size_t)p.d * sizeof *image);
        } else {
            image[0] = text[0] = 0;
            for (int64_t j = 1; j < p.d; j++)
                image[j] *= TH_REAL_C(0.1), text[j] *= TH_REAL_C(0.1);
        }
    }
    reference(&p);
    struct result result = run(&th_mpi_world, &p);
    check(&p, &result);
    result_close(&result);
    problem_close(&p);
}

static void what_is_not_finite_reaches_all_ranks(void **state)
{
    (void)state;
    const double bad[] = { NAN, INFINITY, -INFINITY };

    for (int i = 0; i < 6; i++) {
        struct problem p = problem_open(7, 24, 1, 2.6592600369);
        (i % 2 ? p.image : p.text)[p.B * p.d - 1] = (th_real)bad[i / 2];
        struct result result = run(&th_mpi_world, &p);
        assert_false(isfinite(result.out.loss));
        result_close(&result);
        problem_close(&p);
    }
}

static void a_small_arena_fails_on_all_ranks(void **state)
{
    (void)state;
    th_world             *world = &th_mpi_world;
    struct problem        p = problem_open(64, 24, 1, 2.6592600369);
    th_arena              arena = { 0 };
    th_err                err = { 0 };
    th_contrastive_output out = { 0 };
    th_contrastive_input  in = { p.B, p.d, p.K, p.image, p.text, (th_real)p.logit_scale, false };
    size_t                bytes = th_contrastive_bytes(world, p.B, p.d, p.K, false);

    // Only the last rank has too little: the others must not wait for it.
    th_assert_ok(th_arena_open(&arena, world->rank + 1 < world->size ? bytes : 64, &err), &err);
    assert_int_equal(th_contrastive(world, &in, &arena, &out, &err), TH_EIO);
    assert_non_null(strstr(err.what, "arena is full"));
    th_arena_close(&arena);
    problem_close(&p);
}

#endif
