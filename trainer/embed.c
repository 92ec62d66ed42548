/* trainer/embed.c - features of texts, for queries. */
#include "base/memory.h"
#include "trainer/evaluate.h"
#include "trainer/nn/normalize.h"

#include <stdlib.h>
#include <string.h>

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
