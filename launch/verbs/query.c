#include "launch/verbs/query.h"

#include "base/file.h"
#include "base/log.h"
#include "launch/query_page.h"
#include "launch/sheet.h"
#include "launch/trained_model.h"
#include "launch/verb.h"
#include "trainer/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FOUND 100

typedef struct {
    const char *data, *html, *png;
    int64_t     k;
} query_options;

static const th_option table[] = {
    TH_OPTION(query_options, "data", data, .when = TH_PER_START, .since = "0.1",
              .help = "pack to look in; by default the run's data.val"),
    TH_OPTION(query_options, "html", html, .when = TH_PER_START, .since = "0.1",
              .help = "also write a page with the pictures to this file"),
    TH_OPTION(query_options, "k", k, .fallback = "5", .unit = "pictures", .min = 1,
              .max = MOST_FOUND, .when = TH_PER_START, .since = "0.1",
              .help = "pictures shown for each text"),
    TH_OPTION(query_options, "png", png, .when = TH_PER_START, .since = "0.1",
              .help = "also write the pictures to this file, a row for each text"),
};

void th_query_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ table, sizeof table / sizeof *table, NULL };
    *out_count = 1;
}

static th_code read_found(th_pack *pack, th_found *found, th_record_scratch *copy,
                          th_record_scratch *scratch, th_err *err)
{
    th_record record;
    th_code   rc = TH_OK;

    TH_TRY(th_pack_read(pack, found->record, copy, scratch, &record, err));
    struct th_stored_picture stored = { .codec = record.codec,
                                        .width = record.width,
                                        .height = record.height,
                                        .bytes = record.image,
                                        .size = record.image_bytes };
    TH_TRY(th_image_restore(&stored, &found->picture, err));
    found->caption = record.caption_count > 0
                         ? strndup(record.captions[0].text, record.captions[0].text_bytes)
                         : strdup("");
    TH_CHECK(found->caption, TH_EIO, "free some memory", "could not keep a caption");
out:
    return rc;
}

static th_code look_up(th_trained_model *model, const th_features *features, int k,
                       th_query_result *results, int count, th_err *err)
{
    th_record_scratch copy = { 0 }, scratch = { 0 };
    th_real          *text = NULL, similarity[MOST_FOUND];
    int64_t           index[MOST_FOUND], d = features->d;
    const char      **texts = NULL;
    th_code           rc = TH_OK;

    TH_TRY(th_alloc((size_t)(count * d), sizeof *text, "text features", (void **)&text, err));
    TH_TRY(th_alloc((size_t)count, sizeof *texts, "texts", (void **)&texts, err));
    for (int q = 0; q < count; q++)
        texts[q] = results[q].text;
    TH_TRY(th_embed_texts(&model->parameters, th_pack_tokenizer(model->pack), texts, count,
                          &model->passes, text, err));
    for (int q = 0; q < count; q++) {
        TH_TRY(th_retrieve_best(text + q * d, features->image, features->images, d, k, index,
                                similarity, err));
        for (int i = 0; i < k; i++) {
            results[q].found[i].record = index[i];
            results[q].found[i].similarity = (double)similarity[i];
            TH_TRY(read_found(model->pack, &results[q].found[i], &copy, &scratch, err));
        }
    }
out:
    free(copy.bytes);
    free(scratch.bytes);
    free(text);
    free(texts);
    return rc;
}

static th_code write_sheet(const char *path, const th_query_result *results, int count, int k,
                           th_err *err)
{
    th_image *pictures = NULL;
    th_code   rc = TH_OK;

    TH_TRY(
        th_alloc((size_t)(count * k), sizeof *pictures, "contact sheet", (void **)&pictures, err));
    for (int q = 0; q < count; q++)
        for (int i = 0; i < k; i++)
            pictures[q * k + i] = results[q].found[i].picture; // borrowed
    TH_TRY(th_sheet_write(path, pictures, count * k, k, err));
out:
    free(pictures);
    return rc;
}

static void print_results(const th_query_result *results, int count, int k)
{
    for (int q = 0; q < count; q++) {
        printf("%s\n", results[q].text);
        for (int i = 0; i < k; i++)
            printf("  %5.3f  record %-8lld %s\n", results[q].found[i].similarity,
                   (long long)results[q].found[i].record, results[q].found[i].caption);
    }
}

static void free_results(th_query_result *results, int count, int k)
{
    for (int q = 0; results && q < count; q++) {
        for (int i = 0; results[q].found && i < k; i++) {
            th_image_free(&results[q].found[i].picture);
            free(results[q].found[i].caption);
        }
        free(results[q].found);
    }
    free(results);
}

static th_code answer(const th_command_line *line, const query_options *options,
                      th_query_result *results, int count, int *out_k, th_err *err)
{
    th_world         alone = { .size = 1 };
    th_trained_model model = { 0 };
    th_features      features = { 0 };
    char             title[400];
    th_code          rc = TH_OK;

    TH_TRY(th_trained_model_open(line->words[0], options->data, &model, err));
    TH_TRY(th_embed_pack_pictures(&alone, &model.parameters, model.pack, &model.passes, &features,
                                  err));
    th_arena_rewind(&model.passes, 0);
    if (*out_k > features.images)
        *out_k = (int)features.images;
    TH_TRY(look_up(&model, &features, *out_k, results, count, err));
    print_results(results, count, *out_k);
    (void)snprintf(title, sizeof title, "%s at step %lld", line->words[0], (long long)model.step);
    if (options->html)
        TH_TRY(th_query_page_write(options->html, title, results, count, *out_k, err));
    if (options->png)
        TH_TRY(write_sheet(options->png, results, count, *out_k, err));
out:
    th_features_free(&features);
    th_trained_model_close(&model);
    return rc;
}

th_code th_verb_query(const th_command_line *line, th_err *err)
{
    query_options    options;
    th_option_set    set = { table, sizeof table / sizeof *table, &options };
    th_query_result *results = NULL;
    th_arena         pool = { 0 };
    int              count = line->word_count - 1, k = 0;
    th_code          rc = TH_OK;

    th_log_setup(TH_WARN, -1);
    TH_TRY(th_arena_open(&pool, (size_t)1 << 20, err));
    TH_TRY(th_command_line_apply(line, &set, 1, &pool, err));
    TH_CHECK(count >= 1, TH_EUSAGE, "thaw query RUN \"a red apple\"",
             "thaw query takes a run directory and at least one text");
    k = (int)options.k;
    TH_TRY(th_alloc((size_t)count, sizeof *results, "results", (void **)&results, err));
    for (int q = 0; q < count; q++) {
        results[q].text = line->words[1 + q];
        TH_TRY(th_alloc((size_t)k, sizeof(th_found), "results", (void **)&results[q].found, err));
    }
    int shown = k;
    TH_TRY(answer(line, &options, results, count, &shown, err));
out:
    free_results(results, count, k);
    th_arena_close(&pool);
    return rc;
}
