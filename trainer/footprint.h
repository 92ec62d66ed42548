/* trainer/footprint.h - what a rank holds in memory while the rows of the table train as they do
 * now.
 *
 * The one account of it: a stage that begins asks here what its budget leaves for activations, and
 * `thaw plan` asks the same for stages that have not begun. */
#ifndef TH_TRAINER_FOOTPRINT_H
#define TH_TRAINER_FOOTPRINT_H

#include "comm/world.h"
#include "trainer/parameters.h"

/* Bytes that are there whatever a pass needs. */
typedef struct {
    size_t weights;   // all rows
    size_t gradients; // of rows that train
    size_t moments;   // two, of rows that train or have some to keep
    size_t snapshot;  // weights and moments on their way to a checkpoint; rank 0 alone has one
    size_t features;  // th_step_feature_bytes
} th_footprint;

/* Of the table with the rows that train now; a row has moments when it trains or its step count is
 * above 0. world: its size alone counts; the rest is of the stage's options. Local. */
th_footprint th_footprint_of(const th_parameters *parameters, const th_world *world, int64_t batch,
                             int64_t captions, bool mask_duplicates);

/* What a budget leaves for activations. Every rank counts a snapshot, so that all plan alike.
 * Errors: TH_EUSAGE when nothing is left, with the stage and what it needs. Local. */
TH_MUST_CHECK th_code th_footprint_activations(const th_footprint *footprint, int64_t budget,
                                               const char *stage, size_t *out_bytes, th_err *err);

/* Arena bytes of one tower's pass over n pictures, or n captions of so many tokens in all, with the
 * rows at a cut that a cache may have: as th_plan_passes wants them. Local. */
void th_footprint_pass(const th_parameters *parameters, th_tower tower, int64_t n, int64_t tokens,
                       size_t *out_tape, size_t *out_scratch);

#endif
