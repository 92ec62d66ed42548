/* trainer/parameters.h - the parameter table: what everything else runs off.
 *
 * Every parameter is a row. Weights, gradients and both moments are four arenas with the rows'
 * offsets. Rows stand in forward order (image tower, text tower, logit scale), so backward, text
 * first, fills the gradient arena from its end and a bucket is a contiguous range. Freezing is a
 * bit in a column. Names and shapes are open_clip's; a BERT text tower has the names of CLIP's
 * where the part is the same (docs/architecture.md). `logit_bias` is there for the sigmoid loss
 * only.
 *
 * Groups are the slices of a tower that freeze as one: "image.embed" (with the norm that follows),
 * "image.blocks[0]" .. (the last with the final norm), "image.head" (the projection), the same of
 * text, "logit_scale", and "logit_bias". A group's rows, and so its elements, are contiguous. */
#ifndef TH_TRAINER_PARAMETERS_H
#define TH_TRAINER_PARAMETERS_H

#include "base/memory.h"
#include "trainer/model.h"
#include "trainer/nn/real.h"
#include <stdbool.h>

typedef enum { TH_IMAGE, TH_TEXT_TOWER, TH_NO_TOWER } th_tower;

typedef enum {
    TH_INIT_ZERO,
    TH_INIT_ONE,
    TH_INIT_NORMAL,
    TH_INIT_UNIFORM,
    TH_INIT_VALUE,
    TH_INIT_IDENTITY, // of a square matrix
} th_init;

typedef struct {
    char     name[128];
    int      dimensions; // 0 to 4
    int64_t  shape[4];
    int64_t  count;  // elements
    int64_t  offset; // in elements, in each arena; a multiple of 16
    th_tower tower;
    int      group; // index into groups
    bool     decay; // weight decay applies: two or more dimensions, not an embedding of positions
    bool     trainable;
    th_init  init;
    double   init_amount; // deviation of NORMAL, half-width of UNIFORM, the VALUE
} th_parameter;

typedef struct {
    char     name[32]; // "image.blocks[3]"
    th_tower tower;
    int      depth;     // 0 embed, 1 + i for block i, 1 + layers head
    int      first_row; // rows first_row .. first_row + row_count - 1
    int      row_count;
    int64_t  first, count; // elements, padding between rows included
    bool     trainable;    // any row is
} th_group;

typedef struct {
    th_model_config model;
    th_parameter   *rows;
    int             row_count;
    th_group       *groups;
    int             group_count;
    int             logit_scale, logit_bias;                  // rows; logit_bias may be -1: none
    int64_t         elements;                                 // of each arena, padding included
    th_real        *weight, *gradient, *exp_avg, *exp_avg_sq; // pages are backed when first touched
    int64_t        *step;                                     // [row_count] updates a row has had
    th_arena        arenas[4];
} th_parameters;

/* Builds the table and reserves the arenas; weights are zero. Rows are trainable.
 * Errors: TH_EUSAGE (sizes), TH_EIO (memory). Local. */
TH_MUST_CHECK th_code th_parameters_open(const th_model_config *model, th_parameters *out,
                                         th_err *err);
void th_parameters_close(th_parameters *parameters); // accepts NULL and a zeroed table

/* open_clip's initialisation, drawn from (seed, TH_FOR_INIT, 0, row): the same on every rank.
 * Local. */
void th_parameters_init(th_parameters *parameters, uint64_t seed);

/* Row of that exact name, or -1. */
int th_parameters_find(const th_parameters *parameters, const char *name);

/* Group of a tower at a depth, or -1. */
int th_parameters_group(const th_parameters *parameters, th_tower tower, int depth);

/* Does a pattern of the run file select this row? "all", "image", "text", "heads" (projections,
 * logit scale and bias), "image.embed", "text.head", "image.blocks[6:9]", "image.blocks[3]",
 * "image.top(2)", or a glob on the name ("*.ln_1.*", "logit_scale", fnmatch). */
bool th_parameters_match(const th_parameters *parameters, int row, const char *pattern);

/* Sets the trainable bit of every row (and of the groups). */
void th_parameters_freeze_all(th_parameters *parameters, bool trainable);

/* Sets it of each row, trains[row_count], and of the groups; returns whether it is another set than
 * before. */
bool th_parameters_train(th_parameters *parameters, const bool *trains);

/* Does any row of the tower train? */
bool th_parameters_tower_trains(const th_parameters *parameters, th_tower tower);

static inline th_real *th_weight(const th_parameters *p, int row)
{
    return p->weight + p->rows[row].offset;
}

static inline th_real *th_gradient(const th_parameters *p, int row)
{
    return p->gradient + p->rows[row].offset;
}

#endif
