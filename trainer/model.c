#include "trainer/model.h"

// Limits far above any CLIP: they keep a typing error from becoming an allocation of terabytes.
#define MOST_WIDTH      16384
#define MOST_LAYERS     256
#define MOST_CONTEXT    1024
#define MOST_VOCABULARY 1000000
#define MOST_PIXELS     4096
#define MOST_TYPES      16

static th_code check_transformer(const char *tower, int64_t width, int64_t layers, int64_t heads,
                                 th_err *err)
{
    const char *fix = "set it in the run file under model:";
    th_code     rc = TH_OK;

    TH_CHECK(width >= 1 && width <= MOST_WIDTH, TH_EUSAGE, fix,
             "model.%s.width must be 1 to %d, not %lld", tower, MOST_WIDTH, (long long)width);
    TH_CHECK(layers >= 1 && layers <= MOST_LAYERS, TH_EUSAGE, fix,
             "model.%s.layers must be 1 to %d, not %lld", tower, MOST_LAYERS, (long long)layers);
    TH_CHECK(heads >= 1 && width % heads == 0, TH_EUSAGE, fix,
             "model.%s.heads must divide model.%s.width: %lld does not divide %lld", tower, tower,
             (long long)heads, (long long)width);
out:
    return rc;
}

static th_code check_text_kind(const th_text_config *text, th_err *err)
{
    bool    bert = text->kind == TH_TEXT_BERT;
    th_code rc = TH_OK;

    TH_CHECK(bert || text->pool == TH_POOL_END, TH_EUSAGE,
             "set model.text.kind: bert, or leave model.text.pool at auto",
             "model.text.pool cannot be set with model.text.kind clip, which pools EOT");
    TH_CHECK(!bert || text->pool != TH_POOL_END, TH_EUSAGE, "set model.text.pool: cls or mean",
             "a BERT text tower does not pool the last token");
    TH_CHECK(bert ? text->types >= 1 && text->types <= MOST_TYPES : text->types == 0, TH_EUSAGE,
             "use 2 for BERT, 0 for CLIP", "a text tower of this kind has no %lld token types",
             (long long)text->types);
out:
    return rc;
}

th_code th_model_check(const th_model_config *model, th_err *err)
{
    const char *fix = "set it in the run file under model:";
    th_code     rc = TH_OK;

    TH_TRY(check_transformer("image", model->image.width, model->image.layers, model->image.heads,
                             err));
    TH_TRY(
        check_transformer("text", model->text.width, model->text.layers, model->text.heads, err));
    TH_CHECK(model->image.size >= 1 && model->image.size <= MOST_PIXELS, TH_EUSAGE, fix,
             "model.image.size must be 1 to %d, not %lld", MOST_PIXELS,
             (long long)model->image.size);
    TH_CHECK(model->image.patch >= 1 && model->image.size % model->image.patch == 0, TH_EUSAGE, fix,
             "model.image.patch must divide model.image.size: %lld does not divide %lld",
             (long long)model->image.patch, (long long)model->image.size);
    TH_CHECK(model->text.context >= 3 && model->text.context <= MOST_CONTEXT, TH_EUSAGE, fix,
             "model.text.context must be 3 to %d, not %lld", MOST_CONTEXT,
             (long long)model->text.context);
    TH_CHECK(model->text.vocabulary >= 3 && model->text.vocabulary <= MOST_VOCABULARY, TH_EUSAGE,
             "pack with another --bpe or --tokenizer",
             "the tokenizer's vocabulary must be 3 to %d, not %lld", MOST_VOCABULARY,
             (long long)model->text.vocabulary);
    TH_TRY(check_text_kind(&model->text, err));
    TH_CHECK(model->embed >= 1 && model->embed <= MOST_WIDTH, TH_EUSAGE, fix,
             "model.embed must be 1 to %d, not %lld", MOST_WIDTH, (long long)model->embed);
out:
    return rc;
}
