/* checkpoint/manifest.h - the commit record of a generation, a JSON file.
 *
 * It ends with a line `"manifest_hash": "<16 digits>"`: the hash of every byte before that line. A
 * reader checks it first, so no damaged number is ever believed. */
#ifndef TH_CHECKPOINT_MANIFEST_H
#define TH_CHECKPOINT_MANIFEST_H

#include "base/error.h"
#include "checkpoint/generations.h"
#include "checkpoint/layout.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TH_MANIFEST_NAME 32

typedef struct {
    th_generation   generation; // `error` is not used
    uint64_t        hash;       // of the whole .h5 file
    th_tensor_hash *tensors;    // owned
    int             tensor_count;
} th_manifest;

/* "step-00001200.json" for a step. */
void th_manifest_name(int64_t step, char out[TH_MANIFEST_NAME]);
/* The name of the data file of a step: "step-00001200.h5", or "step-00001200-2.h5" for the second
 * file that a step has when it is saved again. */
void th_data_name(int64_t step, bool second, char out[TH_MANIFEST_NAME]);
/* The step in a name of the form "step-<8 or more digits><ending>"; false for any other. */
bool th_name_step(const char *name, const char *ending, int64_t *out_step);

/* Publishes the manifest: durable on return. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_manifest_write(const char *folder, const th_manifest *manifest,
                                        th_err *err);

/* Errors: TH_EDATA: damaged, of another format, of another step; TH_EIO. */
TH_MUST_CHECK th_code th_manifest_read(const char *folder, int64_t step, th_manifest *out,
                                       th_err *err);
void                  th_manifest_done(th_manifest *manifest);

/* The hash of "model/<name>"; false when there is none. */
bool th_manifest_find(const th_manifest *manifest, const char *path, uint64_t *out_hash);

#endif
