/* launch/config.h - the run file: YAML into the option tables.
 *
 * Nested mappings are dotted names: `optimizer: {lr: 1e-4}` is optimizer.lr. Authority, from the
 * least: defaults, file, environment (THAW_OPTIMIZER_LR), command line (optimizer.lr=1e-4). */
#ifndef TH_LAUNCH_CONFIG_H
#define TH_LAUNCH_CONFIG_H

#include "launch/command_line.h"

/* Fills the sets from a file. Errors: TH_EUSAGE with `what` starting "run.yaml:3:9: " and the line
 * with a caret printed to the log; TH_EIO. `environment` says whether THAW_ variables count; `line`
 * (may be NULL) is the command line's options. */
TH_MUST_CHECK th_code th_config_load(const char *path, bool environment,
                                     const th_command_line *line, const th_option_set *sets,
                                     int set_count, th_arena *pool, th_err *err);

/* The resolved configuration as text, free() it. `whole`: with the options that may differ at each
 * start. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_config_text(const th_option_set *sets, int set_count, bool whole,
                                     char **out, th_err *err);

#endif
