#include "launch/verbs/import.h"

#include "base/file.h"
#include "base/log.h"
#include "checkpoint/weights_file.h"
#include "launch/verb.h"
#include "launch/weights_config.h"
#include "trainer/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    const char *from, *out;
    int64_t     image_size;
} import_options;

static const th_option table[] = {
    TH_OPTION(import_options, "from", from, .when = TH_PER_START, .since = "0.2",
              .help = "folder of open_clip or Hugging Face, or its .safetensors file"),
    TH_OPTION(import_options, "image_size", image_size, .fallback = "0", .unit = "pixels",
              .max = 4096, .when = TH_PER_START, .since = "0.2",
              .help = "side of the picture, to which positions are interpolated; 0: the weights'"),
    TH_OPTION(import_options, "out", out, .when = TH_PER_START, .since = "0.2",
              .help = "file to write, for instance weights.h5"),
};

void th_import_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ table, sizeof table / sizeof *table, NULL };
    *out_count = 1;
}

static th_code write_weights(const char *path, th_parameters *parameters, const th_pixels *pixels,
                             th_err *err)
{
    th_saved_parameter *saved = NULL;
    char               *config = NULL;
    th_code             rc = TH_OK;

    th_parameters_freeze_all(parameters, false); // so that no moments are described
    TH_TRY(th_state_describe(parameters, &saved, err));
    TH_TRY(th_weights_config_text(&parameters->model, pixels, &config, err));
    th_snapshot snapshot = { .state = { .world_size = 1 },
                             .parameters = saved,
                             .parameter_count = parameters->row_count,
                             .config = config };
    TH_TRY(th_weights_file_write(path, &snapshot, err));
out:
    free(config);
    free(saved);
    return rc;
}

// Files of a tokenizer that stand beside the weights: packs for them want it.
static void tell_tokenizer(const char *from)
{
    static const char *const names[] = { "tokenizer.json", "vocab.json", "merges.txt",
                                         "vocab.txt" };
    char                     folder[4096], path[4200];
    struct stat              status;
    const char              *slash = strrchr(from, '/');

    if (stat(from, &status) == 0 && S_ISDIR(status.st_mode))
        (void)snprintf(folder, sizeof folder, "%s", from);
    else
        (void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - from) : 1,
                       slash ? from : ".");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (th_path_join(path, sizeof path, folder, names[i]) && th_path_exists(path))
            printf("tokenizer   %s\n", path);
}

static void tell(const import_options *options, const th_parameters *parameters,
                 const th_pixels *pixels)
{
    const th_model_config *model = &parameters->model;
    const th_image_config *image = &model->image;
    const th_text_config  *text = &model->text;
    int64_t                count = 0;
    struct stat            status;

    for (int i = 0; i < parameters->row_count; i++)
        count += parameters->rows[i].count;
    printf("image tower %lld blocks, width %lld, %lld heads, patches of %lld, pictures of %lld "
           "pixels\n",
           (long long)image->layers, (long long)image->width, (long long)image->heads,
           (long long)image->patch, (long long)image->size);
    printf("text tower  %lld blocks, width %lld, %lld heads, %lld tokens of %lld\n",
           (long long)text->layers, (long long)text->width, (long long)text->heads,
           (long long)text->context, (long long)text->vocabulary);
    printf("features    %lld, activation %s\n", (long long)model->embed,
           model->activation == TH_QUICK_GELU ? "quick_gelu" : "gelu");
    if (pixels->known)
        printf("pixels      mean %.6g %.6g %.6g, deviation %.6g %.6g %.6g\n", pixels->mean[0],
               pixels->mean[1], pixels->mean[2], pixels->deviation[0], pixels->deviation[1],
               pixels->deviation[2]);
    tell_tokenizer(options->from);
    printf("written     %s, %d parameters of %lld numbers", options->out, parameters->row_count,
           (long long)count);
    if (stat(options->out, &status) == 0)
        printf(", %.1f MB", (double)status.st_size / 1e6);
    printf("\n");
}

static th_code import(const import_options *options, th_err *err)
{
    th_weights      *weights = NULL;
    th_parameters    parameters = { 0 };
    th_weights_about about;
    th_code          rc = TH_OK;

    TH_TRY(th_weights_open(options->from, &weights, err));
    TH_TRY(th_weights_describe(weights, &about, err));
    TH_CHECK(about.model.image.width > 0 && about.model.text.width > 0, TH_EUSAGE,
             "a run takes a tower alone: init: {text: FOLDER} or init: {image: FOLDER}",
             "\"%s\" has only the %s tower", options->from,
             about.model.image.width > 0 ? "image" : "text");
    if (options->image_size > 0)
        about.model.image.size = options->image_size;
    TH_TRY(th_parameters_open(&about.model, &parameters, err));
    TH_TRY(th_weights_load(weights, &parameters, TH_WHOLE_MODEL, err));
    TH_TRY(write_weights(options->out, &parameters, &about.pixels, err));
    tell(options, &parameters, &about.pixels);
out:
    th_parameters_close(&parameters);
    th_weights_close(weights);
    return rc;
}

th_code th_verb_import(const th_command_line *line, th_err *err)
{
    import_options options;
    th_option_set  set = { table, sizeof table / sizeof *table, &options };
    th_arena       pool = { 0 };
    th_code        rc = TH_OK;

    th_log_setup(TH_WARN, -1);
    TH_TRY(th_arena_open(&pool, (size_t)1 << 20, err));
    TH_TRY(th_command_line_apply(line, &set, 1, &pool, err));
    TH_CHECK(line->word_count == 0 && options.from && options.out, TH_EUSAGE,
             "thaw import --from FOLDER --out weights.h5",
             "thaw import takes --from and --out, and no words");
    TH_TRY(import(&options, err));
out:
    th_arena_close(&pool);
    return rc;
}
