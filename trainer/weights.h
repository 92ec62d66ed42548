/* trainer/weights.h - weights that were made elsewhere, on their way into a table.
 *
 * A source is a run directory (its newest good generation counts), a checkpoint or weights file of
 * thaw's (.h5), or what open_clip or Hugging Face's transformers saved: a folder, or a .safetensors
 * file (checkpoint/interchange/foreign.h). */
#ifndef TH_TRAINER_WEIGHTS_H
#define TH_TRAINER_WEIGHTS_H

#include "checkpoint/generations.h"
#include "checkpoint/interchange/foreign.h"
#include "trainer/parameters.h"

typedef struct th_weights th_weights;

/* Errors: TH_EUSAGE, TH_EDATA, TH_EIO with the reason. Local. */
TH_MUST_CHECK th_code th_weights_open(const char *path, th_weights **out, th_err *err);
void                  th_weights_close(th_weights *weights); // accepts NULL

/* What others say of their model, or NULL when the source is thaw's own. */
const th_foreign_model *th_weights_foreign(const th_weights *weights);
/* The configuration in a source of thaw's own, YAML; NULL for others. */
const char *th_weights_config(const th_weights *weights);
/* Step of the training that the weights are of; 0 when that is not known. */
int64_t th_weights_step(const th_weights *weights);

/* Shape of a row; false when the source does not have it. `name` of *out is not set. */
bool th_weights_shape(const th_weights *weights, const char *row, th_tensor *out);

/* Which rows of a table are read: all, of which none may be missing but a logit_bias; both towers
 * with what stands beside them (the scale), or one tower. */
typedef enum { TH_WHOLE_MODEL, TH_BOTH_TOWERS, TH_IMAGE_ONLY, TH_TEXT_ONLY } th_weights_part;

/* Reads these rows. Those that the source lacks keep what they have. Positions of pictures are
 * interpolated when the model's picture has another size (checkpoint/interchange/positions.h); a
 * shorter context takes the first positions of captions. A projection into features of another
 * width than the model's is left out when one tower is read. The log tells what is missing, what
 * was fitted, and which tensors of the source nobody asked for. Errors: TH_EUSAGE: another
 * vocabulary, a context that is longer; TH_EDATA: a row of a whole model is missing, or has another
 * shape; TH_EIO. Local. */
TH_MUST_CHECK th_code th_weights_load(th_weights *weights, th_parameters *parameters,
                                      th_weights_part part, th_err *err);

#endif
