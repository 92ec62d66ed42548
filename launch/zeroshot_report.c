#include "launch/zeroshot_report.h"

#include "comm/agree.h"
#include "dataloader/label_list.h"
#include "trainer/loss/zeroshot.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    int64_t            step, pictures; // pictures of the pack
    th_zeroshot        all;
    th_zeroshot_count *count; // [classes]
} report;

static th_code print_json(const report *of, const th_class_list *list, th_err *err)
{
    json_t *classes = json_array(), *object = NULL;
    char   *text = NULL;
    th_code rc = TH_OK;

    for (int64_t c = 0; c < list->classes; c++) {
        const th_zeroshot_count *one = &of->count[c];
        double                   n = one->pictures > 0 ? (double)one->pictures : 1;
        (void)json_array_append_new(
            classes, json_pack("{s:s, s:I, s:f, s:f}", "class", list->name[c], "pictures",
                               (json_int_t)one->pictures, "acc1", (double)one->top1 / n, "acc5",
                               (double)one->top5 / n));
    }
    // acc1, acc5 and mean_per_class_recall are CLIP_benchmark's names.
    object =
        json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:o}", "step", (json_int_t)of->step, "pictures",
                  (json_int_t)of->all.pictures, "without_class",
                  (json_int_t)(of->pictures - of->all.pictures), "acc1", of->all.top1, "acc5",
                  of->all.top5, "mean_per_class_recall", of->all.mean_recall, "classes", classes);
    text = object ? json_dumps(object, JSON_REAL_PRECISION(9)) : NULL;
    TH_CHECK(text, TH_EDATA, "write names of classes in UTF-8", "could not write the result");
    (void)puts(text);
out:
    free(text);
    json_decref(object);
    return rc;
}

static void print_table(const report *of, const th_class_list *list)
{
    printf("step %lld, %lld pictures, %lld classes, %lld prompts\n", (long long)of->step,
           (long long)of->all.pictures, (long long)list->classes,
           (long long)list->first[list->classes]);
    if (of->all.pictures < of->pictures)
        printf("%lld more pictures have no class\n", (long long)(of->pictures - of->all.pictures));
    printf("  top-1   top-5   pictures  class\n");
    for (int64_t c = 0; c < list->classes; c++) {
        double n = (double)of->count[c].pictures;
        if (n > 0)
            printf(" %6.2f  %6.2f  %9.0f  %s\n", 100 * (double)of->count[c].top1 / n,
                   100 * (double)of->count[c].top5 / n, n, list->name[c]);
    }
    printf(" %6.2f  %6.2f  %9lld  all; mean over classes %.2f\n", 100 * of->all.top1,
           100 * of->all.top5, (long long)of->all.pictures, 100 * of->all.mean_recall);
}

static th_code read_labels(th_pack *pack, const th_class_list *classes, const char *path,
                           int32_t **out, th_err *err)
{
    th_label_list list = { 0 };
    int32_t      *label = NULL;
    th_code       rc = TH_OK;

    TH_TRY(th_alloc((size_t)th_pack_describe(pack)->records, sizeof *label, "labels",
                    (void **)&label, err));
    if (path) {
        TH_TRY(th_label_list_open(path, classes, &list, err));
        TH_TRY(th_label_list_apply(&list, pack, label, err));
    } else
        TH_TRY(th_class_list_label(classes, pack, label, err));
    *out = label;
    label = NULL;
out:
    th_label_list_close(&list);
    free(label);
    return rc;
}

th_code th_zeroshot_labels(th_world *world, th_pack *pack, const th_class_list *classes,
                           const char *labels, int32_t **out, th_err *err)
{
    return th_agree(world, world->rank == 0 ? read_labels(pack, classes, labels, out, err) : TH_OK,
                    err);
}

// Everything that is local: the class features, the places.
static th_code place(const th_features *features, const th_class_list *list, const int32_t *label,
                     const th_real *prompt, report *out, th_err *err)
{
    th_real *class_ = NULL;
    th_code  rc = TH_OK;

    TH_TRY(th_alloc((size_t)(list->classes * features->d), sizeof *class_, "class features",
                    (void **)&class_, err));
    th_zeroshot_classes(prompt, list->first, list->classes, features->d, class_);
    TH_TRY(th_zeroshot_place(features->image, label, features->images, class_, list->classes,
                             features->d, out->count, &out->all, err));
out:
    free(class_);
    return rc;
}

th_code th_zeroshot_report(th_world *world, th_trained_model *model, const th_features *features,
                           const th_class_list *classes, const int32_t *label, bool json,
                           th_err *err)
{
    report   result = { .step = model->step, .pictures = features->images };
    int64_t  prompts = classes->first[classes->classes];
    th_real *prompt = NULL;
    th_code  rc = TH_OK;

    rc = th_alloc((size_t)(prompts * features->d), sizeof *prompt, "prompt features",
                  (void **)&prompt, err);
    if (rc == TH_OK)
        rc = th_alloc((size_t)classes->classes, sizeof *result.count, "counts of classes",
                      (void **)&result.count, err);
    TH_TRY(th_agree(world, rc, err));
    TH_TRY(th_embed_texts_shared(world, &model->parameters, th_pack_tokenizer(model->pack),
                                 (const char *const *)classes->prompt, prompts, &model->passes,
                                 prompt, err));
    if (world->rank == 0) // the others have nothing to say
        rc = place(features, classes, label, prompt, &result, err);
    TH_TRY(th_agree(world, rc, err));
    if (world->rank == 0 && json)
        TH_TRY(print_json(&result, classes, err));
    else if (world->rank == 0)
        print_table(&result, classes);
out:
    free(prompt);
    free(result.count);
    return rc;
}
