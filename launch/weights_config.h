/* launch/weights_config.h - which model weights are of.
 *
 * A weights file (`thaw import`) has in /config the `model:` of a run file with every size, and
 * `pixels:`, how pictures were normalized for it. A checkpoint has the whole run file there. */
#ifndef TH_LAUNCH_WEIGHTS_CONFIG_H
#define TH_LAUNCH_WEIGHTS_CONFIG_H

#include "trainer/options.h"
#include "trainer/weights.h"

typedef struct {
    bool   known;
    double mean[3], deviation[3]; // of pixels in [0, 1]
} th_pixels;

extern const th_pixels th_pixels_clip; // CLIP's own: what is taken where nothing tells

/* The text of /config, free() it. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_weights_config_text(const th_model_config *model, const th_pixels *pixels,
                                             char **out, th_err *err);

typedef struct {
    th_model_config model;   // the width of a tower that the weights do not have is 0
    bool            guessed; // heads and activation: there was no config
    th_pixels       pixels;
    char            train[1024]; // the pack of the run that they are of, "" for others
} th_weights_about;

/* What weights are of. Errors: TH_EDATA: a configuration that cannot be read; TH_EUSAGE, TH_EIO. */
TH_MUST_CHECK th_code th_weights_describe(const th_weights *weights, th_weights_about *out,
                                          th_err *err);

#endif
