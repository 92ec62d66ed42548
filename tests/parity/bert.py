"""bert.py prepare | compare - a BertModel of transformers with random weights as the text tower of a run: its
weights, the features of captions, the loss, and the gradient of every parameter of the tower.

As in models.py the gradient is the first moment after one step with beta1 = 0 at a learning rate of zero. The image
tower is thaw's own: its features are taken as they are.
"""

from reference import *

BATCH, CONTEXT, WIDTH = 32, 16, 64
CASES = {"first": 48, "mean": WIDTH}  # what is pooled: width of a feature; as wide as the tower: no projection


def model_of(pool, vocabulary):
    """The same one in both calls of this program. It has more positions than captions get."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(len(pool))
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=40,
        hidden_act="gelu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.15,
    )
    model = BertModel(config)
    model.logit_scale = torch.nn.Parameter(torch.zeros(()))  # for stir
    stir(model)
    del model.logit_scale
    return model


def prepare():
    pack = Pack("packs/p")
    for pool, embed in CASES.items():
        folder = f"weights/{pool}"
        model_of(pool, pack.vocabulary).save_pretrained(folder)
        if pool == "mean":  # as sentence-transformers says so
            os.makedirs(f"{folder}/1_Pooling")
            mode = {"word_embedding_dimension": WIDTH, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
            json.dump(mode, open(f"{folder}/1_Pooling/config.json", "w"))
        run = {
            "init": {"text": folder},
            "model": {
                "image": {"size": 32, "patch": 8, "width": 48, "layers": 2, "heads": 2},
                "text": {"context": CONTEXT},
                "embed": embed,
                "activation": "quick_gelu",  # the image tower's: BERT has its own
            },
            "data": {"train": "packs/p", "order": "sequential", "augment": "none"},
            "batch": BATCH,
            "threads": 1,
            "memory_budget": "256 MiB",
            "for": "1 steps",
            "optimizer": {"lr": 0, "betas": [0, 0.98], "clip_norm": 0},
        }
        json.dump(run, open(f"{pool}.yaml", "w"))


def rows(layers):
    """thaw's names: the tensors of BertModel that stand one below the other in it."""
    out = {
        "token_embedding.weight": ["embeddings.word_embeddings.weight"],
        "positional_embedding": ["embeddings.position_embeddings.weight"],
        "token_type_embedding.weight": ["embeddings.token_type_embeddings.weight"],
    }
    for part in ("weight", "bias"):
        out[f"ln_embed.{part}"] = [f"embeddings.LayerNorm.{part}"]
        for i in range(layers):
            ours, theirs = f"transformer.resblocks.{i}", f"encoder.layer.{i}"
            heads = [f"{theirs}.attention.self.{x}.{part}" for x in ("query", "key", "value")]
            out[f"{ours}.attn.in_proj_{part}"] = heads
            for name, tensor in {
                "attn.out_proj": "attention.output.dense",
                "ln_1": "attention.output.LayerNorm",
                "mlp.c_fc": "intermediate.dense",
                "mlp.c_proj": "output.dense",
                "ln_2": "output.LayerNorm",
            }.items():
                out[f"{ours}.{name}.{part}"] = [f"{theirs}.{tensor}.{part}"]
    return out


def in_our_layout(name, tensors):
    value = torch.cat([torch.as_tensor(t) for t in tensors])
    return value[:CONTEXT] if name == "positional_embedding" else value


def text_features(model, pool, pack, records, projection):
    ids = pack.captions(records, CONTEXT)
    counts = torch.tensor([min(len(pack.tokens[r][0]), CONTEXT - 2) + 2 for r in records])
    mask = (torch.arange(CONTEXT)[None] < counts[:, None]).float()
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = (hidden * mask[..., None]).sum(1) / counts[:, None]
    return torch.nn.functional.normalize((mean if pool == "mean" else hidden[:, 0]) @ projection, dim=-1)


def compare_all():
    from open_clip.loss import ClipLoss

    pack = Pack("packs/p")
    count = len(pack.pixels)
    for pool, embed in CASES.items():
        model = model_of(pool, pack.vocabulary)
        last = f"runs/{pool}/ckpt/step-00000001.h5"
        weights, theirs = checkpoint_weights(last), dict(model.named_parameters())
        for name, tensors in rows(3).items():
            want = in_our_layout(name, [theirs[t] for t in tensors])
            compare(f"weights: {pool}, {name}", weights[name], want, absolute=0)
        projection = weights["text_projection"].clone().requires_grad_()
        if embed == WIDTH:
            compare(f"weights: {pool}, projection", projection, torch.eye(WIDTH), absolute=0)

        image, text = torch.from_numpy(np.fromfile(f"{pool}.features", np.float32)).view(2, count, embed)
        with torch.no_grad():
            want = text_features(model, pool, pack, range(count), projection)
        compare(f"features: {pool}", text, want, absolute=1e-5)

        scale = weights["logit_scale"].exp()
        loss = ClipLoss()(image[:BATCH], text_features(model, pool, pack, range(BATCH), projection), scale)
        loss.backward()
        compare(f"loss: {pool}", metrics(f"runs/{pool}", "train/loss")[0], loss, relative=1e-5)
        gradients = checkpoint_weights(last, "optim/exp_avg")
        compare(f"gradients: {pool}, text_projection", gradients["text_projection"], projection.grad, relative=2e-5)
        for name, tensors in rows(3).items():
            got, want = gradients[name], in_our_layout(name, [theirs[t].grad for t in tensors])
            compare(f"gradients: {pool}, {name}", without_key_bias(name, got), without_key_bias(name, want), relative=2e-5)
        report(f"BertModel, {pool}, off at most")


if __name__ == "__main__":
    {"prepare": prepare, "compare": compare_all}[sys.argv[1]]()
