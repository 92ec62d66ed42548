/* checkpoint/writer.h - commits generations behind the training, which waits only for a copy.
 *
 * One thread writes: HDF5 file under a temporary name, fsync, read back and compare hashes, rename,
 * manifest (fsync, rename, directory fsync), and only then old generations are pruned. The file is
 * read back from the disk where the system lets go of its cached pages, from the cache elsewhere. A
 * failure (disk full) leaves the older generations, is logged as an alarm and is reported by the
 * next call; training may go on.
 *
 * Calls: from one thread (the trainer's); only rank 0 has a writer. */
#ifndef TH_CHECKPOINT_WRITER_H
#define TH_CHECKPOINT_WRITER_H

#include "base/error.h"
#include "checkpoint/snapshot.h"

typedef struct th_writer th_writer;

typedef struct {
    const char *folder; // "<run>/ckpt", made when missing
    int64_t     keep;   // generations kept, >= 2
    /* Called in the writer's thread before the manifest is published, so that what the state speaks
     * of (metrics.jsonl up to metrics_bytes) is on disk first. May be NULL. */
    th_code (*before_commit)(void *context, th_err *err);
    void *context;
} th_writer_options;

typedef struct {
    int64_t committed_step;  // newest generation this writer committed, -1 for none
    int64_t failures;        // commits that failed
    double  stall_seconds;   // how long the last save kept training waiting
    double  flushed_seconds; // from the end of the copy to the file's bytes on disk (fsync)
    double
        durable_seconds; // from the end of the copy to the manifest on disk: read back, committed
} th_writer_report;

/* `snapshot` gives the shapes: the copy's memory is taken and touched here, in the thread, so that
 * the first save does not pay for it. */
TH_MUST_CHECK th_code th_writer_open(const th_writer_options *options, const th_snapshot *snapshot,
                                     th_writer **out, th_err *err);

/* Copies the snapshot (with all cores) and returns; the commit goes on behind. When the previous
 * one is still being written, waits for it first. Errors: TH_EIO when there is no memory; never for
 * a failed commit. */
TH_MUST_CHECK th_code th_writer_save(th_writer *writer, const th_snapshot *snapshot, th_err *err);

/* Waits for the save under way. Errors: that of the last save, when it failed. */
TH_MUST_CHECK th_code th_writer_wait(th_writer *writer, th_err *err);

th_writer_report th_writer_status(th_writer *writer);

/* Waits, then frees. Accepts NULL. */
void th_writer_close(th_writer *writer);

#endif
