"""What the reference tests share: packs and checkpoints of thaw read without thaw, models of open_clip
and of transformers with random weights, and comparisons that say how far apart the two are.

Everything runs on one thread and in float32 unless a test says otherwise.
"""

import json
import math
import os
import struct
import sys
import zlib

import h5py
import lmdb
import numpy as np
import torch

torch.set_num_threads(1)

worst = {}  # largest difference seen by kind of comparison, for the line at the end of a test


def fail(message):
    print("FAILED:", message)
    sys.exit(1)


def compare(what, got, want, absolute=None, relative=None):
    """Fails unless two arrays have one shape and differ by no more than `absolute` in any element, or
    in the norm of the difference by no more than `relative` of the norm of `want`."""
    got, want = (np.asarray(torch.as_tensor(a).detach(), np.float64) for a in (got, want))
    if got.shape != want.shape:
        fail(f"{what}: shape {got.shape} where the reference has {want.shape}")
    if absolute is not None:
        off, allowed = float(np.abs(got - want).max(initial=0)), absolute
    else:
        off, allowed = float(np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30)), relative
    if not off <= allowed:
        fail(f"{what}: off by {off:.3g}, allowed {allowed:.3g}; got {got.flat[:4]}, want {want.flat[:4]}")
    kind = what.split(":")[0]
    worst[kind] = max(worst.get(kind, 0.0), off)
    return off


def report(name):
    """One line with the largest difference of each kind of comparison, the words before the colon."""
    print(f"{name}:", ", ".join(f"{kind} {off:.1e}" for kind, off in worst.items()))
    worst.clear()


# ---- pictures, packs, checkpoints


def make_pictures(folder, count, size, seed=1):
    """Smooth random pictures with captions of 1 to 12 words, as folder/pictures.tsv."""
    from PIL import Image

    words = """red green blue apple river stone house cat dog bird tree cloud small large old new under
        over beside with and a the of seven bright dark wooden glass morning street boat""".split()
    rng = np.random.default_rng(seed)
    os.makedirs(folder)
    with open(f"{folder}/pictures.tsv", "w") as table:
        table.write("filepath\ttitle\n")
        for i in range(count):
            coarse = rng.integers(0, 256, (5, 5, 3), np.uint8)
            Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC).save(f"{folder}/{i:04}.png")
            caption = " ".join(rng.choice(words, rng.integers(1, 13)))
            table.write(f"{i:04}.png\t{caption} {i}\n")


class Pack:
    """A pack as docs/packs.md tells to read it; codec raw or zlib."""

    def __init__(self, folder):
        self.info = json.load(open(f"{folder}/dataset.json"))
        self.vocabulary = self.info["tokenizer"]["vocabulary"]
        self.pixels, self.tokens, self.texts = [], [], []
        for shard in self.info["shards"]:
            env = lmdb.open(f"{folder}/{shard['file']}", subdir=False, readonly=True, lock=False)
            with env.begin() as txn:
                for _, record in txn.cursor():
                    self._read(record)

    def _read(self, record):
        _, _, codec, _, _, width, height, image_bytes, captions, _ = struct.unpack_from("<4sHBBQHHIHH", record)
        lengths = list(struct.iter_unpack("<II", record[28 : 28 + 8 * captions]))
        at = 28 + 8 * captions
        image, at = record[at : at + image_bytes], at + image_bytes
        texts, tokens = [], []
        for size, _ in lengths:
            texts.append(record[at : at + size].decode())
            at += size
        for _, count in lengths:
            tokens.append(list(struct.unpack_from(f"<{count}i", record, at)))
            at += 4 * count
        image = zlib.decompress(image) if codec == 1 else image
        self.pixels.append(np.frombuffer(image, np.uint8).reshape(height, width, 3))
        self.texts.append(texts)
        self.tokens.append(tokens)

    def images(self, records):
        """[n, 3, size, size] as thaw normalises them."""
        image = torch.from_numpy(np.stack([self.pixels[r] for r in records])).permute(0, 3, 1, 2) / 255.0
        mean, deviation = (torch.tensor(self.info["image"][k]).view(3, 1, 1) for k in ("mean", "deviation"))
        return (image - mean) / deviation

    def captions(self, records, context):
        """[n, context]: start of text, the first caption cut to fit, end of text, zeros."""
        out = torch.zeros(len(records), context, dtype=torch.long)
        for row, r in zip(out, records):
            ids = [self.vocabulary - 2, *self.tokens[r][0][: context - 2], self.vocabulary - 1]
            row[: len(ids)] = torch.tensor(ids)
        return out


def checkpoint_weights(path, group="model"):
    """name -> float32 tensor of a checkpoint's weights, or of a moment (docs/checkpoint.md)."""
    with h5py.File(path) as f:
        weights = {}
        f[group].visititems(
            lambda name, d: weights.update({name: torch.from_numpy(np.array(d[()]))})
            if isinstance(d, h5py.Dataset)
            else None
        )
        return weights


def metrics(run, key):
    """The values of one key of metrics.jsonl."""
    lines = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
    return [line[key] for line in lines if key in line]


# ---- models


def open_clip_config(patch, size, vocabulary, quick_gelu=False, context=16, layers=3, sigmoid=False):
    """A small model as open_clip_config.json's model_cfg says it; the two towers differ in all sizes.
    sigmoid: a model for the sigmoid loss. Its bias is -2, where SigLIP's starts at -10: so that what does
    not belong together counts from the first step on."""
    return {
        **({"init_logit_scale": math.log(10), "init_logit_bias": -2} if sigmoid else {}),
        "embed_dim": 48,
        "quick_gelu": quick_gelu,
        "vision_cfg": {"image_size": size, "layers": layers, "width": 96, "head_width": 32, "patch_size": patch},
        "text_cfg": {"context_length": context, "vocab_size": vocabulary, "width": 64, "heads": 2, "layers": layers},
    }


def open_clip_model(config, weights=None, seed=1):
    """open_clip's CLIP in training mode, with these weights or with random ones."""
    from open_clip.model import CLIP

    torch.manual_seed(seed)
    model = CLIP(**config, output_dict=True)
    if weights is None:
        stir(model)
    else:
        model.load_state_dict(weights)
    return model.train()


def open_clip_loss(config):
    """The loss that such a model is trained with."""
    from open_clip.loss import ClipLoss, SigLipLoss

    return SigLipLoss() if "init_logit_bias" in config else ClipLoss()


def write_open_clip(folder, config, weights, **preprocessing):
    """A folder as open_clip's save_for_hf leaves it."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    from safetensors.torch import save_file

    os.makedirs(folder)
    save_file({name: w.contiguous() for name, w in weights.items()}, f"{folder}/open_clip_model.safetensors")
    preprocessing = {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD, **preprocessing}
    json.dump({"model_cfg": config, "preprocess_cfg": preprocessing}, open(f"{folder}/open_clip_config.json", "w"))


def hf_config(config):
    """The same sizes as transformers' CLIPConfig."""
    from transformers import CLIPConfig

    image, text = config["vision_cfg"], config["text_cfg"]
    activation = "quick_gelu" if config["quick_gelu"] else "gelu"
    return CLIPConfig(
        projection_dim=config["embed_dim"],
        vision_config={
            "hidden_size": image["width"],
            "intermediate_size": 4 * image["width"],
            "num_hidden_layers": image["layers"],
            "num_attention_heads": image["width"] // image["head_width"],
            "image_size": image["image_size"],
            "patch_size": image["patch_size"],
            "hidden_act": activation,
        },
        text_config={
            "hidden_size": text["width"],
            "intermediate_size": 4 * text["width"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "max_position_embeddings": text["context_length"],
            "vocab_size": text["vocab_size"],
            "hidden_act": activation,
            "bos_token_id": text["vocab_size"] - 2,
            "eos_token_id": text["vocab_size"] - 1,
        },
    )


def hf_weights(weights):
    """open_clip's names and layouts as CLIPModel's: queries, keys and values apart, projections transposed."""
    rename = [
        ("conv1.weight", "embeddings.patch_embedding.weight"),
        ("class_embedding", "embeddings.class_embedding"),
        ("token_embedding.weight", "embeddings.token_embedding.weight"),
        ("positional_embedding", "embeddings.position_embedding.weight"),
        ("ln_pre", "pre_layrnorm"),
        ("ln_post", "post_layernorm"),
        ("ln_final", "final_layer_norm"),
        ("transformer.resblocks", "encoder.layers"),
        ("ln_1", "layer_norm1"),
        ("ln_2", "layer_norm2"),
        ("attn.out_proj", "self_attn.out_proj"),
        ("mlp.c_fc", "mlp.fc1"),
        ("mlp.c_proj", "mlp.fc2"),
    ]
    out = {}
    for name, w in weights.items():
        if name == "logit_scale":
            out[name] = w
        elif name in ("visual.proj", "text_projection"):
            out[f"{'visual' if name.startswith('visual') else 'text'}_projection.weight"] = w.T.contiguous()
        else:
            tower, rest = ("vision", name[7:]) if name.startswith("visual.") else ("text", name)
            for was, becomes in rename:
                rest = rest.replace(was, becomes)
            rest = f"{tower}_model.{rest}"
            if "in_proj_" in rest:
                for part, piece in zip("qkv", w.chunk(3)):
                    out[rest.replace("attn.in_proj_", f"self_attn.{part}_proj.")] = piece.clone()
            else:
                out[rest] = w
    return out


def hf_model(config, weights=None, seed=1):
    """transformers' CLIPModel in training mode; weights are under open_clip's names."""
    from transformers import CLIPModel

    torch.manual_seed(seed)
    model = CLIPModel(hf_config(config))
    if weights is None:
        stir(model)
    else:
        model.load_state_dict(hf_weights(weights))
    return model.train()  # there is no dropout


def stir(model, seed=2):
    """Moves biases and norms away from zero and one, so that every term counts, and the logit scale."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "bias" in name or "norm" in name or "ln_" in name or "layrnorm" in name:
                p += 0.1 * torch.randn(p.shape, generator=generator)
        model.logit_scale += 0.5


def without_key_bias(name, weight):
    """A parameter, of in_proj_bias only what is of queries and values."""
    if not name.endswith("in_proj_bias"):
        return weight
    query, _, value = weight.chunk(3)
    return torch.cat([query, value])


def open_clip_groups(model, weight_decay):
    """The parameter groups of open_clip's AdamW (open_clip_train/main.py): what has two or more dimensions
    decays, embeddings of positions too."""
    plain, decaying = [], []
    for name, p in model.named_parameters():
        if p.requires_grad:
            spared = p.ndim < 2 or "bn" in name or "ln" in name or "bias" in name or "logit_scale" in name
            (plain if spared else decaying).append(p)
    return [{"params": plain, "weight_decay": 0.0}, {"params": decaying, "weight_decay": weight_decay}]
