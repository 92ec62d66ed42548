/* trainer/initial_weights.h - what a table holds before the first step. */
#ifndef TH_TRAINER_INITIAL_WEIGHTS_H
#define TH_TRAINER_INITIAL_WEIGHTS_H

#include "comm/world.h"
#include "dataloader/pack.h"
#include "trainer/options.h"
#include "trainer/parameters.h"

/* Draws every row (th_parameters_init), and lays those over it that init.* names: rank 0 reads,
 * all get them. `pack` is the one trained on; pixels that it normalizes otherwise than the weights'
 * are warned of. Errors: as th_weights_open and th_weights_load. Calls: Collective. */
TH_MUST_CHECK th_code th_initial_weights(th_world *world, const th_train_options *options,
                                         const th_pack_info *pack, th_parameters *parameters,
                                         th_err *err);

#endif
