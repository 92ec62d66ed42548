/* trainer/embed.c - features of texts, for queries and classes. */
#include "base/memory.h"
#include "base/slice.h"
#include "comm/agree.h"
#include "comm/gather.h"
#include "trainer/evaluate.h"
#include "trainer/nn/normalize.h"

#include <stdlib.h>
#include <string.h>

#define TEXTS 64 // in one pass: enough for GEMM to run at full speed

th_code th_embed_texts(const th_parameters *parameters, const th_tokenizer *tokenizer,
                       const char *const *texts, int64_t n, th_arena *arena, th_real *features,
                       th_err *err)
{
    const th_text_config *text = &parameters->model.text;
    th_text_tower         tower = { .parameters = parameters };
    int32_t              *tokens = NULL;
    int64_t              *offsets = NULL;
    th_real              *norm = NULL;
    th_code               rc = TH_OK;

    TH_TRY(
        th_alloc((size_t)(n * text->context), sizeof *tokens, "token ids", (void **)&tokens, err));
    TH_TRY(th_alloc((size_t)n + 1, sizeof *offsets, "caption offsets", (void **)&offsets, err));
    TH_TRY(th_alloc((size_t)n, sizeof *norm, "norms", (void **)&norm, err));
    for (int64_t i = 0; i < n; i++) {
        int32_t *at = tokens + offsets[i];
        int64_t  room = text->context - 2;
        int64_t  count =
            th_tokenizer_encode(tokenizer, texts[i], strlen(texts[i]), NULL, at + 1, room);
        TH_CHECK(count >= 0, TH_EUSAGE, "write less", "a text of %zu bytes could not be tokenized",
                 strlen(texts[i]));
        TH_CHECK(count > 0, TH_EUSAGE, "write at least one word", "text \"%s\" has no token",
                 texts[i]);
        count = count < room ? count : room;
        // As in the loader: CLIP's pool is where the first end stands, and a text may spell one.
        if (th_tokenizer_kind(tokenizer) == TH_TOKENS_CLIP)
            for (int64_t k = 0; k < count; k++)
                if (at[1 + k] == th_tokenizer_end(tokenizer))
                    count = k;
        at[0] = th_tokenizer_begin(tokenizer);
        at[count + 1] = th_tokenizer_end(tokenizer);
        offsets[i + 1] = offsets[i] + count + 2;
    }
    th_captions captions = { .tokens = tokens, .offsets = offsets, .n = n };
    TH_TRY(th_text_forward(&tower, &captions, arena, NULL, features, err));
    th_normalize_rows(features, n, parameters->model.embed, features, norm);
out:
    free(tokens);
    free(offsets);
    free(norm);
    return rc;
}

static th_code embed_slice(const th_parameters *parameters, const th_tokenizer *tokenizer,
                           const char *const *texts, int64_t n, th_arena *arena, th_real *features,
                           th_err *err)
{
    size_t  mark = arena->used_bytes;
    th_code rc = TH_OK;

    for (int64_t at = 0; rc == TH_OK && at < n; at += TEXTS) {
        rc = th_embed_texts(parameters, tokenizer, texts + at, n - at < TEXTS ? n - at : TEXTS,
                            arena, features + at * parameters->model.embed, err);
        th_arena_rewind(arena, mark);
    }
    return rc;
}

th_code th_embed_texts_shared(th_world *world, const th_parameters *parameters,
                              const th_tokenizer *tokenizer, const char *const *texts, int64_t n,
                              th_arena *arena, th_real *features, th_err *err)
{
    int64_t    first = th_slice_first(n, world->size, world->rank), d = parameters->model.embed;
    th_real   *mine = features + first * d;
    th_gather *gather = NULL;
    th_code    rc = embed_slice(parameters, tokenizer, texts + first,
                                th_slice_count(n, world->size, world->rank), arena, mine, err);

    TH_TRY(th_agree(world, rc, err));
    TH_TRY(th_gather_start(world, mine, n, (size_t)d * sizeof *mine, features, &gather, err));
    TH_TRY(th_gather_finish(gather, err));
out:
    return rc;
}
