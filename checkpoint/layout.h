/* checkpoint/layout.h - one generation as an HDF5 file (docs/checkpoint.md is the manual).
 *
 *     /model/<name>             float32, natural shape; a name with dots is one link name
 *     /optim/exp_avg/<name>     float32, the same shape; missing when there are no moments
 *     /optim/exp_avg_sq/<name>
 *     /optim/step/<name>        int64 scalar
 *     /state                    a group; its attributes are the fields of th_saved_state
 *     /config                   UTF-8 string, the resolved run file
 *
 * Tensors are chunked (checkpoint/chunks.h) with Fletcher-32 behind each chunk; scalars are
 * compact, inside the object header that HDF5 checksums itself. Links keep the order in which they
 * were made. The same snapshot gives the same bytes: no times are stored.
 *
 * Chunks are handed to HDF5 ready with their checksum and read by offset: the library's filter
 * pipeline takes several times longer. th_layout_hash_by_hdf5 reads through the pipeline instead.
 */
#ifndef TH_CHECKPOINT_LAYOUT_H
#define TH_CHECKPOINT_LAYOUT_H

#include "base/error.h"
#include "checkpoint/snapshot.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum { TH_MODEL, TH_EXP_AVG, TH_EXP_AVG_SQ, TH_PARTS } th_part;

#define TH_TENSOR_PATH (TH_TENSOR_NAME + 20)

/* "model/<name>", "optim/exp_avg/<name>" or "optim/exp_avg_sq/<name>". */
void th_tensor_path(th_part part, const char *name, char out[TH_TENSOR_PATH]);

typedef struct {
    char     path[TH_TENSOR_PATH];
    uint64_t hash; // of the tensor's bytes, row-major
} th_tensor_hash;

/* Bytes that the file will not exceed. Errors: TH_EUSAGE: a name or shape that cannot be stored. */
TH_MUST_CHECK th_code th_layout_size(const th_snapshot *snapshot, int64_t *out_bytes, th_err *err);

/* Writes the file at `path`, which is replaced. reserve_bytes (th_layout_size) are reserved before
 * HDF5 writes, so that a full disk is found by us and not in the middle of the library's caches.
 * out_hashes holds TH_PARTS * parameter_count; they are of the memory that was handed to HDF5.
 * Not flushed. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_layout_write(const char *path, const th_snapshot *snapshot,
                                      int64_t reserve_bytes, th_tensor_hash *out_hashes,
                                      int *out_count, th_err *err);

/* A file whose bytes are known to be those that were committed: HDF5 itself is not safe against
 * hostile files, so the hash of the file is checked before it is opened here. */
typedef struct th_layout th_layout;
TH_MUST_CHECK th_code    th_layout_open(const char *path, th_layout **out, th_err *err);
void                     th_layout_close(th_layout *layout); // accepts NULL

const th_saved_state     *th_layout_state(const th_layout *layout);
const char               *th_layout_config(const th_layout *layout);
const th_saved_parameter *th_layout_parameters(const th_layout *layout, int *out_count);

/* Reads one tensor of parameter `index` into data (NULL: nowhere) and hashes it; every chunk's
 * checksum is compared. Any thread, several at once. Errors: TH_EDATA: no such part, damage;
 * TH_EIO. */
TH_MUST_CHECK th_code th_layout_read(const th_layout *layout, int index, th_part part, float *data,
                                     uint64_t *out_hash, th_err *err);

/* The slow twin of th_layout_read: hashes the dataset `tensor` as HDF5's own pipeline reads it.
 * Errors: TH_EDATA, TH_EIO. */
TH_MUST_CHECK th_code th_layout_hash_by_hdf5(const char *path, const char *tensor,
                                             uint64_t *out_hash, th_err *err);

#endif
