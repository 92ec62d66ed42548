/* launch/run_directory.h - the folder of a run: made, locked, and the same run as before.
 *
 *     config.yaml            the run file as given at the first start
 *     config.resolved.yaml   every option with its value
 *     env.json               program, host, libraries, of the newest start
 *     log.txt  metrics.jsonl  timings.jsonl  ckpt/
 *     status.json            where the run stands, for `thaw status`
 *     halt                   made by `thaw stop`: the run stops at the next step
 *     DONE                   the run has reached its end */
#ifndef TH_LAUNCH_RUN_DIRECTORY_H
#define TH_LAUNCH_RUN_DIRECTORY_H

#include "base/option.h"
#include "trainer/schedule/stage.h"

typedef struct {
    char path[1024];
    int  lock; // open file, -1 for none
} th_run_directory;

/* The folder that a run file names: run_dir, or runs/ and the file's name. Errors: TH_EUSAGE. */
TH_MUST_CHECK th_code th_run_directory_name(const char *run_file, const char *run_dir, char *out,
                                            size_t size, th_err *err);

/* Rank 0: makes the folder, locks it, compares the run file with that of the start before, writes
 * the files above, removes a halt that was left. Options of the whole run, and stages up to the one
 * that the newest checkpoint stands in, are what already happened: a difference is refused by name,
 * unless accept_changes. Later stages may change; each difference is logged. Errors: TH_EUSAGE
 * (another process trains there; other configuration), TH_EIO. */
TH_MUST_CHECK th_code th_run_directory_open(const char *path, const char *run_file,
                                            const th_schedule *schedule, const char *resolved,
                                            bool accept_changes, th_run_directory *out,
                                            th_err *err);
void                  th_run_directory_close(th_run_directory *directory);

/* Marks the run as ended, durably. */
TH_MUST_CHECK th_code th_run_directory_done(const th_run_directory *directory, th_err *err);

/* Is there a halt file? Any rank; costs one look at the file system. */
bool th_run_directory_halted(const char *path);

/* The run file that a run was started with, from its config.resolved.yaml. Texts are kept in pool.
 * Errors: TH_EDATA when `path` is no run directory. */
TH_MUST_CHECK th_code th_run_directory_schedule(const char *path, th_schedule *out, th_arena *pool,
                                                th_err *err);

#endif
