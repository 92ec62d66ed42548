/* launch/verb.h - the words behind `thaw`: each is a row of one table.
 *
 * main() finds the row, parses the command line against its option tables, runs it, prints its
 * error and returns its exit code. `thaw help VERB` is printed from the same row. */
#ifndef TH_LAUNCH_VERB_H
#define TH_LAUNCH_VERB_H

#include "launch/command_line.h"

typedef struct th_verb {
    const char *name;    // "train", or two words: "ckpt ls"
    const char *usage;   // what stands behind the name: "run.yaml [option=value ...]"
    const char *summary; // one line
    const char *details; // paragraphs for help; may be NULL
    /* Runs it. Errors carry their exit code (th_exit_code). */
    th_code (*run)(const th_command_line *line, th_err *err);
    /* The verb's options, for parsing and help; NULL when it has none. */
    void (*options)(th_option_set *out_sets, int *out_count);
} th_verb;

extern const th_verb th_verbs[];
extern const int     th_verb_count;

/* One function per verb, each in its own file under launch/verbs/. */
th_code th_verb_pack(const th_command_line *line, th_err *err);
th_code th_verb_tokenize(const th_command_line *line, th_err *err);
th_code th_verb_train(const th_command_line *line, th_err *err);
th_code th_verb_plan(const th_command_line *line, th_err *err);
th_code th_verb_eval(const th_command_line *line, th_err *err);
th_code th_verb_embed(const th_command_line *line, th_err *err);
th_code th_verb_export(const th_command_line *line, th_err *err);
th_code th_verb_import(const th_command_line *line, th_err *err);
th_code th_verb_query(const th_command_line *line, th_err *err);
th_code th_verb_ckpt_ls(const th_command_line *line, th_err *err);
th_code th_verb_ckpt_show(const th_command_line *line, th_err *err);
th_code th_verb_ckpt_verify(const th_command_line *line, th_err *err);
th_code th_verb_doctor(const th_command_line *line, th_err *err);
th_code th_verb_inspect(const th_command_line *line, th_err *err);
th_code th_verb_cache_build(const th_command_line *line, th_err *err);
th_code th_verb_cache_ls(const th_command_line *line, th_err *err);
th_code th_verb_cache_rm(const th_command_line *line, th_err *err);
th_code th_verb_status(const th_command_line *line, th_err *err);
th_code th_verb_stop(const th_command_line *line, th_err *err);
th_code th_verb_help(const th_command_line *line, th_err *err);

#endif
