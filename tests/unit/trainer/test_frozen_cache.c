/* tests/unit/trainer/test_frozen_cache.c - what a session keeps of its frozen towers: when, under
 * which key, and that nothing is decoded whose row is there.
 *
 * 40 records, 4 a batch, so ten steps are an epoch. Two batches are read ahead: what is put in a
 * step can be missed by the two that follow, which were read before. */
#include "session_fixture.h"

#include "base/log.h"
#include "trainer/frozen.h"

enum { RECORDS_HERE = 40, BATCH = 4, AHEAD = 2 };

#define FROZEN "train=[text, heads];for=200 steps"

static void begin_one(job *j, const char *stage)
{
    const char *const stages[] = { stage };

    begin(j, 1, stages);
}

// Pictures of a batch that were decoded.
static int decoded(const th_batch *batch)
{
    int count = 0;

    for (int64_t i = 0; i < batch->n; i++)
        count += !batch->has_row || !batch->has_row[i];
    return count;
}

static void warm_steps_decode_nothing(void **state)
{
    job *j = *state;
    int  cold = 0;

    begin_one(j, FROZEN);
    for (int step = 0; step < 10; step++)
        cold += decoded(train_step(j->session));
    assert_int_equal(cold, RECORDS_HERE);
    for (int step = 0; step < AHEAD; step++)
        (void)train_step(j->session);
    for (int step = 0; step < 20; step++)
        assert_int_equal(decoded(train_step(j->session)), 0);
    assert_int_equal(th_feature_cache_status(j->session->cache[0]).rows, RECORDS_HERE);
    // And from the start, when another session takes up what this one has kept.
    begin_one(j, FROZEN);
    for (int step = 0; step < 10; step++)
        assert_int_equal(decoded(train_step(j->session)), 0);
}

static void views_are_computed_once_each(void **state)
{
    enum { K = 3, STEPS = 120 };
    job *j = *state;
    int  seen[RECORDS_HERE][K] = { 0 }, rows = 0; // the step that computed it, from 1

    begin_one(j, FROZEN ";data.augment=crop;data.views=3");
    for (int step = 1; step <= STEPS; step++) {
        const th_batch *batch = train_step(j->session);
        for (int64_t i = 0; i < batch->n; i++) {
            int *since = &seen[batch->records[i]][batch->views[i]];
            if (batch->has_row[i])
                assert_true(*since > 0);
            else
                assert_true(*since == 0 || step - *since <= AHEAD + 1);
            rows += *since == 0;
            *since = *since ? *since : step;
        }
    }
    assert_in_range(rows, 110, RECORDS_HERE * K); // twelve draws of three miss one view in 43
    assert_int_equal(th_feature_cache_status(j->session->cache[0]).rows, rows);
}

static void fresh_crops_are_not_kept(void **state)
{
    job *j = *state;

    begin_one(j, FROZEN ";data.augment=crop");
    assert_null(j->session->cache[0]);
    assert_int_equal(decoded(train_step(j->session)), BATCH);
    begin_one(j, "train=all;for=10 steps;data.augment=crop;data.views=3");
    assert_null(j->session->cache[0]);
    assert_int_equal(decoded(train_step(j->session)), BATCH);
}

// The weights after a run in which the image tower's cut moves down twice, with loaders that have
// read rows of the old cut ahead.
static void *weights_of(job *j, const char *budget, size_t *out_bytes)
{
    static const char input[] = "data.augment=crop;data.views=2;cache.budget";
    char              texts[2][256];
    const char *const stages[] = { texts[0], texts[1] };

    (void)snprintf(texts[0], sizeof texts[0], "train=[text, heads];for=14 steps;%s=%s", input,
                   budget);
    (void)snprintf(texts[1], sizeof texts[1],
                   "unfreeze.image.one_group_every=7 steps;for=30 steps;%s=%s", input, budget);
    begin(j, 2, stages);
    steps(j->session, 44);
    const th_parameters *p = &j->session->parameters;
    const th_parameter  *last = &p->rows[p->row_count - 1];
    *out_bytes = (size_t)(last->offset + last->count) * sizeof(th_real);
    void *copy = malloc(*out_bytes);
    assert_non_null(copy);
    memcpy(copy, p->weight, *out_bytes);
    return copy;
}

static void thawing_with_a_cache_changes_nothing(void **state)
{
    job   *j = *state;
    size_t bytes, same;
    void  *without = weights_of(j, "0 B", &bytes);

    assert_null(j->session->cache[0]);
    for (int again = 0; again < 2; again++) { // cold, then warm
        void *with = weights_of(j, "1 GB", &same);
        assert_int_equal(same, bytes);
        assert_memory_equal(with, without, bytes);
        free(with);
    }
    free(without);
}

// --- keys ---

// How many caches a folder has once these options were opened too.
static int caches_with(const th_frozen_cache_options *options)
{
    th_feature_cache       *cache = NULL;
    th_feature_cache_entry *list = NULL;
    int                     count;
    th_err                  err = { 0 };

    th_assert_ok(th_frozen_cache_open(options, &cache, &err), &err);
    th_feature_cache_close(cache);
    th_assert_ok(th_feature_cache_list(options->folder, &list, &count, &err), &err);
    free(list);
    return count;
}

static th_frozen_cache_options usual(job *j, const char *folder)
{
    return (th_frozen_cache_options){ .parameters = &j->session->parameters,
                                      .tower = TH_IMAGE,
                                      .pack = j->session->train,
                                      .folder = folder,
                                      .budget_bytes = 1 << 30,
                                      .random_crop = true,
                                      .views = 2,
                                      .crop_scale = { 0.5, 1 },
                                      .seed = 1 };
}

static void key_holds_all_that_rows_depend_on(void **state)
{
    job *j = *state;
    char folder[320];

    begin_one(j, FROZEN);
    th_test_path(folder, sizeof folder, j->folder, "keys");
    th_frozen_cache_options options = usual(j, folder);
    assert_int_equal(caches_with(&options), 1);
    assert_int_equal(caches_with(&options), 1);
    options.views = 9; // the first two are the same
    assert_int_equal(caches_with(&options), 1);
    options.rank = 3;
    options.budget_bytes = 2 << 20;
    assert_int_equal(caches_with(&options), 1);
    options.seed = 2;
    assert_int_equal(caches_with(&options), 2);
    options.crop_scale[0] = 0.6;
    assert_int_equal(caches_with(&options), 3);
    options.kernels = "another processor";
    assert_int_equal(caches_with(&options), 4);
    options.random_crop = false;
    assert_int_equal(caches_with(&options), 5);
    options.seed = 1; // of pictures that are not drawn nothing depends on it
    options.views = 0;
    assert_int_equal(caches_with(&options), 5);
    *th_weight(options.parameters, 0) += 1;
    assert_int_equal(caches_with(&options), 6);
    options.tower = TH_TEXT_TOWER; // trains
    assert_int_equal(caches_with(&options), 6);
}

// --- budget ---

static void token_rows_that_do_not_fit_are_not_kept(void **state)
{
    enum { ROW = 5 * 32 * 4 }; // five tokens, 32 floats
    job                    *j = *state;
    char                    folder[320], row[ROW] = { 1 };
    th_feature_cache       *cache = NULL;
    th_feature_cache_entry *list = NULL;
    int                     count;
    th_err                  err = { 0 };

    begin_one(j, "train=[text, heads, image.top(1)];for=10 steps");
    th_test_path(folder, sizeof folder, j->folder, "tokens");
    th_frozen_cache_options options = usual(j, folder);
    assert_int_equal(th_frozen_cache_bytes(&options), 2 * RECORDS_HERE * (ROW + 24));
    options.budget_bytes = th_frozen_cache_bytes(&options) - 1;
    th_assert_ok(th_frozen_cache_open(&options, &cache, &err), &err);
    assert_null(cache);
    th_assert_ok(th_feature_cache_list(folder, &list, &count, &err), &err);
    free(list);
    assert_int_equal(count, 0);

    // What somebody with more room has kept is read all the same.
    options.budget_bytes++;
    th_assert_ok(th_frozen_cache_open(&options, &cache, &err), &err);
    th_feature_cache_put(cache, 7, 1, row);
    th_feature_cache_close(cache);
    options.budget_bytes--;
    th_assert_ok(th_frozen_cache_open(&options, &cache, &err), &err);
    assert_false(th_feature_cache_status(cache).writing);
    assert_true(th_feature_cache_get(cache, 7, 1, row));
    th_feature_cache_close(cache);
}

static void pooled_rows_are_kept_as_far_as_they_fit(void **state)
{
    job              *j = *state;
    char              folder[320];
    th_feature_cache *cache = NULL;
    th_err            err = { 0 };

    begin_one(j, FROZEN);
    th_test_path(folder, sizeof folder, j->folder, "pooled");
    th_frozen_cache_options options = usual(j, folder);
    options.budget_bytes = th_frozen_cache_bytes(&options) / 2;
    th_assert_ok(th_frozen_cache_open(&options, &cache, &err), &err);
    assert_true(th_feature_cache_status(cache).writing);
    th_feature_cache_close(cache);
}

#define IN_JOB(test) cmocka_unit_test_setup_teardown(test, open_job, close_job)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_JOB(warm_steps_decode_nothing),
        IN_JOB(views_are_computed_once_each),
        IN_JOB(fresh_crops_are_not_kept),
        IN_JOB(thawing_with_a_cache_changes_nothing),
        IN_JOB(key_holds_all_that_rows_depend_on),
        IN_JOB(token_rows_that_do_not_fit_are_not_kept),
        IN_JOB(pooled_rows_are_kept_as_far_as_they_fit),
    };
    th_log_setup(TH_ALARM, -1); // what does not fit is warned of
    return cmocka_run_group_tests(tests, NULL, NULL);
}
