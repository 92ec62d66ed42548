/* trainer/forecast.c - walks the stages as a run would, from where it stands. */
#include "trainer/forecast_private.h"

#include "trainer/schedule/stage_state.h"
#include "trainer/schedule/trigger.h"
#include "trainer/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLED_RECORDS 512 // whose captions' lengths are looked at

// --- captions ---

// Mean and deviation of the captions' tokens, over records that stand evenly in the pack.
static th_code sample_captions(const th_forecast_input *in, th_forecast *out, th_err *err)
{
    int64_t           records = out->records, context = out->parameters.model.text.context;
    int64_t           count = records < SAMPLED_RECORDS ? records : SAMPLED_RECORDS;
    th_record_scratch copy = { 0 }, scratch = { 0 };
    double            n = 0, sum = 0, squares = 0;
    th_code           rc = TH_OK;

    for (int64_t i = 0; i < count; i++) {
        th_record record;
        rc = th_pack_read(in->train, i * records / count, &copy, &scratch, &record, err);
        if (rc == TH_EDATA) // a run passes it over, too
            continue;
        TH_TRY(rc);
        for (int k = 0; k < record.caption_count; k++) {
            double tokens = fmin((double)record.captions[k].token_count + 2, (double)context);
            n++;
            sum += tokens;
            squares += tokens * tokens;
        }
    }
    rc = TH_OK;
    TH_CHECK(n > 0, TH_EDATA, "find out with thaw inspect --verify", "pack \"%s\" has no caption",
             th_pack_folder(in->train));
    out->tokens = sum / n;
    out->tokens_deviation = sqrt(fmax(0, squares / n - out->tokens * out->tokens));
out:
    free(copy.bytes);
    free(scratch.bytes);
    return rc;
}

// --- a stage ---

// Steps after which a stage may end at the earliest: a trigger needs its values first.
static int64_t earliest(const th_forecast_stage *stage, const th_trigger *trigger)
{
    int64_t first = trigger->most;

    if (trigger->plateau || trigger->metric) {
        const char *name = trigger->plateau ? trigger->plateau : trigger->metric;
        int64_t     values = trigger->plateau ? trigger->patience + 1 : 1;
        bool        each = strncmp(name, "train/", 6) == 0 || stage->eval_steps == 0;
        first = values * (each ? 1 : stage->eval_steps);
    }
    first = first > trigger->least ? first : trigger->least;
    return trigger->most > 0 && first > trigger->most ? trigger->most : first;
}

static th_code lay_out_lengths(const th_forecast_walk *walk, const th_stage *stage,
                               th_forecast_stage *out, th_err *err)
{
    const th_train_options *o = &stage->options;
    int64_t                 records = walk->forecast->records, steps;
    th_trigger              trigger = { 0 };
    th_code                 rc = TH_OK;

    TH_TRY(th_stage_steps(stage, &walk->forecast->parameters, records, walk->before, &steps, err));
    TH_TRY(th_trigger_limits(stage, records, steps, &trigger, err));
    if (walk->in->val && o->eval_every.unit != TH_NEVER)
        TH_TRY(
            th_span_steps("eval.every", o->eval_every, o->batch, records, &out->eval_steps, err));
    if (o->checkpoint_every.unit != TH_NEVER && o->checkpoint_every.unit != TH_SECONDS)
        TH_TRY(th_span_steps("checkpoint.every", o->checkpoint_every, o->batch, records,
                             &out->checkpoint_steps, err));
    out->most = trigger.most;
    out->least = earliest(out, &trigger);
out:
    return rc;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

// The steps of a stage at which its set of rows changes, in order, the first one 0.
static th_code list_turns(const th_forecast_walk *walk, const th_stage *stage, int64_t last,
                          int64_t **out, int *out_count, th_err *err)
{
    const th_parameters *p = &walk->forecast->parameters;
    int64_t             *turns = NULL;
    int                  count = 1;
    th_code              rc = TH_OK;

    TH_TRY(th_stage_rows(stage, p, walk->forecast->records, walk->before, last, walk->trains,
                         walk->thawed, err));
    TH_TRY(th_alloc((size_t)p->row_count + 1, sizeof *turns, "turns", (void **)&turns, err));
    memcpy(turns + 1, walk->thawed, (size_t)p->row_count * sizeof *turns);
    qsort(turns, (size_t)p->row_count + 1, sizeof *turns, by_value);
    for (int i = 1; i <= p->row_count; i++)
        if (turns[i] != turns[count - 1])
            turns[count++] = turns[i];
    *out = turns;
    *out_count = count;
out:
    return rc;
}

// What a stage finds frozen and does not keep loses its moments.
static void drop_moments(const th_forecast_walk *walk, int stage)
{
    th_parameters *p = &walk->forecast->parameters;

    for (int i = 0; i < p->row_count; i++)
        if (!p->rows[i].trainable && p->step[i] > 0 &&
            !th_schedule_keeps_moments(walk->in->schedule, stage, p, i))
            p->step[i] = 0;
}

// The phase that begins with turn k.
static th_code lay_out_phase(th_forecast_walk *walk, th_forecast_stage *out, const int64_t *turns,
                             int turn_count, int k, th_err *err)
{
    const th_stage *stage = &walk->in->schedule->stages[out->index];
    th_parameters  *p = &walk->forecast->parameters;
    int64_t         batch = stage->options.batch;
    int64_t         first = turns[k] > out->done ? turns[k] : out->done;
    int64_t         end = k + 1 < turn_count ? turns[k + 1] : out->most;
    th_phase       *phase = &out->phases[out->phase_count];
    th_err          why = { 0 };
    th_code         rc = TH_OK;

    TH_TRY(th_stage_rows(stage, p, walk->forecast->records, walk->before, first, walk->trains,
                         walk->thawed, err));
    (void)th_parameters_train(p, walk->trains);
    drop_moments(walk, out->index);
    if (out->phase_count == 0)
        for (int i = 0; i < p->row_count; i++)
            out->moments[i] = p->step[i] > 0;
    walk->phase++;
    phase->step = first;
    // A stage whose end nobody knows goes on long enough to meet every sample.
    int64_t samples = end > 0 ? (end - turns[k]) * batch : 2 * walk->forecast->records;
    rc = th_forecast_phase(walk, stage, out->position + (turns[k] - out->done) * batch,
                           (first - turns[k]) * batch, samples, phase, &why);
    if (rc == TH_EUSAGE && out->problem.code == TH_OK)
        out->problem = why;
    if (rc != TH_OK && rc != TH_EUSAGE)
        *err = why;
    TH_TRY(rc == TH_EUSAGE ? TH_OK : rc);
    for (int i = 0; i < p->row_count; i++) {
        if (!p->rows[i].trainable)
            continue;
        p->step[i] = 1; // it will have moments
        walk->trained[i] = walk->phase;
    }
    out->phase_count++;
out:
    return rc;
}

static th_code lay_out_stage(th_forecast_walk *walk, int index, th_forecast_stage *out, th_err *err)
{
    const th_stage *stage = &walk->in->schedule->stages[index];
    size_t          rows = (size_t)walk->forecast->parameters.row_count;
    int64_t        *turns = NULL;
    int             count;
    th_code         rc = TH_OK;

    out->index = index;
    TH_TRY(lay_out_lengths(walk, stage, out, err));
    int64_t last = out->most > 0 ? out->most - 1 : INT64_MAX;
    TH_TRY(list_turns(walk, stage, last, &turns, &count, err));
    TH_TRY(th_alloc((size_t)count, sizeof *out->phases, "phases", (void **)&out->phases, err));
    TH_TRY(th_alloc(rows, sizeof(bool), "trainable rows", (void **)&out->before, err));
    TH_TRY(th_alloc(rows, sizeof(bool), "rows with moments", (void **)&out->moments, err));
    memcpy(out->before, walk->before, rows * sizeof(bool));
    for (int k = 0; k < count; k++)
        if (k + 1 == count || turns[k + 1] > out->done)
            TH_TRY(lay_out_phase(walk, out, turns, count, k, err));
    memcpy(walk->before, walk->trains, rows * sizeof(bool));
out:
    free(turns);
    return rc == TH_OK ? TH_OK : th_during(err, "planning stage \"%s\"", stage->own.name);
}

// --- the run ---

// Where the run stands: *out_stage with *out_done of its steps done. The set before that stage and
// the rows that have moments are those of the checkpoint.
static th_code stand(th_forecast_walk *walk, int *out_stage, int64_t *out_done, th_err *err)
{
    const th_schedule        *schedule = walk->in->schedule;
    th_forecast              *f = walk->forecast;
    const th_saved_state     *state = th_reader_state(walk->in->reader);
    const th_saved_parameter *saved;
    th_forecast_stage         here = { 0 };
    th_trigger                trigger = { 0 };
    int                       count;
    th_code                   rc = TH_OK;

    TH_CHECK(state->stage >= 0 && state->stage < schedule->stage_count, TH_EUSAGE,
             "put the stages back into the run file",
             "the checkpoint is in stage %lld, and the run file has %d",
             (long long)state->stage + 1, schedule->stage_count);
    f->step = state->step;
    f->samples_seen = state->samples_seen;
    TH_TRY(
        th_stage_state_read(state->trigger, walk->before, f->parameters.row_count, &trigger, err));
    saved = th_reader_parameters(walk->in->reader, &count);
    for (int i = 0; i < count; i++) {
        int row = th_parameters_find(&f->parameters, saved[i].model.name);
        TH_CHECK(row >= 0, TH_EUSAGE, "go on with the run file that it was started with",
                 "the checkpoint has a parameter \"%s\", and this model does not",
                 saved[i].model.name);
        f->parameters.step[row] = saved[i].exp_avg ? saved[i].step : 0;
    }
    const th_stage *stage = &schedule->stages[state->stage];
    TH_TRY(lay_out_lengths(walk, stage, &here, err));
    trigger.most = here.most;
    TH_TRY(th_trigger_limits(stage, f->records, here.most, &trigger, err));
    *out_stage = (int)state->stage;
    *out_done = state->stage_step;
    if (th_trigger_ended(&trigger, state->stage_step)) {
        TH_TRY(th_stage_rows(stage, &f->parameters, f->records, walk->before,
                             state->stage_step > 0 ? state->stage_step - 1 : 0, walk->trains,
                             walk->thawed, err));
        memcpy(walk->before, walk->trains, (size_t)f->parameters.row_count * sizeof(bool));
        *out_stage += 1;
        *out_done = 0;
    }
out:
    return rc == TH_OK ? TH_OK : th_during(err, "reading where the run stands");
}

static th_code lay_out_stages(th_forecast_walk *walk, th_err *err)
{
    th_forecast *f = walk->forecast;
    int          stage = 0, count = walk->in->schedule->stage_count;
    int64_t      done = 0, step, position;
    th_code      rc = TH_OK;

    if (walk->in->reader)
        TH_TRY(stand(walk, &stage, &done, err));
    step = f->step;
    position = f->samples_seen;
    TH_TRY(th_alloc((size_t)count + 1, sizeof *f->stages, "stages", (void **)&f->stages, err));
    for (; stage < count; stage++, done = 0) {
        th_forecast_stage *out = &f->stages[f->stage_count++];
        *out = (th_forecast_stage){ .begins = step, .position = position, .done = done };
        TH_TRY(lay_out_stage(walk, stage, out, err));
        int64_t left = (out->most > 0 ? out->most : out->least) - done;
        left = left > 0 ? left : 0;
        step += left;
        position += left * walk->in->schedule->stages[stage].options.batch;
    }
out:
    return rc;
}

static th_code open_table(const th_forecast_input *in, th_forecast *out, th_err *err)
{
    const th_train_options *o = &in->schedule->options;
    const th_pack_info     *packs[] = { th_pack_describe(in->train),
                                    in->val ? th_pack_describe(in->val) : NULL };
    th_model_config         model;
    th_code                 rc = TH_OK;

    TH_TRY(th_train_model(o, packs[0]->vocabulary, &model, err));
    TH_CHECK(model.image.size == packs[0]->size, TH_EUSAGE,
             "pack again with that --size, or set model.image.size to the pack's",
             "model.image.size is %lld and pack \"%s\" has pictures of %lld pixels",
             (long long)model.image.size, o->train, (long long)packs[0]->size);
    TH_TRY(th_parameters_open(&model, &out->parameters, err));
    out->records = packs[0]->records;
    for (int k = 0; k < 2; k++)
        for (int i = 0; packs[k] && i < packs[k]->shard_count; i++)
            out->map_bytes += (int64_t)packs[k]->shards[i].bytes;
    TH_TRY(th_schedule_check(in->schedule, &out->parameters, out->records, err));
    TH_TRY(sample_captions(in, out, err));
out:
    return rc;
}

th_code th_forecast_open(const th_forecast_input *in, th_forecast *out, th_err *err)
{
    th_forecast      f = { 0 };
    th_forecast_walk walk = { .in = in, .forecast = &f };
    th_code          rc = TH_OK;

    TH_TRY(open_table(in, &f, err));
    size_t rows = (size_t)f.parameters.row_count;
    TH_TRY(th_alloc(rows, sizeof(bool), "trainable rows", (void **)&walk.before, err));
    TH_TRY(th_alloc(rows, sizeof(bool), "trainable rows", (void **)&walk.trains, err));
    TH_TRY(th_alloc(rows, sizeof(int64_t), "thawed rows", (void **)&walk.thawed, err));
    TH_TRY(th_alloc(rows, sizeof(int64_t), "trained rows", (void **)&walk.trained, err));
    th_forecast_evaluation(&walk);
    TH_TRY(lay_out_stages(&walk, err));
    *out = f;
out:
    free(walk.before);
    free(walk.trains);
    free(walk.thawed);
    free(walk.trained);
    if (rc != TH_OK)
        th_forecast_close(&f);
    return rc;
}

void th_forecast_close(th_forecast *forecast)
{
    if (!forecast)
        return;
    for (int i = 0; i < forecast->stage_count; i++) {
        free(forecast->stages[i].phases);
        free(forecast->stages[i].before);
        free(forecast->stages[i].moments);
    }
    free(forecast->stages);
    free(forecast->caches);
    th_parameters_close(&forecast->parameters);
    *forecast = (th_forecast){ 0 };
}
