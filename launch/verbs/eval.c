#include "launch/verbs/eval.h"

#include "base/log.h"
#include "comm/agree.h"
#include "launch/ranks.h"
#include "launch/trained_model.h"
#include "launch/verb.h"
#include "launch/zeroshot_report.h"
#include "trainer/evaluate.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    const char *data, *dataset, *labels, *templates, *zeroshot;
    bool        json;
} eval_options;

static const th_option table[] = {
    TH_OPTION(eval_options, "data", data, .when = TH_PER_START, .since = "0.1",
              .help = "pack to evaluate on; by default the run's data.val"),
    TH_OPTION(eval_options, "dataset", dataset, .when = TH_PER_START, .since = "0.2",
              .help = "entry of CLIP_benchmark's files that is meant"),
    TH_OPTION(eval_options, "json", json, .fallback = "false", .when = TH_PER_START, .since = "0.1",
              .help = "print one JSON object"),
    TH_OPTION(eval_options, "labels", labels, .when = TH_PER_START, .since = "0.2",
              .help = "table or JSON with the pictures' classes, for --zeroshot; by default the "
                      "captions tell"),
    TH_OPTION(eval_options, "templates", templates, .when = TH_PER_START, .since = "0.2",
              .help = "CLIP_benchmark's templates, where --zeroshot names its class names"),
    TH_OPTION(eval_options, "zeroshot", zeroshot, .when = TH_PER_START, .since = "0.2",
              .help = "sort the pictures into the classes of this JSON file"),
};

void th_eval_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ table, sizeof table / sizeof *table, NULL };
    *out_count = 1;
}

static void print_json(const th_eval_report *report)
{
    const th_retrieval *found = &report->retrieval;

    printf("{\"step\": %lld, \"val/loss\": %.9g, \"text_queries\": %lld, \"image_queries\": %lld",
           (long long)report->step, report->loss, (long long)found->text_queries,
           (long long)found->image_queries);
    static const int k[] = { 1, 5, 10 };
    for (int i = 0; i < 3; i++)
        printf(", \"val/text_to_image_R@%d\": %.9g, \"val/image_to_text_R@%d\": %.9g", k[i],
               found->text_to_image[i], k[i], found->image_to_text[i]);
    printf(", \"val/text_to_image_median_rank\": %.9g, \"val/image_to_text_median_rank\": %.9g}\n",
           found->text_to_image_median, found->image_to_text_median);
}

static void print_table(const th_eval_report *report, int64_t images, int64_t captions)
{
    const th_retrieval *found = &report->retrieval;
    double              chance = 100.0 / (double)images;

    printf("step %lld, %lld pictures, %lld captions, loss %.4f\n", (long long)report->step,
           (long long)images, (long long)captions, report->loss);
    printf("                    R@1    R@5   R@10   median rank\n");
    printf("text to image    %6.2f %6.2f %6.2f   %g\n", 100 * found->text_to_image[0],
           100 * found->text_to_image[1], 100 * found->text_to_image[2],
           found->text_to_image_median);
    printf("image to text    %6.2f %6.2f %6.2f   %g\n", 100 * found->image_to_text[0],
           100 * found->image_to_text[1], 100 * found->image_to_text[2],
           found->image_to_text_median);
    printf("chance (text)    %6.2f %6.2f %6.2f   %g\n", chance, 5 * chance, 10 * chance,
           ((double)images + 1) / 2);
}

static th_code check(const th_command_line *line, const eval_options *options, th_err *err)
{
    const char *of_zeroshot = options->templates ? "templates"
                              : options->dataset ? "dataset"
                              : options->labels  ? "labels"
                                                 : NULL;
    th_code     rc = TH_OK;

    TH_CHECK(line->word_count == 1, TH_EUSAGE, "thaw eval RUN",
             "thaw eval takes one run directory, not %d words", line->word_count);
    TH_CHECK(options->zeroshot || !of_zeroshot, TH_EUSAGE, "name the classes with --zeroshot",
             "--%s is given without --zeroshot", of_zeroshot);
out:
    return rc;
}

static th_code prepare(const th_command_line *line, eval_options *options, th_arena *pool,
                       th_class_list *classes, th_trained_model *model, th_err *err)
{
    th_option_set set = { table, sizeof table / sizeof *table, options };
    th_code       rc = TH_OK;

    TH_TRY(th_arena_open(pool, (size_t)1 << 20, err));
    TH_TRY(th_command_line_apply(line, &set, 1, pool, err));
    TH_TRY(check(line, options, err));
    if (options->zeroshot)
        TH_TRY(th_class_list_open(options->zeroshot, options->templates, options->dataset, classes,
                                  err));
    TH_TRY(th_trained_model_open(line->words[0], options->data, model, err));
out:
    return rc;
}

static th_code evaluate(th_world *world, const th_command_line *line, th_err *err)
{
    eval_options     options;
    th_arena         pool = { 0 };
    th_trained_model model = { 0 };
    th_features      features = { 0 };
    th_class_list    classes = { 0 };
    int32_t         *label = NULL;
    th_eval_report   report;
    th_code          rc = TH_OK;

    TH_TRY(th_agree(world, prepare(line, &options, &pool, &classes, &model, err), err));
    if (options.zeroshot) // before the long work: what is wrong with them shows at once
        TH_TRY(th_zeroshot_labels(world, model.pack, &classes, options.labels, &label, err));
    TH_TRY(th_embed_pack(world, &model.parameters, model.pack, &model.passes, &features, err));
    th_arena_rewind(&model.passes, 0);
    if (options.zeroshot) {
        TH_TRY(th_zeroshot_report(world, &model, &features, &classes, label, options.json, err));
        goto out;
    }
    TH_TRY(th_evaluate(world, &features, &model.parameters, &model.options, &model.passes, &report,
                       err));
    report.step = model.step;
    if (world->rank == 0 && options.json)
        print_json(&report);
    else if (world->rank == 0)
        print_table(&report, features.images, features.captions);
out:
    th_features_free(&features);
    free(label);
    th_class_list_close(&classes);
    th_trained_model_close(&model);
    th_arena_close(&pool);
    return rc;
}

th_code th_verb_eval(const th_command_line *line, th_err *err)
{
    th_world world = { 0 };
    th_code  rc = TH_OK;

    TH_TRY(th_ranks_begin(line, NULL, NULL, TH_WARN, &world, err));
    TH_TRY(evaluate(&world, line, err));
out:
    th_ranks_end(&world, rc, err);
    return rc;
}
