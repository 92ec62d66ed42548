/* trainer/towers/stack.c - the blocks of a tower, its final norm and its projection. */
#include "trainer/nn/gemm.h"
#include "trainer/nn/layernorm.h"
#include "trainer/nn/linear.h"
#include "trainer/nn/pool.h"
#include "trainer/nn/steady.h"
#include "trainer/nn/units.h"
#include "trainer/towers/pass.h"
#include <string.h>

// Rows of the table above the blocks: the final norm, where there is one, ends the last block's
// group, and the projection is the head's only row.
typedef struct {
    int gamma, beta, projection;
} top_rows;

static top_rows find_top(const th_pass *pass)
{
    const th_parameters *p = pass->parameters;
    int head = p->groups[th_parameters_group(p, pass->tower, (int)pass->layers + 1)].first_row;

    return (top_rows){ .gamma = head - 2, .beta = head - 1, .projection = head };
}

void th_drive(const th_backward_hooks *hooks)
{
    if (hooks && hooks->drive)
        hooks->drive(hooks->context);
}

void th_group_done(const th_pass *pass, int depth, const th_backward_hooks *hooks)
{
    int group = th_parameters_group(pass->parameters, pass->tower, depth);

    if (hooks && hooks->group_done && th_group_trainable(pass->parameters, group))
        hooks->group_done(hooks->context, group);
}

// Final norm and projection of the last block's pooled output [n, W]; mean, rstd: NULL when not
// kept.
static void head_forward(const th_pass *pass, const th_real *top, th_real *mean, th_real *rstd,
                         th_real *top_n, th_real *features)
{
    const th_parameters *p = pass->parameters;
    top_rows             row = find_top(pass);
    int64_t              W = pass->width, E = p->model.embed;
    const th_real       *projection = th_weight(p, row.projection);

#pragma omp parallel
    {
        th_rows mine = th_share(pass->sequences.n, th_unit_rows(W * E));
        int64_t at = mine.first * W;
        if (pass->final_norm)
            th_layernorm(top + at, mine.count, W, th_weight(p, row.gamma), th_weight(p, row.beta),
                         pass->eps, top_n + at, mean ? mean + mine.first : NULL,
                         rstd ? rstd + mine.first : NULL);
        th_steady(TH_AS_IS, mine.count, E, W, (pass->final_norm ? top_n : top) + at, W, projection,
                  E, false, features + mine.first * E, E);
    }
}

// The last block: its output goes to top [n, W], by way of x [T, W] where the mean is pooled.
static void last_block_forward(const th_pass *pass, const th_block_tape *use, bool keep,
                               th_scratch threads, th_real *x, th_real *top)
{
    th_block block = th_pass_block(pass, pass->layers - 1);

    th_block_forward(&block, &pass->sequences, use, keep, threads, block.pooled ? top : x);
    if (block.pooled)
        return;
#pragma omp parallel
    th_mean_share(x, pass->sequences.first, pass->sequences.n, pass->width, top);
}

void th_stack_lower(const th_pass *pass, const th_forward_scratch *scratch, th_real *x,
                    th_real *rows)
{
    th_real *top = scratch->top ? scratch->top : rows;

    for (int64_t i = 0; i < pass->layers && i + 1 < pass->lowest; i++) {
        th_block      block = th_pass_block(pass, i);
        th_block_tape use = scratch->block;
        use.x = x;
        if (i == pass->layers - 1)
            last_block_forward(pass, &use, false, scratch->threads, x, top);
        else
            th_block_forward(&block, &pass->sequences, &use, false, scratch->threads, x);
    }
    if (pass->lowest > pass->layers + 1)
        head_forward(pass, top, NULL, NULL, scratch->top_n, rows);
}

void th_stack_upper(const th_pass *pass, th_tape *tape, bool keep,
                    const th_forward_scratch *scratch, th_real *rows, th_real *features)
{
    int64_t  layers = pass->layers, first = pass->lowest > 0 ? pass->lowest - 1 : 0;
    th_real *x = rows;

    for (int64_t i = first; i < layers; i++) {
        th_block      block = th_pass_block(pass, i);
        th_block_tape use = keep ? tape->blocks[i] : scratch->block;
        use.x = x;
        if (!use.attended)
            use.attended = scratch->block.attended;
        if (i == layers - 1) {
            x = keep ? tape->top : scratch->top;
            last_block_forward(pass, &use, keep, scratch->threads, scratch->x, x);
        } else {
            x = keep ? tape->blocks[i + 1].x : scratch->x;
            th_block_forward(&block, &pass->sequences, &use, keep, scratch->threads, x);
        }
    }
    if (keep && first < layers)
        tape->blocks[first].x = rows;
    else if (keep)
        tape->top = rows;
    if (pass->lowest <= layers + 1)
        head_forward(pass, x, keep ? tape->top_mean : NULL, keep ? tape->top_rstd : NULL,
                     scratch->top_n, features);
    else if (features != rows)
        memcpy(features, rows, (size_t)th_pass_cut_reals(pass) * sizeof *rows);
}

// Final norm: its output again, and d_top from the gradient of its output to that of its input.
static void final_norm_backward(const th_tape *tape, th_chunk c, bool below, th_backward_scratch *s)
{
    const th_pass       *pass = &tape->pass;
    const th_parameters *p = pass->parameters;
    top_rows             row = find_top(pass);
    int64_t              W = pass->width, at = c.first * W;
    const th_real       *mean = tape->top_mean + c.first, *rstd = tape->top_rstd + c.first;

    th_layernorm_again(tape->top + at, c.count, W, th_weight(p, row.gamma), th_weight(p, row.beta),
                       mean, rstd, s->top_n + at);
    if (below)
        th_layernorm_backward(s->d_top + at, tape->top + at, c.count, W, th_weight(p, row.gamma),
                              mean, rstd, NULL, s->d_top + at, s->top_gamma + c.unit * W,
                              s->top_beta + c.unit * W);
}

// Projection and final norm: d_top from d_features, and their own gradients.
static void head_backward(const th_tape *tape, const th_real *d_features, bool add,
                          th_backward_scratch *s)
{
    const th_pass       *pass = &tape->pass;
    const th_parameters *p = pass->parameters;
    top_rows             row = find_top(pass);
    int64_t              W = pass->width, E = p->model.embed, n = pass->sequences.n;
    int64_t              unit = th_block_unit(W);
    bool                 below = pass->lowest <= pass->layers;

#pragma omp parallel
    {
        th_chunk c;
        for (th_walk walk = th_walk_share(n, unit, unit); th_walk_next(&walk, &c);) {
            if (below)
                th_gemm(TH_AS_IS, TH_TRANSPOSED, c.count, W, E, d_features + c.first * E, E,
                        th_weight(p, row.projection), E, 0, s->d_top + c.first * W, W);
            if (pass->final_norm)
                final_norm_backward(tape, c, below, s);
        }
#pragma omp barrier
        if (p->rows[row.projection].trainable)
            th_linear_backward_weight_share(pass->final_norm ? s->top_n : tape->top, d_features, n,
                                            E, W, add, th_gradient(p, row.projection));
        int64_t units = th_unit_count(n, unit);
        if (pass->final_norm && p->rows[row.gamma].trainable)
            th_fold_share(s->top_gamma, units, W, add, th_gradient(p, row.gamma));
        if (pass->final_norm && p->rows[row.beta].trainable)
            th_fold_share(s->top_beta, units, W, add, th_gradient(p, row.beta));
    }
}

static void drive_hooks(void *context)
{
    th_drive(context);
}

void th_stack_backward(th_tape *tape, const th_real *d_features, bool add,
                       th_backward_scratch *scratch, const th_backward_hooks *hooks)
{
    const th_pass    *pass = &tape->pass;
    th_real          *d_out = scratch->d_top;
    th_backward_hooks none = { 0 }, *drive = hooks ? (th_backward_hooks *)hooks : &none;

    if (pass->lowest > pass->layers + 1)
        return;
    head_backward(tape, d_features, add, scratch);
    th_group_done(pass, (int)pass->layers + 1, hooks);
    th_drive(hooks);
    if (pass->lowest <= pass->layers && !th_pools_rows(pass)) {
#pragma omp parallel
        th_mean_backward_share(scratch->d_top, pass->sequences.first, pass->sequences.n,
                               pass->width, scratch->dx);
        d_out = scratch->dx;
    }
    for (int64_t i = pass->layers - 1; i + 1 >= pass->lowest && i >= 0; i--) {
        th_block block = th_pass_block(pass, i);
        th_block_backward(&block, &pass->sequences, &tape->blocks[i], d_out, add,
                          i + 1 == pass->lowest, &scratch->block, scratch->dx, drive_hooks, drive);
        th_group_done(pass, (int)i + 1, hooks);
        d_out = scratch->dx;
    }
}
