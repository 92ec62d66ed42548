#include "launch/verb.h"
#include "trainer/schedule/stage.h"

#include <stdio.h>
#include <string.h>

static void print_all(const char *program)
{
    printf("thaw %s - trains contrastive image-text models on clusters of CPUs\n\n", TH_VERSION);
    printf("usage: %s COMMAND ...\n\n", program);
    for (int i = 0; i < th_verb_count; i++)
        printf("  %-12s %s\n", th_verbs[i].name, th_verbs[i].summary);
    printf("\n`thaw help COMMAND` tells more of each.\n\n"
           "exit codes: 0 done, 1 failed, 2 usage or configuration, 65 bad data, 74 I/O or disk "
           "full,\n"
           "85 stopped in order with a good checkpoint: run me again, 70 a bug\n");
}

static void print_one(const th_verb *verb)
{
    th_option_set sets[4];
    int           count = 0;

    printf("usage: thaw %s %s\n\n%s.\n", verb->name, verb->usage, verb->summary);
    if (verb->details)
        printf("\n%s", verb->details);
    if (verb->options) {
        verb->options(sets, &count);
        printf("\noptions:\n");
        th_options_print_help(sets, count, stdout);
    }
}

// What may stand in an item of stages: of the stage alone, and of the run where a stage may differ.
static void print_stages(void)
{
    th_option_set own = { th_stage_table, th_stage_table_count, NULL };

    printf(
        "A run file may have stages: a list, each item with these options (docs/stages.md):\n\n");
    th_options_print_help(&own, 1, stdout);
    printf("\nand with those of the run that may differ by stage (thaw help train):\n\n ");
    for (int i = 0, column = 1; i < th_train_table_count; i++) {
        if (th_train_table[i].when != TH_PER_STAGE)
            continue;
        int width = (int)strlen(th_train_table[i].name) + 1;
        if (column + width > 78)
            column = printf("\n ") - 1;
        column += printf(" %s", th_train_table[i].name);
    }
    printf("\n");
}

th_code th_verb_help(const th_command_line *line, th_err *err)
{
    char    name[64];
    th_code rc = TH_OK;

    if (line->word_count == 0) {
        print_all("thaw");
        goto out;
    }
    if (strcmp(line->words[0], "stages") == 0) {
        print_stages();
        goto out;
    }
    (void)snprintf(name, sizeof name, line->word_count > 1 ? "%s %s" : "%s", line->words[0],
                   line->words[1]);
    for (int i = 0; i < th_verb_count; i++)
        if (strcmp(th_verbs[i].name, name) == 0) {
            print_one(&th_verbs[i]);
            goto out;
        }
    TH_FAIL(TH_EUSAGE, "see thaw help", "there is no command \"%s\"", name);
out:
    return rc;
}
