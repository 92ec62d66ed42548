/* launch/plan_json.c - a plan as one JSON object: bytes, seconds, counts. */
#include "launch/plan_report.h"

#include <jansson.h>
#include <stdlib.h>

#define I(value) ((json_int_t)(value))

static json_t *memory_json(const th_phase *phase)
{
    json_t *out = json_object();

    for (int i = 0; i < TH_MEMORY_KINDS; i++)
        (void)json_object_set_new(out, th_memory_names[i], json_integer(I(phase->memory[i])));
    (void)json_object_set_new(out, "in all", json_integer(I(th_phase_bytes(phase))));
    return out;
}

static json_t *phase_json(const th_plan_report *report, const th_phase *phase)
{
    json_t *out =
        json_pack("{s:I, s:{s:I, s:I, s:I}, s:o, s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:I}, s:I}",
                  "step", I(phase->step), "trains", "image", I(phase->trains[TH_IMAGE]), "text",
                  I(phase->trains[TH_TEXT_TOWER]), "other", I(phase->trains[TH_NO_TOWER]), "memory",
                  memory_json(phase), "sent", "features", I(phase->traffic.features), "loss",
                  I(phase->traffic.loss), "gradients", I(phase->traffic.gradients), "passes",
                  "micro_batch", I(phase->passes[0].micro), "count", I(phase->passes[0].count),
                  "kept/image", I(phase->passes[0].keep), "kept/text", I(phase->passes[1].keep),
                  "checkpoint_bytes", I(phase->checkpoint_bytes));

    if (out && report->probed) {
        (void)json_object_set_new(out, "seconds/cold", json_real(phase->cold_s));
        (void)json_object_set_new(out, "seconds/warm", json_real(phase->warm_s));
    }
    return out;
}

static json_t *stage_json(const th_plan_report *report, const th_forecast_stage *stage)
{
    const th_stage *own = &report->schedule->stages[stage->index];
    json_t         *phases = json_array();
    json_t         *out =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:O}", "name", own->own.name, "begins",
                  I(stage->begins), "done", I(stage->done), "least", I(stage->least), "most",
                  I(stage->most), "batch", I(own->options.batch), "phases", phases);

    for (int k = 0; k < stage->phase_count; k++)
        (void)json_array_append_new(phases, phase_json(report, &stage->phases[k]));
    json_decref(phases); // `out` has it
    if (out && report->probed)
        (void)json_object_set_new(
            out, "seconds",
            json_real(th_forecast_seconds(report->forecast, report->schedule, stage,
                                          stage->most ? stage->most : stage->least)));
    return out;
}

static json_t *caches_json(const th_forecast *f)
{
    json_t *out = json_array();

    for (int i = 0; i < f->cache_count; i++) {
        const th_forecast_cache *cache = &f->caches[i];
        (void)json_array_append_new(out, json_pack("{s:s, s:I, s:I, s:I}", "tower",
                                                   cache->tower == TH_IMAGE ? "image" : "text",
                                                   "rows", I(th_forecast_cache_rows(f, cache)),
                                                   "row_bytes", I(cache->row_bytes), "bytes",
                                                   I(th_forecast_cache_bytes(f, cache))));
    }
    return out;
}

static json_t *notes_json(const th_plan_report *report)
{
    json_t *out = json_array();

    for (int i = 0; i < report->note_count; i++)
        (void)json_array_append_new(
            out, json_pack("{s:b, s:s, s:s}", "fatal", report->notes[i].fatal, "what",
                           report->notes[i].what, "fix", report->notes[i].fix));
    return out;
}

th_code th_plan_print_json(const th_plan_report *report, FILE *to, th_err *err)
{
    const th_forecast *f = report->forecast;
    json_t            *stages = json_array(), *json = NULL;
    char              *text = NULL;
    th_code            rc = TH_OK;

    for (int i = 0; i < f->stage_count; i++)
        (void)json_array_append_new(stages, stage_json(report, &f->stages[i]));
    json = json_pack("{s:s, s:i, s:i, s:I, s:I, s:I, s:f, s:O, s:{s:I, s:I, s:I}, s:o, s:I, s:o}",
                     "run_dir", report->folder, "ranks", report->ranks, "threads", report->threads,
                     "parameters", I(f->parameters.elements), "records", I(f->records), "step",
                     I(f->step), "caption_tokens", f->tokens, "stages", stages, "checkpoints",
                     "bytes", I(report->checkpoint_bytes), "count", I(report->checkpoints), "free",
                     I(report->run_free), "caches", caches_json(f), "map_bytes", I(f->map_bytes),
                     "notes", notes_json(report));
    if (json && report->probed) {
        (void)json_object_set_new(json, "seconds", json_real(report->seconds));
        (void)json_object_set_new(json, "seconds/evaluation", json_real(f->evaluation_s));
        (void)json_object_set_new(json, "finish", json_integer(I(report->now + report->seconds)));
    }
    text = json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    TH_CHECK(text, TH_EIO, "free some memory", "could not print the plan");
    fprintf(to, "%s\n", text);
out:
    free(text);
    json_decref(stages);
    json_decref(json);
    return rc;
}
