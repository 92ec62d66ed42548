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
                      .lowest = th_lowest_trainable(p, TH_TEXT_TOWER, text->layers),
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
static th_code check_captions(const th_text_config *text, const th_captions *captions, th_err *err)
{
    const char *fix = "pack again, or use the vocabulary and context of the model that packed it";
    th_code     rc = TH_OK;

    for (int64_t i = 0; i < captions->n; i++) {
        int64_t first = captions->offsets[i], count = captions->offsets[i + 1] - first;
        TH_CHECK(count >= 1 && count <= text->context, TH_EDATA, fix,
                 "caption %lld has %lld tokens, not 1 to %lld", (long long)i, (long long)count,
                 (long long)text->context);
        for (int64_t t = first; t < first + count; t++)
            TH_CHECK(captions->tokens[t] >= 0 && captions->tokens[t] < text->vocabulary, TH_EDATA,
                     fix, "token %d of caption %lld is not in [0, %lld)", (int)captions->tokens[t],
                     (long long)i, (long long)text->vocabulary);
    }
out:
    return rc;
}

th_code th_text_forward(const th_text_tower *tower, const th_captions *captions, th_arena *arena,
                        th_tape **out_tape, th_real *features, th_err *err)
{
    th_code              rc = TH_OK;
    const th_parameters *p = tower->parameters;
    bool                 keep = out_tape;
    size_t               start = arena->used_bytes;
    th_carver            carver = { .arena = arena };
    int64_t              n = captions->n, base = captions->offsets[0];

    TH_TRY(check_captions(&p->model.text, captions, err));
    th_pass  pass = text_pass(tower, n, captions->offsets[n] - base, p->model.text.context);
    th_tape *tape = th_carve_tape(&carver, &pass, keep);
    size_t   kept = arena->used_bytes;
    th_forward_scratch scratch = th_carve_forward(&carver, &pass, keep);
    if (!tape || carver.full) {
        rc = th_arena_short(arena, err);
        th_arena_rewind(arena, start);
        return rc;
    }
    pass = tape->pass;
    memcpy(tape->tokens, captions->tokens + base, (size_t)pass.sequences.tokens * sizeof(int32_t));
    for (int64_t i = 0; i <= n; i++)
        pass.sequences.first[i] = captions->offsets[i] - base;
    for (int64_t i = 0; i < n; i++)
        pass.sequences.pooled[i] = pass.sequences.first[i + 1] - 1;

    th_real *x = th_first_input(&pass, tape, keep, &scratch);
#pragma omp parallel
    th_embed_share(tape->tokens, pass.sequences.first, n, pass.width,
                   th_weight(p, embed_row(&pass, TOKEN)), th_weight(p, embed_row(&pass, POSITION)),
                   x);
    th_stack_forward(&pass, tape, keep, &scratch, x, features);
    th_arena_rewind(arena, keep ? kept : start);
    if (keep)
        *out_tape = tape;
out:
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
