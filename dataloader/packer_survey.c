#include "dataloader/packer_survey.h"

#include "base/hash.h"
#include "base/memory.h"
#include "dataloader/packer_sample.h"

#include <stdlib.h>
#include <string.h>

#define TICK_SAMPLES 256

// A walk over the captions of the train part, which counts on its way.
typedef struct {
    th_source             *source;
    const th_pack_options *options;
    th_survey             *survey;
    th_hasher             *hasher;
    int64_t                piece, samples; // piece: the open one
    bool                   ended;
    th_item                item;
    int                    count, at; // captions of the item, and the next one
    void (*tick)(void *context, int64_t samples);
    void      *context;
    th_code    rc; // why the captions ended, when they did not end by themselves
    th_err     err;
    th_caption captions[TH_RECORD_CAPTIONS];
} survey_walk;

static void add_to_hash(survey_walk *w)
{
    uint64_t sizes[2] = { w->item.image_bytes, w->item.text_bytes };

    th_hasher_add(w->hasher, w->item.key, strlen(w->item.key) + 1);
    th_hasher_add(w->hasher, sizes, sizeof sizes);
    if (w->item.text_bytes > 0)
        th_hasher_add(w->hasher, w->item.text, w->item.text_bytes);
}

// Goes on to the next sample, in the next pieces if it must.
static th_code next_sample(survey_walk *w, th_err *err)
{
    th_code rc = TH_OK;
    bool    more = false;

    th_item_free(&w->item);
    w->count = w->at = 0;
    for (;;) {
        TH_TRY(th_source_next(w->source, &w->item, &more, err));
        if (more)
            break;
        w->survey->first[++w->piece] = w->samples;
        w->ended = w->piece == w->survey->pieces;
        if (w->ended)
            return TH_OK;
        TH_TRY(th_source_enter(w->source, w->piece, err));
    }
    if (w->samples++ % TICK_SAMPLES == 0)
        w->tick(w->context, w->samples);
    add_to_hash(w);
    w->count = th_sample_captions(w->options, &w->item, w->captions);
    if (w->item.reason[0]) {
        w->count = 0;
        return TH_OK;
    }
    w->survey->captioned++;
    if (th_sample_part(w->options, w->item.key) == TH_PART_VAL) {
        w->survey->in_val++;
        w->count = 0; // only those of the train part are looked at
    }
out:
    return rc;
}

static _Bool next_caption(void *context, const char **text, size_t *size)
{
    survey_walk *w = context;

    while (!w->ended && w->at == w->count) {
        w->rc = next_sample(w, &w->err);
        if (w->rc != TH_OK)
            return 0;
    }
    if (w->ended)
        return 0;
    *text = w->captions[w->at].text;
    *size = w->captions[w->at].text_bytes;
    w->at++;
    return 1;
}

th_cleanup th_pack_cleanup(const th_pack_options *options)
{
    th_cleanup cleanup = TH_CLEANUP_DEFAULT;

    if (options->cleanup)
        (void)th_cleanup_find(options->cleanup, &cleanup);
    return cleanup;
}

static th_code train(survey_walk *w, th_tokenizer **out, th_err *err)
{
    th_cleanup cleanup = th_pack_cleanup(w->options);
    char      *merges = NULL;
    size_t     size;
    th_code rc = th_tokenizer_train(next_caption, w, w->options->bpe, cleanup, &merges, &size, err);

    if (w->rc != TH_OK || (w->ended && w->survey->captioned == 0)) {
        rc = w->rc; // the walk's own error counts; that there are no captions the packer will say
        if (err)
            *err = w->err;
        goto out;
    }
    TH_TRY(rc);
    TH_TRY(th_tokenizer_open_as(merges, size, cleanup, out, err));
out:
    free(merges);
    return rc == TH_OK ? TH_OK : th_during(err, "training the tokenizer");
}

th_code th_survey_take(th_source *source, const th_pack_options           *options,
                       void (*tick)(void *context, int64_t samples), void *context, th_survey *out,
                       th_tokenizer **out_tokenizer, th_err *err)
{
    th_code      rc = TH_OK;
    th_survey    survey = { .pieces = th_source_pieces(source) };
    survey_walk *w = NULL;
    const char  *text;
    size_t       size;
    void        *memory;

    TH_TRY(th_alloc(1, sizeof *w, "a survey", &memory, err));
    w = memory;
    w->source = source;
    w->options = options;
    w->survey = &survey;
    w->tick = tick;
    w->context = context;
    TH_TRY(th_alloc((size_t)survey.pieces + 1, sizeof *survey.first, "a survey", &memory, err));
    survey.first = memory;
    TH_TRY(th_hasher_open(&w->hasher, err));
    th_source_skim(source, true);
    TH_TRY(th_source_enter(source, 0, err));
    if (out_tokenizer)
        TH_TRY(train(w, out_tokenizer, err));
    while (next_caption(w, &text, &size)) // counts what training left, all of it without training
        ;
    if (w->rc != TH_OK && err)
        *err = w->err;
    TH_TRY(w->rc);
    survey.hash = th_hasher_value(w->hasher);
    *out = survey;
    survey.first = NULL;
out:
    if (w) {
        th_item_free(&w->item);
        th_hasher_close(w->hasher);
    }
    free(w);
    th_survey_close(&survey);
    return rc;
}

void th_survey_close(th_survey *survey)
{
    free(survey->first);
    *survey = (th_survey){ 0 };
}
