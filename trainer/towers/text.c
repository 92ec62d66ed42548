/* trainer/towers/text.c - the text tower: token and position embeddings, then the causal stack. */
#include "trainer/nn/embedding.h"
#include "trainer/towers/pass.h"
#include <string.h>

// Rows of the group text.embed, in the table's order.
enum { TOKEN, POSITION };

static th_pass text_pass(const th_text_tower *tower, int64_t n, int64_t tokens, int64_t longest)
{
    const th_parameters  *p = tower->parameters;
    const th_text_config *text = &p->model.text;

    return (th_pass){ .parameters = p,
                      .tower = TH_TEXT_TOWER,
                      .width = text->width,
                      .layers = text->layers,
                      .heads = text->heads,
                      .causal = true,
                      .lowest = th_tower_cut(p, TH_TEXT_TOWER),
                      .sequences = { .n = n, .tokens = tokens, .longest = longest } };
}

static int embed_row(const th_pass *pass, int which)
{
    const th_parameters *p = pass->parameters;
    return p->groups[th_parameters_group(p, TH_TEXT_TOWER, 0)].first_row + which;
}

static th_real *embed_gradient(const th_pass *pass, int which)
{
    int row = embed_row(pass, which);
    return pass->parameters->rows[row].trainable ? th_gradient(pass->parameters, row) : NULL;
}

// Lengths and token ids come from a pack: a wrong one must not reach past a table.
static th_code check_lengths(const th_text_config *text, const th_captions *captions, th_err *err)
{
    const char *fix = "pack again, or use the context of the model that packed it";
    th_code     rc = TH_OK;

    for (int64_t i = 0; i < captions->n; i++) {
        int64_t count = captions->offsets[i + 1] - captions->offsets[i];
        TH_CHECK(count >= 1 && count <= text->context, TH_EDATA, fix,
                 "caption %lld has %lld tokens, not 1 to %lld", (long long)i, (long long)count,
                 (long long)text->context);
    }
out:
    return rc;
}

static th_code check_tokens(const th_text_config *text, const th_captions *captions, th_err *err)
{
    const char *fix = "pack again, or use the vocabulary of the model that packed it";
    th_code     rc = TH_OK;

    for (int64_t i = 0; i < captions->n; i++)
        for (int64_t t = captions->offsets[i]; t < captions->offsets[i + 1]; t++)
            TH_CHECK(captions->tokens[t] >= 0 && captions->tokens[t] < text->vocabulary, TH_EDATA,
                     fix, "token %d of caption %lld is not in [0, %lld)", (int)captions->tokens[t],
                     (long long)i, (long long)text->vocabulary);
out:
    return rc;
}

static th_pass captions_pass(const th_text_tower *tower, const th_captions *captions)
{
    return text_pass(tower, captions->n, captions->offsets[captions->n] - captions->offsets[0],
                     tower->parameters->model.text.context);
}

// The pass of a tape just carved, with its sequences laid out.
static th_pass lay_sequences(const th_tape *tape, const th_captions *captions)
{
    const th_sequences *s = &tape->pass.sequences;

    for (int64_t i = 0; i <= s->n; i++)
        s->first[i] = captions->offsets[i] - captions->offsets[0];
    for (int64_t i = 0; i < s->n; i++)
        s->pooled[i] = s->first[i + 1] - 1;
    return tape->pass;
}

// x [T, W], the input of block 0.
static void embed_forward(const th_pass *pass, const int32_t *tokens, th_real *x)
{
    const th_parameters *p = pass->parameters;

#pragma omp parallel
    th_embed_share(tokens, pass->sequences.first, pass->sequences.n, pass->width,
                   th_weight(p, embed_row(pass, TOKEN)), th_weight(p, embed_row(pass, POSITION)),
                   x);
}

th_code th_text_lower(const th_text_tower *tower, const th_captions *captions, th_arena *arena,
                      th_real *rows, th_err *err)
{
    th_code               rc = TH_OK;
    const th_text_config *text = &tower->parameters->model.text;
    size_t                start = arena->used_bytes;
    th_carver             carver = { .arena = arena };

    TH_TRY(check_lengths(text, captions, err));
    TH_TRY(check_tokens(text, captions, err));
    th_pass pass = captions_pass(tower, captions);
    TH_TRY(th_need_cut(&pass, err));
    th_tape           *tape = th_carve_tape(&carver, &pass, false);
    th_forward_scratch scratch = th_carve_lower(&carver, &pass);
    if (!tape || carver.full) {
        rc = th_arena_short(arena, err);
    } else {
        th_real *x = scratch.x ? scratch.x : rows;
        pass = lay_sequences(tape, captions);
        embed_forward(&pass, captions->tokens + captions->offsets[0], x);
        th_stack_lower(&pass, &scratch, x, rows);
    }
    th_arena_rewind(arena, start);
out:
    return rc;
}

// From the rows at the cut, or from the tokens where there is no cut.
static th_code forward_above(const th_text_tower *tower, const th_captions *captions, th_real *rows,
                             th_arena *arena, th_tape **out_tape, th_real *features, th_err *err)
{
    bool      keep = out_tape;
    th_pass   pass = captions_pass(tower, captions);
    size_t    start = arena->used_bytes;
    th_carver carver = { .arena = arena };

    th_tape           *tape = th_carve_tape(&carver, &pass, keep);
    size_t             kept = arena->used_bytes;
    th_forward_scratch scratch = th_carve_upper(&carver, &pass, keep);
    if (!tape || carver.full) {
        th_arena_rewind(arena, start);
        return th_arena_short(arena, err);
    }
    pass = lay_sequences(tape, captions);
    if (pass.lowest == 0) {
        memcpy(tape->tokens, captions->tokens + captions->offsets[0],
               (size_t)pass.sequences.tokens * sizeof(int32_t));
        rows = keep ? tape->blocks[0].x : scratch.x;
        embed_forward(&pass, tape->tokens, rows);
    }
    th_stack_upper(&pass, tape, keep, &scratch, rows, features);
    th_arena_rewind(arena, keep ? kept : start);
    if (keep)
        *out_tape = tape;
    return TH_OK;
}

th_code th_text_upper(const th_text_tower *tower, const th_captions *captions, const th_real *rows,
                      th_arena *arena, th_tape **out_tape, th_real *features, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(check_lengths(&tower->parameters->model.text, captions, err));
    th_pass pass = captions_pass(tower, captions);
    TH_TRY(th_need_cut(&pass, err));
    // Nobody writes to the rows: they go where a block's input goes, which in other blocks is the
    // output of the one below.
    TH_TRY(forward_above(tower, captions, (th_real *)rows, arena, out_tape, features, err));
out:
    return rc;
}

th_code th_text_forward(const th_text_tower *tower, const th_captions *captions, th_arena *arena,
                        th_tape **out_tape, th_real *features, th_err *err)
{
    th_code               rc = TH_OK;
    const th_text_config *text = &tower->parameters->model.text;
    size_t                start = arena->used_bytes;
    th_real              *rows = NULL;

    TH_TRY(check_lengths(text, captions, err));
    TH_TRY(check_tokens(text, captions, err));
    th_pass pass = captions_pass(tower, captions);
    if (pass.lowest > 0) {
        TH_TRY(th_carve_cut(arena, &pass, features, &rows, err));
        TH_TRY(th_text_lower(tower, captions, arena, rows, err));
    }
    TH_TRY(forward_above(tower, captions, rows, arena, out_tape, features, err));
out:
    if (rc != TH_OK || !out_tape)
        th_arena_rewind(arena, start);
    return rc;
}

static void embed_backward(const th_tape *tape, const th_real *dx, bool add)
{
    const th_pass        *pass = &tape->pass;
    const th_text_config *text = &pass->parameters->model.text;
    th_real *token = embed_gradient(pass, TOKEN), *position = embed_gradient(pass, POSITION);

#pragma omp parallel
    {
        if (token && !add)
            th_zero_share(token, text->vocabulary * pass->width);
        if (position && !add)
            th_zero_share(position, text->context * pass->width);
#pragma omp barrier
        if (token)
            th_scatter_tokens_share(dx, tape->tokens, pass->sequences.tokens, pass->width, token);
        if (position)
            th_scatter_positions_share(dx, pass->sequences.first, pass->sequences.n, pass->width,
                                       position);
    }
}

th_code th_text_backward(const th_text_tower *tower, th_tape *tape, const th_real *d_features,
                         bool add, th_arena *arena, const th_backward_hooks *hooks, th_err *err)
{
    size_t              start = arena->used_bytes;
    th_carver           carver = { .arena = arena };
    th_backward_scratch scratch = th_carve_backward(&carver, &tape->pass);

    (void)tower;
    if (carver.full) {
        th_arena_rewind(arena, start);
        return th_arena_short(arena, err);
    }
    th_stack_backward(tape, d_features, add, &scratch, hooks);
    if (tape->pass.lowest == 0) {
        embed_backward(tape, scratch.dx, add);
        th_group_done(&tape->pass, 0, hooks);
    }
    th_arena_rewind(arena, start);
    return TH_OK;
}

void th_text_tower_bytes(const th_text_tower *tower, int64_t n, int64_t tokens, size_t *out_tape,
                         size_t *out_scratch)
{
    th_pass pass = text_pass(tower, n, tokens, tower->parameters->model.text.context);
    th_pass_bytes(&pass, out_tape, out_scratch);
}
