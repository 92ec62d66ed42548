/* checkpoint/snapshot.h - what a checkpoint holds, as plain memory.
 *
 * The trainer describes its arenas as named tensors; checkpoint/ knows nothing of towers or steps.
 */
#ifndef TH_CHECKPOINT_SNAPSHOT_H
#define TH_CHECKPOINT_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#define TH_TENSOR_DIMENSIONS 4
#define TH_TENSOR_NAME       128 // longest name, with its zero

typedef struct {
    const char *name;       // open_clip's: "visual.transformer.resblocks.3.attn.in_proj_weight"
    int         dimensions; // 0 is a scalar
    int64_t     shape[TH_TENSOR_DIMENSIONS]; // natural shape, row-major
    float      *data;
} th_tensor;

/* A parameter with its optimizer state. Moments are NULL where it has none (it never trained, or
 * its group was frozen with its moments dropped). */
typedef struct {
    th_tensor model;
    float    *exp_avg, *exp_avg_sq; // first and second moment, the model's shape
    int64_t   step;                 // updates this parameter has had: AdamW's own count
} th_saved_parameter;

typedef struct {
    int64_t  step;         // optimizer steps done
    int64_t  samples_seen; // the whole cursor of the sample order
    int64_t  stage;        // index
    int64_t  stage_step;   // steps done in it
    uint64_t seed;
    int64_t  world_size;    // of the run that wrote it
    int64_t  metrics_bytes; // metrics.jsonl is cut back to this on resume
    int64_t  skipped;       // steps skipped for a non-finite loss or gradient, in all
    int64_t  skipped_in_row;
    double   seconds;       // of training, over all starts: for the progress display only
    char     trigger[4096]; // state of the stage's trigger: JSON, owned by the trainer
} th_saved_state;

typedef struct {
    th_saved_state      state;
    th_saved_parameter *parameters;
    int                 parameter_count;
    const char         *config; // the resolved run file, YAML
} th_snapshot;

#endif
