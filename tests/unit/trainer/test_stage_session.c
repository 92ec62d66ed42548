/* tests/unit/trainer/test_stage_session.c - a session in stages: which memory and which moments it
 * has.
 *
 * A world of one rank, a pack of 40 small records, and a text tower wide enough that its pages can
 * be counted. Steps are driven here one by one, so that the table can be looked at between them. */
#include "session_fixture.h"

#include <sys/mman.h>
#include <unistd.h>

// Share of the whole pages in an arena's part of the text tower that are in memory.
static double resident(const th_parameters *p, const th_real *arena)
{
    uintptr_t     page = (uintptr_t)sysconf(_SC_PAGESIZE);
    int           first = th_parameters_group(p, TH_TEXT_TOWER, 0);
    int           last = th_parameters_group(p, TH_TEXT_TOWER, (int)p->model.text.layers + 1);
    uintptr_t     start = (uintptr_t)(arena + p->groups[first].first);
    uintptr_t     stop = (uintptr_t)(arena + p->groups[last].first + p->groups[last].count);
    size_t        count, in = 0;
    unsigned char pages[8192];

    start = (start + page - 1) / page * page;
    count = (stop - start) / page;
    assert_true(count > 100 && count <= sizeof pages);
    assert_int_equal(mincore((void *)start, count * page, pages), 0);
    for (size_t i = 0; i < count; i++)
        in += pages[i] & 1;
    return (double)in / (double)count;
}

// Of memory that is the process's own. Pages of the program and its libraries come and go with what
// else the machine does.
static double resident_bytes(void)
{
    long  size, pages, shared;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld %ld", &size, &pages, &shared), 3);
    (void)fclose(file);
    return (double)(pages - shared) * (double)sysconf(_SC_PAGESIZE);
}

// Where small rows share a page with others it stays: a tenth of the tower's pages here.
#define SOME 0.1

static void what_freezes_gives_its_memory_back(void **state)
{
    job *j = *state;

    begin(j, 2, (const char *[]){ "train=all;for=2 steps", "freeze=text;for=3 steps" });
    const th_parameters *p = &j->session->parameters;
    (void)train_step(j->session);
    (void)follow(j->session);
    (void)train_step(j->session);
    assert_true(resident(p, p->gradient) > 0.99 && resident(p, p->exp_avg) > 0.99);
    // How far the loader's threads have come is nobody's to know: without them.
    th_loader_close(j->session->loader);
    j->session->loader = NULL;
    double before = resident_bytes(), tower = 0;
    for (int i = 0; i < p->row_count; i++)
        tower += p->rows[i].tower == TH_TEXT_TOWER ? (double)p->rows[i].count * sizeof(th_real) : 0;
    assert_false(follow(j->session));
    assert_true(resident(p, p->gradient) < SOME);
    assert_true(resident(p, p->exp_avg) < SOME && resident(p, p->exp_avg_sq) < SOME);
    assert_true(resident(p, p->weight) > 0.99);
    // Three arenas of the tower; new step and loader take a little.
    double fell = before - resident_bytes();
    if (!(fell > 3 * (1 - SOME) * tower - 1e6))
        fail_msg("resident memory fell by %.0f of 3 x %.0f bytes", fell, tower);
    steps(j->session, 2); // and training goes on without it
    assert_true(resident(p, p->gradient) < SOME && resident(p, p->exp_avg) < SOME);
}

static void what_thaws_again_keeps_its_moments(void **state)
{
    static const struct {
        const char *stages[3];
        bool        kept;
    } rows[] = {
        { { "train=all;for=2 steps", "freeze=text;for=2 steps", "train=all;for=2 steps" }, true },
        { { "train=all;for=2 steps", "freeze=text;for=2 steps", "freeze=heads;for=2 steps" },
          false },
        { { "train=all;for=2 steps", "freeze=text;for=2 steps;moments=keep",
            "freeze=heads;for=2 steps" },
          true },
        { { "train=all;for=2 steps", "freeze=text;for=2 steps;moments=drop",
            "train=all;for=2 steps" },
          false },
        // Groups whose turn comes in the very stage that begins.
        { { "train=all;for=2 steps", "freeze=text;unfreeze.text.one_group_every=9 steps",
            "freeze=heads;for=2 steps" },
          true },
    };
    job *j = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(j, 3, rows[i].stages);
        const th_parameters *p = &j->session->parameters;
        int                  row = th_parameters_find(p, "transformer.resblocks.0.mlp.c_fc.weight");
        size_t               bytes = (size_t)p->rows[row].count * sizeof(th_real);
        th_real             *moment = p->exp_avg + p->rows[row].offset, *was = malloc(bytes);
        assert_non_null(was);
        steps(j->session, 1);
        (void)train_step(j->session);
        memcpy(was, moment, bytes);
        (void)follow(j->session);
        assert_int_equal(j->session->state.stage, 1);
        assert_false(p->rows[row].trainable);
        assert_true((memcmp(was, moment, bytes) == 0) == rows[i].kept);
        assert_int_equal(p->step[row], rows[i].kept ? 2 : 0);
        for (int64_t k = 0; !rows[i].kept && k < p->rows[row].count; k++)
            assert_true(moment[k] == 0);
        steps(j->session, 1);
        assert_true((memcmp(was, moment, bytes) == 0) == rows[i].kept);
        free(was);
    }
}

// Copies of both moments and of the step counts of a table.
typedef struct {
    th_real *exp_avg, *exp_avg_sq;
    int64_t *step;
} moments;

static moments copy_moments(const th_parameters *p)
{
    size_t  bytes = (size_t)p->elements * sizeof(th_real);
    size_t  counts = (size_t)p->row_count * sizeof(int64_t);
    moments copy = { malloc(bytes), malloc(bytes), malloc(counts) };

    assert_true(copy.exp_avg && copy.exp_avg_sq && copy.step);
    memcpy(copy.exp_avg, p->exp_avg, bytes);
    memcpy(copy.exp_avg_sq, p->exp_avg_sq, bytes);
    memcpy(copy.step, p->step, counts);
    return copy;
}

static void free_moments(moments *copy)
{
    free(copy->exp_avg), free(copy->exp_avg_sq), free(copy->step);
}

// One update from nothing: m = 0.1 g and v = 0.02 g^2, so v = 2 m^2. Three roundings of float.
static void assert_first_update(const th_parameters *p, int row)
{
    const th_real *m = p->exp_avg + p->rows[row].offset, *v = p->exp_avg_sq + p->rows[row].offset;
    double         largest = 0;

    for (int64_t k = 0; k < p->rows[row].count; k++) {
        th_assert_close((double)v[k], 2.0 * (double)m[k] * (double)m[k],
                        1e-6 * (double)v[k] + 1e-38);
        largest = fmax(largest, (double)v[k]);
    }
    assert_true(largest > 0);
}

// The last two blocks of the image tower thaw at step 10 (the head trains from the start).
static void a_thaw_leaves_old_moments_and_begins_new_ones(void **state)
{
    static const char *const stages[] = { "train=[text, heads];for=10 steps",
                                          "unfreeze=image.top(2);for=6 steps" };
    job                     *j = *state;

    begin(j, 2, stages);
    th_parameters *p = &j->session->parameters;
    steps(j->session, 9);
    (void)train_step(j->session);
    moments before = copy_moments(p);
    int     fresh = 0;
    (void)follow(j->session);
    assert_int_equal(j->session->state.stage, 1);
    assert_memory_equal(before.step, p->step, (size_t)p->row_count * sizeof *p->step);
    for (int i = 0; i < p->row_count; i++) {
        int64_t at = p->rows[i].offset;
        size_t  bytes = (size_t)p->rows[i].count * sizeof(th_real);
        assert_memory_equal(before.exp_avg + at, p->exp_avg + at, bytes);
        assert_memory_equal(before.exp_avg_sq + at, p->exp_avg_sq + at, bytes);
    }
    (void)train_step(j->session);
    for (int i = 0; i < p->row_count; i++) {
        bool old = before.step[i] == 10, trains = p->rows[i].trainable;
        assert_int_equal(p->step[i], old ? 11 : trains ? 1 : 0);
        if (trains && !old)
            assert_first_update(p, i);
        fresh += trains && !old;
    }
    assert_int_equal(fresh, 12 + 12 + 2); // two blocks, and the norm behind the last
    free_moments(&before);
}

// Each group that thaws in a stage counts its own steps, and a checkpoint gives all of them back.
static void a_checkpoint_remembers_every_count(void **state)
{
    static const char *const stages[] = {
        "train=[text, heads];for=3 steps",
        "unfreeze.image.one_group_every=2 steps;unfreeze.warmup=2 steps;for=20 steps",
    };
    static const struct {
        const char *name;
        int64_t     want;
        double      rate; // of the stage's
    } rows[] = {
        { "text_projection", 8, 1 },
        { "visual.proj", 8, 1 },
        { "visual.transformer.resblocks.3.ln_1.weight", 5, 1 },
        { "visual.transformer.resblocks.2.ln_1.weight", 3, 1 },
        { "visual.transformer.resblocks.1.ln_1.weight", 1, 1 }, // its warm-up has two steps
        { "visual.transformer.resblocks.0.ln_1.weight", 0, 0 },
        { "visual.conv1.weight", 0, 0 },
    };
    job   *j = *state;
    th_err err = { 0 };

    begin(j, 2, stages);
    steps(j->session, 8);
    moments before = copy_moments(&j->session->parameters);
    th_assert_ok(th_session_save(j->session, &err), &err);
    th_assert_ok(th_session_finish(j->session, &err), &err);
    int64_t total = j->session->total_steps;
    begin(j, 2, stages);
    th_parameters *p = &j->session->parameters;
    assert_int_equal(j->session->state.step, 8);
    assert_int_equal(j->session->state.stage, 1);
    assert_int_equal(j->session->state.stage_step, 5);
    assert_int_equal(j->session->total_steps, total);
    assert_memory_equal(before.step, p->step, (size_t)p->row_count * sizeof *p->step);
    for (int i = 0; i < p->row_count; i++)
        assert_memory_equal(before.exp_avg + p->rows[i].offset, p->exp_avg + p->rows[i].offset,
                            (size_t)p->rows[i].count * sizeof(th_real));
    double rate = th_staging_rates(j->session);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int row = th_parameters_find(p, rows[i].name);
        assert_int_equal(p->step[row], rows[i].want);
        assert_int_equal(p->rows[row].trainable, rows[i].rate > 0);
        if (rows[i].rate > 0)
            th_assert_close(j->session->row_rate[row] / rate, rows[i].rate, 1e-15);
    }
    // One step on the next block is new: half of its warm-up.
    steps(j->session, 1);
    rate = th_staging_rates(j->session);
    int row = th_parameters_find(p, "visual.transformer.resblocks.0.ln_1.weight");
    assert_true(p->rows[row].trainable);
    th_assert_close(j->session->row_rate[row] / rate, 0.5, 1e-15);
    free_moments(&before);
}

// A stage that does not fit is refused before it starts, with what it would need. The step that was
// reached has a checkpoint then, at the end of the stage before, from which the run goes on.
static void what_does_not_fit_is_said(void **state)
{
    static const char *const stages[] = { "train=heads;for=1 steps", "train=all;for=3 steps" };
    job                     *j = *state;
    bool                     done;
    th_err                   err = { 0 };

    begin(j, 2, stages);
    for (int i = 0; i < 2; i++)
        j->stages[i].options.memory_budget.count = (int64_t)20 << 20;
    (void)train_step(j->session);
    th_assert_error(th_staging_follow(j->session, &done, &err), TH_EUSAGE, &err,
                    "memory_budget is 20.0 MiB, and stage \"stage 2\" needs ");
    assert_int_equal(j->session->state.stage, 0);
    int64_t saved = j->session->saved_step;
    begin(j, 2, stages);
    assert_int_equal(saved, 1);
    assert_int_equal(j->session->state.step, 1);
    assert_int_equal(j->session->state.stage, 0);
    assert_true(th_staging_ends(j->session));
    assert_false(follow(j->session));
    assert_int_equal(j->session->state.stage, 1);
    train_step(j->session);
}

#define IN_JOB(test) cmocka_unit_test_setup_teardown(test, open_job, close_job)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_JOB(what_freezes_gives_its_memory_back),
        IN_JOB(what_thaws_again_keeps_its_moments),
        IN_JOB(a_thaw_leaves_old_moments_and_begins_new_ones),
        IN_JOB(a_checkpoint_remembers_every_count),
        IN_JOB(what_does_not_fit_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
