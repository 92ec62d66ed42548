/* tests/unit/checkpoint/fixture.h - a small model whose every number follows from the step, so that
 * a checkpoint can be asked whether it is the one of its step. Used by one test program each. */
#ifndef TH_TESTS_CHECKPOINT_FIXTURE_H
#define TH_TESTS_CHECKPOINT_FIXTURE_H

#include "base/memory.h"
#include "checkpoint/generations.h"
#include "checkpoint/writer.h"

#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FIXTURE_PARAMETERS 6

typedef struct {
    char               folder[PATH_MAX];
    th_snapshot        snapshot;
    th_saved_parameter parameters[FIXTURE_PARAMETERS];
    char               config[64];
} fixture;

// Shapes of every kind: scalar, vector, matrix with a short last chunk when `rows` is large, 4-D,
// one that has no moments, and a name with dots.
static const th_tensor fixture_shapes[FIXTURE_PARAMETERS] = {
    { .name = "logit_scale", .dimensions = 0 },
    { .name = "visual.class_embedding", .dimensions = 1, .shape = { 5 } },
    { .name = "token_embedding.weight", .dimensions = 2, .shape = { 0, 7 } }, // rows as asked
    { .name = "visual.conv1.weight", .dimensions = 4, .shape = { 2, 3, 2, 2 } },
    { .name = "frozen", .dimensions = 2, .shape = { 3, 4 } },
    { .name = "visual.transformer.resblocks.3.attn.in_proj_weight",
      .dimensions = 2,
      .shape = { 6, 2 } },
};

static inline int64_t fixture_elements(const th_tensor *tensor)
{
    int64_t elements = 1;

    for (int d = 0; d < tensor->dimensions; d++)
        elements *= tensor->shape[d];
    return elements;
}

static inline float fixture_value(int64_t step, int parameter, int part, int64_t element)
{
    return (float)((step * 31 + parameter * 7 + part) * 1009 % 65536 + element) * 0.125f;
}

static inline float *fixture_part(const th_saved_parameter *p, int part)
{
    return part == 0 ? p->model.data : part == 1 ? p->exp_avg : p->exp_avg_sq;
}

// Sets everything that a checkpoint of this step holds.
static inline void fixture_fill(fixture *f, int64_t step)
{
    f->snapshot.state = (th_saved_state){ .step = step,
                                          .samples_seen = step * 64,
                                          .stage = 1,
                                          .stage_step = step - 1,
                                          .seed = 0xfedcba9876543210u,
                                          .world_size = 3,
                                          .metrics_bytes = step * 100,
                                          .skipped = 2,
                                          .skipped_in_row = 1,
                                          .seconds = (double)step * 0.5 };
    (void)snprintf(f->snapshot.state.trigger, sizeof f->snapshot.state.trigger, "{\"best\": %lld}",
                   (long long)step);
    for (int i = 0; i < FIXTURE_PARAMETERS; i++) {
        f->parameters[i].step = step - i;
        for (int part = 0; part < 3; part++) {
            float *data = fixture_part(&f->parameters[i], part);
            for (int64_t e = 0; data && e < fixture_elements(&f->parameters[i].model); e++)
                data[e] = fixture_value(step, i, part, e);
        }
    }
}

static inline float *fixture_floats(int64_t count)
{
    void *data = NULL;

    assert_int_equal(th_alloc((size_t)count, sizeof(float), "a test", &data, NULL), TH_OK);
    return data;
}

static inline fixture *fixture_open(int64_t rows)
{
    fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    (void)snprintf(f->folder, sizeof f->folder, "%s/checkpoint-XXXXXX", TH_TEST_BUILD);
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->config, sizeof f->config, "seed: 1\nname: \xc3\xa4\n");
    for (int i = 0; i < FIXTURE_PARAMETERS; i++) {
        th_saved_parameter *p = &f->parameters[i];
        p->model = fixture_shapes[i];
        if (i == 2)
            p->model.shape[0] = rows;
        p->model.data = fixture_floats(fixture_elements(&p->model));
        if (i != 4) {
            p->exp_avg = fixture_floats(fixture_elements(&p->model));
            p->exp_avg_sq = fixture_floats(fixture_elements(&p->model));
        }
    }
    f->snapshot.parameters = f->parameters;
    f->snapshot.parameter_count = FIXTURE_PARAMETERS;
    f->snapshot.config = f->config;
    fixture_fill(f, 1);
    return f;
}

static inline int fixture_remove(const char *path, const struct stat *status, int kind,
                                 struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline void fixture_close(fixture *f)
{
    (void)nftw(f->folder, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
    for (int i = 0; i < FIXTURE_PARAMETERS; i++)
        for (int part = 0; part < 3; part++)
            free(fixture_part(&f->parameters[i], part));
    free(f);
}

// Commits one generation for each step.
static inline void fixture_commit(fixture *f, int64_t keep, const int64_t *steps, int count)
{
    th_writer *writer = NULL;
    th_err     err = { 0 };

    th_writer_options options = { .folder = f->folder, .keep = keep };
    assert_int_equal(th_writer_open(&options, &f->snapshot, &writer, &err), TH_OK);
    for (int i = 0; i < count; i++) {
        fixture_fill(f, steps[i]);
        assert_int_equal(th_writer_save(writer, &f->snapshot, &err), TH_OK);
        if (th_writer_wait(writer, &err) != TH_OK)
            fail_msg("could not commit: %s (%s)", err.what, err.trail);
    }
    th_writer_close(writer);
}

// Fails unless everything in the reader is what its step implies. Overwrites the fixture.
static inline void fixture_check(fixture *f, th_reader *reader)
{
    const th_saved_state *state = th_reader_state(reader);
    int64_t               step = state->step, has_step;
    bool                  moments;
    th_saved_state        wanted;
    th_err                err = { 0 };

    fixture_fill(f, -1);
    for (int i = 0; i < FIXTURE_PARAMETERS; i++) {
        th_saved_parameter *p = &f->parameters[i];
        if (th_reader_load(reader, p, &has_step, &moments, &err) != TH_OK)
            fail_msg("could not load: %s", err.what);
        assert_int_equal(has_step, step - i);
        assert_int_equal(moments, p->exp_avg != NULL);
        for (int part = 0; part < 3; part++)
            for (int64_t e = 0; fixture_part(p, part) && e < fixture_elements(&p->model); e++)
                if (fixture_part(p, part)[e] != fixture_value(step, i, part, e))
                    fail_msg("%s, part %d, element %lld differs", p->model.name, part,
                             (long long)e);
    }
    fixture_fill(f, step);
    wanted = f->snapshot.state;
    assert_memory_equal(state, &wanted, sizeof wanted);
    assert_string_equal(th_reader_config(reader), f->config);
}

#endif
