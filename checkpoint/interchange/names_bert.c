/* checkpoint/interchange/names_bert.c - BertModel of Hugging Face's transformers
 * (models/bert/modeling_bert.py) as rows of thaw's BERT text tower. The norm behind attention is
 * ln_1, the one behind the MLP ln_2. BertModel has no projection. */
#include "checkpoint/interchange/names.h"

#define BLOCK "transformer.resblocks.#."
#define LAYER "encoder.layer.#."

// Weight and bias of a norm or a linear layer.
#define PAIR(row, tensor)                                                                          \
    { row ".weight", { tensor ".weight" }, false },                                                \
    {                                                                                              \
        row ".bias", { tensor ".bias" }, false                                                     \
    }
#define QKV(what)                                                                                  \
    {                                                                                              \
        BLOCK "attn.in_proj_" what,                                                                \
            { LAYER "attention.self.query." what, LAYER "attention.self.key." what,                \
              LAYER "attention.self.value." what },                                                \
            false                                                                                  \
    }

const th_name_rule th_names_bert[] = {
    { "token_embedding.weight", { "embeddings.word_embeddings.weight" }, false },
    { "positional_embedding", { "embeddings.position_embeddings.weight" }, false },
    { "token_type_embedding.weight", { "embeddings.token_type_embeddings.weight" }, false },
    PAIR("ln_embed", "embeddings.LayerNorm"),
    QKV("weight"),
    QKV("bias"),
    PAIR(BLOCK "attn.out_proj", LAYER "attention.output.dense"),
    PAIR(BLOCK "ln_1", LAYER "attention.output.LayerNorm"),
    PAIR(BLOCK "mlp.c_fc", LAYER "intermediate.dense"),
    PAIR(BLOCK "mlp.c_proj", LAYER "output.dense"),
    PAIR(BLOCK "ln_2", LAYER "output.LayerNorm"),
    { 0 },
};
