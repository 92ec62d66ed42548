#include "dataloader/packer_survey.h"

#include "base/hash.h"
#include "base/memory.h"
#include "dataloader/packer_sample.h"

#include <stdlib.h>
#include <string.h>

#define TICK_SAMPLES 256

// A walk over the captions of the train part in some pieces, which counts on its way.
typedef struct {
    th_source             *source;
    const th_pack_options *options;
    th_survey_piece       *pieces;                         // of all
    int64_t                count_of_pieces, piece, stride; // piece: the open one
    th_hasher             *hasher;                         // of the open piece
    int64_t                samples;
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

static th_code enter_piece(survey_walk *w, int64_t piece, th_err *err)
{
    th_code rc = TH_OK;

    w->piece = piece;
    w->ended = piece >= w->count_of_pieces;
    if (w->ended)
        return TH_OK;
    TH_TRY(th_hasher_open(&w->hasher, err));
    TH_TRY(th_source_enter(w->source, piece, err));
out:
    return rc;
}

static void leave_piece(survey_walk *w)
{
    w->pieces[w->piece].hash = th_hasher_value(w->hasher);
    th_hasher_close(w->hasher);
    w->hasher = NULL;
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
        leave_piece(w);
        TH_TRY(enter_piece(w, w->piece + w->stride, err));
        if (w->ended)
            return TH_OK;
    }
    w->pieces[w->piece].samples++;
    if (w->samples++ % TICK_SAMPLES == 0)
        w->tick(w->context, w->samples);
    add_to_hash(w);
    w->count = th_sample_captions(w->options, &w->item, w->captions);
    if (w->item.reason[0]) {
        w->count = 0;
        return TH_OK;
    }
    w->pieces[w->piece].captioned++;
    if (th_sample_part(w->options, w->item.key) == TH_PART_VAL) {
        w->pieces[w->piece].in_val++;
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

static bool has_captions(const survey_walk *w)
{
    for (int64_t i = 0; i < w->count_of_pieces; i++)
        if (w->pieces[i].captioned > 0)
            return true;
    return false;
}

static th_code train(survey_walk *w, th_tokenizer **out, th_err *err)
{
    th_cleanup cleanup = th_pack_cleanup(w->options);
    char      *merges = NULL;
    size_t     size;
    th_code rc = th_tokenizer_train(next_caption, w, w->options->bpe, cleanup, &merges, &size, err);

    if (w->rc != TH_OK || (w->ended && !has_captions(w))) {
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

th_code th_survey_take(th_source *source, const th_pack_options *options, int64_t first,
                       int64_t stride, void (*tick)(void *context, int64_t samples), void *context,
                       th_survey_piece *out, th_tokenizer **out_tokenizer, th_err *err)
{
    th_code      rc = TH_OK;
    survey_walk *w = NULL;
    const char  *text;
    size_t       size;
    void        *memory;

    TH_TRY(th_alloc(1, sizeof *w, "a survey", &memory, err));
    w = memory;
    w->source = source;
    w->options = options;
    w->pieces = out;
    w->count_of_pieces = th_source_pieces(source);
    w->stride = stride;
    w->tick = tick;
    w->context = context;
    th_source_skim(source, true);
    TH_TRY(enter_piece(w, first, err));
    if (out_tokenizer)
        TH_TRY(train(w, out_tokenizer, err));
    while (next_caption(w, &text, &size)) // counts what training left, all of it without training
        ;
    if (w->rc != TH_OK && err)
        *err = w->err;
    TH_TRY(w->rc);
out:
    if (w) {
        th_item_free(&w->item);
        th_hasher_close(w->hasher);
    }
    free(w);
    return rc;
}

th_code th_survey_sum(const th_survey_piece *pieces, int64_t count, th_survey *out, th_err *err)
{
    th_code    rc = TH_OK;
    void      *memory;
    th_hasher *hasher = NULL;
    th_survey  sum = { .pieces = count };

    TH_TRY(th_alloc((size_t)count + 1, sizeof *sum.first, "a survey", &memory, err));
    sum.first = memory;
    TH_TRY(th_hasher_open(&hasher, err));
    for (int64_t i = 0; i < count; i++) {
        sum.first[i + 1] = sum.first[i] + pieces[i].samples;
        sum.captioned += pieces[i].captioned;
        sum.in_val += pieces[i].in_val;
        th_hasher_add(hasher, &pieces[i].hash, sizeof pieces[i].hash);
    }
    sum.hash = th_hasher_value(hasher);
    *out = sum;
    sum.first = NULL;
out:
    th_hasher_close(hasher);
    th_survey_close(&sum);
    return rc;
}

void th_survey_close(th_survey *survey)
{
    free(survey->first);
    *survey = (th_survey){ 0 };
}
