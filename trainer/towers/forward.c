/* trainer/towers/forward.c - a pass from its input, or from the rows at the cut, to the features,
 * and back: what does not depend on what the tower looks at. */
#include "trainer/towers/pass.h"

// The pass of a tape just carved, with its sequences laid out.
static th_pass lay_sequences(const th_tape *tape, const int64_t *offsets)
{
    const th_pass      *pass = &tape->pass;
    const th_sequences *s = &pass->sequences;

    for (int64_t i = 0; i <= s->n; i++)
        s->first[i] = offsets ? offsets[i] - offsets[0] : i * s->longest;
    for (int64_t i = 0; i < s->n; i++)
        s->pooled[i] = pass->pool == TH_POOL_END ? s->first[i + 1] - 1 : s->first[i];
    return *pass;
}

th_code th_pass_lower(const th_pass *cut, const th_input *input, th_arena *arena, th_real *rows,
                      th_err *err)
{
    th_code   rc = TH_OK;
    size_t    start = arena->used_bytes;
    th_carver carver = { .arena = arena };

    TH_TRY(th_need_cut(cut, err));
    th_tape           *tape = th_carve_tape(&carver, cut, false);
    th_forward_scratch scratch = th_carve_lower(&carver, cut);
    if (!tape || carver.full) {
        rc = th_arena_short(arena, err);
    } else {
        th_real *x = scratch.x ? scratch.x : rows;
        th_pass  pass = lay_sequences(tape, input->offsets);
        input->embed(&pass, tape, false, input->of, scratch.threads, x);
        th_stack_lower(&pass, &scratch, x, rows);
    }
    th_arena_rewind(arena, start);
out:
    return rc;
}

// From the rows at the cut, or from the input where there is no cut.
static th_code forward_above(const th_pass *cut, const th_input *input, th_real *rows,
                             th_arena *arena, th_tape **out_tape, th_real *features, th_err *err)
{
    bool      keep = out_tape;
    size_t    start = arena->used_bytes;
    th_carver carver = { .arena = arena };

    th_tape           *tape = th_carve_tape(&carver, cut, keep);
    size_t             kept = arena->used_bytes;
    th_forward_scratch scratch = th_carve_upper(&carver, cut, keep);
    if (!tape || carver.full) {
        th_arena_rewind(arena, start);
        return th_arena_short(arena, err);
    }
    th_pass pass = lay_sequences(tape, input->offsets);
    if (pass.lowest == 0) {
        rows = keep ? tape->blocks[0].x : scratch.x;
        input->embed(&pass, tape, keep, input->of, scratch.threads, rows);
    }
    th_stack_upper(&pass, tape, keep, &scratch, rows, features);
    th_arena_rewind(arena, keep ? kept : start);
    if (keep)
        *out_tape = tape;
    return TH_OK;
}

th_code th_pass_upper(const th_pass *pass, const th_input *input, const th_real *rows,
                      th_arena *arena, th_tape **out_tape, th_real *features, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_need_cut(pass, err));
    // Nobody writes to the rows: they go where a block's input goes, which in other blocks is the
    // output of the one below.
    TH_TRY(forward_above(pass, input, (th_real *)rows, arena, out_tape, features, err));
out:
    return rc;
}

th_code th_pass_forward(const th_pass *pass, const th_input *input, th_arena *arena,
                        th_tape **out_tape, th_real *features, th_err *err)
{
    th_code  rc = TH_OK;
    size_t   start = arena->used_bytes;
    th_real *rows = NULL;

    if (pass->lowest > 0) {
        TH_TRY(th_carve_cut(arena, pass, features, &rows, err));
        TH_TRY(th_pass_lower(pass, input, arena, rows, err));
    }
    TH_TRY(forward_above(pass, input, rows, arena, out_tape, features, err));
out:
    if (rc != TH_OK || !out_tape)
        th_arena_rewind(arena, start);
    return rc;
}

th_code th_pass_backward(th_tape *tape, const th_real *d_features, bool add, th_arena *arena,
                         const th_backward_hooks *hooks, th_embed_backward *embed_backward,
                         const void *of, th_err *err)
{
    size_t              start = arena->used_bytes;
    th_carver           carver = { .arena = arena };
    th_backward_scratch scratch = th_carve_backward(&carver, &tape->pass);

    if (carver.full) {
        th_arena_rewind(arena, start);
        return th_arena_short(arena, err);
    }
    th_stack_backward(tape, d_features, add, &scratch, hooks);
    if (tape->pass.lowest == 0) {
        embed_backward(tape, of, add, &scratch);
        th_group_done(&tape->pass, 0, hooks);
    }
    th_arena_rewind(arena, start);
    return TH_OK;
}
