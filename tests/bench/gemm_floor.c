#include "tests/bench/gemm_floor.h"

#include "tests/bench/report.h"

#include <cblas.h>
#include <omp.h>
#include <stdlib.h>

#define POOL ((int64_t)1 << 26) // elements: 256 MB

typedef struct {
    bool    a_transposed, b_transposed;
    int64_t m, n, k, count;
} product;

struct th_floor {
    product *list;
    int      count, room;
    float   *pool;
};

th_code th_floor_open(th_floor **out, th_err *err)
{
    th_floor *floor = NULL;
    th_code   rc = TH_OK;

    TH_TRY(th_alloc(1, sizeof *floor, "floor", (void **)&floor, err));
    TH_TRY(th_alloc(POOL, sizeof *floor->pool, "floor", (void **)&floor->pool, err));
    for (int64_t i = 0; i < POOL; i++)
        floor->pool[i] = (float)(i % 1001) * 1e-3f - 0.5f; // zeros and denormals have other speeds
    *out = floor;
    floor = NULL;
out:
    th_floor_close(floor);
    return rc;
}

void th_floor_close(th_floor *floor)
{
    if (!floor)
        return;
    free(floor->list);
    free(floor->pool);
    free(floor);
}

th_code th_floor_add(th_floor *floor, bool a_transposed, bool b_transposed, int64_t m, int64_t n,
                     int64_t k, int64_t count, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(m * n + m * k + n * k + 64 <= POOL, TH_EUSAGE, "use a smaller batch",
             "a product of %lld x %lld x %lld is larger than the pool", (long long)m, (long long)n,
             (long long)k);
    if (floor->count == floor->room) {
        int      room = floor->room ? 2 * floor->room : 256;
        product *list = realloc(floor->list, (size_t)room * sizeof *list);
        TH_CHECK(list, TH_EIO, "use a smaller batch", "no memory for %d products", room);
        floor->list = list;
        floor->room = room;
    }
    if (m > 0 && n > 0 && k > 0 && count > 0)
        floor->list[floor->count++] = (product){ a_transposed, b_transposed, m, n, k, count };
out:
    return rc;
}

// y [rows, out] = x [rows, in] W^T, its dx and its dW.
static th_code add_linear(th_floor *floor, int64_t rows, int64_t in, int64_t out, bool needs_dx,
                          th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_floor_add(floor, false, true, rows, out, in, 1, err));
    if (needs_dx)
        TH_TRY(th_floor_add(floor, false, false, rows, in, out, 1, err));
    TH_TRY(th_floor_add(floor, true, false, out, in, rows, 1, err));
out:
    return rc;
}

static th_code add_attention(th_floor *floor, int64_t queries, int64_t keys, int64_t head_dim,
                             int64_t count, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_floor_add(floor, false, true, queries, keys, head_dim, 2 * count, err));  // S, dP
    TH_TRY(th_floor_add(floor, false, false, queries, head_dim, keys, 2 * count, err)); // O, dQ
    TH_TRY(th_floor_add(floor, true, false, keys, head_dim, queries, 2 * count, err));  // dK, dV
out:
    return rc;
}

static th_code add_block(th_floor *floor, int64_t W, int64_t heads, int64_t n,
                         const int64_t *lengths, int64_t same, bool last, th_err *err)
{
    int64_t T = 0, rows;
    th_code rc = TH_OK;

    for (int64_t i = 0; i < n; i++)
        T += lengths ? lengths[i] : same;
    rows = last ? n : T;
    TH_TRY(add_linear(floor, T, W, last ? 2 * W : 3 * W, true, err));
    if (last)
        TH_TRY(add_linear(floor, n, W, W, true, err));
    for (int64_t i = 0; i < n; i++) {
        int64_t S = lengths ? lengths[i] : same;
        TH_TRY(add_attention(floor, last ? 1 : S, S, W / heads, heads, err));
    }
    TH_TRY(add_linear(floor, rows, W, W, true, err));
    TH_TRY(add_linear(floor, rows, W, 4 * W, true, err));
    TH_TRY(add_linear(floor, rows, 4 * W, W, true, err));
out:
    return rc;
}

th_code th_floor_add_tower(th_floor *floor, const th_model_config *model, th_tower tower, int64_t n,
                           const int64_t *lengths, th_err *err)
{
    const th_image_config *image = &model->image;
    bool                   is_image = tower == TH_IMAGE;
    int64_t                W = is_image ? image->width : model->text.width;
    int64_t                layers = is_image ? image->layers : model->text.layers;
    int64_t heads = is_image ? image->heads : model->text.heads, P = th_patch_count(image);
    th_code rc = TH_OK;

    if (is_image)
        TH_TRY(add_linear(floor, n * P, 3 * image->patch * image->patch, W, false, err));
    for (int64_t i = 0; i < layers; i++)
        TH_TRY(
            add_block(floor, W, heads, n, is_image ? NULL : lengths, P + 1, i == layers - 1, err));
    TH_TRY(th_floor_add(floor, false, false, n, model->embed, W, 1, err));
    TH_TRY(th_floor_add(floor, false, true, n, W, model->embed, 1, err));
    TH_TRY(th_floor_add(floor, true, false, W, model->embed, n, 1, err));
out:
    return rc;
}

static float *take(const th_floor *floor, int64_t *at, int64_t count)
{
    int64_t rounded = (count + 15) / 16 * 16;

    if (*at + rounded > POOL)
        *at = 0;
    float *piece = floor->pool + *at;
    *at += rounded;
    return piece;
}

double th_floor_seconds(const th_floor *floor)
{
    int     threads = omp_get_max_threads();
    int64_t at = 0;

    omp_set_num_threads(1);
    double start = th_bench_now();
    for (int i = 0; i < floor->count; i++) {
        const product *p = &floor->list[i];
        for (int64_t j = 0; j < p->count; j++) {
            const float *a = take(floor, &at, p->m * p->k), *b = take(floor, &at, p->k * p->n);
            float       *c = take(floor, &at, p->m * p->n);
            cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans,
                        p->b_transposed ? CblasTrans : CblasNoTrans, (int)p->m, (int)p->n,
                        (int)p->k, 1e-3f, a, (int)(p->a_transposed ? p->m : p->k), b,
                        (int)(p->b_transposed ? p->k : p->n), 0, c, (int)p->n);
        }
    }
    double seconds = th_bench_now() - start;
    omp_set_num_threads(threads);
    return seconds;
}

double th_floor_flops(const th_floor *floor)
{
    double flops = 0;

    for (int i = 0; i < floor->count; i++)
        flops += 2.0 * (double)floor->list[i].m * (double)floor->list[i].n *
                 (double)floor->list[i].k * (double)floor->list[i].count;
    return flops;
}
