/* launch/run_file.h - a run file with its stages.
 *
 * A stage starts from the run's options (with what environment and command line made of them) and
 * lays its own over them. Sizes that are left open are those of the weights that init.* names
 * (launch/initial_model.h). Without stages: everything trains, for as long as `for` says. */
#ifndef TH_LAUNCH_RUN_FILE_H
#define TH_LAUNCH_RUN_FILE_H

#include "launch/config.h"
#include "trainer/schedule/stage.h"

/* Texts and stages are put in pool. Errors: TH_EUSAGE with the place, TH_EIO. */
TH_MUST_CHECK th_code th_run_file_load(const char *path, bool environment,
                                       const th_command_line *line, th_arena *pool,
                                       th_schedule *out, th_err *err);

/* An option's value on one line of YAML, of any length, free() it. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_run_file_value(const th_option *row, const void *values, char **out,
                                        th_err *err);

/* The resolved run file as text that th_run_file_load reads back to the same, free() it. `whole`:
 * with the options that may differ at each start. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_run_file_text(const th_schedule *schedule, bool whole, char **out,
                                       th_err *err);

#endif
