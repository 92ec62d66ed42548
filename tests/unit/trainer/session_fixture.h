/* tests/unit/trainer/session_fixture.h - a session that is driven step by step.
 *
 * A world of one rank, a pack of 40 small records, and a text tower wide enough that its pages can
 * be counted. */
#ifndef TH_TESTS_SESSION_FIXTURE_H
#define TH_TESTS_SESSION_FIXTURE_H

#include "stage_fixture.h"

#include "tests/unit/dataloader/pack_fixture.h"
#include "trainer/run.h"
#include "trainer/staging.h"

#define MOST_STAGES 4

typedef struct {
    char                folder[256], train[320];
    stage_case          texts; // its pool holds the stages' texts
    th_world            world;
    th_stage            stages[MOST_STAGES];
    th_schedule         schedule;
    struct th_run_input input;
    th_session         *session;
} job;

static inline int open_job(void **state)
{
    job   *j = calloc(1, sizeof *j);
    void  *folder = NULL;
    th_err err = { 0 };

    if (!j || th_test_folder_open(&folder) != 0)
        return -1;
    (void)snprintf(j->folder, sizeof j->folder, "%s", (char *)folder);
    free(folder);
    th_test_path(j->train, sizeof j->train, j->folder, "pack");
    if (mkdir(j->train, 0700) != 0 || th_arena_open(&j->texts.pool, 8 << 20, &err) != TH_OK)
        return -1;
    pack_write(j->train, &(pack_plan){ .records = 40, .shards = 1, .size = 16, .captions = 1 });
    j->world.size = 1;
    *state = j;
    return 0;
}

static inline int close_job(void **state)
{
    job  *j = *state;
    void *folder = strdup(j->folder);

    th_session_close(j->session);
    th_arena_close(&j->texts.pool);
    free(j);
    return th_test_folder_close(&folder);
}

#define MODEL                                                                                      \
    ";batch=4;threads=1;memory_budget=512 MiB;model.preset=tiny;model.image.size=16;"              \
    "model.image.patch=8;model.image.width=32;model.image.layers=4;model.image.heads=2;"           \
    "model.text.context=16;model.text.width=192;model.text.layers=3;model.text.heads=3;"           \
    "model.embed=16"

static inline void begin(job *j, int count, const char *const stages[])
{
    th_err err = { 0 };
    char   text[1024];

    th_session_close(j->session);
    j->session = NULL;
    for (int i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "name=stage %d;%s%s", i + 1, stages[i], MODEL);
        j->stages[i] = stage_of(&j->texts, text);
        j->stages[i].options.train = j->train;
        j->stages[i].options.val = NULL;
    }
    j->schedule =
        (th_schedule){ .options = j->stages[0].options, .stages = j->stages, .stage_count = count };
    j->input = (struct th_run_input){ .schedule = &j->schedule, .folder = j->folder, .config = "" };
    th_assert_ok(th_session_open(&j->world, &j->input, &j->session, &err), &err);
}

// A step as the run's loop makes it, up to where stages are followed; its batch.
static inline const th_batch *train_step(th_session *s)
{
    const th_batch *batch;
    th_step_result  result;
    double          waited;
    th_err          err = { 0 };

    th_assert_ok(th_loader_next(s->loader, &batch, &waited, &err), &err);
    (void)th_staging_rates(s);
    th_assert_ok(th_step_gradient(s->step, batch, &result, &err), &err);
    assert_true(result.finite);
    th_adamw_update(&s->parameters, &s->adamw, s->row_rate, result.gradient_norm);
    s->state.step++;
    s->state.stage_step++;
    s->state.samples_seen += s->options->batch;
    return batch;
}

static inline bool follow(th_session *s)
{
    bool   done;
    th_err err = { 0 };

    th_assert_ok(th_staging_follow(s, &done, &err), &err);
    return done;
}

static inline void steps(th_session *s, int count)
{
    for (int i = 0; i < count; i++) {
        (void)train_step(s);
        (void)follow(s);
    }
}

#endif
