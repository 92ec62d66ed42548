/* checkpoint/commit.h - the protocol that makes a snapshot a generation. */
#ifndef TH_CHECKPOINT_COMMIT_H
#define TH_CHECKPOINT_COMMIT_H

#include "checkpoint/writer.h"

typedef struct {              // from the call
    double flushed_seconds;   // to the file's bytes on disk
    double committed_seconds; // to the manifest on disk
} th_commit_times;

/* Writes, flushes, reads back, publishes, prunes; old generations are untouched until the new one
 * is committed. The folder must exist. When pruning fails the generation is committed all the same,
 * and the log says so. Errors: TH_EIO (disk full among them), TH_EUSAGE (a snapshot that cannot be
 * stored), TH_EDATA (what was read back is not what was written); nothing is left behind but the
 * old generations. */
TH_MUST_CHECK th_code th_commit(const th_writer_options *options, const th_snapshot *snapshot,
                                th_commit_times *out_times, th_err *err);

#endif
