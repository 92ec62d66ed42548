/* checkpoint/interchange/safetensors.h - the file format in which weights are passed around.
 *
 *     8 bytes   n, little-endian
 *     n bytes   JSON: {"__metadata__": {..}, "NAME": {"dtype": "F32", "shape": [2, 3],
 *                      "data_offsets": [0, 24]}, ..}, behind it spaces
 *     data      row-major, little-endian; offsets count from its start
 *
 * A header is believed when all of it fits together: its length, JSON without a name that stands
 * twice, known types, shapes whose bytes are those between their offsets, and tensors that cover
 * the data without overlap or hole up to the last byte of the file. Nothing that a header says is
 * allocated before.
 *
 * Source: github.com/huggingface/safetensors, README, "Format". */
#ifndef TH_CHECKPOINT_INTERCHANGE_SAFETENSORS_H
#define TH_CHECKPOINT_INTERCHANGE_SAFETENSORS_H

#include "base/error.h"
#include "checkpoint/snapshot.h"
#include <stddef.h>
#include <stdint.h>

#define TH_SAFETENSORS_HEADER     ((size_t)16 << 20) // longest header: a real one has some 100 KB
#define TH_SAFETENSORS_TENSORS    65536              // most tensors of a file
#define TH_SAFETENSORS_NAME       200                // longest name, with its zero
#define TH_SAFETENSORS_DIMENSIONS 8

typedef enum { TH_STORED_OTHER, TH_STORED_F32, TH_STORED_F16, TH_STORED_BF16 } th_stored_type;

typedef struct {
    char           name[TH_SAFETENSORS_NAME];
    char           type_name[12]; // as written: "BF16"
    th_stored_type type;          // OTHER: listed, but thaw does not read it
    int            dimensions;
    int64_t        shape[TH_SAFETENSORS_DIMENSIONS];
    int64_t        elements;
    uint64_t       first_byte, bytes; // in the file
} th_stored_tensor;

typedef struct {
    th_stored_tensor *tensors; // by place in the file
    int               count;
} th_safetensors_index;

/* Reads a header: `bytes` are the first `size` bytes of a file of `file_bytes`, length and JSON
 * among them (what follows is not looked at). Errors: TH_EDATA naming the tensor and what does not
 * fit; TH_EIO (memory). *out: th_safetensors_index_done. Any thread. */
TH_MUST_CHECK th_code th_safetensors_parse(const void *bytes, size_t size, uint64_t file_bytes,
                                           th_safetensors_index *out, th_err *err);
void th_safetensors_index_done(th_safetensors_index *index); // accepts a zeroed one

/* A file held open for reading. Errors: TH_EIO, TH_EDATA. */
typedef struct th_safetensors th_safetensors;
TH_MUST_CHECK th_code th_safetensors_open(const char *path, th_safetensors **out, th_err *err);
void                  th_safetensors_close(th_safetensors *file); // accepts NULL
const th_safetensors_index *th_safetensors_list(const th_safetensors *file);

/* All elements of a tensor of the list, as float: exact, as every F16 and BF16 is one. Errors:
 * TH_EUSAGE for another type, TH_EDATA when the file has become shorter, TH_EIO. Any thread. */
TH_MUST_CHECK th_code th_safetensors_read(const th_safetensors   *file,
                                          const th_stored_tensor *tensor, float *out, th_err *err);

/* Writes F32 tensors, sorted by name, with the metadata {"format": "pt"} that other readers ask
 * for, and publishes the file: the same tensors give the same bytes. Errors: TH_EUSAGE (a name that
 * stands twice or is too long), TH_EIO. */
TH_MUST_CHECK th_code th_safetensors_write(const char *path, const th_tensor *tensors, int count,
                                           th_err *err);

/* The number that 16 bits stand for. Exact. */
float th_float_of_half(uint16_t half);   // IEEE binary16
float th_float_of_bfloat(uint16_t half); // the upper half of a binary32

#endif
