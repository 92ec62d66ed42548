/* checkpoint/weights_file.h - weights in one file, to be kept and passed on: what `thaw import`
 * writes.
 *
 * The HDF5 layout of a checkpoint (checkpoint/layout.h) without moments, and behind it one line:
 *
 *     thaw weights 1 0123456789abcdef
 *
 * with the hash of every byte before the line. HDF5 knows where its own part ends, so h5py and
 * h5dump read the file as it is; thaw compares the hash before HDF5 sees the file, as the library
 * is not safe against damaged ones. th_reader_open (checkpoint/generations.h) reads it. */
#ifndef TH_CHECKPOINT_WEIGHTS_FILE_H
#define TH_CHECKPOINT_WEIGHTS_FILE_H

#include "base/error.h"
#include "checkpoint/snapshot.h"

/* Writes, flushes and publishes the file: durable on return. Moments of the snapshot are left out
 * by leaving them NULL. Errors: TH_EUSAGE (a snapshot that cannot be stored), TH_EIO; nothing is
 * left behind then. */
TH_MUST_CHECK th_code th_weights_file_write(const char *path, const th_snapshot *snapshot,
                                            th_err *err);

/* Is the file whole? Errors: TH_EDATA: no such line, another hash; TH_EIO. */
TH_MUST_CHECK th_code th_weights_file_check(const char *path, th_err *err);

#endif
