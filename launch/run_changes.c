#include "launch/run_changes.h"

#include "base/file.h"
#include "base/log.h"
#include "checkpoint/generations.h"
#include "launch/run_directory.h"
#include "launch/run_file.h"

#include <stdlib.h>
#include <string.h>

#define POOL_BYTES ((size_t)4 << 20)

typedef struct {
    const char *folder;
    bool        accept;
} judge;

// The stage that the newest checkpoint stands in; 0 when there is none: the first is under way.
static th_code newest_stage(const char *folder, int64_t *out, th_err *err)
{
    th_generation *generations = NULL;
    char           path[4096];
    int            count;
    th_code        rc = TH_OK;

    *out = 0;
    TH_CHECK(th_path_join(path, sizeof path, folder, "ckpt"), TH_EUSAGE, "use a shorter run_dir",
             "path \"%s/ckpt\" is too long", folder);
    TH_TRY(th_generations_list(path, &generations, &count, err));
    for (int i = 0; i < count; i++)
        if (!*generations[i].error) {
            *out = generations[i].stage;
            break;
        }
out:
    free(generations);
    return rc;
}

// A difference: refused, accepted with a warning, or only told, when it is in what is to come.
static th_code tell(const judge *by, const char *stage, const char *option, const char *was,
                    const char *is, bool happened, th_err *err)
{
    const char *in = stage ? " of stage " : "", *name = stage ? stage : "";
    th_code     rc = TH_OK;

    was = *was ? was : "not set";
    is = *is ? is : "not set";
    TH_CHECK(!happened || by->accept, TH_EUSAGE,
             "set it back, name another run_dir, or go on all the same with --accept-changes",
             "option %s%s%s was %.60s when run \"%.60s\" began, and is %.60s now", option, in, name,
             was, by->folder, is);
    th_log(happened ? TH_WARN : TH_INFO, "option %s%s%s was %s and is %s now", option, in, name,
           was, is);
out:
    return rc;
}

// One option of the run or of a stage (NULL: of the run).
static th_code compare_row(const judge *by, const char *stage, const th_option *row,
                           const void *was_values, const void *is_values, bool happened,
                           th_err *err)
{
    char   *was = NULL, *is = NULL, was_shown[512], is_shown[512];
    th_code rc = TH_OK;

    TH_TRY(th_run_file_value(row, was_values, &was, err));
    TH_TRY(th_run_file_value(row, is_values, &is, err));
    if (strcmp(was, is) == 0)
        goto out;
    th_option_print(row, was_values, was_shown, sizeof was_shown);
    th_option_print(row, is_values, is_shown, sizeof is_shown);
    TH_TRY(tell(by, stage, row->name, was_shown, is_shown, happened, err));
out:
    free(was);
    free(is);
    return rc;
}

static th_code compare(const judge *by, const char *stage, const th_option *rows, int count,
                       th_option_when when, const void *was_values, const void *is_values,
                       bool happened, th_err *err)
{
    th_code rc = TH_OK;

    for (int i = 0; i < count; i++)
        if (rows[i].when == when)
            TH_TRY(compare_row(by, stage, &rows[i], was_values, is_values, happened, err));
out:
    return rc;
}

static th_code compare_stages(const judge *by, const th_schedule *before, const th_schedule *now,
                              int64_t newest, th_err *err)
{
    bool    staged = !before->single || !now->single;
    th_code rc = TH_OK;

    TH_CHECK(newest < now->stage_count, TH_EUSAGE, "put the stages back into the run file",
             "run \"%s\" is in stage %lld, and the run file has %d", by->folder,
             (long long)newest + 1, now->stage_count);
    for (int i = 0; i < now->stage_count; i++) {
        const th_stage *is = &now->stages[i];
        if (i >= before->stage_count) {
            th_info("stage \"%s\" is new", is->own.name);
            continue;
        }
        const char *name = staged ? is->own.name : NULL;
        TH_TRY(compare(by, name, th_train_table, th_train_table_count, TH_PER_STAGE,
                       &before->stages[i].options, &is->options, i <= newest, err));
        TH_TRY(compare(by, name, th_stage_table, th_stage_table_count, TH_PER_STAGE,
                       &before->stages[i].own, &is->own, i <= newest, err));
    }
    for (int i = now->stage_count; i < before->stage_count; i++)
        th_info("stage \"%s\" is gone", before->stages[i].own.name);
out:
    return rc;
}

th_code th_run_changes(const char *run_folder, const th_schedule *now, bool accept_changes,
                       th_err *err)
{
    judge       by = { run_folder, accept_changes };
    th_schedule before;
    th_arena    pool = { 0 };
    int64_t     newest;
    th_code     rc = TH_OK;

    TH_TRY(th_arena_open(&pool, POOL_BYTES, err));
    TH_TRY(th_run_directory_schedule(run_folder, &before, &pool, err));
    TH_TRY(compare(&by, NULL, th_train_table, th_train_table_count, TH_PER_RUN, &before.options,
                   &now->options, true, err));
    TH_TRY(newest_stage(run_folder, &newest, err));
    TH_TRY(compare_stages(&by, &before, now, newest, err));
out:
    th_arena_close(&pool);
    return rc;
}
