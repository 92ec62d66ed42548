"""models.py prepare | compare - models of open_clip and of transformers with random weights, written by
these, and what thaw makes of them: weights, features, logits, loss, and the gradient of every parameter.

thaw's gradient is read from the checkpoint of one step at a learning rate of zero: with beta1 = 0 the
first moment is the gradient.
"""

from reference import *

BATCH, CONTEXT = 32, 16
CASES = [
    (library, patch, quick)
    for library in ("open_clip", "transformers")
    for patch in (32, 16, 14)
    for quick in (False, True)
]


def name_of(library, patch, quick):
    return f"{library}_patch{patch}_{'quick_gelu' if quick else 'gelu'}"


def pack_of(patch):
    return f"packs/{56 if patch == 14 else 64}"


def config_of(patch, quick):
    pack = Pack(pack_of(patch))
    return open_clip_config(patch, pack.info["image"]["size"], pack.vocabulary, quick, CONTEXT)


def model_of(library, patch, quick):
    """The same one in both calls of this program: it is drawn from a fixed seed."""
    return {"open_clip": open_clip_model, "transformers": hf_model}[library](config_of(patch, quick))


def prepare():
    for case in CASES:
        library, patch, quick = case
        name, model = name_of(*case), model_of(*case)
        if library == "open_clip":
            write_open_clip(f"weights/{name}", config_of(patch, quick), model.state_dict())
        else:
            model.save_pretrained(f"weights/{name}")
        run = {
            "init": {"from": f"weights/{name}"},
            "data": {"train": pack_of(patch), "order": "sequential", "augment": "none"},
            "batch": BATCH,
            "threads": 1,
            "memory_budget": "256 MiB",
            "for": "1 steps",
            "optimizer": {"lr": 0, "betas": [0, 0.98], "clip_norm": 0},
        }
        json.dump(run, open(f"{name}.yaml", "w"))  # YAML holds JSON


def outputs(library, model, pack, records):
    """Unit features of pictures and captions."""
    images, captions = pack.images(records), pack.captions(records, CONTEXT)
    if library == "open_clip":
        out = model(images, captions)
        return out["image_features"], out["text_features"]
    out = model(input_ids=captions, pixel_values=images)
    return out.image_embeds, out.text_embeds


def loss_of(library, model, pack, records):
    from open_clip.loss import ClipLoss

    images, captions = pack.images(records), pack.captions(records, CONTEXT)
    if library == "open_clip":
        return ClipLoss()(**model(images, captions))
    return model(input_ids=captions, pixel_values=images, return_loss=True).loss


def in_our_layout(library, name, theirs):
    """A parameter of thaw's as the library has it, weights or gradients: hf_weights the other way."""
    if library == "open_clip":
        return theirs[name]
    parts = list(hf_weights({name: torch.empty(3, 3)}))
    if len(parts) == 3:
        return torch.cat([theirs[part] for part in parts])
    return theirs[parts[0]].T if name in ("visual.proj", "text_projection") else theirs[parts[0]]


def check_features(library, name, model, pack):
    with torch.no_grad():
        image, text = outputs(library, model, pack, range(len(pack.pixels)))
    ours = torch.from_numpy(np.fromfile(f"{name}.features", np.float32)).view(2, *image.shape)
    compare(f"features: {name}, image", ours[0], image, absolute=1e-5)
    compare(f"features: {name}, text", ours[1], text, absolute=1e-5)
    scale = model.logit_scale.detach().exp()
    compare(f"logits: {name}", scale * ours[0] @ ours[1].T, scale * image @ text.T, absolute=1e-4)


def check_step(library, name, model, pack):
    last = f"runs/{name}/ckpt/step-00000001.h5"
    weights = dict(model.named_parameters())
    for key, got in checkpoint_weights(last).items():
        compare(f"weights: {name}, {key}", got, in_our_layout(library, key, weights), absolute=0)

    loss = loss_of(library, model, pack, range(BATCH))
    loss.backward()
    compare(f"loss: {name}", metrics(f"runs/{name}", "train/loss")[0], loss, relative=1e-5)
    gradients = {key: p.grad for key, p in weights.items()}
    total = torch.cat([g.flatten() for g in gradients.values()]).double().norm()
    compare(f"norm of the gradient: {name}", metrics(f"runs/{name}", "train/grad_norm")[0], total, relative=1e-5)
    for key, got in checkpoint_weights(last, "optim/exp_avg").items():
        want = in_our_layout(library, key, gradients)
        compare(f"gradients: {name}, {key}", without_key_bias(key, got), without_key_bias(key, want), relative=1e-4)


def compare_all():
    for case in CASES:
        library, patch, _ = case
        name, model, pack = name_of(*case), model_of(*case), Pack(pack_of(patch))
        check_features(library, name, model, pack)
        check_step(library, name, model, pack)
        report(f"{name}, off at most")


if __name__ == "__main__":
    {"prepare": prepare, "compare": compare_all}[sys.argv[1]]()
