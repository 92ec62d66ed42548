/* trainer/nn/attention_unit.h - attention of one sequence and one head, for one instruction set.
 *
 * Included by attention_<set>.c after it has defined
 *     UNIT(name)              the names of this set's functions
 *     VEC_BYTES               bytes of a vector register
 *     TILE_ROWS, TILE_VECS    sums held in registers: rows x vectors, + TILE_VECS + 1 registers
 *
 * All products have one form: c [m, n] = (c +) a b, with b's rows read as vectors and a's elements
 * broadcast, so a may be transposed by its strides but b may not: keys (and in backward values) are
 * transposed while they are copied. n is padded to PAD elements; the padding of k^T and v^T is
 * zero, and that of the scores is never read. */
#include "trainer/nn/attention_private.h"
#include "trainer/nn/elementary.h"

typedef th_real vec __attribute__((vector_size(VEC_BYTES), aligned(sizeof(th_real)), may_alias));
#define LANES ((int64_t)(VEC_BYTES / sizeof(th_real)))

// One tile of c: rows and vecs are constants wherever this is inlined, so that sum is in registers.
static inline __attribute__((always_inline)) void
tile(const int rows, const int vecs, int64_t k, const th_real *a, int64_t a_row, int64_t a_column,
     const th_real *b, int64_t ldb, th_real *c, int64_t ldc, bool add)
{
    vec sum[TILE_ROWS][TILE_VECS];

    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vecs; v++) {
            if (add)
                sum[r][v] = *(const vec *)(c + r * ldc + v * LANES);
            else
                sum[r][v] = (vec){ 0 };
        }
    for (int64_t p = 0; p < k; p++, a += a_column, b += ldb)
        for (int r = 0; r < rows; r++) {
            th_real x = a[r * a_row];
            for (int v = 0; v < vecs; v++)
                sum[r][v] += x * *(const vec *)(b + v * LANES);
        }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vecs; v++)
            *(vec *)(c + r * ldc + v * LANES) = sum[r][v];
}

// A column of tiles, `vecs` vectors wide, m rows high.
static inline __attribute__((always_inline)) void
tiles(const int vecs, int64_t m, int64_t k, const th_real *a, int64_t a_row, int64_t a_column,
      const th_real *b, int64_t ldb, th_real *c, int64_t ldc, bool add)
{
    const int64_t step = TILE_ROWS;
#define TILE(rows) tile(rows, vecs, k, a, a_row, a_column, b, ldb, c, ldc, add)
    for (; m >= TILE_ROWS; m -= TILE_ROWS, a += step * a_row, c += step * ldc)
        TILE(TILE_ROWS);
    switch (m) {
    case 1:
        TILE(1);
        break;
    case 2:
        TILE(2);
        break;
    case 3:
        TILE(3);
        break;
#if TILE_ROWS > 4
    case 4:
        TILE(4);
        break;
    case 5:
        TILE(5);
        break;
#endif
    default:
        break;
    }
#undef TILE
}

// c [m, n] = (c +) a b; n is a multiple of PAD, ldb and ldc are at least n.
static void product(int64_t m, int64_t n, int64_t k, const th_real *a, int64_t a_row,
                    int64_t a_column, const th_real *b, int64_t ldb, th_real *c, int64_t ldc,
                    bool add)
{
    const int64_t widest = TILE_VECS;
    int64_t       vecs = n / LANES;

    while (vecs > 0) {
        // Five vectors go as three and two: a tile that is one vector wide has too few sums in
        // flight to hide the latency of its additions.
        int64_t take = vecs >= 2 * widest ? widest : vecs > widest ? (vecs + 1) / 2 : vecs;
#define TILES(wide) tiles(wide, m, k, a, a_row, a_column, b, ldb, c, ldc, add)
#if TILE_VECS > 2
        if (take == 4)
            TILES(4);
        else if (take == 3)
            TILES(3);
        else
#endif
            if (take == 2)
            TILES(2);
        else
            TILES(1);
#undef TILES
        vecs -= take;
        b += take * LANES;
        c += take * LANES;
    }
}

// to [rows, width]: rows of a strided matrix side by side; columns from `columns` on are zero.
static void pack(const th_real *from, int64_t stride, int64_t rows, int64_t columns, th_real *to,
                 int64_t width)
{
    for (int64_t i = 0; i < rows; i++, from += stride, to += width) {
        for (int64_t j = 0; j < columns; j++)
            to[j] = from[j];
        for (int64_t j = columns; j < width; j++)
            to[j] = 0;
    }
}

// Four rows of four columns at a time, which takes half the instructions of one by one.
typedef float four __attribute__((vector_size(16), aligned(sizeof(float)), may_alias));

static inline __attribute__((always_inline)) void turn(const float *from, int64_t stride, float *to,
                                                       int64_t width)
{
    four a = *(const four *)from, b = *(const four *)(from + stride);
    four c = *(const four *)(from + 2 * stride), d = *(const four *)(from + 3 * stride);
    four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
         cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);

    *(four *)to = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(four *)(to + width) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    ab = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(four *)(to + 2 * width) = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(four *)(to + 3 * width) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

// to [columns, width]: the transpose; elements from `rows` on are zero.
static void pack_transposed(const th_real *from, int64_t stride, int64_t rows, int64_t columns,
                            th_real *to, int64_t width)
{
    int64_t turned = 0, across = 0;

#ifndef TH_DOUBLE
    turned = rows / 4 * 4, across = columns / 4 * 4;
    for (int64_t i = 0; i < turned; i += 4)
        for (int64_t j = 0; j < across; j += 4)
            turn(from + i * stride + j, stride, to + j * width + i, width);
#endif
    for (int64_t j = 0; j < columns; j++) {
        for (int64_t i = j < across ? turned : 0; i < rows; i++)
            to[j * width + i] = from[i * stride + j];
        for (int64_t i = rows; i < width; i++)
            to[j * width + i] = 0;
    }
}

static void unpack(const th_real *from, int64_t width, int64_t rows, int64_t columns, th_real scale,
                   th_real *to, int64_t stride)
{
    for (int64_t i = 0; i < rows; i++, from += width, to += stride)
        for (int64_t j = 0; j < columns; j++)
            to[j] = from[j] * scale;
}

// The loops over a row of scores run over whole vectors: what lies behind the keys that the row
// sees is made to count for nothing first, or a loop's last few elements would go one by one.
static inline int64_t whole_vectors(int64_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

static inline void mask(th_real *row, int64_t seen)
{
    int64_t whole = whole_vectors(seen);

    for (int64_t j = seen; j < whole; j++)
        row[j] = -(th_real)HUGE_VAL;
}

// A masked row of scores becomes exp(scale s - most), and 0 up to `width` where it sees no key.
// Returns the sum.
static th_real soften(th_real *row, int64_t seen, int64_t width, th_real scale, th_real most)
{
    int64_t whole = whole_vectors(seen);
    th_real sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < whole; j++) {
        row[j] = th_exp(row[j] * scale - most);
        sum += row[j];
    }
    for (int64_t j = whole; j < width; j++)
        row[j] = 0;
    return sum;
}

static th_real largest(const th_real *row, int64_t seen)
{
    int64_t whole = whole_vectors(seen);
    th_real most = row[0];

#pragma omp simd reduction(max : most)
    for (int64_t j = 0; j < whole; j++)
        most = row[j] > most ? row[j] : most;
    return most;
}

// p: probabilities, d: dP, of a row. d becomes p (d - sum p d), and 0 up to `width`.
static void soften_backward(const th_real *p, th_real *d, int64_t seen, int64_t width)
{
    int64_t whole = whole_vectors(seen);
    th_real along = 0;

#pragma omp simd reduction(+ : along)
    for (int64_t j = 0; j < whole; j++)
        along += p[j] * d[j];
#pragma omp simd
    for (int64_t j = 0; j < whole; j++)
        d[j] = p[j] * (d[j] - along);
    for (int64_t j = whole; j < width; j++)
        d[j] = 0;
}

void UNIT(forward)(const unit_shape *u, const th_real *q, const th_real *k, const th_real *v,
                   th_real *scratch, th_real *out, th_real *lse)
{
    int64_t  S = u->tokens, D = u->head_dim, ldd = pad(D), lds = pad(S);
    th_real *kt = scratch, *vp = kt + D * lds, *score = vp + S * ldd, *o = score + BLOCK * lds;

    pack_transposed(k, u->kv_stride, S, D, kt, lds);
    pack(v, u->kv_stride, S, D, vp, ldd);
    for (int64_t top = 0; top < S; top += BLOCK) {
        int64_t rows = S - top < BLOCK ? S - top : BLOCK;
        int64_t keys = u->causal ? top + rows : S;
        th_real over[BLOCK];

        product(rows, pad(keys), D, q + top * u->q_stride, u->q_stride, 1, kt, lds, score, lds,
                false);
        for (int64_t i = 0; i < rows; i++) {
            th_real *row = score + i * lds;
            int64_t  seen = u->causal ? top + i + 1 : S;
            mask(row, seen);
            th_real most = largest(row, seen) * u->scale;
            th_real sum = soften(row, seen, keys, u->scale, most);
            lse[(top + i) * u->heads] = most + (th_real)log((double)sum);
            over[i] = 1 / sum;
        }
        product(rows, ldd, keys, score, lds, 1, vp, ldd, o, ldd, false);
        for (int64_t i = 0; i < rows; i++)
            unpack(o + i * ldd, ldd, 1, D, over[i], out + (top + i) * u->out_stride, u->out_stride);
    }
}

// With P the probabilities of a block of rows, dP = dO V^T and dS = P (dP - rowsum(P dP)):
//     dV += P^T dO,   dK += scale dS^T Q,   dQ = scale dS K.
void UNIT(backward)(const unit_shape *u, const th_real *q, const th_real *k, const th_real *v,
                    const th_real *d_out, const th_real *lse, th_real *scratch, th_real *dq,
                    th_real *dk, th_real *dv)
{
    int64_t  S = u->tokens, D = u->head_dim, ldd = pad(D), lds = pad(S);
    th_real *kt = scratch, *vt = kt + D * lds, *kp = vt + D * lds, *qp = kp + S * ldd;
    th_real *op = qp + S * ldd, *dkp = op + S * ldd, *dvp = dkp + S * ldd;
    th_real *score = dvp + S * ldd, *ds = score + BLOCK * lds, *dqp = ds + BLOCK * lds;

    pack_transposed(k, u->kv_stride, S, D, kt, lds);
    pack_transposed(v, u->kv_stride, S, D, vt, lds);
    pack(k, u->kv_stride, S, D, kp, ldd);
    pack(q, u->q_stride, S, D, qp, ldd);
    pack(d_out, u->out_stride, S, D, op, ldd);
    for (int64_t top = 0; top < S; top += BLOCK) {
        int64_t rows = S - top < BLOCK ? S - top : BLOCK;
        int64_t keys = u->causal ? top + rows : S;
        int64_t old = u->causal ? top : top > 0 ? S : 0; // keys whose sums have begun

        product(rows, pad(keys), D, qp + top * ldd, ldd, 1, kt, lds, score, lds, false);
        product(rows, pad(keys), D, op + top * ldd, ldd, 1, vt, lds, ds, lds, false);
        for (int64_t i = 0; i < rows; i++) {
            th_real *p = score + i * lds;
            int64_t  seen = u->causal ? top + i + 1 : S;
            mask(p, seen);
            (void)soften(p, seen, keys, u->scale, lse[(top + i) * u->heads]);
            soften_backward(p, ds + i * lds, seen, keys);
        }
        product(old, ldd, rows, score, 1, lds, op + top * ldd, ldd, dvp, ldd, true);
        product(keys - old, ldd, rows, score + old, 1, lds, op + top * ldd, ldd, dvp + old * ldd,
                ldd, false);
        product(old, ldd, rows, ds, 1, lds, qp + top * ldd, ldd, dkp, ldd, true);
        product(keys - old, ldd, rows, ds + old, 1, lds, qp + top * ldd, ldd, dkp + old * ldd, ldd,
                false);
        product(rows, ldd, keys, ds, lds, 1, kp, ldd, dqp, ldd, false);
        unpack(dqp, ldd, rows, D, u->scale, dq + top * u->q_stride, u->q_stride);
    }
    unpack(dkp, ldd, S, D, u->scale, dk, u->kv_stride);
    unpack(dvp, ldd, S, D, 1, dv, u->kv_stride);
}
