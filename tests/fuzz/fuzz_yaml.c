// The run file: launch/config with the tables of run and stages, then the patterns and lengths in
// them against the parameters of a tiny model.
#include "base/log.h"
#include "launch/config.h"
#include "tests/fuzz/fuzz.h"
#include "trainer/schedule/stage.h"

#include <string.h>

#define MOST_STAGES 16
#define POOL_BYTES  ((size_t)1 << 16) // small, so that a file can fill it
#define RECORDS     1000

static const th_model_config model = {
    .image = { .size = 16, .patch = 8, .width = 8, .layers = 2, .heads = 1 },
    .text = { .context = 8, .vocabulary = 40, .width = 8, .layers = 2, .heads = 1 },
    .embed = 4,
};

static th_code load_stages(th_config *config, th_schedule *schedule, th_arena *pool, th_err *err)
{
    int     count = th_config_items(config, "stages");
    th_code rc = TH_OK;

    th_fuzz_claim(count >= -1);
    for (int i = 0; i < count && i < MOST_STAGES && rc == TH_OK; i++) {
        th_stage     *stage = &schedule->stages[i];
        th_option_set sets[] = { { th_train_table, th_train_table_count, &stage->options },
                                 { th_stage_table, th_stage_table_count, &stage->own } };

        *stage = (th_stage){ 0 };
        rc = th_options_default(&sets[1], 1, pool, err);
        stage->options = schedule->options;
        stage->options.length = (th_span){ 0 };
        if (rc == TH_OK)
            rc = th_config_apply_item(config, "stages", i, sets, 2, pool, err);
        if (!stage->own.name)
            stage->own.name = "stage";
        schedule->stage_count = i + 1;
    }
    return rc;
}

static th_code load(th_config *config, th_arena *pool, const th_parameters *parameters, th_err *err)
{
    th_stage      stages[MOST_STAGES];
    th_schedule   schedule = { .stages = stages };
    th_option_set set = { th_train_table, th_train_table_count, &schedule.options };
    th_code       rc = TH_OK;
    int64_t       steps = -1;

    TH_TRY(th_config_apply(config, "stages", &set, 1, pool, err));
    TH_TRY(load_stages(config, &schedule, pool, err));
    if (schedule.stage_count == 0)
        th_schedule_single(&schedule, stages);
    TH_TRY(th_schedule_check(&schedule, parameters, RECORDS, err));
    TH_TRY(th_schedule_steps(&schedule, parameters, RECORDS, &steps, err));
    th_fuzz_claim(steps >= 0);
out:
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static th_parameters parameters; // the same for every input
    th_config           *config = NULL;
    th_arena             pool = { 0 };
    th_err               err = { 0 };
    char                *text = malloc(size + 1);

    th_fuzz_claim(text);
    memcpy(text, bytes, size);
    text[size] = 0;
    if (!parameters.rows) {
        th_log_setup(TH_ALARM, -1); // where an error stands is told in the log
        th_fuzz_claim(th_parameters_open(&model, &parameters, &err) == TH_OK);
    }
    th_fuzz_claim(th_arena_open(&pool, POOL_BYTES, &err) == TH_OK);
    th_code rc = th_config_parse(text, "run.yaml", &config, &err);
    if (rc == TH_OK)
        rc = load(config, &pool, &parameters, &err);
    if (rc != TH_OK)
        th_fuzz_refusal(rc, err);
    th_config_close(config);
    th_arena_close(&pool);
    free(text);
    return 0;
}
