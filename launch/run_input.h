/* launch/run_input.h - what a run file and the command line make of a run, for trainer/. */
#ifndef TH_LAUNCH_RUN_INPUT_H
#define TH_LAUNCH_RUN_INPUT_H

#include "launch/command_line.h"
#include "trainer/run.h"

typedef struct {
    th_arena            pool; // texts
    th_schedule         schedule;
    char                folder[1024]; // the run directory, which may not be there yet
    char               *resolved;     // the configuration, for the checkpoint
    struct th_run_input input;        // of these; hooks are the caller's
} th_run_input_files;

/* Reads the run file that is the line's only word. It is a fixed place: *out points into itself.
 * Errors: TH_EUSAGE, TH_EIO. Local. */
TH_MUST_CHECK th_code th_run_input_open(const th_command_line *line, th_run_input_files *out,
                                        th_err *err);
void                  th_run_input_close(th_run_input_files *files); // accepts a zeroed one

#endif
