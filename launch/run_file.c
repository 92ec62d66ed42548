#include "launch/run_file.h"

#include "launch/initial_model.h"
#include "launch/run_directory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_STAGES 256

static void stage_sets(th_stage *stage, th_option_set out[2])
{
    out[0] = (th_option_set){ th_train_table, th_train_table_count, &stage->options };
    out[1] = (th_option_set){ th_stage_table, th_stage_table_count, &stage->own };
}

static th_code load_stage(th_config *config, int i, const th_train_options *run, th_arena *pool,
                          th_stage *stage, th_err *err)
{
    th_option_set sets[2];
    char          name[32];
    th_code       rc = TH_OK;

    stage_sets(stage, sets);
    TH_TRY(th_options_default(&sets[1], 1, pool, err));
    stage->options = *run;
    stage->options.length = (th_span){ 0 }; // a stage's end is its own: never, unless it says so
    TH_TRY(th_config_apply_item(config, "stages", i, sets, 2, pool, err));
    if (!stage->own.name) {
        (void)snprintf(name, sizeof name, "stage-%d", i + 1);
        stage->own.name = th_arena_text(pool, name);
        TH_CHECK(stage->own.name, TH_EIO, "write a shorter run file", "the run file is too long");
    }
out:
    return rc;
}

th_code th_run_file_load(const char *path, bool environment, const th_command_line *line,
                         th_arena *pool, th_schedule *out, th_err *err)
{
    th_schedule   schedule = { 0 };
    th_option_set set = { th_train_table, th_train_table_count, &schedule.options };
    th_config    *config = NULL;
    char          folder[1024];
    th_code       rc = TH_OK;

    TH_TRY(th_config_open(path, &config, err));
    TH_TRY(th_config_resolve(config, "stages", environment, line, &set, 1, pool, err));
    if (environment) // else the file is one that was resolved before
        TH_TRY(th_run_directory_name(path, schedule.options.run_dir, folder, sizeof folder, err));
    TH_TRY(th_initial_model(&schedule.options, environment ? folder : NULL, pool, err));
    int count = th_config_items(config, "stages");
    TH_CHECK(count >= 0 && count <= MOST_STAGES, TH_EUSAGE,
             "write a line \"- {name: .., train: .., for: ..}\" for each stage",
             "%s: stages must be a list of at most %d mappings", path, MOST_STAGES);
    th_stage *stages = th_arena_take(pool, (size_t)(count > 0 ? count : 1), sizeof *stages);
    TH_CHECK(stages, TH_EIO, "write a shorter run file", "%s: too many stages", path);
    for (int i = 0; i < count; i++) {
        stages[i] = (th_stage){ 0 };
        TH_TRY(load_stage(config, i, &schedule.options, pool, &stages[i], err));
    }
    schedule.stages = stages;
    schedule.stage_count = count;
    if (count == 0)
        th_schedule_single(&schedule, stages);
    *out = schedule;
out:
    th_config_close(config);
    return rc;
}

th_code th_run_file_value(const th_option *row, const void *values, char **out, th_err *err)
{
    char   *text = NULL;
    size_t  size;
    FILE   *to = open_memstream(&text, &size);
    th_code rc = TH_OK;

    TH_CHECK(to, TH_EIO, "free some memory", "could not print option %s: %s", row->name,
             strerror(errno));
    th_option_print_flow(row, values, to);
    TH_CHECK(fclose(to) == 0, TH_EIO, "free some memory", "could not print option %s: %s",
             row->name, strerror(errno));
    *out = text;
    return TH_OK;
out:
    free(text);
    return rc;
}

// One row of a stage, if it is not what the run (or the default) has.
static th_code print_row(const th_option *row, const void *values, const void *plain, FILE *to,
                         th_err *err)
{
    char   *is = NULL, *was = NULL;
    th_code rc = TH_OK;

    TH_TRY(th_run_file_value(row, values, &is, err));
    TH_TRY(th_run_file_value(row, plain, &was, err));
    int length = (int)strlen(row->name) - (row->kind == TH_MAP ? 2 : 0); // of "lr.*" it is "lr"
    if (strcmp(is, was) != 0 && strcmp(row->name, "name") != 0)
        (void)fprintf(to, "    %.*s: %s\n", length, row->name, is);
out:
    free(is);
    free(was);
    return rc;
}

static th_code print_stage(const th_stage *stage, const th_stage *plain, FILE *to, th_err *err)
{
    th_option_set sets[2], bare[2];
    th_code       rc = TH_OK;

    stage_sets((th_stage *)stage, sets);
    stage_sets((th_stage *)plain, bare);
    (void)fputs("  - name: ", to);
    th_option_print_flow(th_option_find(&sets[1], 1, "name", NULL), &stage->own, to);
    (void)fputc('\n', to);
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < sets[s].count; i++)
            TH_TRY(print_row(&sets[s].rows[i], sets[s].values, bare[s].values, to, err));
out:
    return rc;
}

th_code th_run_file_text(const th_schedule *schedule, bool whole, char **out, th_err *err)
{
    th_option_set set = { th_train_table, th_train_table_count, (void *)&schedule->options };
    th_stage      plain = { .options = schedule->options };
    th_option_set own = { th_stage_table, th_stage_table_count, &plain.own };
    th_arena      pool = { 0 };
    char         *text = NULL;
    size_t        size;
    FILE         *to = NULL;
    th_code       rc = TH_OK;

    TH_TRY(th_arena_open(&pool, (size_t)1 << 16, err));
    TH_TRY(th_options_default(&own, 1, &pool, err));
    plain.options.length = (th_span){ 0 };
    to = open_memstream(&text, &size);
    TH_CHECK(to, TH_EIO, "free some memory", "could not print the configuration: %s",
             strerror(errno));
    th_options_print_yaml(&set, 1, whole, to);
    if (!schedule->single) {
        (void)fputs("stages:\n", to);
        for (int i = 0; i < schedule->stage_count; i++)
            TH_TRY(print_stage(&schedule->stages[i], &plain, to, err));
    }
    int closed = fclose(to);
    to = NULL;
    TH_CHECK(closed == 0, TH_EIO, "free some memory", "could not print the configuration: %s",
             strerror(errno));
    *out = text;
out:
    if (to)
        (void)fclose(to);
    if (rc != TH_OK)
        free(text);
    th_arena_close(&pool);
    return rc;
}
