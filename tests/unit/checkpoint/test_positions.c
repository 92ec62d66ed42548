// tests/unit/checkpoint/test_positions.c - positions for another picture size, against the plain
// double sum over the whole grid. That the formula is torch's is shown by tests/parity.
#include "checkpoint/interchange/positions.h"
#include "tests/test.h"

#define WIDTH 5
#define MOST  24

static float  from[(1 + MOST * MOST) * WIDTH], to[(1 + MOST * MOST) * WIDTH];
static double want[(1 + MOST * MOST) * WIDTH];

static double keys(double x)
{
    x = fabs(x);
    return x < 1   ? 1.5 * x * x * x - 2.5 * x * x + 1
           : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2
                   : 0;
}

// Weight of place k of m in place i of n, before it is scaled to a sum of 1.
static double weight(int i, int n, int k, int m)
{
    double scale = (double)m / n, wide = scale > 1 ? scale : 1;

    return keys((k + 0.5 - scale * (i + 0.5)) / wide);
}

static void slow_resize(int m, int n)
{
    for (int c = 0; c < WIDTH; c++)
        want[c] = (double)from[c];
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++)
            for (int c = 0; c < WIDTH; c++) {
                double sum = 0, all = 0;
                for (int v = 0; v < m; v++)
                    for (int u = 0; u < m; u++) {
                        double w = weight(y, n, v, m) * weight(x, n, u, m);
                        sum += w * (double)from[(1 + v * m + u) * WIDTH + c];
                        all += w;
                    }
                want[(1 + y * n + x) * WIDTH + c] = sum / all;
            }
}

static void fill(int side)
{
    for (int i = 0; i < (1 + side * side) * WIDTH; i++)
        from[i] = (float)((i * 7919) % 1000) / 500 - 1;
}

// 7 to 12 is B/32 at 384; 24 to 16 is L/14's 336 at 224: both ways, and what leaves a remainder.
static const struct sides {
    const char *name;
    int         from, to;
} cases[] = { { "larger", 7, 12 },       { "twice", 7, 14 },    { "smaller", 24, 16 },
              { "much_smaller", 23, 3 }, { "from_one", 1, 4 },  { "to_one", 5, 1 },
              { "the_same", 7, 7 },      { "one_more", 16, 17 } };

static void is_the_plain_sum(void **state)
{
    const struct sides *s = *state;
    th_err              err = { 0 };

    fill(s->from);
    slow_resize(s->from, s->to);
    th_assert_ok(th_positions_resize(from, s->from, to, s->to, WIDTH, &err), &err);
    // Two passes, each rounded to float, of values up to 2: 2 * 2 * 6e-8.
    for (int i = 0; i < (1 + s->to * s->to) * WIDTH; i++)
        th_assert_close((double)to[i], want[i], s->from == s->to ? 0 : 2.5e-7);
}

// Interpolation of a plane is the plane, away from the border (Keys' kernel is exact to the second
// order), and of a constant the constant, everywhere.
static void a_plane_stays_a_plane(void **state)
{
    const int m = 8, n = 16;
    th_err    err = { 0 };

    (void)state;
    for (int i = 0; i < 1 + m * m; i++)
        for (int c = 0; c < WIDTH; c++)
            from[i * WIDTH + c] = c == 0 ? 3 : (float)((i - 1) % m) + 10 * (float)((i - 1) / m);
    th_assert_ok(th_positions_resize(from, m, to, n, WIDTH, &err), &err);
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++) {
            const float *place = to + (1 + y * n + x) * WIDTH;
            th_assert_close((double)place[0], 3, 1e-6);
            if (y > 3 && y < n - 4 && x > 3 && x < n - 4)
                th_assert_close((double)place[1], (x + 0.5) / 2 - 0.5 + 10 * ((y + 0.5) / 2 - 0.5),
                                2e-5);
        }
}

int main(void)
{
    enum { CASES = sizeof cases / sizeof *cases };
    struct CMUnitTest tests[CASES + 1] = { cmocka_unit_test(a_plane_stays_a_plane) };

    for (int i = 0; i < CASES; i++)
        tests[1 + i] =
            (struct CMUnitTest){ cases[i].name, is_the_plain_sum, NULL, NULL, (void *)&cases[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
