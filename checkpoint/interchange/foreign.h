/* checkpoint/interchange/foreign.h - weights that other programs wrote, as rows of thaw's table.
 *
 * A folder with a config and a .safetensors file beside it, or such a file alone. The names of
 * open_clip, of Hugging Face's CLIPModel and of its BertModel (a text tower) are told apart by
 * themselves. Sizes are those of the
 * tensors; the config is held against them, and adds what shapes do not show: heads, activation,
 * the mean and deviation of pixels. Without a config heads are as wide as CLIP's, 64; BertModel is
 * not read without one.
 *
 * What thaw's towers cannot compute (another width of MLP, attentional pooling, layer scale, ..)
 * is refused with the name of the field or tensor. One thread at a time. */
#ifndef TH_CHECKPOINT_INTERCHANGE_FOREIGN_H
#define TH_CHECKPOINT_INTERCHANGE_FOREIGN_H

#include "checkpoint/interchange/names.h"
#include <stdbool.h>

typedef struct {
    bool    present;
    int64_t size, patch; // pixels
    int64_t width, layers, heads;
} th_foreign_image;

typedef struct {
    bool    present;
    int64_t context, vocabulary;
    int64_t width, layers, heads;
    bool    bert;  // the tower is BERT's encoder, and not CLIP's
    int64_t types; // of tokens, in BERT
    bool    mean;  // BERT's feature is the mean of all tokens, and not that of the first
} th_foreign_text;

typedef struct {
    th_format        format;
    th_foreign_image image;
    th_foreign_text  text;
    int64_t          embed; // width of a feature; 0 when no tower has a projection
    bool             quick_gelu;
    bool             configured; // there was a config; else heads and activation are guesses
    bool             has_pixels; // mean and deviation were told
    double           mean[3], deviation[3]; // of pixels in [0, 1]
} th_foreign_model;

typedef struct th_foreign th_foreign;

/* `path` is a folder or a file. Errors: TH_EUSAGE (no weights there, or a model that thaw does not
 * have), TH_EDATA (damaged, or config and tensors disagree), TH_EIO. */
TH_MUST_CHECK th_code th_foreign_open(const char *path, th_foreign **out, th_err *err);
void                  th_foreign_close(th_foreign *foreign); // accepts NULL

const th_foreign_model *th_foreign_describe(const th_foreign *foreign);
const char             *th_foreign_file(const th_foreign *foreign); // the .safetensors file

/* Shape of a row; false when the file does not have it. `name` of *out is not set. */
bool th_foreign_shape(const th_foreign *foreign, const char *row, th_tensor *out);

/* Reads the row wanted->name into wanted->data. Errors: TH_EDATA when there is none or it has
 * another shape (both are named); TH_EUSAGE (its dtype), TH_EIO. */
TH_MUST_CHECK th_code th_foreign_load(th_foreign *foreign, const th_tensor *wanted, th_err *err);

/* Names of at most `limit` tensors that no load has read and that mean something; returns how many
 * there are. */
int th_foreign_unread(const th_foreign *foreign, const char **out_names, int limit);

#endif
