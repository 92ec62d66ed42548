#include "dataloader/packer_units.h"

#include "base/slice.h"
#include "dataloader/packer_sample.h"

#include <string.h>

#define SHARD_BYTES ((int64_t)1 << 30) // about, when the number of shards is not given

// Bytes of a record, by experience: a JPEG of quality 92 takes half a byte a pixel, deflate 2.
static int64_t guess_record(const th_pack_options *options)
{
    int64_t side = options->size + options->margin, pixels = side * side;
    int64_t image = strcmp(options->codec, "raw") == 0    ? 3 * pixels
                    : strcmp(options->codec, "zlib") == 0 ? 2 * pixels
                                                          : pixels / 2;

    return image + 512; // captions and tokens
}

int th_unit_count(const th_survey *survey, const th_pack_options *options)
{
    int64_t samples = th_survey_samples(survey), count = options->shards;

    if (count == 0) {
        int64_t each = SHARD_BYTES / guess_record(options);
        each = each < 1 ? 1 : each;
        count = (samples + each - 1) / each;
    }
    count = count > samples ? samples : count;
    return (int)(count > TH_PACK_SHARDS ? TH_PACK_SHARDS : count);
}

// The piece that a sample stands in.
static int64_t piece_of(const th_survey *survey, int64_t sample)
{
    int64_t low = 0, high = survey->pieces; // first[low] <= sample < first[high]

    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (survey->first[middle] <= sample)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static th_code enter_piece(th_unit_reader *reader, int64_t piece, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_source_enter(reader->source, piece, err));
    reader->piece = piece;
    reader->item = 0;
    reader->entered = true;
out:
    return rc;
}

th_code th_unit_enter(th_unit_reader *reader, int unit, int units, th_err *err)
{
    th_code          rc = TH_OK;
    const th_survey *survey = reader->survey;
    int64_t          samples = th_survey_samples(survey);
    int64_t          begin = th_slice_first(samples, units, unit);
    int64_t          last = th_slice_first(samples, units, unit + 1) - 1;
    int64_t          piece = piece_of(survey, begin), item = begin - survey->first[piece];
    th_item          passed = { 0 };
    bool             more = true;

    reader->last_piece = piece_of(survey, last);
    reader->last_items = last + 1 - survey->first[reader->last_piece];
    if (!reader->entered || reader->piece != piece || reader->item > item)
        TH_TRY(enter_piece(reader, piece, err));
    th_source_skim(reader->source, true);
    // A disk that begins to fail may make a piece shorter: then nothing is left of it.
    while (more && reader->item < item) {
        TH_TRY(th_source_next(reader->source, &passed, &more, err));
        th_item_free(&passed);
        reader->item++;
    }
out:
    th_source_skim(reader->source, false);
    return rc;
}

th_code th_unit_next(th_unit_reader *reader, th_item *out, bool *out_more, th_err *err)
{
    th_code          rc = TH_OK;
    const th_survey *survey = reader->survey;

    *out_more = false;
    for (;;) {
        int64_t items = survey->first[reader->piece + 1] - survey->first[reader->piece];
        bool    last = reader->piece == reader->last_piece;
        // A unit that ends with its piece ends where that does, however many there were to be.
        if (last && reader->last_items < items && reader->item >= reader->last_items)
            return TH_OK;
        TH_TRY(th_source_next(reader->source, out, out_more, err));
        if (*out_more) {
            reader->item++;
            return TH_OK;
        }
        if (last)
            return TH_OK;
        TH_TRY(enter_piece(reader, reader->piece + 1, err));
    }
out:
    return rc;
}
