#include "trainer/staging.h"

#include "base/file.h"
#include "base/log.h"
#include "comm/agree.h"
#include "trainer/footprint.h"
#include "trainer/frozen.h"
#include "trainer/schedule/stage_state.h"
#include "trainer/status.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const th_stage *stage_of(const th_session *session)
{
    return &session->in->schedule->stages[session->state.stage];
}

static th_rate_shape shape_of(const char *name)
{
    return strcmp(name, "cosine") == 0   ? TH_RATE_COSINE
           : strcmp(name, "linear") == 0 ? TH_RATE_LINEAR
                                         : TH_RATE_CONSTANT;
}

static th_code lay_out_rates(th_session *session, th_err *err)
{
    const th_stage         *stage = stage_of(session);
    const th_train_options *o = &stage->options;
    bool                    over_run = strcmp(stage->own.rate_over, "run") == 0;
    th_code                 rc = TH_OK;

    session->rate =
        (th_rate){ .peak = o->lr, .floor = o->lr_floor, .shape = shape_of(o->lr_shape) };
    TH_TRY(th_schedule_steps(session->in->schedule, &session->parameters, session->records,
                             &session->total_steps, err));
    TH_TRY(th_span_steps("lr.warmup", o->warmup, o->batch, session->records, &session->rate.warmup,
                         err));
    session->rate.total = over_run ? session->total_steps : session->trigger.most;
    if (session->rate.total == 0) // an end that nobody knows has no shape to run out to
        session->rate.shape = TH_RATE_CONSTANT;
    if (session->rate.shape == TH_RATE_CONSTANT)
        session->rate.total = INT64_MAX;
    session->eval_steps = session->checkpoint_steps = 0;
    if (o->eval_every.unit != TH_NEVER)
        TH_TRY(th_span_steps("eval.every", o->eval_every, o->batch, session->records,
                             &session->eval_steps, err));
    if (o->checkpoint_every.unit != TH_NEVER && o->checkpoint_every.unit != TH_SECONDS)
        TH_TRY(th_span_steps("checkpoint.every", o->checkpoint_every, o->batch, session->records,
                             &session->checkpoint_steps, err));
    TH_TRY(th_rate_factors(&session->parameters, &o->lr_factors, o->lr, session->factor, err));
    th_stage_layer_decay(stage, &session->parameters, session->row_rate);
    for (int i = 0; i < session->parameters.row_count; i++)
        session->factor[i] *= session->row_rate[i];
    session->adamw = (th_adamw){ .beta1 = o->betas.first,
                                 .beta2 = o->betas.second,
                                 .eps = o->eps,
                                 .weight_decay = o->weight_decay,
                                 .decay_positions = o->decay_positions,
                                 .clip_norm = o->clip_norm };
out:
    return rc;
}

// Steps of a newly thawed group's own warm-up.
static th_code lay_out_thaw_warmup(th_session *session, th_err *err)
{
    const th_stage_options *own = &stage_of(session)->own;
    int64_t                 batch = session->options->batch, records = session->records, every;
    th_code                 rc = TH_OK;

    session->thaw_warmup = 0;
    if (own->thaw_warmup.unit != TH_NEVER)
        return th_span_steps("unfreeze.warmup", own->thaw_warmup, batch, records,
                             &session->thaw_warmup, err);
    const th_span turns[] = { own->unfreeze_every, own->image.every, own->text.every };
    for (int i = 0; i < 3; i++) {
        if (turns[i].amount == 0)
            continue;
        TH_TRY(th_span_steps("unfreeze.one_group_every", turns[i], batch, records, &every, err));
        session->thaw_warmup =
            every / 10 > session->thaw_warmup ? every / 10 : session->thaw_warmup;
    }
out:
    return rc;
}

// Zeroes a range of an arena and gives its whole pages back to the system.
static void give_back(th_real *array, int64_t first, int64_t count)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    char     *start = (char *)(array + first), *stop = (char *)(array + first + count);
    char     *begin = (char *)(((uintptr_t)start + page - 1) / page * page);
    char     *end = (char *)((uintptr_t)stop / page * page);

    // A page of anonymous memory that was given back is zero when next touched. Where the system
    // refuses, and for what shares its pages with other rows, zeroes are written.
    if (begin >= end || madvise(begin, (size_t)(end - begin), MADV_DONTNEED) != 0)
        begin = end = stop;
    memset(start, 0, (size_t)(begin - start));
    memset(end, 0, (size_t)(stop - end));
}

static void release_frozen(th_session *session)
{
    th_parameters *p = &session->parameters;

    for (int i = 0; i < p->row_count; i++) {
        const th_parameter *row = &p->rows[i];
        if (row->trainable)
            continue;
        give_back(p->gradient, row->offset, row->count);
        if (p->step[i] > 0 &&
            th_schedule_keeps_moments(session->in->schedule, (int)session->state.stage, p, i))
            continue;
        give_back(p->exp_avg, row->offset, row->count);
        give_back(p->exp_avg_sq, row->offset, row->count);
        p->step[i] = 0;
    }
}

// Sets which rows train; *out_changed: it is another set than before.
static th_code set_trainable(th_session *session, bool *out_changed, th_err *err)
{
    th_parameters *p = &session->parameters;
    th_code        rc = TH_OK;

    TH_TRY(th_stage_rows(stage_of(session), p, session->records, session->before,
                         session->state.stage_step, session->trains, session->thawed, err));
    *out_changed = th_parameters_train(p, session->trains);
out:
    return rc;
}

// What the budget leaves for activations in a stage, with the rows that train and the step counts
// of a table.
static th_code activation_budget(const th_session *session, int64_t stage,
                                 const th_parameters *table, size_t *out, th_err *err)
{
    const th_stage         *of = &session->in->schedule->stages[stage];
    const th_train_options *o = &of->options;
    th_footprint            footprint =
        th_footprint_of(table, session->world, o->batch, o->captions, o->mask_duplicates);

    return th_footprint_activations(&footprint, o->memory_budget.count, of->own.name, out, err);
}

void th_staging_close_caches(th_session *session)
{
    for (int t = 0; t < 2; t++) {
        if (!session->cache[t])
            continue;
        th_feature_cache_report report = th_feature_cache_status(session->cache[t]);
        th_info("%s tower: %lld rows came from the cache, %lld were computed and kept",
                t == 0 ? "image" : "text", (long long)report.hits, (long long)report.kept);
        th_feature_cache_close(session->cache[t]);
        session->cache[t] = NULL;
    }
}

th_code th_staging_cache_options(const th_session *session, th_tower tower, char *folder,
                                 size_t size, th_frozen_cache_options *out, th_err *err)
{
    const th_train_options *o = session->options;
    th_code                 rc = TH_OK;

    bool fits = o->cache_folder ? (size_t)snprintf(folder, size, "%s", o->cache_folder) < size
                                : th_path_join(folder, size, session->in->folder, "cache");
    TH_CHECK(fits, TH_EUSAGE, "use a shorter cache.folder", "the path of the cache is too long");
    *out = (th_frozen_cache_options){ .parameters = &session->parameters,
                                      .tower = tower,
                                      .pack = session->train,
                                      .folder = folder,
                                      .budget_bytes = o->cache_budget.count,
                                      .rank = session->world->rank,
                                      .random_crop = strcmp(o->augment, "crop") == 0,
                                      .views = o->views,
                                      .crop_scale = { o->crop_scale.first, o->crop_scale.second },
                                      .seed = (uint64_t)o->seed };
out:
    return rc;
}

// The caches of what is frozen now; what froze or thawed has another key, or none. A cache that
// cannot be opened is not worth the run.
static void open_caches(th_session *session)
{
    char folder[4096];

    th_staging_close_caches(session);
    for (int t = 0; t < 2; t++) {
        th_frozen_cache_options options;
        th_err                  why = { 0 };
        if (th_staging_cache_options(session, t == 0 ? TH_IMAGE : TH_TEXT_TOWER, folder,
                                     sizeof folder, &options, &why) != TH_OK ||
            th_frozen_cache_open(&options, &session->cache[t], &why) != TH_OK)
            th_log_error(TH_WARN, &why);
    }
}

static th_code open_step(th_session *session, th_err *err)
{
    const th_train_options *o = session->options;
    const th_pack_info     *info = th_pack_describe(session->train);
    th_step_options         options = { .world = session->world,
                                        .parameters = &session->parameters,
                                        .batch = o->batch,
                                        .captions = o->captions,
                                        .micro_batch = o->micro_batch,
                                        .mask_duplicates = o->mask_duplicates,
                                        .activations = &session->activations };
    th_code                 rc = TH_OK;

    th_step_close(session->step);
    session->step = NULL;
    th_arena_rewind(&session->activations, 0);
    th_arena_trim(&session->activations);
    TH_TRY(activation_budget(session, session->state.stage, &session->parameters,
                             &options.activation_bytes, err));
    open_caches(session);
    memcpy(options.cache, session->cache, sizeof options.cache);
    memcpy(options.mean, info->mean, sizeof options.mean);
    memcpy(options.deviation, info->deviation, sizeof options.deviation);
    TH_TRY(th_step_open(&options, &session->step, err));
out:
    return rc;
}

static th_code open_loader(th_session *session, th_err *err)
{
    const th_train_options *o = session->options;
    th_loader_options       options = {
              .pack = session->train,
              .order = { .seed = (uint64_t)o->seed,
                         .records = session->records,
                         .shuffled = strcmp(o->order, "shuffled") == 0 },
              .position = session->state.samples_seen,
              .batch = o->batch,
              .rank = session->world->rank,
              .world_size = session->world->size,
              .captions = o->captions,
              .size = session->parameters.model.image.size,
              .random_crop = strcmp(o->augment, "crop") == 0,
              .crop_scale = { o->crop_scale.first, o->crop_scale.second },
              .views = o->views,
              .rows = th_frozen_row_source(session->cache[0], &session->parameters),
              .context = session->parameters.model.text.context,
              .threads = (int)o->loader_threads,
              .ahead = (int)o->loader_ahead,
              .bad_share = o->bad_share,
    };

    th_loader_close(session->loader);
    session->loader = NULL;
    return th_loader_open(&options, &session->loader, err);
}

// What depends on the set of rows that train: memory, buckets, caches and who reads them, snapshot.
static th_code open_trainable(th_session *session, th_err *err)
{
    th_code rc = TH_OK;

    if (session->cache[0]) { // its rows were read ahead, and are no longer those of the cut
        th_loader_close(session->loader);
        session->loader = NULL;
    }
    release_frozen(session);
    session->frozen = th_squares_of(&session->parameters, session->parameters.weight, false);
    // MPI's buffers for gradients that no longer are would stay on the heap.
    (void)malloc_trim(0);
    TH_TRY(open_step(session, err));
    if (!session->loader || session->cache[0])
        TH_TRY(open_loader(session, err));
    if (session->world->rank == 0) {
        free(session->saved);
        session->saved = NULL;
        TH_TRY(th_state_describe(&session->parameters, &session->saved, err));
    }
out:
    return rc;
}

static th_code enter_local(th_session *session, th_err *err)
{
    const th_stage      *stage = stage_of(session);
    const th_parameters *p = &session->parameters;
    int64_t              steps;
    bool                 changed;
    th_code              rc = TH_OK;

    session->options = &stage->options;
    session->trigger = (th_trigger){ 0 };
    TH_TRY(th_stage_state_read(session->state.trigger, session->before, p->row_count,
                               &session->trigger, err));
    TH_TRY(th_stage_steps(stage, p, session->records, session->before, &steps, err));
    TH_TRY(th_trigger_limits(stage, session->records, steps, &session->trigger, err));
    TH_TRY(lay_out_rates(session, err));
    TH_TRY(lay_out_thaw_warmup(session, err));
    TH_TRY(set_trainable(session, &changed, err));
    th_loader_close(session->loader); // of the stage before
    session->loader = NULL;
    TH_TRY(open_trainable(session, err));
out:
    return rc;
}

th_code th_staging_enter(th_session *session, th_err *err)
{
    return th_agree(session->world, enter_local(session, err), err);
}

bool th_staging_ends(const th_session *session)
{
    return th_trigger_ended(&session->trigger, session->state.stage_step);
}

double th_staging_rates(th_session *session)
{
    bool    over_run = strcmp(stage_of(session)->own.rate_over, "run") == 0;
    int64_t step = session->state.stage_step;
    double  rate = th_rate_at(&session->rate, over_run ? session->state.step : step);

    for (int i = 0; i < session->parameters.row_count; i++) {
        int64_t since = step - session->thawed[i];
        session->row_rate[i] = rate * session->factor[i];
        if (session->thawed[i] > 0 && since < session->thaw_warmup)
            session->row_rate[i] *= (double)(since + 1) / (double)session->thaw_warmup;
    }
    return rate;
}

th_code th_staging_remember(th_session *session, th_err *err)
{
    return th_stage_state_print(session->before, session->parameters.row_count, &session->trigger,
                                session->state.trigger, sizeof session->state.trigger, err);
}

// An event's line in metrics.jsonl and the log, on rank 0; and to whom else it may concern.
static th_code tell(th_session *session, const char *what, const char *group, th_err *err)
{
    const th_parameters *p = &session->parameters;
    const th_run_hooks  *hooks = &session->in->hooks;
    th_stage_event       event = { .step = session->state.step,
                                   .stage = stage_of(session)->own.name,
                                   .event = what,
                                   .group = group };
    th_code              rc = TH_OK;

    for (int i = 0; i < p->row_count; i++) {
        int64_t count = p->rows[i].trainable ? p->rows[i].count : 0;
        event.image += p->rows[i].tower == TH_IMAGE ? count : 0;
        event.text += p->rows[i].tower == TH_TEXT_TOWER ? count : 0;
    }
    th_status_write(session, TH_STATUS_TRAINING, NULL);
    if (session->metrics) {
        rc = th_metrics_event(session->metrics, &event, err);
        th_info("step %lld: stage \"%s\": %s%s%s, %lld image and %lld text parameters train",
                (long long)event.step, event.stage, what, group ? " " : "", group ? group : "",
                (long long)event.image, (long long)event.text);
    }
    if (hooks->on_event)
        hooks->on_event(hooks->context, &event);
    return th_agree(session->world, rc, err);
}

th_code th_staging_begin(th_session *session, th_err *err)
{
    return tell(session, "begins", NULL, err);
}

// Has a row of this group begun to train at this very step?
static bool thaws_now(const th_session *session, const th_group *group)
{
    for (int i = group->first_row; i < group->first_row + group->row_count; i++)
        if (session->trains[i] && session->thawed[i] == session->state.stage_step)
            return true;
    return false;
}

// Is there room for what trains now?
static th_code fits(const th_session *session, th_err *err)
{
    size_t left;

    return activation_budget(session, session->state.stage, &session->parameters, &left, err);
}

// Groups whose turn has come by now.
static th_code thaw(th_session *session, th_err *err)
{
    th_parameters *p = &session->parameters;
    bool           changed = false;
    th_code        rc = TH_OK;

    TH_TRY(th_agree(session->world, set_trainable(session, &changed, err), err));
    if (!changed)
        goto out;
    for (int g = p->group_count - 1; g >= 0; g--)
        if (thaws_now(session, &p->groups[g]))
            TH_TRY(tell(session, "thaws", p->groups[g].name, err));
    // Before anything is released or opened: from here a run with more memory can go on.
    TH_TRY(th_session_save_before(session, th_agree(session->world, fits(session, err), err)));
    TH_TRY(th_agree(session->world, open_trainable(session, err), err));
out:
    return rc;
}

// Is there room for the next stage? Asked of the table as it would be, and put back as it is.
static th_code next_fits(th_session *session, th_err *err)
{
    th_parameters *p = &session->parameters, table = *p;
    int            next = (int)session->state.stage + 1;
    int64_t       *thawed = NULL;
    bool          *trains = NULL;
    size_t         rows = (size_t)p->row_count, left;
    th_code        rc = TH_OK;

    table.step = NULL;
    TH_TRY(th_alloc(rows, sizeof *table.step, "step counts", (void **)&table.step, err));
    TH_TRY(th_alloc(rows, sizeof *trains, "trainable rows", (void **)&trains, err));
    TH_TRY(th_alloc(rows, sizeof *thawed, "thawed rows", (void **)&thawed, err));
    TH_TRY(th_stage_rows(&session->in->schedule->stages[next], p, session->records, session->trains,
                         0, trains, thawed, err));
    for (int i = 0; i < p->row_count; i++)
        if (th_schedule_keeps_moments(session->in->schedule, next, p, i))
            table.step[i] = p->step[i];
    (void)th_parameters_train(p, trains); // the rows are those of both tables
    rc = activation_budget(session, next, &table, &left, err);
    (void)th_parameters_train(p, session->trains);
out:
    free(table.step);
    free(trains);
    free(thawed);
    return rc;
}

th_code th_staging_follow(th_session *session, bool *out_done, th_err *err)
{
    int     last = session->in->schedule->stage_count - 1;
    th_code rc = TH_OK;

    *out_done = false;
    if (!th_staging_ends(session)) {
        TH_TRY(thaw(session, err));
        goto out;
    }
    *out_done = session->state.stage == last;
    if (*out_done)
        goto out;
    // The checkpoint stands at the end of this stage, so the next one can still be edited.
    TH_TRY(th_session_save_before(session, th_agree(session->world, next_fits(session, err), err)));
    // The set at this stage's end is where the next one starts from.
    memcpy(session->before, session->trains,
           (size_t)session->parameters.row_count * sizeof *session->before);
    session->state.stage++;
    session->state.stage_step = 0;
    session->state.trigger[0] = '\0';
    TH_TRY(th_staging_enter(session, err));
    TH_TRY(tell(session, "begins", NULL, err));
out:
    return rc;
}
