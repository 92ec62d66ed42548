// Karpathy's splits of COCO and Flickr30k, dataset_coco.json and dataset_flickr30k.json: {"images":
// [{"filepath" (COCO's only), "filename", "split", "sentences": [{"raw"}]}]}. Splits are train,
// val, test and COCO's restval, which retrieval trains on too. Source: Karpathy & Fei-Fei 2015,
// arXiv:1412.2306, section 4.
#include "dataloader/source/captions.h"
#include "dataloader/source/json_list.h"

#include "base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    th_rows       rows;
    json_t       *root;
    const json_t *images;
    char         *split; // NULL: all
    int64_t       count, at;
} karpathy;

static const json_t *image_of(const karpathy *k, int64_t i)
{
    return json_array_get(k->images, (size_t)i);
}

// Is the split one of those asked for, "train,restval"?
static bool is_wanted(const karpathy *k, const json_t *image)
{
    const char *split = json_string_value(json_object_get(image, "split"));

    if (!k->split)
        return true;
    for (const char *at = k->split; split && *at;) {
        size_t length = strcspn(at, ",");
        if (strlen(split) == length && strncmp(split, at, length) == 0)
            return true;
        at += length + (at[length] == ',');
    }
    return false;
}

// "val2014/COCO_val2014_000000522418.jpg", as wide as an item's key and one more; "" for none.
static void name_of(const json_t *image, char *out, size_t size)
{
    const char *folder = json_string_value(json_object_get(image, "filepath"));
    const char *name = json_string_value(json_object_get(image, "filename"));

    (void)snprintf(out, size, "%s%s%s", folder && name ? folder : "", folder && name ? "/" : "",
                   name ? name : "");
}

static th_code read_image(const karpathy *k, int64_t i, th_item *out, th_err *err)
{
    th_code       rc = TH_OK;
    const json_t *image = image_of(k, i);
    const json_t *sentences = json_object_get(image, "sentences");
    char          name[sizeof out->key + 1], where[64];

    name_of(image, name, sizeof name);
    th_item_start(out, k->rows.path, name);
    if (!name[0])
        th_item_refuse(out, "missing picture: image %" PRId64 " of the list has no filename", i);
    if (!json_is_array(sentences) || json_array_size(sentences) == 0)
        th_item_refuse(out, "missing caption: image %" PRId64 " has no sentences", i);
    for (size_t s = 0; s < json_array_size(sentences) && !out->reason[0]; s++) {
        (void)snprintf(where, sizeof where, "sentence %zu of image %" PRId64, s, i);
        TH_TRY(th_item_add_json(out, json_object_get(json_array_get(sentences, s), "raw"), where,
                                err));
    }
out:
    return rc;
}

static th_code read_row(th_rows *rows, th_item *out, char where[48], bool *out_more, th_err *err)
{
    karpathy *k = (karpathy *)rows;

    while (k->at < k->count && !is_wanted(k, image_of(k, k->at)))
        k->at++;
    *out_more = k->at < k->count;
    int64_t image = k->at;
    k->at += *out_more;
    atomic_store(&rows->head.done_bytes, k->at);
    if (!*out_more)
        return TH_OK;
    (void)snprintf(where, 48, "image %" PRId64, image);
    return read_image(k, image, out, err);
}

static void close_karpathy(th_rows *rows)
{
    karpathy *k = (karpathy *)rows;

    json_decref(k->root);
    free(k->split);
    free(k);
}

// Finds the folder by the first pictures of the split.
static th_code find_folder(karpathy *k, const th_source_options *options, th_err *err)
{
    th_code     rc = TH_OK;
    char        text[TH_FIRST_NAMES][257];
    const char *names[TH_FIRST_NAMES];
    int         count = 0;
    int64_t     wanted = 0;

    for (int64_t i = 0; i < k->count; i++) {
        if (!is_wanted(k, image_of(k, i)))
            continue;
        wanted++;
        if (count == TH_FIRST_NAMES)
            break;
        name_of(image_of(k, i), text[count], sizeof text[count]);
        names[count] = text[count];
        count++;
    }
    TH_CHECK(wanted > 0, TH_EUSAGE, "write train, restval, val or test, or several: train,restval",
             "no image of \"%s\" is of the split \"%s\"", k->rows.path,
             k->split ? k->split : "any");
    TH_TRY(th_rows_find_folder(&k->rows, options, "", names, count, err));
out:
    return rc;
}

th_code th_karpathy_open(const char *path, const th_source_options *options, th_source **out,
                         th_err *err)
{
    th_code   rc = TH_OK;
    void     *memory = NULL;
    karpathy *k = NULL;

    TH_TRY(th_alloc(1, sizeof *k, "a source", &memory, err));
    k = memory;
    k->rows.read_row = read_row;
    k->rows.close_rows = close_karpathy;
    TH_TRY(th_rows_init(&k->rows, path, options, err));
    if (options->split) {
        k->split = strdup(options->split);
        TH_CHECK(k->split, TH_EIO, "free some memory", "could not open a list: out of memory");
    }
    TH_TRY(th_json_list_load(path, &k->root, err));
    TH_TRY(th_json_list_member(path, k->root, "images", &k->images, err));
    k->count = (int64_t)json_array_size(k->images);
    TH_TRY(find_folder(k, options, err));
    k->rows.head.total_bytes = k->count;
    *out = &k->rows.head;
    k = NULL;
out:
    if (k)
        th_source_close(&k->rows.head);
    return rc;
}
