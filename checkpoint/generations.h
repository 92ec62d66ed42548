/* checkpoint/generations.h - the committed checkpoints in a folder, newest first, and reading one.
 *
 * A generation is `step-00001200.h5` with its manifest `step-00001200.json` beside it. The manifest
 * is the commit record: {"format": 1, "step": .., "file": .., "bytes": .., "hash": "<XXH3-64 of the
 * whole file>", "tensors": {"model/<name>": "<hash of its bytes>", ..}, "manifest_hash": ..}; a
 * file without one was never committed and is ignored (and removed before a new generation is
 * written). A step that is saved again is written to `step-00001200-2.h5`, and the new manifest
 * names that.
 *
 * Any thread; a reader may be used by several at once. */
#ifndef TH_CHECKPOINT_GENERATIONS_H
#define TH_CHECKPOINT_GENERATIONS_H

#include "base/error.h"
#include "checkpoint/snapshot.h"
#include <stddef.h>

typedef struct {
    int64_t step;
    int64_t bytes; // of the .h5 file, as the manifest says
    int64_t time;  // seconds since 1970 when it was committed
    int64_t samples_seen, stage;
    char    name[32];   // "step-00001200.h5"
    char    error[400]; // "" when good, else why it does not count
} th_generation;

/* Lists the generations of a folder, newest first, without reading the .h5 files. *out: free().
 * A folder that does not exist has none. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_generations_list(const char *folder, th_generation **out, int *out_count,
                                          th_err *err);

/* Reads the whole file against its manifest: size, whole-file hash, then every dataset's hash and
 * shape through HDF5. Errors: TH_EDATA with what differs, TH_EIO. */
TH_MUST_CHECK th_code th_generation_verify(const char *folder, const th_generation *generation,
                                           th_err *err);

/* The newest generation that verifies (size and whole-file hash); one that does not is named in the
 * log with the reason, and the one before it is tried. *out_found is false when there is none.
 * Errors: TH_EDATA when generations exist and none is good; TH_EIO. */
TH_MUST_CHECK th_code th_generations_newest_good(const char *folder, th_generation *out,
                                                 bool *out_found, th_err *err);

/* A generation, or a weights file (checkpoint/weights_file.h: any other name), held open for
 * reading. Size and whole-file hash are checked before HDF5 sees the file. Errors: TH_EDATA when
 * there is no manifest, or no hash at the end, or the file is not as it says; TH_EIO. */
typedef struct th_reader th_reader;
TH_MUST_CHECK th_code    th_reader_open(const char *path, th_reader **out, th_err *err);
void                     th_reader_close(th_reader *reader); // accepts NULL

/* th_generations_newest_good and th_reader_open in one, with the file read once for its hash.
 * *out_reader is NULL when the folder has no generation; *out_generation may be NULL. Errors: as
 * th_generations_newest_good. */
TH_MUST_CHECK th_code th_reader_open_newest(const char *folder, th_reader **out_reader,
                                            th_generation *out_generation, th_err *err);

const th_saved_state *th_reader_state(const th_reader *reader);
const char           *th_reader_config(const th_reader *reader); // YAML, owned by the reader

/* What stands in the file, in the file's order: model shapes, steps, and whether moments are there
 * (exp_avg is NULL or not; the pointers are only flags). Owned by the reader. */
const th_saved_parameter *th_reader_parameters(const th_reader *reader, int *out_count);

/* Reads one parameter by wanted->model.name into the buffers of `wanted`, which must have the
 * file's shape; moments are read where the buffers are not NULL. *out_step and *out_has_moments say
 * what the file had; moments that it does not have are left untouched. Errors: TH_EDATA: no such
 * name, other shape (both shapes are printed), damage; TH_EIO. */
TH_MUST_CHECK th_code th_reader_load(th_reader *reader, const th_saved_parameter *wanted,
                                     int64_t *out_step, bool *out_has_moments, th_err *err);

/* What `thaw ckpt show` tells of the weights of one parameter. */
typedef struct {
    double  mean, deviation; // of the finite elements
    double  smallest, largest;
    int64_t not_finite; // NaN or infinite elements
} th_tensor_summary;

/* Reads the weights of parameter `index` of th_reader_parameters. Errors: TH_EDATA, TH_EIO. */
TH_MUST_CHECK th_code th_reader_summary(th_reader *reader, int index, th_tensor_summary *out,
                                        th_err *err);

#endif
