/* tests/unit/trainer/reference_tower.h - both towers as slow, obvious loops in double.
 *
 * The twin of trainer/towers/: every row of every block is computed, captions are padded to the
 * context and masked, the two kinds of text tower are written down apart, weights are looked up by
 * open_clip's names. It shares no code with the towers but the parameter table. */
#ifndef TH_TESTS_REFERENCE_TOWER_H
#define TH_TESTS_REFERENCE_TOWER_H

#include "tests/test.h"
#include "trainer/towers/tower.h"

static inline double *ref_new(int64_t count)
{
    double *x = calloc((size_t)count + 1, sizeof *x);
    assert_non_null(x);
    return x;
}

static inline const th_real *ref_weight(const th_parameters *p, const char *prefix,
                                        const char *name)
{
    char full[160];
    (void)snprintf(full, sizeof full, "%s%s", prefix, name);
    int row = th_parameters_find(p, full);
    if (row < 0)
        fail_msg("no parameter \"%s\"", full);
    return th_weight(p, row);
}

static inline void ref_norm(const double *x, int64_t rows, int64_t W, const th_real *gamma,
                            const th_real *beta, double eps, double *y)
{
    for (int64_t i = 0; i < rows; i++) {
        double mean = 0, variance = 0;
        for (int64_t j = 0; j < W; j++)
            mean += x[i * W + j] / (double)W;
        for (int64_t j = 0; j < W; j++)
            variance += pow(x[i * W + j] - mean, 2) / (double)W;
        for (int64_t j = 0; j < W; j++)
            y[i * W + j] =
                (x[i * W + j] - mean) / sqrt(variance + eps) * (double)gamma[j] + (double)beta[j];
    }
}

static inline void ref_linear(const double *x, int64_t rows, int64_t in, int64_t out,
                              const th_real *weight, const th_real *bias, double *y)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t o = 0; o < out; o++) {
            double sum = bias ? (double)bias[o] : 0;
            for (int64_t j = 0; j < in; j++)
                sum += x[i * in + j] * (double)weight[o * in + j];
            y[i * out + o] = sum;
        }
}

/* qkv [S, 3 W] of one sequence, of which `keys` may be seen -> out [S, W]. */
static inline void ref_attention(const double *qkv, int64_t S, int64_t keys, int64_t W,
                                 int64_t heads, bool causal, double *out)
{
    int64_t D = W / heads;
    double *p = ref_new(S);

    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < S; i++) {
            double  sum = 0;
            int64_t seen = causal ? i + 1 : keys;
            for (int64_t j = 0; j < seen; j++) {
                double dot = 0;
                for (int64_t d = 0; d < D; d++)
                    dot += qkv[i * 3 * W + h * D + d] * qkv[j * 3 * W + W + h * D + d];
                p[j] = exp(dot / sqrt((double)D));
                sum += p[j];
            }
            for (int64_t d = 0; d < D; d++) {
                double o = 0;
                for (int64_t j = 0; j < seen; j++)
                    o += p[j] / sum * qkv[j * 3 * W + 2 * W + h * D + d];
                out[i * W + h * D + d] = o;
            }
        }
    free(p);
}

static inline double ref_activation(th_activation kind, double u)
{
    return kind == TH_GELU ? u * 0.5 * (1 + erf(u / sqrt(2))) : u / (1 + exp(-1.702 * u));
}

/* One block over one sequence, in place. */
static inline void ref_block(const th_parameters *p, const char *prefix, double *x, int64_t S,
                             int64_t W, int64_t heads, bool causal)
{
    double *n = ref_new(S * W), *qkv = ref_new(S * 3 * W), *a = ref_new(S * W);
    double *y = ref_new(S * W), *u = ref_new(S * 4 * W);

    ref_norm(x, S, W, ref_weight(p, prefix, "ln_1.weight"), ref_weight(p, prefix, "ln_1.bias"),
             1e-5, n);
    ref_linear(n, S, W, 3 * W, ref_weight(p, prefix, "attn.in_proj_weight"),
               ref_weight(p, prefix, "attn.in_proj_bias"), qkv);
    ref_attention(qkv, S, S, W, heads, causal, a);
    ref_linear(a, S, W, W, ref_weight(p, prefix, "attn.out_proj.weight"),
               ref_weight(p, prefix, "attn.out_proj.bias"), y);
    for (int64_t i = 0; i < S * W; i++)
        x[i] += y[i];
    ref_norm(x, S, W, ref_weight(p, prefix, "ln_2.weight"), ref_weight(p, prefix, "ln_2.bias"),
             1e-5, n);
    ref_linear(n, S, W, 4 * W, ref_weight(p, prefix, "mlp.c_fc.weight"),
               ref_weight(p, prefix, "mlp.c_fc.bias"), u);
    for (int64_t i = 0; i < S * 4 * W; i++)
        u[i] = ref_activation(p->model.activation, u[i]);
    ref_linear(u, S, 4 * W, W, ref_weight(p, prefix, "mlp.c_proj.weight"),
               ref_weight(p, prefix, "mlp.c_proj.bias"), y);
    for (int64_t i = 0; i < S * W; i++)
        x[i] += y[i];
    free(n), free(qkv), free(a), free(y), free(u);
}

static inline void ref_stack(const th_parameters *p, const char *tower, double *x, int64_t S,
                             int64_t W, int64_t layers, int64_t heads, bool causal)
{
    char prefix[64];

    for (int64_t i = 0; i < layers; i++) {
        (void)snprintf(prefix, sizeof prefix, "%stransformer.resblocks.%d.", tower, (int)i);
        ref_block(p, prefix, x, S, W, heads, causal);
    }
}

/* feature [embed] = norm(x) @ projection [W, embed]. */
static inline void ref_head(const th_parameters *p, const double *x, int64_t W, const char *norm,
                            const char *projection, double *feature)
{
    double        *n = ref_new(W);
    const th_real *proj = ref_weight(p, "", projection);
    int64_t        E = p->model.embed;

    ref_norm(x, 1, W, ref_weight(p, norm, ".weight"), ref_weight(p, norm, ".bias"), 1e-5, n);
    for (int64_t e = 0; e < E; e++) {
        feature[e] = 0;
        for (int64_t j = 0; j < W; j++)
            feature[e] += n[j] * (double)proj[j * E + e];
    }
    free(n);
}

/* features [n, embed] of pixels [n, size, size, 3]. */
static inline void ref_image(const th_image_tower *tower, const uint8_t *pixels, int64_t n,
                             double *features)
{
    const th_parameters  *p = tower->parameters;
    const th_image_config m = p->model.image;
    int64_t W = m.width, side = m.size / m.patch, S = side * side + 1, area = m.patch * m.patch;
    const th_real *conv = ref_weight(p, "visual.", "conv1.weight");
    const th_real *class = ref_weight(p, "visual.", "class_embedding");
    const th_real *position = ref_weight(p, "visual.", "positional_embedding");
    double        *x = ref_new(S * W);

    for (int64_t i = 0; i < n; i++) {
        const uint8_t *image = pixels + i * m.size * m.size * 3;
        for (int64_t t = 0; t < S; t++)
            for (int64_t j = 0; j < W; j++) {
                double sum = t == 0 ? (double)class[j] : 0;
                for (int64_t k = 0; t > 0 && k < 3 * area; k++) {
                    int64_t c = k / area, dy = k % area / m.patch, dx = k % m.patch;
                    int64_t Y = (t - 1) / side * m.patch + dy, X = (t - 1) % side * m.patch + dx;
                    double  value =
                        (image[(Y * m.size + X) * 3 + c] / 255.0 - (double)tower->mean[c]) /
                        (double)tower->deviation[c];
                    sum += value * (double)conv[j * 3 * area + k];
                }
                x[t * W + j] = sum + (double)position[t * W + j];
            }
        ref_norm(x, S, W, ref_weight(p, "visual.", "ln_pre.weight"),
                 ref_weight(p, "visual.", "ln_pre.bias"), 1e-5, x);
        ref_stack(p, "visual.", x, S, W, m.layers, m.heads, false);
        ref_head(p, x, W, "visual.ln_post", "visual.proj", features + i * p->model.embed);
    }
    free(x);
}

/* One layer of BERT over a padded sequence, in place: x [S, W], of which `count` rows are tokens.
 */
static inline void ref_bert_layer(const th_parameters *p, const char *prefix, double *x, int64_t S,
                                  int64_t count, int64_t W, int64_t heads)
{
    double *qkv = ref_new(S * 3 * W), *a = ref_new(S * W), *y = ref_new(S * W);
    double *u = ref_new(S * 4 * W);

    ref_linear(x, S, W, 3 * W, ref_weight(p, prefix, "attn.in_proj_weight"),
               ref_weight(p, prefix, "attn.in_proj_bias"), qkv);
    ref_attention(qkv, S, count, W, heads, false, a);
    ref_linear(a, S, W, W, ref_weight(p, prefix, "attn.out_proj.weight"),
               ref_weight(p, prefix, "attn.out_proj.bias"), y);
    for (int64_t i = 0; i < S * W; i++)
        y[i] += x[i];
    ref_norm(y, S, W, ref_weight(p, prefix, "ln_1.weight"), ref_weight(p, prefix, "ln_1.bias"),
             1e-12, x);
    ref_linear(x, S, W, 4 * W, ref_weight(p, prefix, "mlp.c_fc.weight"),
               ref_weight(p, prefix, "mlp.c_fc.bias"), u);
    for (int64_t i = 0; i < S * 4 * W; i++)
        u[i] = ref_activation(TH_GELU, u[i]);
    ref_linear(u, S, 4 * W, W, ref_weight(p, prefix, "mlp.c_proj.weight"),
               ref_weight(p, prefix, "mlp.c_proj.bias"), y);
    for (int64_t i = 0; i < S * W; i++)
        y[i] += x[i];
    ref_norm(y, S, W, ref_weight(p, prefix, "ln_2.weight"), ref_weight(p, prefix, "ln_2.bias"),
             1e-12, x);
    free(qkv), free(a), free(y), free(u);
}

/* feature [embed] of one caption: BertModel, pooled, times the projection. */
static inline void ref_bert_caption(const th_parameters *p, const int32_t *tokens, int64_t count,
                                    double *feature)
{
    const th_text_config m = p->model.text;
    int64_t              W = m.width, S = m.context, E = p->model.embed;
    const th_real       *token = ref_weight(p, "", "token_embedding.weight");
    const th_real       *position = ref_weight(p, "", "positional_embedding");
    const th_real       *type = ref_weight(p, "", "token_type_embedding.weight");
    const th_real       *projection = ref_weight(p, "", "text_projection");
    double              *x = ref_new(S * W);
    char                 prefix[64];

    for (int64_t t = 0; t < S; t++)
        for (int64_t j = 0; j < W; j++)
            x[t * W + j] = (double)token[(t < count ? tokens[t] : 0) * W + j] +
                           (double)position[t * W + j] + (double)type[j];
    ref_norm(x, S, W, ref_weight(p, "", "ln_embed.weight"), ref_weight(p, "", "ln_embed.bias"),
             1e-12, x);
    for (int64_t i = 0; i < m.layers; i++) {
        (void)snprintf(prefix, sizeof prefix, "transformer.resblocks.%d.", (int)i);
        ref_bert_layer(p, prefix, x, S, count, W, m.heads);
    }
    for (int64_t e = 0; e < E; e++)
        feature[e] = 0;
    int64_t rows = m.pool == TH_POOL_MEAN ? count : 1;
    for (int64_t t = 0; t < rows; t++)
        for (int64_t j = 0; j < W; j++)
            for (int64_t e = 0; e < E; e++)
                feature[e] += x[t * W + j] * (double)projection[j * E + e] / (double)rows;
    free(x);
}

static inline void ref_bert(const th_text_tower *tower, const th_captions *captions,
                            double *features)
{
    const int64_t *first = captions->offsets;

    for (int64_t i = 0; i < captions->n; i++)
        ref_bert_caption(tower->parameters, captions->tokens + first[i], first[i + 1] - first[i],
                         features + i * tower->parameters->model.embed);
}

static inline void ref_clip_text(const th_text_tower *tower, const th_captions *captions,
                                 double *features)
{
    const th_parameters *p = tower->parameters;
    const th_text_config m = p->model.text;
    const th_real       *token = ref_weight(p, "", "token_embedding.weight");
    const th_real       *position = ref_weight(p, "", "positional_embedding");
    double              *x = ref_new(m.context * m.width);

    for (int64_t i = 0; i < captions->n; i++) {
        int64_t first = captions->offsets[i], count = captions->offsets[i + 1] - first;
        for (int64_t t = 0; t < m.context; t++)
            for (int64_t j = 0; j < m.width; j++) {
                int32_t id = t < count ? captions->tokens[first + t] : 0;
                x[t * m.width + j] =
                    (double)token[id * m.width + j] + (double)position[t * m.width + j];
            }
        ref_stack(p, "", x, m.context, m.width, m.layers, m.heads, true);
        ref_head(p, x + (count - 1) * m.width, m.width, "ln_final", "text_projection",
                 features + i * p->model.embed);
    }
    free(x);
}

/* features [n, embed]; every caption is padded with zeros to the whole context. */
static inline void ref_text(const th_text_tower *tower, const th_captions *captions,
                            double *features)
{
    if (tower->parameters->model.text.kind == TH_TEXT_BERT)
        ref_bert(tower, captions, features);
    else
        ref_clip_text(tower, captions, features);
}

#endif
