/* trainer/state.h - the parameter table on its way to and from a checkpoint. */
#ifndef TH_TRAINER_STATE_H
#define TH_TRAINER_STATE_H

#include "checkpoint/generations.h"
#include "comm/world.h"
#include "trainer/options.h"
#include "trainer/parameters.h"

/* Describes every row for a snapshot: pointers into the arenas, with moments for rows that have
 * been updated or will be. *out: [row_count], free(). Errors: TH_EIO. Local. */
TH_MUST_CHECK th_code th_state_describe(const th_parameters *parameters, th_saved_parameter **out,
                                        th_err *err);

/* Reads weights, and with `moments` the optimizer's state, of every row. Errors: TH_EDATA naming
 * the parameter that is missing or has another shape; TH_EIO. Local. */
TH_MUST_CHECK th_code th_state_load(th_parameters *parameters, th_reader *reader, bool moments,
                                    th_err *err);

/* Goes on from the newest good generation in `folder`: rank 0 reads, all get the table and the
 * state. *out_found is false, and the table untouched, when there is none. Calls: Collective. */
TH_MUST_CHECK th_code th_state_resume(th_world *world, const char *folder,
                                      th_parameters *parameters, th_saved_state *out_state,
                                      bool *out_found, th_err *err);

/* Opens the table of the options' model with the weights of the newest good generation in a run's
 * folder. *out_step (may be NULL) is its step. Errors: TH_EDATA when there is none. Local. */
TH_MUST_CHECK th_code th_state_open(const char *run_folder, const th_train_options *options,
                                    int64_t vocabulary, th_parameters *out, int64_t *out_step,
                                    th_err *err);

#endif
