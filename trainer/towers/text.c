/* trainer/towers/text.c - the text tower: embeddings of tokens, positions and (BERT) the token
 * type, with a norm over them in BERT, then the stack. */
#include "trainer/nn/embedding.h"
#include "trainer/nn/layernorm.h"
#include "trainer/nn/units.h"
#include "trainer/towers/pass.h"
#include <string.h>

// Rows of the group text.embed, in the table's order.
enum { TOKEN, POSITION, TYPE, NORM_WEIGHT };

static th_pass text_pass(const th_text_tower *tower, int64_t n, int64_t tokens, int64_t longest)
{
    const th_parameters  *p = tower->parameters;
    const th_text_config *text = &p->model.text;
    bool                  bert = text->kind == TH_TEXT_BERT;

    return (th_pass){ .parameters = p,
                      .tower = TH_TEXT_TOWER,
                      .width = text->width,
                      .layers = text->layers,
                      .heads = text->heads,
                      .activation = bert ? TH_GELU : p->model.activation,
                      .eps = bert ? TH_BERT_EPS : TH_CLIP_EPS,
                      .causal = !bert,
                      .first_norm = bert,
                      .final_norm = !bert,
                      .post_norm = bert,
                      .pool = text->pool,
                      .lowest = th_tower_cut(p, TH_TEXT_TOWER),
                      .sequences = { .n = n, .tokens = tokens, .longest = longest } };
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

static void embed_forward(const th_pass *pass, th_tape *tape, bool keep, const void *of,
                          th_scratch threads, th_real *x)
{
    const th_captions *captions = of;
    const int32_t     *tokens = captions->tokens + captions->offsets[0];
    // All tokens of a caption have the first type: a second one is for pairs of sentences.
    const th_real *type = pass->first_norm ? th_embed_weight(pass, TYPE) : NULL;
    th_real       *z = keep && pass->first_norm ? tape->z : x;

    (void)threads;
    if (keep)
        memcpy(tape->tokens, tokens, (size_t)pass->sequences.tokens * sizeof *tokens);
#pragma omp parallel
    {
        th_embed_share(tokens, pass->sequences.first, pass->sequences.n, pass->width,
                       th_embed_weight(pass, TOKEN), th_embed_weight(pass, POSITION), type, z);
        th_rows mine = th_share(pass->sequences.tokens, 1);
        if (pass->first_norm)
            th_first_norm(pass, tape, keep, NORM_WEIGHT, z, mine.first, mine.count, x);
    }
}

static th_input input_of(const th_captions *captions)
{
    return (th_input){ .of = captions, .offsets = captions->offsets, .embed = embed_forward };
}

th_code th_text_lower(const th_text_tower *tower, const th_captions *captions, th_arena *arena,
                      th_real *rows, th_err *err)
{
    const th_text_config *text = &tower->parameters->model.text;
    th_input              input = input_of(captions);
    th_code               rc = TH_OK;

    TH_TRY(check_lengths(text, captions, err));
    TH_TRY(check_tokens(text, captions, err));
    th_pass pass = captions_pass(tower, captions);
    TH_TRY(th_pass_lower(&pass, &input, arena, rows, err));
out:
    return rc;
}

th_code th_text_upper(const th_text_tower *tower, const th_captions *captions, const th_real *rows,
                      th_arena *arena, th_tape **out_tape, th_real *features, th_err *err)
{
    th_input input = input_of(captions);
    th_code  rc = TH_OK;

    TH_TRY(check_lengths(&tower->parameters->model.text, captions, err));
    th_pass pass = captions_pass(tower, captions);
    TH_TRY(th_pass_upper(&pass, &input, rows, arena, out_tape, features, err));
out:
    return rc;
}

th_code th_text_forward(const th_text_tower *tower, const th_captions *captions, th_arena *arena,
                        th_tape **out_tape, th_real *features, th_err *err)
{
    const th_text_config *text = &tower->parameters->model.text;
    th_input              input = input_of(captions);
    th_code               rc = TH_OK;

    TH_TRY(check_lengths(text, captions, err));
    TH_TRY(check_tokens(text, captions, err));
    th_pass pass = captions_pass(tower, captions);
    TH_TRY(th_pass_forward(&pass, &input, arena, out_tape, features, err));
out:
    return rc;
}

static void embed_backward(const th_tape *tape, const void *of, bool add, th_backward_scratch *s)
{
    const th_pass        *pass = &tape->pass;
    const th_text_config *text = &pass->parameters->model.text;
    th_real *token = th_embed_gradient(pass, TOKEN), *position = th_embed_gradient(pass, POSITION);
    th_real *type = pass->first_norm ? th_embed_gradient(pass, TYPE) : NULL;

    (void)of;
#pragma omp parallel
    {
        if (token && !add)
            th_zero_share(token, text->vocabulary * pass->width);
        if (position && !add)
            th_zero_share(position, text->context * pass->width);
        if (type && !add)
            th_zero_share(type, text->types * pass->width);
        if (pass->first_norm)
            th_first_norm_backward_share(tape, NORM_WEIGHT, add, s);
#pragma omp barrier
        if (token)
            th_scatter_tokens_share(s->dx, tape->tokens, pass->sequences.tokens, pass->width,
                                    token);
        if (position)
            th_scatter_positions_share(s->dx, pass->sequences.first, pass->sequences.n, pass->width,
                                       position);
        if (type)
            th_gather_sum_share(s->dx, NULL, pass->sequences.tokens, pass->width, type);
    }
}

th_code th_text_backward(const th_text_tower *tower, th_tape *tape, const th_real *d_features,
                         bool add, th_arena *arena, const th_backward_hooks *hooks, th_err *err)
{
    return th_pass_backward(tape, d_features, add, arena, hooks, embed_backward, tower, err);
}

void th_text_tower_bytes(const th_text_tower *tower, int64_t n, int64_t tokens, size_t *out_tape,
                         size_t *out_scratch)
{
    th_pass pass = text_pass(tower, n, tokens, tower->parameters->model.text.context);
    th_pass_bytes(&pass, out_tape, out_scratch);
}
