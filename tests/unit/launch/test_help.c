/* tests/unit/launch/test_help.c - what `thaw help` prints: every command, every option of a stage.
 */
#include "tests/test.h"

#include "base/file.h"
#include "launch/verb.h"
#include "trainer/schedule/stage.h"

#include <fcntl.h>
#include <unistd.h>

// What a command prints on stdout.
static char *help_of(const char *folder, const char *word)
{
    th_command_line line = { .program = "thaw", .verb = "help", .word_count = word ? 1 : 0 };
    char            path[512], *text = NULL;
    size_t          size;
    th_err          err = { 0 };

    line.words[0] = word;
    th_test_path(path, sizeof path, folder, "printed");
    (void)fflush(stdout);
    int before = dup(STDOUT_FILENO), file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(before >= 0 && file >= 0 && dup2(file, STDOUT_FILENO) >= 0);
    th_code rc = th_verb_help(&line, &err);
    (void)fflush(stdout);
    assert_true(dup2(before, STDOUT_FILENO) >= 0 && close(before) == 0 && close(file) == 0);
    th_assert_ok(rc, &err);
    th_assert_ok(th_file_read(path, 1 << 20, &text, &size, &err), &err);
    return text;
}

static void every_command_has_its_page(void **state)
{
    char *all = help_of(*state, NULL), usage[64];

    for (int v = 0; v < th_verb_count; v++) {
        char *page = help_of(*state, th_verbs[v].name);
        (void)snprintf(usage, sizeof usage, "usage: thaw %s ", th_verbs[v].name);
        assert_true(strncmp(page, usage, strlen(usage)) == 0);
        assert_non_null(strstr(page, th_verbs[v].summary));
        assert_non_null(strstr(all, th_verbs[v].summary));
        free(page);
    }
    free(all);
}

static void a_stages_options_are_all_there(void **state)
{
    char *page = help_of(*state, "stages"), *train = help_of(*state, "train");

    for (int i = 0; i < th_stage_table_count; i++) {
        char *line = strstr(page, th_stage_table[i].help);
        assert_non_null(strstr(page, th_stage_table[i].name));
        assert_non_null(line);
    }
    char *of_run = strstr(page, "may differ by stage");
    assert_non_null(of_run);
    for (int i = 0; i < th_train_table_count; i++) {
        char word[80];
        (void)snprintf(word, sizeof word, " %s", th_train_table[i].name);
        assert_non_null(strstr(train, th_train_table[i].help));
        if (th_train_table[i].when == TH_PER_STAGE)
            assert_non_null(strstr(of_run, word));
    }
    assert_null(strstr(of_run, "memory_budget")); // of a start
    assert_non_null(strstr(train, "thaw help stages"));
    free(page), free(train);
}

#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(every_command_has_its_page),
        IN_FOLDER(a_stages_options_are_all_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
