/* trainer/nn/steady_unit.h - the steady product for one instruction set.
 *
 * Included by steady_<set>.c after it has defined
 *     UNIT                    the name of this set's kernel
 *     VEC_BYTES               bytes of a vector register
 *     TILE_ROWS, TILE_VECS    sums held in registers: rows x vectors, + TILE_VECS + 1 registers
 *     DEPTH_BYTES             of a column of a panel: the larger, the less often c is read and
 * written
 *
 * b is copied, a panel of DEPTH x COLUMNS at a time, so that its rows are read as vectors; a's
 * elements are broadcast from where they are. Elements of c go through memory between panels, which
 * does not round them. */
#include "trainer/nn/steady_private.h"
#include <string.h>

typedef th_real vec __attribute__((vector_size(VEC_BYTES), aligned(sizeof(th_real)), may_alias));
#define LANES      ((int64_t)(VEC_BYTES / sizeof(th_real)))
#define COLUMNS    (TILE_VECS * LANES)
#define DEPTH      ((int64_t)(DEPTH_BYTES / sizeof(th_real)))
#define CACHE_LINE ((int64_t)(64 / sizeof(th_real)))

// c += a panel, for a tile of c: rows is a constant wherever this is inlined, so that sum is in
// registers.
static inline __attribute__((always_inline)) void tile(const int rows, int64_t depth,
                                                       const th_real *a, int64_t lda,
                                                       const th_real *panel, bool add, th_real *c,
                                                       int64_t ldc)
{
    vec sum[TILE_ROWS][TILE_VECS];

    for (int r = 0; r < rows; r++)
        for (int v = 0; v < TILE_VECS; v++) {
            if (add)
                sum[r][v] = *(const vec *)(c + r * ldc + v * LANES);
            else
                sum[r][v] = (vec){ 0 };
        }
    for (int64_t p = 0; p < depth; p++, panel += COLUMNS)
        for (int r = 0; r < rows; r++) {
            th_real x = a[r * lda + p];
            for (int v = 0; v < TILE_VECS; v++)
                sum[r][v] += x * *(const vec *)(panel + v * LANES);
        }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < TILE_VECS; v++)
            *(vec *)(c + r * ldc + v * LANES) = sum[r][v];
}

static void tiles(int64_t m, int64_t depth, const th_real *a, int64_t lda, const th_real *panel,
                  bool add, th_real *c, int64_t ldc)
{
    for (; m >= TILE_ROWS; m -= TILE_ROWS, a += TILE_ROWS * lda, c += TILE_ROWS * ldc) {
        // The rows of c that come next are far from these: without this every tile begins with a
        // wait for memory, half of a product's time on a Zen 3.
        for (int64_t r = TILE_ROWS; r < (int64_t)2 * TILE_ROWS && r < m; r++)
            for (int64_t j = 0; j < COLUMNS; j += CACHE_LINE)
                __builtin_prefetch(c + r * ldc + j, 1);
        tile(TILE_ROWS, depth, a, lda, panel, add, c, ldc);
    }
    for (; m > 0; m--, a += lda, c += ldc)
        tile(1, depth, a, lda, panel, add, c, ldc);
}

// The last columns: what is right of them in c is not ours, so a tile of it stands elsewhere.
static void narrow_tiles(int64_t m, int64_t columns, int64_t depth, const th_real *a, int64_t lda,
                         const th_real *panel, bool add, th_real *c, int64_t ldc)
{
    th_real spare[TILE_ROWS * COLUMNS] = { 0 };

    while (m > 0) {
        int64_t rows = m < TILE_ROWS ? m : TILE_ROWS;
        for (int64_t r = 0; r < rows; r++)
            memcpy(spare + r * COLUMNS, c + r * ldc, (size_t)columns * sizeof *c);
        tiles(rows, depth, a, lda, panel, add, spare, COLUMNS);
        for (int64_t r = 0; r < rows; r++)
            memcpy(c + r * ldc, spare + r * COLUMNS, (size_t)columns * sizeof *c);
        m -= rows, a += rows * lda, c += rows * ldc;
    }
}

typedef th_real four
    __attribute__((vector_size(4 * sizeof(th_real)), aligned(sizeof(th_real)), may_alias));

// Four rows of b by four of its columns, transposed in registers.
static inline void turn(const th_real *b, int64_t ldb, th_real *panel)
{
    four w = *(const four *)b, x = *(const four *)(b + ldb);
    four y = *(const four *)(b + 2 * ldb), z = *(const four *)(b + 3 * ldb);
    four wx = __builtin_shufflevector(w, x, 0, 4, 1, 5);
    four yz = __builtin_shufflevector(y, z, 0, 4, 1, 5);

    *(four *)panel = __builtin_shufflevector(wx, yz, 0, 1, 4, 5);
    *(four *)(panel + COLUMNS) = __builtin_shufflevector(wx, yz, 2, 3, 6, 7);
    wx = __builtin_shufflevector(w, x, 2, 6, 3, 7);
    yz = __builtin_shufflevector(y, z, 2, 6, 3, 7);
    *(four *)(panel + 2 * COLUMNS) = __builtin_shufflevector(wx, yz, 0, 1, 4, 5);
    *(four *)(panel + 3 * COLUMNS) = __builtin_shufflevector(wx, yz, 2, 3, 6, 7);
}

// panel [depth, COLUMNS] = the transpose of b [columns, depth]; columns that b lacks are zero.
static void pack_transposed(const th_real *b, int64_t ldb, int64_t columns, int64_t depth,
                            th_real *panel)
{
    int64_t across = columns / 4 * 4, down = depth / 4 * 4;

    for (int64_t j = 0; j < across; j += 4)
        for (int64_t p = 0; p < down; p += 4)
            turn(b + j * ldb + p, ldb, panel + p * COLUMNS + j);
    for (int64_t p = 0; p < depth; p++)
        for (int64_t j = p < down ? across : 0; j < COLUMNS; j++)
            panel[p * COLUMNS + j] = j < columns ? b[j * ldb + p] : 0;
}

static void pack(const th_real *b, int64_t ldb, int64_t columns, int64_t depth, th_real *panel)
{
    for (int64_t p = 0; p < depth; p++, b += ldb, panel += COLUMNS) {
        memcpy(panel, b, (size_t)columns * sizeof *b);
        memset(panel + columns, 0, (size_t)(COLUMNS - columns) * sizeof *b);
    }
}

void UNIT(th_form form_b, int64_t m, int64_t n, int64_t k, const th_real *a, int64_t lda,
          const th_real *b, int64_t ldb, bool add, th_real *c, int64_t ldc)
{
    th_real panel[DEPTH * COLUMNS] __attribute__((aligned(64)));

    for (int64_t p = 0; p < k; p += DEPTH, add = true) {
        int64_t depth = k - p < DEPTH ? k - p : DEPTH;
        for (int64_t j = 0; j < n; j += COLUMNS) {
            int64_t columns = n - j < COLUMNS ? n - j : COLUMNS;
            if (form_b == TH_AS_IS)
                pack(b + p * ldb + j, ldb, columns, depth, panel);
            else
                pack_transposed(b + j * ldb + p, ldb, columns, depth, panel);
            if (columns == COLUMNS)
                tiles(m, depth, a + p, lda, panel, add, c + j, ldc);
            else
                narrow_tiles(m, columns, depth, a + p, lda, panel, add, c + j, ldc);
        }
    }
}
