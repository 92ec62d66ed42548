#include "launch/verbs/embed.h"

#include "base/file.h"
#include "base/log.h"
#include "checkpoint/features_file.h"
#include "comm/agree.h"
#include "launch/ranks.h"
#include "launch/trained_model.h"
#include "launch/verb.h"
#include "trainer/evaluate.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *captions, *data, *images, *out, *tokenizer;
} embed_options;

static const th_option table[] = {
    TH_OPTION(embed_options, "captions", captions, .when = TH_PER_START, .since = "0.2",
              .help = "file of captions, one a line"),
    TH_OPTION(embed_options, "data", data, .when = TH_PER_START, .since = "0.2",
              .help = "pack whose tokenizer and preparation of pictures count; by default the "
                      "run's data.val"),
    TH_OPTION(embed_options, "images", images, .when = TH_PER_START, .since = "0.2",
              .help = "pack, or folder of pictures, folders in it too"),
    TH_OPTION(embed_options, "out", out, .required = true, .when = TH_PER_START, .since = "0.2",
              .help = "file to write: NAME.h5, or NAME.safetensors with NAME.names.json beside it"),
    TH_OPTION(embed_options, "tokenizer", tokenizer, .when = TH_PER_START, .since = "0.2",
              .help = "tokenizer of the captions, when no pack has it: merges file, "
                      "tokenizer.json, vocab.json, vocab.txt, or a folder or pack of one"),
};

void th_embed_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ table, sizeof table / sizeof *table, NULL };
    *out_count = 1;
}

// What is embedded, and what came out.
typedef struct {
    th_trained_model    model;
    th_tokenizer       *named; // that of --tokenizer
    const th_tokenizer *tokenizer;
    bool                of_pack;  // the pictures are those of model.pack
    th_picture_list     pictures; // of a folder
    th_text_list        names, captions;
    th_features         features; // of a pack; of a folder and of a file its image and text
    bool               *good;     // [pictures]: could be read
} embedding;

static void embedding_done(embedding *e)
{
    free(e->good);
    th_features_free(&e->features);
    th_text_list_close(&e->captions);
    th_text_list_close(&e->names);
    th_picture_list_close(&e->pictures);
    th_tokenizer_close(e->named);
    th_trained_model_close(&e->model);
}

static th_code find_tokenizer(embedding *e, const char *named, th_err *err)
{
    int64_t wants = e->model.parameters.model.text.vocabulary;
    th_code rc = TH_OK;

    if (named)
        TH_TRY(th_tokenizer_find(named, TH_CLEANUP_DEFAULT, &e->named, err));
    TH_CHECK(named || e->model.pack, TH_EUSAGE, "name one with --tokenizer, or a pack with --data",
             "weights have no tokenizer of their own");
    e->tokenizer = named ? e->named : th_pack_tokenizer(e->model.pack);
    TH_CHECK(th_tokenizer_vocabulary(e->tokenizer) == wants, TH_EUSAGE,
             "name the weights' own tokenizer",
             "tokenizer \"%s\" has a vocabulary of %lld tokens, and the model of %lld",
             named ? named : th_pack_folder(e->model.pack),
             (long long)th_tokenizer_vocabulary(e->tokenizer), (long long)wants);
out:
    return rc;
}

// A record is named as the files of thaw inspect --dump-images are. Reading all of them before the
// work also finds those that are damaged: another's features must not stand under their names.
static th_code read_names(embedding *e, bool with_captions, th_err *err)
{
    th_record_scratch copy = { 0 }, scratch = { 0 };
    int64_t           records = th_pack_describe(e->model.pack)->records;
    th_code           rc = TH_OK;

    for (int64_t i = 0; i < records; i++) {
        th_record record;
        char      name[64];
        TH_TRY(th_pack_read(e->model.pack, i, &copy, &scratch, &record, err));
        int length = snprintf(name, sizeof name, "%08" PRId64 "-%016" PRIx64, i, record.sample_id);
        TH_TRY(th_text_list_add(&e->names, name, (size_t)length, err));
        for (int c = 0; with_captions && c < record.caption_count; c++)
            TH_TRY(th_text_list_add(&e->captions, record.captions[c].text,
                                    record.captions[c].text_bytes, err));
    }
out:
    free(copy.bytes);
    free(scratch.bytes);
    return rc;
}

static th_code prepare(embedding *e, const th_command_line *line, const embed_options *options,
                       bool names, th_err *err)
{
    char    path[PATH_MAX];
    th_code rc = TH_OK;

    TH_CHECK(line->word_count == 1, TH_EUSAGE, "thaw embed RUN --images FOLDER --out x.h5",
             "thaw embed takes one run directory or weights, not %d words", line->word_count);
    TH_CHECK(options->images || options->captions, TH_EUSAGE,
             "name them with --images, --captions or both", "nothing to embed is named");
    TH_CHECK(options->captions || !options->tokenizer, TH_EUSAGE, "leave --tokenizer out",
             "--tokenizer is for --captions, and there are none");
    TH_CHECK(options->out, TH_EUSAGE, "thaw embed RUN --images FOLDER --out x.h5",
             "option --out is missing");
    TH_TRY(th_features_file_check(options->out, err));
    e->of_pack = options->images &&
                 th_path_join(path, sizeof path, options->images, TH_PACK_DATASET) &&
                 th_path_exists(path);
    TH_CHECK(!e->of_pack || !options->data, TH_EUSAGE, "leave --data out",
             "--images is a pack, which has a tokenizer and pictures that are prepared already");
    if (options->images && !e->of_pack)
        TH_TRY(th_picture_list_open(options->images, &e->pictures, err));
    if (options->captions)
        TH_TRY(th_text_list_read(options->captions, TH_CAPTION_MOST, &e->captions, err));
    TH_TRY(th_trained_model_open_bare(line->words[0], e->of_pack ? options->images : options->data,
                                      &e->model, err));
    if (options->captions)
        TH_TRY(find_tokenizer(e, options->tokenizer, err));
    if (e->of_pack && names)
        TH_TRY(read_names(e, !options->captions, err));
out:
    return rc;
}

// Takes out the rows of pictures that could not be read. The names that are left are copied.
static th_code keep_good(embedding *e, th_err *err)
{
    th_features *f = &e->features;
    size_t       row_bytes = (size_t)f->d * sizeof *f->image;
    th_code      rc = TH_OK;

    for (int64_t i = 0; i < e->pictures.names.count; i++) {
        const char *name = e->pictures.names.text[i];
        if (!e->good[i])
            continue;
        if (f->images < i)
            memcpy(f->image + f->images * f->d, f->image + i * f->d, row_bytes);
        f->images++;
        TH_TRY(th_text_list_add(&e->names, name, strlen(name), err));
    }
    TH_CHECK(f->images > 0, TH_EDATA, "see the log for what is wrong with them",
             "none of the %lld pictures of \"%s\" could be read",
             (long long)e->pictures.names.count, e->pictures.folder);
out:
    return rc;
}

static th_code embed_folder(th_world *world, embedding *e, th_err *err)
{
    size_t  n = (size_t)e->pictures.names.count, d = (size_t)e->features.d;
    th_code rc =
        th_alloc(n * d, sizeof(th_real), "image features", (void **)&e->features.image, err);

    if (rc == TH_OK)
        rc = th_alloc(n, sizeof *e->good, "notes of pictures", (void **)&e->good, err);
    TH_TRY(th_agree(world, rc, err));
    // Each rank speaks of the pictures that it alone has met.
    th_log_setup(TH_WARN, world->size > 1 ? world->rank : -1);
    TH_TRY(th_embed_pictures(world, &e->model.parameters, &e->pictures, &e->model.pixels,
                             &e->model.passes, e->features.image, e->good, err));
    TH_TRY(th_agree(world, keep_good(e, err), err));
out:
    return rc;
}

static th_code embed_captions(th_world *world, embedding *e, th_err *err)
{
    th_features *f = &e->features;
    th_code      rc = TH_OK;

    f->captions = e->captions.count;
    TH_TRY(th_agree(world,
                    th_alloc((size_t)(f->captions * f->d), sizeof *f->text, "text features",
                             (void **)&f->text, err),
                    err));
    TH_TRY(th_embed_texts_shared(world, &e->model.parameters, e->tokenizer,
                                 (const char *const *)e->captions.text, f->captions,
                                 &e->model.passes, f->text, err));
out:
    return rc;
}

static th_code embed_all(th_world *world, embedding *e, const embed_options *options, th_err *err)
{
    th_trained_model *model = &e->model;
    th_code           rc = TH_OK;

    e->features.d = model->parameters.model.embed;
    if (e->of_pack && options->captions)
        TH_TRY(th_embed_pack_pictures(world, &model->parameters, model->pack, &model->passes,
                                      &e->features, err));
    else if (e->of_pack)
        TH_TRY(th_embed_pack(world, &model->parameters, model->pack, &model->passes, &e->features,
                             err));
    else if (options->images)
        TH_TRY(embed_folder(world, e, err));
    th_arena_rewind(&model->passes, 0);
    if (options->captions) {
        free(e->features.text); // room for no captions
        e->features.text = NULL;
        TH_TRY(embed_captions(world, e, err));
    }
out:
    return rc;
}

static th_code write_features(const embedding *e, const embed_options *options, th_err *err)
{
    const th_features  *f = &e->features;
    th_features_content content = { .images = f->images,
                                    .texts = f->captions,
                                    .d = f->d,
                                    .image = f->image,
                                    .text = f->text,
                                    .image_names = (const char *const *)e->names.text,
                                    .captions = (const char *const *)e->captions.text,
                                    .image_of = options->captions ? NULL : f->image_of };
    th_code             rc = TH_OK;

    TH_CHECK(!f->text || e->captions.count == f->captions, TH_EDATA,
             "verify the pack: thaw inspect --verify",
             "the pack has %lld captions, of which %lld were embedded",
             (long long)e->captions.count, (long long)f->captions);
    TH_TRY(th_features_file_write(options->out, &content, err));
    printf("%s: %lld pictures, %lld captions, %lld numbers each\n", options->out,
           (long long)f->images, (long long)f->captions, (long long)f->d);
    if (e->good && f->images < e->pictures.names.count)
        printf("%lld pictures could not be read and are left out\n",
               (long long)(e->pictures.names.count - f->images));
out:
    return rc;
}

static th_code embed(th_world *world, const th_command_line *line, th_err *err)
{
    embed_options options;
    th_option_set set = { table, sizeof table / sizeof *table, &options };
    th_arena      pool = { 0 };
    embedding     e = { 0 };
    th_code       rc = th_arena_open(&pool, (size_t)1 << 20, err);

    if (rc == TH_OK)
        rc = th_command_line_apply(line, &set, 1, &pool, err);
    if (rc == TH_OK)
        rc = prepare(&e, line, &options, world->rank == 0, err);
    TH_TRY(th_agree(world, rc, err));
    TH_TRY(embed_all(world, &e, &options, err));
    if (world->rank == 0) // the others have nothing to write
        rc = write_features(&e, &options, err);
    TH_TRY(th_agree(world, rc, err));
out:
    embedding_done(&e);
    th_arena_close(&pool);
    return rc;
}

th_code th_verb_embed(const th_command_line *line, th_err *err)
{
    th_world world = { 0 };
    th_code  rc = TH_OK;

    TH_TRY(th_ranks_begin(line, NULL, NULL, TH_WARN, &world, err));
    TH_TRY(embed(&world, line, err));
out:
    th_ranks_end(&world, rc, err);
    return rc;
}
