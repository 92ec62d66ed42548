/* checkpoint/interchange/names_hugging_face.c - CLIPModel of Hugging Face's transformers
 * (models/clip/modeling_clip.py): query, key and value apart, projections as Linear layers keep
 * them, [outputs, inputs]. "pre_layrnorm" is how it is spelled there. */
#include "checkpoint/interchange/names.h"

// Weight and bias of a norm or a linear layer.
#define PAIR(row, tensor)                                                                          \
    { row ".weight", { tensor ".weight" }, false },                                                \
    {                                                                                              \
        row ".bias", { tensor ".bias" }, false                                                     \
    }

// The rows of a block: `row` is what stands before them in thaw, `tensor` in CLIPModel.
#define BLOCKS(row, tensor)                                                                        \
    PAIR(row "transformer.resblocks.#.ln_1", tensor "encoder.layers.#.layer_norm1"),               \
        PAIR(row "transformer.resblocks.#.ln_2", tensor "encoder.layers.#.layer_norm2"),           \
        PAIR(row "transformer.resblocks.#.attn.out_proj",                                          \
             tensor "encoder.layers.#.self_attn.out_proj"),                                        \
        PAIR(row "transformer.resblocks.#.mlp.c_fc", tensor "encoder.layers.#.mlp.fc1"),           \
        PAIR(row "transformer.resblocks.#.mlp.c_proj", tensor "encoder.layers.#.mlp.fc2"),         \
        QKV(row, tensor, "weight"), QKV(row, tensor, "bias")
#define QKV(row, tensor, what)                                                                     \
    {                                                                                              \
        row "transformer.resblocks.#.attn.in_proj_" what,                                          \
            { tensor "encoder.layers.#.self_attn.q_proj." what,                                    \
              tensor "encoder.layers.#.self_attn.k_proj." what,                                    \
              tensor "encoder.layers.#.self_attn.v_proj." what },                                  \
            false                                                                                  \
    }

const th_name_rule th_names_hugging_face[] = {
    { "visual.conv1.weight", { "vision_model.embeddings.patch_embedding.weight" }, false },
    { "visual.class_embedding", { "vision_model.embeddings.class_embedding" }, false },
    { "visual.positional_embedding",
      { "vision_model.embeddings.position_embedding.weight" },
      false },
    PAIR("visual.ln_pre", "vision_model.pre_layrnorm"),
    BLOCKS("visual.", "vision_model."),
    PAIR("visual.ln_post", "vision_model.post_layernorm"),
    { "visual.proj", { "visual_projection.weight" }, true },
    { "token_embedding.weight", { "text_model.embeddings.token_embedding.weight" }, false },
    { "positional_embedding", { "text_model.embeddings.position_embedding.weight" }, false },
    BLOCKS("", "text_model."),
    PAIR("ln_final", "text_model.final_layer_norm"),
    { "text_projection", { "text_projection.weight" }, true },
    { "logit_scale", { "logit_scale" }, false },
    { 0 },
};
