#include "dataloader/source/kind.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CAPTIONS = 1,
    IMAGES = 2,
    SPLIT = 4,
    IMG_KEY = 8,
    CAPTION_KEY = 16,
    SEPARATOR = 32,
    CLASSES = 64
};

// Every kind, with an example; `takes` are the options that mean something to it.
static const struct {
    const char       *name, *example;
    th_source_opener *open;
    unsigned          takes;
} kinds[] = {
    { "wds", "wds:'data/*.tar'", th_webdataset_open, CAPTIONS },
    { "img2dataset", "img2dataset:laion", th_img2dataset_open, CAPTIONS },
    { "folder", "folder:photos", th_picture_folder_open, CAPTIONS },
    { "csv", "csv:captions.csv", th_csv_open, IMAGES | IMG_KEY | CAPTION_KEY | SEPARATOR },
    { "coco", "coco:captions.json", th_coco_open, IMAGES },
    { "karpathy", "karpathy:dataset_coco.json", th_karpathy_open, IMAGES | SPLIT },
    { "metadata", "metadata:photos", th_metadata_open, IMAGES | IMG_KEY | CAPTION_KEY },
    { "flickr", "flickr:results.csv", th_flickr_open, IMAGES },
    { "cn_clip", "cn_clip:train_imgs.tsv", th_cn_clip_open, 0 },
    { "idx", "idx:train-images-idx3-ubyte.gz", th_idx_open, CLASSES },
};
#define KINDS (sizeof kinds / sizeof *kinds)

// The examples of the kinds that take these options, all of them for 0: "a, b, c".
static void list_examples(unsigned takes, char *out, size_t size)
{
    size_t used = 0;

    out[0] = 0;
    for (size_t i = 0; i < KINDS; i++)
        if ((kinds[i].takes & takes) == takes && used < size) {
            int more =
                snprintf(out + used, size - used, "%s%s", used ? ", " : "", kinds[i].example);
            used += (size_t)more;
        }
}

static th_code check_options(size_t kind, const th_source_options *options, th_err *err)
{
    const struct {
        const char *value, *name;
        unsigned    bit;
    } given[] = {
        { options->captions, "captions", CAPTIONS },
        { options->images, "images", IMAGES },
        { options->split, "split", SPLIT },
        { options->img_key, "csv_img_key", IMG_KEY },
        { options->caption_key, "csv_caption_key", CAPTION_KEY },
        { options->separator, "csv_separator", SEPARATOR },
        { options->classes, "classes", CLASSES },
    };
    th_code rc = TH_OK;
    char    others[sizeof err->fix];

    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        list_examples(given[i].bit, others, sizeof others);
        TH_CHECK(!given[i].value || (kinds[kind].takes & given[i].bit), TH_EUSAGE,
                 others[0] ? others : "leave it out",
                 "option %s means nothing to a source of the kind \"%s\", but to those below",
                 given[i].name, kinds[kind].name);
    }
out:
    return rc;
}

th_code th_source_open_with(const char *spec, const th_source_options *options, th_source **out,
                            th_err *err)
{
    static const th_source_options none = { 0 };
    th_code                        rc = TH_OK;
    size_t                         length = strcspn(spec, ":");
    char                           all[sizeof err->what];

    if (!options)
        options = &none;
    for (size_t i = 0; spec[length] && i < KINDS; i++)
        if (strlen(kinds[i].name) == length && strncmp(spec, kinds[i].name, length) == 0) {
            TH_TRY(check_options(i, options, err));
            return kinds[i].open(spec + length + 1, options, out, err);
        }
    list_examples(0, all, sizeof all);
    TH_FAIL(TH_EUSAGE, "`thaw help pack` tells about each",
            "source \"%.24s\" is of no known kind; known are %s", spec, all);
out:
    return rc;
}

th_code th_source_open(const char *spec, th_source **out, th_err *err)
{
    return th_source_open_with(spec, NULL, out, err);
}

void th_source_close(th_source *source)
{
    if (source)
        source->close(source);
}

th_code th_source_next(th_source *source, th_item *out, bool *out_more, th_err *err)
{
    *out = (th_item){ 0 };
    return source->next(source, out, out_more, err);
}

void th_source_skim(th_source *source, bool on)
{
    source->skim = on;
}

int64_t th_source_pieces(const th_source *source)
{
    return source->enter ? source->pieces : 1;
}

th_code th_source_enter(th_source *source, int64_t piece, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(piece >= 0 && piece < th_source_pieces(source), TH_EIO, "report this",
             "a source has %lld pieces, and no number %lld", (long long)th_source_pieces(source),
             (long long)piece);
    if (source->enter)
        source->enter(source, piece);
out:
    return rc;
}

void th_source_progress(const th_source *source, int64_t *out_done, int64_t *out_total)
{
    *out_done = atomic_load(&source->done_bytes);
    *out_total = source->total_bytes;
}

void th_item_free(th_item *item)
{
    free(item->image);
    free(item->text);
    *item = (th_item){ 0 };
}

void th_item_start(th_item *item, const char *source, const char *key)
{
    *item = (th_item){ 0 };
    (void)snprintf(item->source, sizeof item->source, "%s", source);
    if (snprintf(item->key, sizeof item->key, "%s", key) >= (int)sizeof item->key)
        th_item_refuse(item, "key too long: %zu bytes, at most %zu are kept", strlen(key),
                       sizeof item->key - 1);
}

void th_item_refuse(th_item *item, const char *format, ...)
{
    va_list values;

    if (item->reason[0])
        return;
    va_start(values, format);
    (void)vsnprintf(item->reason, sizeof item->reason, format, values);
    va_end(values);
}
