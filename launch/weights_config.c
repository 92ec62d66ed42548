#include "launch/weights_config.h"

#include "launch/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_BYTES ((size_t)4 << 20)
#define MOST_ROWS  256

const th_pixels th_pixels_clip = { true,
                                   { 0.48145466, 0.4578275, 0.40821073 },
                                   { 0.26862954, 0.26130258, 0.27577711 } };

typedef struct {
    const char *mean, *deviation; // three numbers, split by spaces
} pixel_texts;

static const th_option pixel_table[] = {
    TH_OPTION(pixel_texts, "pixels.deviation", deviation, .when = TH_PER_RUN, .since = "0.2",
              .help = "deviation of red, green and blue in [0, 1]"),
    TH_OPTION(pixel_texts, "pixels.mean", mean, .when = TH_PER_RUN, .since = "0.2",
              .help = "mean of red, green and blue in [0, 1]"),
};

static void print_three(const double value[3], char out[100])
{
    (void)snprintf(out, 100, "%.9g %.9g %.9g", value[0], value[1], value[2]);
}

static bool parse_three(const char *text, double out[3])
{
    char *end;

    for (int i = 0; i < 3; i++) {
        out[i] = text ? strtod(text, &end) : 0;
        if (!text || end == text)
            return false;
        text = end;
    }
    return true;
}

// The rows of a run file's `model:`.
static int model_rows(th_option out[MOST_ROWS])
{
    int count = 0;

    for (int i = 0; i < th_train_table_count && count < MOST_ROWS; i++)
        if (strncmp(th_train_table[i].name, "model.", 6) == 0)
            out[count++] = th_train_table[i];
    return count;
}

th_code th_weights_config_text(const th_model_config *model, const th_pixels *pixels, char **out,
                               th_err *err)
{
    th_train_options options = { 0 };
    th_option        rows[MOST_ROWS];
    char             mean[100], deviation[100];
    pixel_texts      texts = { 0 };

    th_train_set_model(&options, model);
    print_three(pixels->mean, mean);
    print_three(pixels->deviation, deviation);
    if (pixels->known)
        texts = (pixel_texts){ mean, deviation };
    th_option_set sets[] = { { rows, model_rows(rows), &options },
                             { pixel_table, sizeof pixel_table / sizeof *pixel_table, &texts } };
    return th_config_text(sets, 2, true, out, err);
}

// Of thaw's own weights: the options, and the vocabulary, which no option tells, from the table.
static th_code describe_own(const th_weights *weights, th_weights_about *out, th_err *err)
{
    th_train_options options;
    pixel_texts      texts;
    th_option_set    sets[] = { { th_train_table, th_train_table_count, &options },
                                { pixel_table, sizeof pixel_table / sizeof *pixel_table, &texts } };
    th_arena         pool = { 0 };
    th_config       *config = NULL;
    th_tensor        tokens;
    th_code          rc = TH_OK;

    TH_TRY(th_arena_open(&pool, POOL_BYTES, err));
    TH_TRY(th_config_parse(th_weights_config(weights), "configuration", &config, err));
    TH_TRY(th_config_apply(config, "stages", sets, 2, &pool, err));
    TH_CHECK(th_weights_shape(weights, "token_embedding.weight", &tokens), TH_EDATA,
             "use weights of a whole model", "the weights have no token_embedding.weight");
    TH_TRY(th_train_model(&options, tokens.shape[0], &out->model, err));
    out->pixels.known = parse_three(texts.mean, out->pixels.mean) &&
                        parse_three(texts.deviation, out->pixels.deviation);
    (void)snprintf(out->train, sizeof out->train, "%s", options.train ? options.train : "");
out:
    th_config_close(config);
    th_arena_close(&pool);
    return rc == TH_OK ? TH_OK : th_during(err, "reading the configuration of weights");
}

static void describe_foreign(const th_foreign_model *foreign, th_weights_about *out)
{
    const th_foreign_image *image = &foreign->image;
    const th_foreign_text  *text = &foreign->text;

    out->model = (th_model_config){
        .image = { image->size, image->patch, image->width, image->layers, image->heads },
        .text = { .context = text->context,
                  .vocabulary = text->vocabulary,
                  .width = text->width,
                  .layers = text->layers,
                  .heads = text->heads,
                  .kind = text->bert ? TH_TEXT_BERT : TH_TEXT_CLIP,
                  .pool = !text->bert  ? TH_POOL_END
                          : text->mean ? TH_POOL_MEAN
                                       : TH_POOL_FIRST,
                  .types = text->types },
        .embed = foreign->embed,
        .activation = foreign->quick_gelu ? TH_QUICK_GELU : TH_GELU,
    };
    out->guessed = !foreign->configured;
    out->pixels.known = foreign->has_pixels;
    memcpy(out->pixels.mean, foreign->mean, sizeof foreign->mean);
    memcpy(out->pixels.deviation, foreign->deviation, sizeof foreign->deviation);
}

th_code th_weights_describe(const th_weights *weights, th_weights_about *out, th_err *err)
{
    const th_foreign_model *foreign = th_weights_foreign(weights);
    th_weights_about        about = { 0 };
    th_tensor               bias;
    th_code                 rc = TH_OK;

    if (foreign)
        describe_foreign(foreign, &about);
    else
        TH_TRY(describe_own(weights, &about, err));
    about.model.logit_bias = th_weights_shape(weights, "logit_bias", &bias);
    *out = about;
out:
    return rc;
}
