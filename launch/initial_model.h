/* launch/initial_model.h - a run that starts from weights has their sizes. */
#ifndef TH_LAUNCH_INITIAL_MODEL_H
#define TH_LAUNCH_INITIAL_MODEL_H

#include "trainer/options.h"

/* Sets the sizes and the activation that the run file left open to those of the weights that init.*
 * names. A run that has begun has them in its config.resolved.yaml (`run_folder`), and the weights
 * are not looked at again; with run_folder NULL they never are, for a file that was resolved. What
 * the run file sets must be as in the weights, but for model.image.size and model.text.context,
 * which positions are fitted to. Of
 * BERT's context 128 tokens are taken where none is set, and a text tower without a projection
 * makes features of its own width. Without init.* the preset is ViT-B-32 and the activation gelu
 * where none is set. Texts are kept in pool. Errors: TH_EUSAGE naming the option, its value and
 * that of the weights; TH_EDATA, TH_EIO. */
TH_MUST_CHECK th_code th_initial_model(th_train_options *options, const char *run_folder,
                                       th_arena *pool, th_err *err);

#endif
