/* launch/main.c - finds the verb, runs it, prints its error, returns its exit code. */
#include "base/log.h"
#include "launch/verb.h"

#include <stdio.h>
#include <string.h>

// The verb whose words argv starts with (two words before one); *out_next is the argument behind
// it.
static const th_verb *find(int argc, char **argv, int *out_next)
{
    for (int words = 2; words >= 1; words--) {
        char name[64];
        if (argc <= words)
            continue;
        (void)snprintf(name, sizeof name, words == 2 ? "%s %s" : "%s", argv[1], argv[2]);
        for (int i = 0; i < th_verb_count; i++)
            if (strcmp(th_verbs[i].name, name) == 0) {
                *out_next = 1 + words;
                return &th_verbs[i];
            }
    }
    return NULL;
}

// A job's error goes to its log, with time and rank; any other command's to stderr, for a person.
static void print_error(const th_err *err, bool job)
{
    if (err->code == TH_ESTOP) {
        th_info("%s; %s", err->what, err->fix);
    } else if (job) {
        th_log_error(TH_ALARM, err);
    } else {
        (void)fprintf(stderr, "thaw: error: %s\n", err->what);
        if (*err->trail)
            (void)fprintf(stderr, "  while: %s\n", err->trail);
        if (*err->fix)
            (void)fprintf(stderr, "  fix:   %s\n", err->fix);
        if (err->file)
            (void)fprintf(stderr, "  at:    %s:%d\n", err->file, err->line);
    }
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    th_command_line line = { 0 };
    th_option_set   sets[4];
    th_err          err = { 0 };
    int             next = 1, set_count = 0;
    th_code         rc = TH_OK;

    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("thaw %s\n", TH_VERSION);
        return 0;
    }
    const th_verb *verb = find(argc, argv, &next);
    if (argc == 1 || asks_for_help(argc, argv)) {
        line = (th_command_line){ .program = argv[0], .word_count = verb ? 1 : 0 };
        line.words[0] = verb ? verb->name : NULL;
        rc = th_verb_help(&line, &err);
    } else if (!verb) {
        rc = th_fail(&err, TH_EUSAGE, "see thaw help", __FILE__, __LINE__,
                     "there is no command \"%s\"", argv[1]);
    } else {
        if (verb->options)
            verb->options(sets, &set_count);
        rc = th_command_line_parse(argc, argv, next, sets, set_count, &line, &err);
        if (rc == TH_OK) {
            line.verb = verb->name;
            rc = verb->run(&line, &err);
        }
        th_command_line_done(&line);
    }
    if (rc != TH_OK && err.code != TH_OK) // a rank that another one speaks for is silent
        print_error(&err, verb && strcmp(verb->name, "train") == 0);
    if (fflush(stdout) != 0 && rc == TH_OK)
        return th_exit_code(TH_EIO);
    return th_exit_code(rc);
}
