"""models.py prepare | compare - models of both activations and three patch sizes, in thaw, open_clip and
transformers: features, logits, loss, and the gradient of every parameter.

thaw's gradient is read from its checkpoint: with beta1 = 0 the first moment of the last step is it.
"""

from reference import *

BATCH, CONTEXT, STIRRED = 32, 16, 4
CASES = [(patch, quick) for patch in (32, 16, 14) for quick in (False, True)]


def name_of(patch, quick):
    return f"patch{patch}_{'quick_gelu' if quick else 'gelu'}"


def size_of(patch):
    return 56 if patch == 14 else 64


def config_of(patch, quick, pack):
    return open_clip_config(patch, size_of(patch), pack.vocabulary, quick, CONTEXT)


def prepare():
    """Run files: a few steps that take norms and biases away from one and zero, then one that measures."""
    for patch, quick in CASES:
        pack = Pack(f"packs/{size_of(patch)}")
        run = {
            "model": thaw_model(config_of(patch, quick, pack)),
            "data": {"train": f"packs/{size_of(patch)}", "order": "sequential", "augment": "none"},
            "batch": BATCH,
            "threads": 1,
            "memory_budget": "256 MiB",
            "checkpoint": {"every": "1 steps", "keep": 9},
            "stages": [
                {"name": "stir", "train": "all", "for": f"{STIRRED} steps", "lr": 2e-3},
                {
                    "name": "measure",
                    "train": "all",
                    "for": "1 steps",
                    "lr": 0,
                    "optimizer": {"betas": [0, 0.98], "clip_norm": 0},
                },
            ],
        }
        json.dump(run, open(f"{name_of(patch, quick)}.yaml", "w"))


def features_of(name, pack, width):
    """thaw's unit features of the pack's pictures and captions, by parity_features."""
    rows = len(pack.pixels)
    both = torch.from_numpy(np.fromfile(f"{name}.features", np.float32)).view(2, rows, width)
    return both[0], both[1]


def check_features(name, ours, image, text, scale):
    for tower, got, want in (("image", ours[0], image), ("text", ours[1], text)):
        compare(f"features: {name}, {tower}", got, want, absolute=1e-5)
    compare(f"logits: {name}", scale * ours[0] @ ours[1].T, scale * image @ text.T, absolute=1e-4)


def check_gradients(name, ours, model, names):
    """names: of thaw's parameters, each with a function that takes the reference's gradient to its layout."""
    theirs = {key: p.grad for key, p in model.named_parameters()}
    for key, got in ours.items():
        want = names(key, theirs)
        compare(f"gradients: {name}, {key}", without_key_bias(key, got), without_key_bias(key, want), relative=1e-4)


def hf_gradient(key, theirs):
    """thaw's row of CLIPModel's gradients: what hf_weights did to the names is undone."""
    mapped = list(hf_weights({key: torch.empty(3, 3)}))
    if len(mapped) == 3:
        return torch.cat([theirs[k] for k in mapped])
    return theirs[mapped[0]].T if key in ("visual.proj", "text_projection") else theirs[mapped[0]]


def check(patch, quick):
    from open_clip.loss import ClipLoss

    name, pack = name_of(patch, quick), Pack(f"packs/{size_of(patch)}")
    config, run = config_of(patch, quick, pack), f"runs/{name}"
    last = f"{run}/ckpt/step-{STIRRED + 1:08}.h5"
    weights, gradients = checkpoint_weights(last), checkpoint_weights(last, "optim/exp_avg")
    ours = features_of(name, pack, config["embed_dim"])
    loss, norm = (metrics(run, key)[-1] for key in ("train/loss", "train/grad_norm"))
    everything = range(len(pack.pixels))
    images, captions = pack.images(everything), pack.captions(everything, CONTEXT)
    batch = [(STIRRED * BATCH + i) % len(pack.pixels) for i in range(BATCH)]
    batch_images, batch_captions = pack.images(batch), pack.captions(batch, CONTEXT)

    model = open_clip_model(config, weights)
    with torch.no_grad():
        out = model(images, captions)
    check_features(f"open_clip, {name}", ours, out["image_features"], out["text_features"], out["logit_scale"])
    want = ClipLoss()(**model(batch_images, batch_captions))
    want.backward()
    compare(f"loss: open_clip, {name}", loss, want, relative=1e-5)
    check_gradients(f"open_clip, {name}", gradients, model, lambda key, theirs: theirs[key])
    total = torch.cat([p.grad.flatten() for p in model.parameters()]).double().norm()
    compare(f"norm of the gradient: open_clip, {name}", norm, total, relative=1e-4)

    model = hf_model(config, weights)
    with torch.no_grad():
        out = model(input_ids=captions, pixel_values=images)
    check_features(f"transformers, {name}", ours, out.image_embeds, out.text_embeds, model.logit_scale.exp())
    compare(f"logits: transformers, {name}, its own", out.logits_per_image, model.logit_scale.exp() * ours[0] @ ours[1].T, absolute=1e-4)
    want = model(input_ids=batch_captions, pixel_values=batch_images, return_loss=True).loss
    want.backward()
    compare(f"loss: transformers, {name}", loss, want, relative=1e-5)
    check_gradients(f"transformers, {name}", gradients, model, hf_gradient)


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare()
    else:
        for patch, quick in CASES:
            check(patch, quick)
            report(f"{name_of(patch, quick)}, off at most")
