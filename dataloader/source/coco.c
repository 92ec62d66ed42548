// COCO's captions: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}. A
// sample is an image with all its captions: images in the order of their list, captions in that of
// theirs. Source: Chen et al. 2015, arXiv:1504.00325; cocodataset.org, "Data format".
#include "dataloader/source/captions.h"
#include "dataloader/source/json_list.h"

#include "base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE      (-1) // ends a chain of annotations
#define DUPLICATE (-2) // of an image: its id is another's
#define NO_ID     (-3) // of an image
#define ORPHAN    (-4) // of an annotation: no image has its image_id

typedef struct {
    int64_t id, image; // place in the list
} id_row;

typedef struct {
    th_rows       rows;
    json_t       *root;
    const json_t *images, *annotations; // root's
    int64_t       image_count, annotation_count;
    int64_t      *first, *last; // [image_count] annotations of an image: the ends of its chain
    int64_t      *after;        // [annotation_count] the next one of the same image
    int64_t       image_at, annotation_at;
} coco;

static int by_id(const void *a, const void *b)
{
    const id_row *one = a, *two = b;

    if (one->id != two->id)
        return one->id < two->id ? -1 : 1;
    return (one->image > two->image) - (one->image < two->image);
}

static int by_id_alone(const void *id, const void *row)
{
    int64_t wanted = *(const int64_t *)id, is = ((const id_row *)row)->id;

    return (wanted > is) - (wanted < is);
}

// The images' ids, in order, each once: duplicates are marked in c->first.
static int64_t list_ids(coco *c, id_row *out)
{
    int64_t count = 0, kept = 0;

    for (int64_t i = 0; i < c->image_count; i++) {
        const json_t *id = json_object_get(json_array_get(c->images, (size_t)i), "id");
        c->first[i] = c->last[i] = json_is_integer(id) ? NONE : NO_ID;
        if (json_is_integer(id))
            out[count++] = (id_row){ json_integer_value(id), i };
    }
    qsort(out, (size_t)count, sizeof *out, by_id);
    for (int64_t i = 0; i < count; i++)
        if (kept > 0 && out[kept - 1].id == out[i].id)
            c->first[out[i].image] = DUPLICATE;
        else
            out[kept++] = out[i];
    return kept;
}

// Chains each annotation behind those of its image.
static void chain(coco *c, const id_row *ids, int64_t count)
{
    for (int64_t i = 0; i < c->annotation_count; i++) {
        const json_t *id = json_object_get(json_array_get(c->annotations, (size_t)i), "image_id");
        int64_t       wanted = json_integer_value(id);
        const id_row *row = json_is_integer(id)
                                ? bsearch(&wanted, ids, (size_t)count, sizeof *ids, by_id_alone)
                                : NULL;
        c->after[i] = row ? NONE : ORPHAN;
        if (!row)
            continue;
        if (c->first[row->image] == NONE)
            c->first[row->image] = i;
        else
            c->after[c->last[row->image]] = i;
        c->last[row->image] = i;
    }
}

static const char *file_name_of(const coco *c, int64_t image)
{
    return json_string_value(
        json_object_get(json_array_get(c->images, (size_t)image), "file_name"));
}

static th_code read_image(coco *c, int64_t image, th_item *out, th_err *err)
{
    th_code     rc = TH_OK;
    const char *name = file_name_of(c, image);
    char        where[64];

    th_item_start(out, c->rows.path, name ? name : "");
    if (!name || !name[0])
        th_item_refuse(out, "missing picture: image %" PRId64 " of the list has no file_name",
                       image);
    if (c->first[image] == NO_ID)
        th_item_refuse(out, "wrong type: the id of image %" PRId64 " is no integer", image);
    if (c->first[image] == DUPLICATE)
        th_item_refuse(out, "duplicate id: that of image %" PRId64 " is another's before it",
                       image);
    if (c->first[image] == NONE)
        th_item_refuse(out, "missing caption: image %" PRId64 " has no annotation", image);
    for (int64_t i = c->first[image]; i >= 0 && !out->reason[0]; i = c->after[i]) {
        const json_t *annotation = json_array_get(c->annotations, (size_t)i);
        (void)snprintf(where, sizeof where, "the caption of annotation %" PRId64, i);
        TH_TRY(th_item_add_json(out, json_object_get(annotation, "caption"), where, err));
    }
out:
    return rc;
}

static th_code read_row(th_rows *rows, th_item *out, char where[48], bool *out_more, th_err *err)
{
    coco *c = (coco *)rows;

    *out_more = true;
    if (c->image_at < c->image_count) {
        int64_t image = c->image_at++;
        atomic_store(&rows->head.done_bytes, c->image_at);
        (void)snprintf(where, 48, "image %" PRId64, image);
        return read_image(c, image, out, err);
    }
    while (c->annotation_at < c->annotation_count) {
        int64_t i = c->annotation_at++;
        if (c->after[i] == ORPHAN) {
            th_item_start(out, rows->path, "");
            th_item_refuse(out, "missing picture: annotation %" PRId64 " is of no image's id", i);
            return TH_OK;
        }
    }
    *out_more = false;
    return TH_OK;
}

static void close_coco(th_rows *rows)
{
    coco *c = (coco *)rows;

    json_decref(c->root);
    free(c->first);
    free(c->last);
    free(c->after);
    free(c);
}

static th_code group(coco *c, th_err *err)
{
    th_code rc = TH_OK;
    void   *memory = NULL;
    size_t  images = (size_t)c->image_count, annotations = (size_t)c->annotation_count;

    TH_TRY(th_alloc(images, sizeof *c->first, "a list of images", &memory, err));
    c->first = memory;
    TH_TRY(th_alloc(images, sizeof *c->last, "a list of images", &memory, err));
    c->last = memory;
    TH_TRY(th_alloc(annotations, sizeof *c->after, "a list of captions", &memory, err));
    c->after = memory;
    TH_TRY(th_alloc(images, sizeof(id_row), "a list of images", &memory, err));
    chain(c, memory, list_ids(c, memory));
    free(memory);
out:
    return rc;
}

// captions_train2017.json: "train2017".
static void name_of_split(const char *path, char out[64])
{
    const char *under = strrchr(path, '_');

    (void)snprintf(out, 64, "%.*s", under ? (int)strcspn(under + 1, "./") : 0,
                   under ? under + 1 : "");
}

th_code th_coco_open(const char *path, const th_source_options *options, th_source **out,
                     th_err *err)
{
    th_code     rc = TH_OK;
    void       *memory = NULL;
    coco       *c = NULL;
    const char *names[TH_FIRST_NAMES];
    int         count = 0;
    char        split[64];

    TH_TRY(th_alloc(1, sizeof *c, "a source", &memory, err));
    c = memory;
    c->rows.read_row = read_row;
    c->rows.close_rows = close_coco;
    TH_TRY(th_rows_init(&c->rows, path, options, err));
    TH_TRY(th_json_list_load(path, &c->root, err));
    TH_TRY(th_json_list_member(path, c->root, "images", &c->images, err));
    TH_TRY(th_json_list_member(path, c->root, "annotations", &c->annotations, err));
    c->image_count = (int64_t)json_array_size(c->images);
    c->annotation_count = (int64_t)json_array_size(c->annotations);
    TH_TRY(group(c, err));
    for (int64_t i = 0; i < c->image_count && count < TH_FIRST_NAMES; i++)
        if (file_name_of(c, i))
            names[count++] = file_name_of(c, i);
    name_of_split(path, split);
    TH_TRY(th_rows_find_folder(&c->rows, options, split, names, count, err));
    c->rows.head.total_bytes = c->image_count;
    *out = &c->rows.head;
    c = NULL;
out:
    if (c)
        th_source_close(&c->rows.head);
    return rc;
}
