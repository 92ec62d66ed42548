/* tests/mpi/test_frozen.c - frozen is free and changes nothing: a run that computes no gradient of
 * what is frozen goes where one goes that computes all and throws those away.
 *
 * The twin differentiates everything, sets the gradients of frozen rows to zero and gives them the
 * rate zero. Tolerance: 1e-6 of a row's largest weight after 50 steps. Only the order of sums in an
 * all-reduce may differ, as its buckets are cut elsewhere, and rounding that AdamW carries on; the
 * bits were the same on 1 to 4 ranks when this was written. */
#include "step_case.h"

#include "trainer/schedule/stage.h"

#define STEPS    50
#define RELATIVE 1e-6

static const th_adamw adamw = {
    .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .weight_decay = 0.2, .clip_norm = 1
};

static void train_only(th_parameters *p, const char *list)
{
    th_parameters_freeze_all(p, false);
    for (int i = 0; i < p->row_count; i++) {
        p->rows[i].trainable = th_stage_selects(list, p, i);
        p->groups[p->rows[i].group].trainable |= p->rows[i].trainable;
    }
}

// One step of the run under test.
static void step_frozen(th_parameters *p, const step_data *data, double *rate)
{
    th_step_result result;
    th_err         err = { 0 };

    th_assert_ok(step_run(&th_mpi_world, p, data, (step_how){ .micro = 4 }, &result, NULL, &err),
                 &err);
    assert_true(result.finite);
    for (int i = 0; i < p->row_count; i++)
        rate[i] = 1e-3;
    th_adamw_update(p, &adamw, rate, result.gradient_norm);
}

// One step of the twin.
static void step_all(th_parameters *p, const step_data *data, const bool *trains, double *rate)
{
    th_step_result result;
    th_err         err = { 0 };

    th_assert_ok(step_run(&th_mpi_world, p, data, (step_how){ .micro = 4 }, &result, NULL, &err),
                 &err);
    for (int i = 0; i < p->row_count; i++) {
        rate[i] = trains[i] ? 1e-3 : 0;
        if (!trains[i])
            memset(th_gradient(p, i), 0, (size_t)p->rows[i].count * sizeof(th_real));
    }
    th_adamw_update(p, &adamw, rate, th_gradient_norm(p));
}

static void assert_same_weights(const th_parameters *p, const th_parameters *twin,
                                const th_parameters *first, const bool *trains, const char *list)
{
    for (int i = 0; i < p->row_count; i++) {
        const th_real *got = th_weight(p, i), *want = th_weight(twin, i);
        size_t         bytes = (size_t)p->rows[i].count * sizeof *got;
        double         largest = 0, moved = 0;
        for (int64_t j = 0; j < p->rows[i].count; j++) {
            largest = fmax(largest, fabs((double)want[j]));
            moved = fmax(moved, fabs((double)(got[j] - th_weight(first, i)[j])));
        }
        for (int64_t j = 0; j < p->rows[i].count; j++)
            if (!(fabs((double)got[j] - (double)want[j]) <= RELATIVE * largest))
                fail_msg("[%s] %s[%lld]: %.9g, want %.9g", list, p->rows[i].name, (long long)j,
                         (double)got[j], (double)want[j]);
        if (!trains[i]) {
            assert_memory_equal(got, th_weight(first, i), bytes);
            assert_int_equal(p->step[i], 0);
        } else if (!(moved > 1e-3)) { // fifty steps of 1e-3
            fail_msg("[%s] %s did not train", list, p->rows[i].name);
        }
    }
}

static void goes_where_the_twin_goes(const char *list)
{
    step_data     data[] = { step_data_open(19, 3), step_data_open(9, 1), step_data_open(14, 2) };
    th_parameters p = { 0 }, twin = { 0 }, first = { 0 };
    bool         *trains;
    double       *rate;

    step_parameters_open(&p);
    step_parameters_open(&twin);
    step_parameters_open(&first);
    trains = step_new(p.row_count, sizeof *trains);
    rate = step_new(p.row_count, sizeof *rate);
    train_only(&p, list);
    for (int i = 0; i < p.row_count; i++)
        trains[i] = p.rows[i].trainable;
    for (int step = 0; step < STEPS; step++) {
        step_frozen(&p, &data[step % 3], rate);
        step_all(&twin, &data[step % 3], trains, rate);
    }
    assert_same_weights(&p, &twin, &first, trains, list);
    for (int i = 0; i < 3; i++)
        step_data_close(&data[i]);
    th_parameters_close(&p);
    th_parameters_close(&twin);
    th_parameters_close(&first);
    free(trains);
    free(rate);
}

static void a_frozen_tower(void **state)
{
    (void)state;
    goes_where_the_twin_goes("[text, heads]");
    goes_where_the_twin_goes("[image, logit_scale]");
    goes_where_the_twin_goes("text"); // no head of the other, no logit scale
}

static void the_top_of_a_tower(void **state)
{
    (void)state;
    goes_where_the_twin_goes("[image.top(1), text.top(2), logit_scale]");
    goes_where_the_twin_goes("heads");
    goes_where_the_twin_goes("logit_scale");
}

// What trains below or among what is frozen: the backward goes through.
static void holes(void **state)
{
    (void)state;
    goes_where_the_twin_goes("[image.embed, text.blocks[1]]");
    goes_where_the_twin_goes("[*.ln_?.*, *.bias]");
    goes_where_the_twin_goes("[visual.*.attn.in_proj_weight, token_embedding.*]");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frozen_tower),
        cmocka_unit_test(the_top_of_a_tower),
        cmocka_unit_test(holes),
    };

    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 120);
}
