/* The table is built twice by the same code: first to count rows and elements, then to fill them.
 */
#include "trainer/parameters.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 16 // elements: 64 bytes of float, so that a row starts on a cache line

typedef struct {
    th_parameters *table;
    bool           counting;
    int            group; // the group that rows are added to, -1 before the first
} builder;

static void begin_group(builder *to, th_tower tower, int depth, const char *format, ...)
    TH_PRINTF(4, 5);
static void begin_group(builder *to, th_tower tower, int depth, const char *format, ...)
{
    th_parameters *table = to->table;

    to->group = table->group_count++;
    if (to->counting)
        return;
    th_group *group = &table->groups[to->group];
    *group = (th_group){ .tower = tower,
                         .depth = depth,
                         .first_row = table->row_count,
                         .first = table->elements,
                         .trainable = true };
    va_list values;
    va_start(values, format);
    (void)vsnprintf(group->name, sizeof group->name, format, values);
    va_end(values);
}

// One row at the end of the current group. `shape` holds `dimensions` sizes.
static void add(builder *to, const char *prefix, const char *name, int dimensions,
                const int64_t *shape, bool decay, th_init init, double amount)
{
    th_parameters *table = to->table;
    int64_t        count = 1;

    for (int i = 0; i < dimensions; i++)
        count *= shape[i];
    if (!to->counting) {
        th_group     *group = &table->groups[to->group];
        th_parameter *row = &table->rows[table->row_count];
        *row = (th_parameter){ .dimensions = dimensions,
                               .count = count,
                               .offset = table->elements,
                               .tower = group->tower,
                               .group = to->group,
                               .decay = decay,
                               .trainable = true,
                               .init = init,
                               .init_amount = amount };
        (void)snprintf(row->name, sizeof row->name, "%s%s", prefix, name);
        memcpy(row->shape, shape, (size_t)dimensions * sizeof *shape);
        group->row_count++;
        group->count =
            table->elements + (count + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - group->first;
    }
    table->row_count++;
    table->elements += (count + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void add_vector(builder *to, const char *prefix, const char *name, int64_t n, th_init init,
                       double amount)
{
    add(to, prefix, name, 1, (int64_t[]){ n }, false, init, amount);
}

static void add_matrix(builder *to, const char *prefix, const char *name, int64_t rows,
                       int64_t columns, bool decay, th_init init, double amount)
{
    add(to, prefix, name, 2, (int64_t[]){ rows, columns }, decay, init, amount);
}

static void add_norm(builder *to, const char *prefix, const char *name, int64_t width)
{
    char full[64];

    (void)snprintf(full, sizeof full, "%s.weight", name);
    add_vector(to, prefix, full, width, TH_INIT_ONE, 0);
    (void)snprintf(full, sizeof full, "%s.bias", name);
    add_vector(to, prefix, full, width, TH_INIT_ZERO, 0);
}

// How open_clip draws the matrices of a block. The image tower keeps torch's defaults (Xavier for
// in_proj, U(+-1/sqrt(inputs)) else); the text tower has CLIP's normal deviations. The biases of
// the MLP are drawn uniformly, but in BERT, where all biases begin at zero.
typedef struct {
    th_init kind;
    double  in_proj, out_proj, c_fc, c_proj;
    th_init mlp_bias;
} block_init;

static block_init image_block_init(int64_t width)
{
    double w = (double)width;
    return (block_init){ TH_INIT_UNIFORM, sqrt(6 / (4 * w)), 1 / sqrt(w),
                         1 / sqrt(w),     1 / sqrt(4 * w),   TH_INIT_UNIFORM };
}

static block_init text_block_init(int64_t width, int64_t layers)
{
    double w = (double)width;
    double proj = 1 / sqrt(w) / sqrt(2 * (double)layers);
    return (
        block_init){ TH_INIT_NORMAL, 1 / sqrt(w), proj, 1 / sqrt(2 * w), proj, TH_INIT_UNIFORM };
}

#define BERT_DEVIATION 0.02

static block_init bert_block_init(void)
{
    double d = BERT_DEVIATION;
    return (block_init){ TH_INIT_NORMAL, d, d, d, d, TH_INIT_ZERO };
}

static void add_block(builder *to, const char *tower, int i, int64_t width, block_init init)
{
    char   prefix[96];
    double w = (double)width;

    (void)snprintf(prefix, sizeof prefix, "%stransformer.resblocks.%d.", tower, i);
    add_norm(to, prefix, "ln_1", width);
    add_matrix(to, prefix, "attn.in_proj_weight", 3 * width, width, true, init.kind, init.in_proj);
    add_vector(to, prefix, "attn.in_proj_bias", 3 * width, TH_INIT_ZERO, 0);
    add_matrix(to, prefix, "attn.out_proj.weight", width, width, true, init.kind, init.out_proj);
    add_vector(to, prefix, "attn.out_proj.bias", width, TH_INIT_ZERO, 0);
    add_norm(to, prefix, "ln_2", width);
    add_matrix(to, prefix, "mlp.c_fc.weight", 4 * width, width, true, init.kind, init.c_fc);
    add_vector(to, prefix, "mlp.c_fc.bias", 4 * width, init.mlp_bias, 1 / sqrt(w));
    add_matrix(to, prefix, "mlp.c_proj.weight", width, 4 * width, true, init.kind, init.c_proj);
    add_vector(to, prefix, "mlp.c_proj.bias", width, init.mlp_bias, 1 / sqrt(4 * w));
}

static void add_image_tower(builder *to, const th_model_config *model)
{
    const th_image_config *image = &model->image;
    int64_t                width = image->width, inputs = 3 * image->patch * image->patch;
    double                 scale = 1 / sqrt((double)width);

    begin_group(to, TH_IMAGE, 0, "image.embed");
    add(to, "visual.", "conv1.weight", 4, (int64_t[]){ width, 3, image->patch, image->patch }, true,
        TH_INIT_UNIFORM, 1 / sqrt((double)inputs));
    add_vector(to, "visual.", "class_embedding", width, TH_INIT_NORMAL, scale);
    add_matrix(to, "visual.", "positional_embedding", th_patch_count(image) + 1, width, false,
               TH_INIT_NORMAL, scale);
    add_norm(to, "visual.", "ln_pre", width);
    for (int i = 0; i < image->layers; i++) {
        begin_group(to, TH_IMAGE, 1 + i, "image.blocks[%d]", i);
        add_block(to, "visual.", i, width, image_block_init(width));
    }
    add_norm(to, "visual.", "ln_post", width);
    begin_group(to, TH_IMAGE, 1 + (int)image->layers, "image.head");
    add_matrix(to, "visual.", "proj", width, model->embed, true, TH_INIT_NORMAL, scale);
}

// The projection of an encoder whose width is that of a feature begins as none: a pretrained
// sentence encoder then has its own sentence embedding as its feature. The token types are added to
// every token, like a bias, and do not decay: that would wear off the types that captions never
// use.
static void add_bert_tower(builder *to, const th_model_config *model)
{
    const th_text_config *text = &model->text;
    int64_t               width = text->width;

    begin_group(to, TH_TEXT_TOWER, 0, "text.embed");
    add_matrix(to, "", "token_embedding.weight", text->vocabulary, width, true, TH_INIT_NORMAL,
               BERT_DEVIATION);
    add_matrix(to, "", "positional_embedding", text->context, width, false, TH_INIT_NORMAL,
               BERT_DEVIATION);
    add_matrix(to, "", "token_type_embedding.weight", text->types, width, false, TH_INIT_NORMAL,
               BERT_DEVIATION);
    add_norm(to, "", "ln_embed", width);
    for (int i = 0; i < text->layers; i++) {
        begin_group(to, TH_TEXT_TOWER, 1 + i, "text.blocks[%d]", i);
        add_block(to, "", i, width, bert_block_init());
    }
    begin_group(to, TH_TEXT_TOWER, 1 + (int)text->layers, "text.head");
    add_matrix(to, "", "text_projection", width, model->embed, true,
               width == model->embed ? TH_INIT_IDENTITY : TH_INIT_NORMAL, 1 / sqrt((double)width));
}

static void add_text_tower(builder *to, const th_model_config *model)
{
    const th_text_config *text = &model->text;
    int64_t               width = text->width;

    begin_group(to, TH_TEXT_TOWER, 0, "text.embed");
    add_matrix(to, "", "token_embedding.weight", text->vocabulary, width, true, TH_INIT_NORMAL,
               0.02);
    add_matrix(to, "", "positional_embedding", text->context, width, false, TH_INIT_NORMAL, 0.01);
    for (int i = 0; i < text->layers; i++) {
        begin_group(to, TH_TEXT_TOWER, 1 + i, "text.blocks[%d]", i);
        add_block(to, "", i, width, text_block_init(width, text->layers));
    }
    add_norm(to, "", "ln_final", width);
    begin_group(to, TH_TEXT_TOWER, 1 + (int)text->layers, "text.head");
    add_matrix(to, "", "text_projection", width, model->embed, true, TH_INIT_NORMAL,
               1 / sqrt((double)width));
}

// CLIP's first temperature is 0.07. The sigmoid loss begins where each of the many pairs that do
// not belong together has the probability exp(-10) (Zhai et al. 2023, arXiv:2303.15343,
// section 3.2).
static void add_logits(builder *to, const th_model_config *model)
{
    const int64_t scalar[] = { 0 };
    double        scale = model->logit_bias ? log(10) : log(1 / 0.07);

    to->table->logit_scale = to->table->row_count;
    to->table->logit_bias = model->logit_bias ? to->table->row_count + 1 : -1;
    begin_group(to, TH_NO_TOWER, 0, "logit_scale");
    add(to, "", "logit_scale", 0, scalar, false, TH_INIT_VALUE, scale);
    if (model->logit_bias) {
        begin_group(to, TH_NO_TOWER, 1, "logit_bias");
        add(to, "", "logit_bias", 0, scalar, false, TH_INIT_VALUE, -10);
    }
}

static void build(th_parameters *table, bool counting)
{
    builder to = { .table = table, .counting = counting, .group = -1 };

    table->row_count = table->group_count = 0;
    table->elements = 0;
    add_image_tower(&to, &table->model);
    if (table->model.text.kind == TH_TEXT_BERT)
        add_bert_tower(&to, &table->model);
    else
        add_text_tower(&to, &table->model);
    add_logits(&to, &table->model);
}

th_code th_parameters_open(const th_model_config *model, th_parameters *out, th_err *err)
{
    th_parameters table = { .model = *model };
    th_code       rc = TH_OK;

    TH_TRY(th_model_check(model, err));
    build(&table, true);
    TH_TRY(th_alloc((size_t)table.row_count, sizeof *table.rows, "parameter table",
                    (void **)&table.rows, err));
    TH_TRY(th_alloc((size_t)table.group_count, sizeof *table.groups, "parameter groups",
                    (void **)&table.groups, err));
    TH_TRY(th_alloc((size_t)table.row_count, sizeof *table.step, "parameter step counts",
                    (void **)&table.step, err));
    build(&table, false);

    th_real **const arrays[4] = { &table.weight, &table.gradient, &table.exp_avg,
                                  &table.exp_avg_sq };
    for (int i = 0; i < 4; i++) {
        TH_TRY(th_arena_open(&table.arenas[i], (size_t)table.elements * sizeof(th_real), err));
        *arrays[i] = th_arena_take(&table.arenas[i], (size_t)table.elements, sizeof(th_real));
        TH_CHECK(*arrays[i], TH_EIO, "use a smaller model", "could not lay out %lld parameters",
                 (long long)table.elements);
    }
    *out = table;
out:
    if (rc != TH_OK)
        th_parameters_close(&table);
    return rc;
}

void th_parameters_close(th_parameters *parameters)
{
    if (!parameters)
        return;
    for (int i = 0; i < 4; i++)
        th_arena_close(&parameters->arenas[i]);
    free(parameters->rows);
    free(parameters->groups);
    free(parameters->step);
    *parameters = (th_parameters){ 0 };
}

int th_parameters_find(const th_parameters *parameters, const char *name)
{
    for (int i = 0; i < parameters->row_count; i++)
        if (strcmp(parameters->rows[i].name, name) == 0)
            return i;
    return -1;
}

int th_parameters_group(const th_parameters *parameters, th_tower tower, int depth)
{
    for (int i = 0; i < parameters->group_count; i++)
        if (parameters->groups[i].tower == tower && parameters->groups[i].depth == depth)
            return i;
    return -1;
}

void th_parameters_freeze_all(th_parameters *parameters, bool trainable)
{
    for (int i = 0; i < parameters->row_count; i++)
        parameters->rows[i].trainable = trainable;
    for (int i = 0; i < parameters->group_count; i++)
        parameters->groups[i].trainable = trainable;
}

bool th_parameters_train(th_parameters *parameters, const bool *trains)
{
    bool changed = false;

    for (int i = 0; i < parameters->group_count; i++)
        parameters->groups[i].trainable = false;
    for (int i = 0; i < parameters->row_count; i++) {
        th_parameter *row = &parameters->rows[i];
        changed |= row->trainable != trains[i];
        row->trainable = trains[i];
        parameters->groups[row->group].trainable |= trains[i];
    }
    return changed;
}

bool th_parameters_tower_trains(const th_parameters *parameters, th_tower tower)
{
    for (int i = 0; i < parameters->row_count; i++)
        if (parameters->rows[i].tower == tower && parameters->rows[i].trainable)
            return true;
    return false;
}
