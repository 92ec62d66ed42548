/* launch/trained_model.h - a model, opened for evaluation and queries: that of a run directory, or
 * of weights without one (a file that `thaw import` wrote, or whatever else trainer/weights.h
 * opens). */
#ifndef TH_LAUNCH_TRAINED_MODEL_H
#define TH_LAUNCH_TRAINED_MODEL_H

#include "dataloader/pack.h"
#include "trainer/options.h"
#include "trainer/parameters.h"

typedef struct {
    th_train_options options; // as the run was started; the defaults for weights without one
    th_pack         *pack;    // `data`, else the run's data.val, else its data.train; or NULL
    th_pack_info     pixels;  // size, margin, filter, alpha, exif, mean, deviation: as the pack's
    th_parameters    parameters;
    int64_t          step;   // of the weights
    th_arena         passes; // for forward passes
    th_arena         pool;   // texts of the options
} th_trained_model;

/* Opens the weights (of a run, those of the newest good generation), and the pack at `data`, whose
 * tokenizer and picture size must be those of the run. Of weights only the vocabulary's size is
 * known; a run may do with `data` NULL. Errors: TH_EDATA, TH_EUSAGE, TH_EIO. Local. */
TH_MUST_CHECK th_code th_trained_model_open(const char *run_or_weights, const char *data,
                                            th_trained_model *out, th_err *err);

/* The same, but weights may do without a pack too: `pack` is NULL then, and `pixels` what the
 * weights say of mean and deviation (else CLIP's), the model's size, and th_pack_table's defaults.
 */
TH_MUST_CHECK th_code th_trained_model_open_bare(const char *run_or_weights, const char *data,
                                                 th_trained_model *out, th_err *err);

void th_trained_model_close(th_trained_model *model); // accepts a zeroed one

#endif
