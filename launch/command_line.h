/* launch/command_line.h - `thaw VERB word... --name value name=value`, taken apart.
 *
 * `--name value`, `--name=value` and `name=value` set the option of that name (a name is dotted,
 * and dashes are underscores), and `-n value` one of a single letter; a flag needs no value. All
 * else is a word, in order. */
#ifndef TH_LAUNCH_COMMAND_LINE_H
#define TH_LAUNCH_COMMAND_LINE_H

#include "base/option.h"

#define TH_WORDS 256

typedef struct {
    const char *program; // argv[0]
    int         argc;    // all of it, for a verb that starts itself anew
    char      **argv;
    const char *verb;
    const char *words[TH_WORDS];
    int         word_count;
    const char *names[TH_WORDS]; // options given, in order
    const char *values[TH_WORDS];
    int         option_count;
    th_arena    pool; // texts
} th_command_line;

/* Splits argv[first ..]. `sets` tells flags from options with a value; a name that no set knows is
 * an error, with the nearest one that is. Errors: TH_EUSAGE. Results point into argv and pool. */
TH_MUST_CHECK th_code th_command_line_parse(int argc, char **argv, int first,
                                            const th_option_set *sets, int set_count,
                                            th_command_line *out, th_err *err);
void                  th_command_line_done(th_command_line *line);

/* Defaults, then the options given, into the sets. Errors: TH_EUSAGE. */
TH_MUST_CHECK th_code th_command_line_apply(const th_command_line *line, const th_option_set *sets,
                                            int set_count, th_arena *pool, th_err *err);

#endif
