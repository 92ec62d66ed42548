/* launch/config.h - the run file: YAML into the option tables.
 *
 * Nested mappings are dotted names: `optimizer: {lr: 1e-4}` is optimizer.lr. Authority, from the
 * least: defaults, file, environment (THAW_OPTIMIZER_LR), command line (optimizer.lr=1e-4). */
#ifndef TH_LAUNCH_CONFIG_H
#define TH_LAUNCH_CONFIG_H

#include "launch/command_line.h"

typedef struct th_config th_config; // a file, parsed

/* Errors: TH_EUSAGE (not YAML), TH_EIO. `path` is kept. */
TH_MUST_CHECK th_code th_config_open(const char *path, th_config **out, th_err *err);
void                  th_config_close(th_config *config); // accepts NULL

/* Defaults, file, environment (if it counts) and the options of the command line (may be NULL),
 * into the sets. `skip` (may be NULL) is a key of the top level that is read elsewhere. Errors:
 * TH_EUSAGE with `what` starting "run.yaml:3:9: " and the line with a caret in the log. */
TH_MUST_CHECK th_code th_config_resolve(th_config *config, const char *skip, bool environment,
                                        const th_command_line *line, const th_option_set *sets,
                                        int set_count, th_arena *pool, th_err *err);

/* How many mappings the list at a key of the top level has; 0 without it, -1 when it is no list. */
int th_config_items(th_config *config, const char *key);

/* Lays one of these mappings over the sets. Only options that may differ by stage are allowed.
 * Errors: as th_config_resolve. */
TH_MUST_CHECK th_code th_config_apply_item(th_config *config, const char *key, int item,
                                           const th_option_set *sets, int set_count, th_arena *pool,
                                           th_err *err);

/* The same from a text, which is copied; `name` (kept) stands for the file in messages. */
TH_MUST_CHECK th_code th_config_parse(const char *text, const char *name, th_config **out,
                                      th_err *err);

/* Defaults and the file alone: options that a run needs may be missing. Errors: as
 * th_config_resolve. */
TH_MUST_CHECK th_code th_config_apply(th_config *config, const char *skip,
                                      const th_option_set *sets, int set_count, th_arena *pool,
                                      th_err *err);

/* Opens, resolves and closes: a file without lists. Errors: as these. */
TH_MUST_CHECK th_code th_config_load(const char *path, bool environment,
                                     const th_command_line *line, const th_option_set *sets,
                                     int set_count, th_arena *pool, th_err *err);

/* The resolved configuration as text, free() it. `whole`: with the options that may differ at each
 * start. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_config_text(const th_option_set *sets, int set_count, bool whole,
                                     char **out, th_err *err);

#endif
