#include "dataloader/packer_work.h"

#include "base/memory.h"
#include "base/slice.h"
#include "dataloader/packer_ordered.h"

#include <stdatomic.h>
#include <stdlib.h>

typedef struct {
    int            unit;
    th_item        item;
    th_made_sample made;
} sample;

typedef struct {
    const th_pack_work *work;
    th_unit_reader      reader;
    int                 taking; // the unit being read, or the next one to look at
    bool                entered;
    atomic_bool         stopped;
    th_sample_maker    *makers; // one a thread
    th_unit_writer      writer;
    int                 giving; // the unit being written, or the next one to look at
    bool                begun;
    th_tally            tally; // of all units so far, the open one too
    int64_t             samples;
} packing;

static th_code take(void *context, void *slot, bool *out_more, th_err *err)
{
    packing            *p = context;
    const th_pack_work *work = p->work;
    sample             *s = slot;
    th_code             rc = TH_OK;

    *out_more = false;
    while (p->taking < work->units && !atomic_load(&p->stopped)) {
        if (work->mine[p->taking] && !p->entered) {
            TH_TRY(th_unit_enter(&p->reader, p->taking, work->units, err));
            p->entered = true;
        }
        if (p->entered) {
            TH_TRY(th_unit_next(&p->reader, &s->item, out_more, err));
            s->unit = p->taking;
            if (*out_more)
                return TH_OK;
        }
        p->entered = false;
        p->taking++;
    }
out:
    return rc;
}

static th_code make(void *context, int thread, void *slot, th_err *err)
{
    packing *p = context;
    sample  *s = slot;

    s->made.made = false;
    if (s->item.reason[0])
        return TH_OK;
    return th_sample_make(&p->makers[thread], p->work->options, p->work->tokenizer, &s->item,
                          &s->made, err);
}

static int64_t side_of(const packing *p)
{
    return p->work->options->size + p->work->options->margin;
}

static th_code begin_unit(packing *p, th_err *err)
{
    th_code rc = TH_OK;

    if (!p->begun)
        TH_TRY(th_unit_begin(&p->writer, p->work->folders, p->giving, side_of(p), err));
    p->begun = true;
out:
    return rc;
}

// Commits the units before `unit`; those without a sample, too.
static th_code finish_before(packing *p, int unit, th_err *err)
{
    th_code rc = TH_OK;

    for (; p->giving < unit; p->giving++) {
        if (!p->work->mine[p->giving])
            continue;
        TH_TRY(begin_unit(p, err));
        TH_TRY(th_unit_commit(&p->writer, err));
        p->begun = false;
    }
out:
    return rc;
}

static th_code give(void *context, void *slot, th_err *err)
{
    packing *p = context;
    sample  *s = slot;
    th_code  rc = TH_OK;

    TH_TRY(finish_before(p, s->unit, err));
    TH_TRY(begin_unit(p, err));
    if (s->made.made) {
        th_part part = th_sample_part(p->work->options, s->item.key);
        TH_TRY(th_unit_add(&p->writer, part, &s->made, err));
        th_tally_add(&p->tally, part, &s->made, side_of(p));
    } else {
        TH_TRY(th_unit_refuse(&p->writer, &s->item, err));
        th_tally_refuse(&p->tally, s->item.reason);
    }
    th_item_free(&s->item);
out:
    return rc;
}

static void tick(void *context)
{
    packing *p = context;

    if (!p->work->tick(p->work->context, &p->tally, p->samples))
        atomic_store(&p->stopped, true);
}

static void drop(void *context, void *slot)
{
    sample *s = slot;

    (void)context;
    th_item_free(&s->item);
    free(s->made.record);
}

static th_code open_makers(packing *p, th_err *err)
{
    th_code rc = TH_OK;
    void   *memory;

    TH_TRY(th_alloc((size_t)p->work->threads, sizeof *p->makers, "packing", &memory, err));
    p->makers = memory;
    for (int i = 0; i < p->work->threads; i++)
        TH_TRY(th_sample_maker_open(&p->makers[i], err));
out:
    return rc;
}

static void count_samples(packing *p)
{
    int64_t all = th_survey_samples(p->work->survey);

    for (int i = 0; i < p->work->units; i++)
        if (p->work->mine[i])
            p->samples += th_slice_count(all, p->work->units, i);
}

static th_code run(packing *p, th_err *err)
{
    th_code        rc = TH_OK;
    th_ordered_job job = { .context = p,
                           .threads = p->work->threads,
                           .slot_bytes = sizeof(sample),
                           .take = take,
                           .work = make,
                           .give = give,
                           .tick = tick,
                           .drop = drop };

    count_samples(p);
    if (p->samples == 0)
        return TH_OK;
    TH_TRY(open_makers(p, err));
    TH_TRY(th_source_open_with(p->work->options->from, &p->work->options->source, &p->reader.source,
                               err));
    TH_TRY(th_ordered_run(&job, err));
    if (!atomic_load(&p->stopped))
        TH_TRY(finish_before(p, p->work->units, err));
out:
    return rc;
}

th_code th_pack_work_do(const th_pack_work *work, th_err *err)
{
    th_code  rc = TH_OK;
    void    *memory;
    packing *p = NULL;

    TH_TRY(th_alloc(1, sizeof *p, "packing", &memory, err));
    p = memory;
    p->work = work;
    p->reader.survey = work->survey;
    rc = run(p, err);
    th_unit_drop(&p->writer);
    th_source_close(p->reader.source);
    for (int i = 0; p->makers && i < work->threads; i++)
        th_sample_maker_close(&p->makers[i]);
    free(p->makers);
    free(p);
out:
    return rc == TH_OK ? TH_OK : th_during(err, "packing \"%.100s\"", work->options->from);
}
