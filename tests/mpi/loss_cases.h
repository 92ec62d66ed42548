/* tests/mpi/loss_cases.h - both losses, with and without a mask, beside their formulas, for both
 * precisions.
 *
 * The reference forms the whole B x B matrix in double, from the same (rounded) features, and
 * compares each caption with each other. */
#ifndef TH_TESTS_MPI_LOSS_CASES_H
#define TH_TESTS_MPI_LOSS_CASES_H

#include "mpi_test.h"

#include "base/philox.h"
#include "base/slice.h"
#include "trainer/loss/contrastive.h"
#include "trainer/loss/duplicates.h"
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

// First temperatures of both losses.
static const struct way {
    const char  *name;
    th_loss_kind kind;
    bool         mask;
    double       logit_scale, logit_bias;
} ways[] = {
    { "softmax", TH_SOFTMAX_LOSS, false, 2.6592600369, 0 }, // ln(1 / 0.07)
    { "masked softmax", TH_SOFTMAX_LOSS, true, 2.6592600369, 0 },
    { "sigmoid", TH_SIGMOID_LOSS, false, 2.30258509299, -10 },
    { "masked sigmoid", TH_SIGMOID_LOSS, true, 2.30258509299, -10 },
    { "sigmoid far on", TH_SIGMOID_LOSS, false, 4.0, 3.5 },
};
#define WAYS (int)(sizeof ways / sizeof *ways)

struct problem {
    const struct way *way;
    int64_t           B, d, K;
    th_real           logit_scale, logit_bias;
    th_real          *image, *text;     // [B, d], [B, K, d]
    uint64_t         *key;              // [B, K]
    double           *d_image, *d_text; // the reference's gradients, of all rows
    double            loss, d_logit_scale, d_logit_bias;
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

// Captions come in kinds, every third or so a duplicate of another; the last token is the
// pairing's, so that kinds differ from one pairing to the next.
static void caption_keys(struct problem *p)
{
    for (int64_t i = 0; i < p->B * p->K; i++) {
        int64_t sample = i / p->K, k = i % p->K;
        int32_t tokens[] = { 1, (int32_t)(sample * (k + 5) % (2 * p->B / 3 + 1)), (int32_t)k };
        p->key[i] = th_caption_key(tokens, 3);
    }
}

static struct problem problem_open(const struct way *way, int64_t B, int64_t d, int64_t K)
{
    struct problem p = { .way = way,
                         .B = B,
                         .d = d,
                         .K = K,
                         .logit_scale = (th_real)way->logit_scale,
                         .logit_bias = (th_real)way->logit_bias };

    p.image = zeros((size_t)(B * d), sizeof *p.image);
    p.text = zeros((size_t)(B * K * d), sizeof *p.text);
    p.d_image = zeros((size_t)(B * d), sizeof *p.d_image);
    p.d_text = zeros((size_t)(B * K * d), sizeof *p.d_text);
    p.key = zeros((size_t)(B * K), sizeof *p.key);
    random_rows(p.image, B, d, 1);
    random_rows(p.text, B * K, d, 2);
    caption_keys(&p);
    return p;
}

static void problem_close(struct problem *p)
{
    free(p->image);
    free(p->text);
    free(p->key);
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

// Is the pair of image i and caption k of sample j out of the sums?
static bool masked(const struct problem *p, int64_t i, int64_t j, int64_t k)
{
    return p->way->mask && i != j && p->key[i * p->K + k] == p->key[j * p->K + k];
}

// log sum_j exp(x[j * step]); what is masked has x = -INFINITY.
static double log_sum_exp(const double *x, int64_t count, int64_t step)
{
    double most = -INFINITY, sum = 0;

    for (int64_t j = 0; j < count; j++)
        most = fmax(most, x[j * step]);
    for (int64_t j = 0; j < count; j++)
        sum += exp(x[j * step] - most);
    return most + log(sum);
}

// log(1 + exp(x)), where it would overflow too.
static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

// Losses of one pairing, times B K, and their derivatives g by the logits x.
static double softmax_pairing(const double *x, int64_t B, double *g)
{
    double *row = zeros((size_t)B, sizeof *row), *column = zeros((size_t)B, sizeof *column);
    double  loss = 0;

    for (int64_t i = 0; i < B; i++) {
        row[i] = log_sum_exp(x + i * B, B, 1);
        column[i] = log_sum_exp(x + i, B, B);
        loss += (row[i] + column[i]) / 2 - x[i * B + i];
    }
    for (int64_t i = 0; i < B; i++)
        for (int64_t j = 0; j < B; j++)
            g[i * B + j] =
                (exp(x[i * B + j] - row[i]) + exp(x[i * B + j] - column[j])) / 2 - (i == j ? 1 : 0);
    free(row);
    free(column);
    return loss;
}

static double sigmoid_pairing(const double *x, int64_t B, double *g)
{
    double loss = 0;

    for (int64_t i = 0; i < B; i++)
        for (int64_t j = 0; j < B; j++) {
            double z = i == j ? 1 : -1, at = x[i * B + j];
            loss += softplus(-z * at);
            g[i * B + j] = -z / (1 + exp(z * at));
        }
    return loss;
}

// One pairing of the images with caption k of every sample, as the formula says it.
static void reference_pairing(struct problem *p, int64_t k)
{
    int64_t B = p->B, d = p->d, K = p->K;
    double  s = exp((double)p->logit_scale), pairings = (double)(B * K);
    double *x = zeros((size_t)(B * B), sizeof *x), *g = zeros((size_t)(B * B), sizeof *g);

    for (int64_t i = 0; i < B; i++)
        for (int64_t j = 0; j < B; j++) {
            double at = s * dot_of(p->image + i * d, p->text + (j * K + k) * d, d);
            x[i * B + j] = masked(p, i, j, k) ? -INFINITY : at + (double)p->logit_bias;
        }
    p->loss +=
        (p->way->kind == TH_SIGMOID_LOSS ? sigmoid_pairing(x, B, g) : softmax_pairing(x, B, g)) /
        pairings;
    for (int64_t i = 0; i < B; i++) {
        for (int64_t j = 0; j < B; j++) {
            double slope = g[i * B + j] / pairings, at = x[i * B + j] - (double)p->logit_bias;
            if (masked(p, i, j, k))
                continue;
            p->d_logit_scale += slope * at;
            p->d_logit_bias += slope;
            for (int64_t c = 0; c < d; c++) {
                p->d_image[i * d + c] += slope * s * (double)p->text[(j * K + k) * d + c];
                p->d_text[(j * K + k) * d + c] += slope * s * (double)p->image[i * d + c];
            }
        }
    }
    free(x);
    free(g);
}

static void reference(struct problem *p)
{
    p->loss = p->d_logit_scale = p->d_logit_bias = 0;
    memset(p->d_image, 0, (size_t)(p->B * p->d) * sizeof *p->d_image);
    memset(p->d_text, 0, (size_t)(p->B * p->K * p->d) * sizeof *p->d_text);
    for (int64_t k = 0; k < p->K; k++)
        reference_pairing(p, k);
}

struct result {
    th_contrastive_output out;
    int64_t               first, count;
};

// The problem as the loss takes it: softmax all rows, sigmoid those of this rank.
static th_contrastive_input input_of(const th_world *world, const struct problem *p, bool backward)
{
    bool    sigmoid = p->way->kind == TH_SIGMOID_LOSS;
    int64_t first = sigmoid ? th_slice_first(p->B, world->size, world->rank) : 0;

    return (th_contrastive_input){ .kind = p->way->kind,
                                   .B = p->B,
                                   .d = p->d,
                                   .K = p->K,
                                   .backward = backward,
                                   .mask_duplicates = p->way->mask,
                                   .image = p->image + first * p->d,
                                   .text = p->text + first * p->K * p->d,
                                   .key = p->way->mask ? p->key + first * p->K : NULL,
                                   .logit_scale = p->logit_scale,
                                   .logit_bias = p->logit_bias };
}

// Runs the loss with exactly the memory that it plans. The gradients start as NaN: overwritten.
static struct result run_sides(th_world *world, const struct problem *p, bool image, bool text)
{
    th_err               err = { 0 };
    th_arena             arena = { 0 };
    struct result        result = { .first = th_slice_first(p->B, world->size, world->rank),
                                    .count = th_slice_count(p->B, world->size, world->rank) };
    th_contrastive_input in = input_of(world, p, image || text);
    size_t               images = (size_t)(result.count * p->d), texts = images * (size_t)p->K;

    if (image)
        result.out.d_image = zeros(images, sizeof(th_real));
    if (text)
        result.out.d_text = zeros(texts, sizeof(th_real));
    for (size_t i = 0; image && i < images; i++)
        result.out.d_image[i] = NAN;
    for (size_t i = 0; text && i < texts; i++)
        result.out.d_text[i] = NAN;
    size_t bytes = th_contrastive_bytes(world, &in);
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
    int64_t     d = p->d, K = p->K;
    const char *name = p->way->name;

    close_to(result->out.loss, p->loss, LOSS_TOLERANCE * p->loss, name);
    close_to(result->out.d_logit_scale, p->d_logit_scale, TOLERANCE * fabs(p->d_logit_scale), name);
    close_to(result->out.d_logit_bias, p->d_logit_bias, TOLERANCE * fabs(p->d_logit_bias), name);
    rows_close(result->out.d_image, p->d_image + result->first * d, result->count * d,
               norm_of(p->d_image, p->B * d), name);
    rows_close(result->out.d_text, p->d_text + result->first * K * d, result->count * K * d,
               norm_of(p->d_text, p->B * K * d), name);
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

static void is_the_formula(const struct way *way, int64_t B, int64_t K)
{
    struct problem p = problem_open(way, B, 24, K);
    struct result  result = run(&th_mpi_world, &p);

    reference(&p);
    p.d_logit_bias *= way->kind == TH_SIGMOID_LOSS; // softmax has none: g adds up to 0
    if (B == 1 && way->kind == TH_SOFTMAX_LOSS)     // one pair: all is 0, and so is the tolerance
        p.loss = p.d_logit_scale = 0;
    check(&p, &result);
    same_everywhere(&th_mpi_world, result.out.loss);
    same_everywhere(&th_mpi_world, result.out.d_logit_scale);
    same_everywhere(&th_mpi_world, result.out.d_logit_bias);
    result_close(&result);
    problem_close(&p);
}

static void loss_and_gradients_are_the_formula(void **state)
{
    (void)state;
    for (int w = 0; w < WAYS; w++)
        for (int i = 0; i < BATCHES; i++)
            for (int64_t K = 1; K <= 3; K += 2)
                is_the_formula(&ways[w], batches[i], K);
}

// More samples than one tile a side in every part, at the width that matters.
static void tiles_add_up(void **state)
{
    (void)state;
    is_the_formula(&ways[0], 1100, 1);
    is_the_formula(&ways[3], 1100, 1);
}

// The run that has all ranks, and each rank alone with the whole batch.
static void world_size_does_not_change_the_loss(void **state)
{
    (void)state;
    for (int i = 0; i < BATCHES * WAYS; i++) {
        struct problem p = problem_open(&ways[i / BATCHES], batches[i % BATCHES], 24, 3);
        th_world       alone = { .rank = 0, .size = 1 };
        struct result  shared = run(&th_mpi_world, &p), whole = run(&alone, &p);
        close_to(shared.out.loss, whole.out.loss, 1e-6 * whole.out.loss, p.way->name);
        result_close(&shared);
        result_close(&whole);
        problem_close(&p);
    }
}

static void threads_do_not_change(const struct way *way)
{
    struct problem p = problem_open(way, 193, 24, 3);
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
        assert_true(result.out.d_logit_bias == one.out.d_logit_bias);
        assert_memory_equal(result.out.d_image, one.out.d_image, images);
        assert_memory_equal(result.out.d_text, one.out.d_text, images * (size_t)p.K);
        result_close(&result);
    }
    result_close(&one);
    omp_set_num_threads(before);
    problem_close(&p);
}

static void thread_count_does_not_change_a_bit(void **state)
{
    (void)state;
    threads_do_not_change(&ways[1]);
    threads_do_not_change(&ways[3]);
}

// What a frozen tower does not ask for changes nothing in what the other one gets.
static void leave_sides_out(const struct way *way)
{
    struct problem p = problem_open(way, 64, 24, 3);
    struct result  both = run(&th_mpi_world, &p), image = run_sides(&th_mpi_world, &p, true, false);
    struct result  text = run_sides(&th_mpi_world, &p, false, true);
    struct result  none = run_sides(&th_mpi_world, &p, false, false);
    size_t         images = (size_t)(both.count * p.d) * sizeof(th_real);

    assert_memory_equal(image.out.d_image, both.out.d_image, images);
    assert_memory_equal(text.out.d_text, both.out.d_text, images * (size_t)p.K);
    assert_true(image.out.loss == both.out.loss && text.out.loss == both.out.loss);
    assert_true(none.out.loss == both.out.loss);
    assert_true(image.out.d_logit_bias == both.out.d_logit_bias);
    close_to(text.out.d_logit_scale, image.out.d_logit_scale,
             TOLERANCE * fabs(both.out.d_logit_scale), "d_logit_scale");
    result_close(&both);
    result_close(&image);
    result_close(&text);
    result_close(&none);
    problem_close(&p);
}

static void a_side_can_be_left_out(void **state)
{
    (void)state;
    for (int w = 0; w < WAYS; w++)
        leave_sides_out(&ways[w]);
}

// All similarities are the same: loss = log B, and the gradients vanish. A row has length 1 to
// 1e-7 only, so 100 times a difference of such similarities is what may remain.
static void identical_features_at_the_scale_limit(void **state)
{
    (void)state;
    struct problem p = problem_open(&ways[0], 193, 24, 1);

    p.logit_scale = (th_real)log(100.0);
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
// The sigmoid's pairs lie from -110 to 90, where its exponentials are 0 or infinite.
static void far_below_the_largest_similarity(const struct way *way)
{
    struct problem p = problem_open(way, 7, 24, 1);

    p.logit_scale = (th_real)log(100.0);
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
    p.d_logit_bias *= way->kind == TH_SIGMOID_LOSS;
    struct result result = run(&th_mpi_world, &p);
    check(&p, &result);
    result_close(&result);
    problem_close(&p);
}

static void far_below_the_largest_similarity_is_exact(void **state)
{
    (void)state;
    for (int w = 0; w < WAYS; w++)
        far_below_the_largest_similarity(&ways[w]);
}

// Everyone has the same caption, so nobody is anybody's negative: softmax has nothing left to tell
// apart, sigmoid its B pairs. A million copies cost no more than their places in the tiles.
static void all_captions_equal(const struct way *way, int64_t B, int64_t K)
{
    struct problem p = problem_open(way, B, 24, K);

    for (int64_t i = 0; i < B * K; i++)
        p.key[i] = 5;
    struct result result = run(&th_mpi_world, &p);
    reference(&p);
    if (way->kind == TH_SIGMOID_LOSS)
        check(&p, &result);
    for (int64_t i = 0; way->kind == TH_SOFTMAX_LOSS && i < result.count * p.d; i++)
        assert_true(result.out.d_image[i] == 0 && result.out.d_text[i] == 0);
    if (way->kind == TH_SOFTMAX_LOSS)
        assert_true(result.out.loss == 0 && result.out.d_logit_scale == 0);
    result_close(&result);
    problem_close(&p);
}

static void equal_captions_leave_only_the_pairs(void **state)
{
    (void)state;
    for (int w = 1; w <= 3; w += 2) {
        all_captions_equal(&ways[w], 193, 1);
        all_captions_equal(&ways[w], 64, 3);
    }
}

// With a mask and no two captions equal, every bit is that of the loss without one.
static void a_mask_without_duplicates_changes_no_bit(void **state)
{
    (void)state;
    for (int w = 0; w <= 2; w += 2) {
        struct problem plain = problem_open(&ways[w], 193, 24, 3);
        struct problem masks = problem_open(&ways[w + 1], 193, 24, 3);
        for (int64_t i = 0; i < masks.B * masks.K; i++)
            masks.key[i] = (uint64_t)i / 3 * 0x9e3779b97f4a7c15u; // equal within a sample only
        struct result one = run(&th_mpi_world, &plain), other = run(&th_mpi_world, &masks);
        size_t        images = (size_t)(one.count * plain.d) * sizeof(th_real);
        assert_true(one.out.loss == other.out.loss);
        assert_memory_equal(one.out.d_image, other.out.d_image, images);
        assert_memory_equal(one.out.d_text, other.out.d_text, images * 3);
        result_close(&one);
        result_close(&other);
        problem_close(&plain);
        problem_close(&masks);
    }
}

// Of softmax the loss tells; of sigmoid, where a logit of -INFINITY is a pair without loss, the
// loss or a gradient of some rank.
static void what_is_not_finite_reaches_all_ranks(void **state)
{
    (void)state;
    const double bad[] = { NAN, INFINITY, -INFINITY };

    for (int i = 0; i < 6 * WAYS; i++) {
        struct problem p = problem_open(&ways[i / 6], 7, 24, 1);
        th_err         err = { 0 };
        (i % 2 ? p.image : p.text)[p.B * p.d - 1] = (th_real)bad[i % 6 / 2];
        struct result result = run(&th_mpi_world, &p);
        double        sum = result.out.loss;
        for (int64_t j = 0; p.way->kind == TH_SIGMOID_LOSS && j < result.count * p.d; j++)
            sum += (double)result.out.d_image[j] + (double)result.out.d_text[j];
        th_assert_ok(th_world_sum(&th_mpi_world, &sum, 1, &err), &err);
        assert_false(isfinite(sum));
        result_close(&result);
        problem_close(&p);
    }
}

static void a_small_arena_fails_on_all_ranks(void **state)
{
    (void)state;
    for (int w = 0; w < WAYS; w++) {
        th_world             *world = &th_mpi_world;
        struct problem        p = problem_open(&ways[w], 64, 24, 1);
        th_arena              arena = { 0 };
        th_err                err = { 0 };
        th_contrastive_output out = { 0 };
        th_contrastive_input  in = input_of(world, &p, false);
        size_t                bytes = th_contrastive_bytes(world, &in);

        // Only the last rank has too little: the others must not wait for it.
        th_assert_ok(th_arena_open(&arena, world->rank + 1 < world->size ? bytes : 64, &err), &err);
        assert_int_equal(th_contrastive(world, &in, &arena, &out, &err), TH_EIO);
        assert_non_null(strstr(err.what, "arena is full"));
        th_arena_close(&arena);
        problem_close(&p);
    }
}

// Those of both precisions.
#define LOSS_CASES                                                                                 \
    cmocka_unit_test(loss_and_gradients_are_the_formula), cmocka_unit_test(tiles_add_up),          \
        cmocka_unit_test(world_size_does_not_change_the_loss),                                     \
        cmocka_unit_test(thread_count_does_not_change_a_bit),                                      \
        cmocka_unit_test(a_side_can_be_left_out),                                                  \
        cmocka_unit_test(identical_features_at_the_scale_limit),                                   \
        cmocka_unit_test(far_below_the_largest_similarity_is_exact),                               \
        cmocka_unit_test(equal_captions_leave_only_the_pairs),                                     \
        cmocka_unit_test(a_mask_without_duplicates_changes_no_bit),                                \
        cmocka_unit_test(what_is_not_finite_reaches_all_ranks),                                    \
        cmocka_unit_test(a_small_arena_fails_on_all_ranks)

#endif
