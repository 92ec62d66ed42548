#include "trainer/evaluate.h"

#include "base/slice.h"
#include "comm/agree.h"
#include "comm/gather.h"
#include "trainer/footprint.h"
#include "trainer/loss/contrastive.h"
#include "trainer/loss/duplicates.h"
#include "trainer/nn/normalize.h"

#include <stdlib.h>
#include <string.h>

#define EMBED_BATCH  64   // pictures in one forward pass: enough for GEMM to run at full speed
#define EMBED_TOKENS 8192 // tokens in one, whatever the number of captions a picture has

void th_features_free(th_features *features)
{
    free(features->image);
    free(features->text);
    free(features->image_of);
    free(features->key);
    *features = (th_features){ 0 };
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t th_evaluate_bytes(const th_world *world, const th_parameters *parameters,
                         const th_pack_info *pack, size_t *out_arena)
{
    size_t  real = sizeof(th_real), d = (size_t)parameters->model.embed, tape, image, text;
    int64_t side = parameters->model.image.size, context = parameters->model.text.context;
    int64_t each = (pack->captions + pack->records - 1) / pack->records;
    int64_t captions = EMBED_BATCH * each, tokens = captions * context;
    size_t  rows = (size_t)(pack->records + pack->captions);

    if (tokens > EMBED_TOKENS)
        tokens = EMBED_TOKENS;
    th_footprint_pass(parameters, TH_IMAGE, EMBED_BATCH, 0, &tape, &image);
    th_footprint_pass(parameters, TH_TEXT_TOWER, captions, tokens, &tape, &text);
    *out_arena = larger(image, text);
    // Features of all ranks beside this rank's part of them, an index of rows, pictures read ahead.
    return rows * d * real + rows / (size_t)world->size * d * real + 4 * rows * sizeof(int64_t) +
           (size_t)4 * EMBED_BATCH * (size_t)(side * side * 3);
}

// What one rank embeds: pictures [first, first + images) of the pack, with all their captions.
typedef struct {
    int64_t   first, images, captions, room; // room for captions
    bool      pictures_only;
    th_real  *image, *text;
    int64_t  *image_of;
    uint64_t *key;
} part;

static th_code grow_captions(part *mine, int64_t more, int64_t d, th_err *err)
{
    th_code rc = TH_OK;

    if (mine->captions + more <= mine->room)
        return TH_OK;
    int64_t  room = 2 * (mine->captions + more);
    th_real *text = realloc(mine->text, (size_t)(room * d) * sizeof *text);
    TH_CHECK(text, TH_EIO, "use a smaller pack", "could not keep features of %lld captions",
             (long long)room);
    mine->text = text;
    int64_t *image_of = realloc(mine->image_of, (size_t)room * sizeof *image_of);
    TH_CHECK(image_of, TH_EIO, "use a smaller pack", "could not keep features of %lld captions",
             (long long)room);
    mine->image_of = image_of;
    uint64_t *key = realloc(mine->key, (size_t)room * sizeof *key);
    TH_CHECK(key, TH_EIO, "use a smaller pack", "could not keep keys of %lld captions",
             (long long)room);
    mine->key = key;
    mine->room = room;
out:
    return rc;
}

// Features of the first `n` samples of a batch, appended to the part.
static th_code embed_batch(const th_image_tower *images, const th_text_tower *texts,
                           const th_batch *batch, int64_t n, th_arena *arena, part *mine,
                           int64_t at, th_err *err)
{
    int64_t  d = images->parameters->model.embed, captions = 0;
    size_t   mark = arena->used_bytes;
    th_real *norm = NULL;
    th_code  rc = TH_OK;

    while (!mine->pictures_only && captions < batch->caption_count &&
           batch->sample_of[captions] < n)
        captions++;
    TH_TRY(grow_captions(mine, captions, d, err));
    TH_TRY(th_alloc((size_t)(n > captions ? n : captions), sizeof *norm, "norms", (void **)&norm,
                    err));

    th_real *image = mine->image + at * d;
    TH_TRY(th_image_forward(images, batch->pixels, n, arena, NULL, image, err));
    th_normalize_rows(image, n, d, image, norm);

    th_real *text = captions > 0 ? mine->text + mine->captions * d : NULL;
    for (int64_t first = 0, end; first < captions; first = end) {
        for (end = first + 1; end < captions; end++)
            if (batch->offsets[end + 1] - batch->offsets[first] > EMBED_TOKENS)
                break;
        th_captions some = { .tokens = batch->tokens,
                             .offsets = batch->offsets + first,
                             .n = end - first };
        TH_TRY(th_text_forward(texts, &some, arena, NULL, text + first * d, err));
    }
    th_normalize_rows(text, captions, d, text, norm);
    for (int64_t i = 0; i < captions; i++) {
        const int64_t *offset = batch->offsets + i;
        mine->image_of[mine->captions + i] = mine->first + at + batch->sample_of[i];
        mine->key[mine->captions + i] =
            th_caption_key(batch->tokens + offset[0], offset[1] - offset[0]);
    }
    mine->captions += captions;
out:
    free(norm);
    th_arena_rewind(arena, mark);
    return rc;
}

static th_code embed_part(const th_parameters *parameters, th_pack *pack, th_arena *arena,
                          part *mine, th_err *err)
{
    const th_pack_info *info = th_pack_describe(pack);
    th_image_tower      images = { .parameters = parameters };
    th_text_tower       texts = { .parameters = parameters };
    th_loader          *loader = NULL;
    th_code             rc = TH_OK;

    memcpy(images.mean, info->mean, sizeof images.mean);
    memcpy(images.deviation, info->deviation, sizeof images.deviation);
    TH_TRY(th_alloc((size_t)(mine->images * parameters->model.embed), sizeof(th_real),
                    "image features", (void **)&mine->image, err));
    if (mine->images == 0)
        goto out;
    th_loader_options options = { .pack = pack,
                                  .order = { .records = info->records },
                                  .position = mine->first,
                                  .batch = EMBED_BATCH,
                                  .world_size = 1,
                                  .size = parameters->model.image.size,
                                  .context = parameters->model.text.context,
                                  .threads = 1,
                                  .ahead = 2,
                                  .bad_share = 1 };
    TH_TRY(th_loader_open(&options, &loader, err));
    for (int64_t at = 0; at < mine->images; at += EMBED_BATCH) {
        const th_batch *batch;
        int64_t         left = mine->images - at;
        TH_TRY(th_loader_next(loader, &batch, NULL, err));
        TH_TRY(embed_batch(&images, &texts, batch, left < EMBED_BATCH ? left : EMBED_BATCH, arena,
                           mine, at, err));
    }
out:
    th_loader_close(loader);
    return rc;
}

// Every rank gets all parts, in rank order. Counts of captions differ from rank to rank, so each
// part is broadcast.
static th_code exchange(th_world *world, const part *mine, int64_t images, int64_t d,
                        th_features *all, th_err *err)
{
    th_gather *gather = NULL;
    double    *counts = NULL;
    th_code    rc = TH_OK;

    TH_TRY(th_alloc((size_t)world->size, sizeof *counts, "caption counts", (void **)&counts, err));
    counts[world->rank] = (double)mine->captions;
    TH_TRY(th_world_sum(world, counts, world->size, err));
    *all = (th_features){ .images = images, .d = d };
    for (int r = 0; r < world->size; r++)
        all->captions += (int64_t)counts[r];

    rc = th_alloc((size_t)(images * d), sizeof(th_real), "image features", (void **)&all->image,
                  err);
    if (rc == TH_OK)
        rc = th_alloc((size_t)(all->captions * d), sizeof(th_real), "text features",
                      (void **)&all->text, err);
    if (rc == TH_OK)
        rc = th_alloc((size_t)all->captions, sizeof(int64_t), "caption owners",
                      (void **)&all->image_of, err);
    if (rc == TH_OK)
        rc = th_alloc((size_t)all->captions, sizeof(uint64_t), "caption keys", (void **)&all->key,
                      err);
    TH_TRY(th_agree(world, rc, err));

    TH_TRY(th_gather_start(world, mine->image, images, (size_t)d * sizeof(th_real), all->image,
                           &gather, err));
    TH_TRY(th_gather_finish(gather, err));
    for (int64_t r = 0, at = 0; r < world->size; at += (int64_t)counts[r++]) {
        size_t n = (size_t)counts[r];
        if (r == world->rank && n > 0) {
            memcpy(all->text + at * d, mine->text, n * (size_t)d * sizeof(th_real));
            memcpy(all->image_of + at, mine->image_of, n * sizeof(int64_t));
            memcpy(all->key + at, mine->key, n * sizeof(uint64_t));
        }
        TH_TRY(th_world_broadcast(world, all->text + at * d, n * (size_t)d * sizeof(th_real),
                                  (int)r, err));
        TH_TRY(th_world_broadcast(world, all->image_of + at, n * sizeof(int64_t), (int)r, err));
        TH_TRY(th_world_broadcast(world, all->key + at, n * sizeof(uint64_t), (int)r, err));
    }
out:
    free(counts);
    return rc;
}

static th_code embed(th_world *world, const th_parameters *parameters, th_pack *pack,
                     int64_t records, bool pictures_only, th_arena *arena, th_features *out,
                     th_err *err)
{
    part        mine = { .first = th_slice_first(records, world->size, world->rank),
                         .images = th_slice_count(records, world->size, world->rank),
                         .pictures_only = pictures_only };
    th_features all = { 0 };
    th_code     rc = TH_OK;

    TH_TRY(th_agree(world, embed_part(parameters, pack, arena, &mine, err), err));
    TH_TRY(exchange(world, &mine, records, parameters->model.embed, &all, err));
    *out = all;
out:
    if (rc != TH_OK)
        th_features_free(&all);
    free(mine.image);
    free(mine.text);
    free(mine.image_of);
    free(mine.key);
    return rc == TH_OK ? TH_OK : th_during(err, "embedding pack \"%s\"", th_pack_folder(pack));
}

th_code th_embed_pack(th_world *world, const th_parameters *parameters, th_pack *pack,
                      th_arena *arena, th_features *out, th_err *err)
{
    return embed(world, parameters, pack, th_pack_describe(pack)->records, false, arena, out, err);
}

th_code th_embed_pack_pictures(th_world *world, const th_parameters *parameters, th_pack *pack,
                               th_arena *arena, th_features *out, th_err *err)
{
    return embed(world, parameters, pack, th_pack_describe(pack)->records, true, arena, out, err);
}

th_code th_embed_records(th_world *world, const th_parameters *parameters, th_pack *pack,
                         int64_t records, th_arena *arena, th_features *out, th_err *err)
{
    return embed(world, parameters, pack, records, false, arena, out, err);
}

// The first caption of each picture: all that the loss looks at.
typedef struct {
    int64_t  *caption_of; // [images]
    th_real  *text;       // [batch, d] of the pictures of a batch
    uint64_t *key;        // [batch]
} first_captions;

static void first_captions_free(first_captions *captions)
{
    free(captions->caption_of);
    free(captions->text);
    free(captions->key);
}

static th_code find_first_captions(const th_features *features, int64_t batch, first_captions *out,
                                   th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_alloc((size_t)features->images, sizeof *out->caption_of, "first captions",
                    (void **)&out->caption_of, err));
    TH_TRY(th_alloc((size_t)(batch * features->d), sizeof *out->text, "a batch's captions",
                    (void **)&out->text, err));
    TH_TRY(th_alloc((size_t)batch, sizeof *out->key, "a batch's keys", (void **)&out->key, err));
    for (int64_t i = features->captions - 1; i >= 0; i--)
        out->caption_of[features->image_of[i]] = i;
out:
    return rc;
}

// Loss over the pictures [first, first + n) with their first captions, times n. The input has what
// holds for every batch.
static th_code batch_loss(th_world *world, const th_features *features, first_captions *captions,
                          th_contrastive_input input, int64_t first, int64_t n, th_arena *arena,
                          double *sum, th_err *err)
{
    int64_t               d = features->d, own = 0; // the row where the loss begins to read
    size_t                mark = arena->used_bytes;
    th_contrastive_output loss = { 0 };
    th_code               rc = TH_OK;

    for (int64_t i = 0; i < n; i++) {
        int64_t caption = captions->caption_of[first + i];
        memcpy(captions->text + i * d, features->text + caption * d, (size_t)d * sizeof(th_real));
        captions->key[i] = features->key[caption];
    }
    if (input.kind == TH_SIGMOID_LOSS)
        own = th_slice_first(n, world->size, world->rank);
    input.B = n;
    input.image = features->image + (first + own) * d;
    input.text = captions->text + own * d;
    input.key = captions->key + own;
    TH_TRY(th_contrastive(world, &input, arena, &loss, err));
    *sum += loss.loss * (double)n;
out:
    th_arena_rewind(arena, mark);
    return rc;
}

th_code th_evaluate(th_world *world, const th_features *features, const th_parameters *parameters,
                    const th_train_options *options, th_arena *arena, th_eval_report *out,
                    th_err *err)
{
    th_eval_report       report = { 0 };
    int64_t              images = features->images, batch = options->batch;
    first_captions       captions = { 0 };
    double               sum = 0;
    bool                 sigmoid = parameters->logit_bias >= 0;
    th_contrastive_input loss = { .kind = sigmoid ? TH_SIGMOID_LOSS : TH_SOFTMAX_LOSS,
                                  .d = features->d,
                                  .K = 1,
                                  .mask_duplicates = options->mask_duplicates,
                                  .logit_scale = *th_weight(parameters, parameters->logit_scale) };
    th_code              rc = TH_OK;

    if (sigmoid)
        loss.logit_bias = *th_weight(parameters, parameters->logit_bias);
    TH_TRY(th_agree(world, find_first_captions(features, batch, &captions, err), err));
    for (int64_t first = 0; first < images; first += batch)
        TH_TRY(batch_loss(world, features, &captions, loss, first,
                          first + batch < images ? batch : images - first, arena, &sum, err));
    report.loss = sum / (double)images;

    th_retrieval_input input = { .images = images,
                                 .captions = features->captions,
                                 .d = features->d,
                                 .image = features->image,
                                 .text = features->text,
                                 .image_of = features->image_of };
    TH_TRY(th_retrieve(world, &input, &report.retrieval, err));
    *out = report;
out:
    first_captions_free(&captions);
    return rc == TH_OK ? TH_OK : th_during(err, "evaluating");
}
