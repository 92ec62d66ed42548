"""models.py prepare | compare - models of open_clip and of transformers with random weights, written by
these, and what thaw makes of them: weights, features, logits, loss, and the gradient of every parameter.

thaw's gradient is read from the checkpoint of one step at a learning rate of zero: with beta1 = 0 the
first moment is the gradient.
"""

from reference import *

from collections import namedtuple

BATCH, CONTEXT = 32, 16
Case = namedtuple("Case", "library patch activation loss")
CASES = [
    Case(library, patch, activation, "softmax")
    for library in ("open_clip", "transformers")
    for patch in (32, 16, 14)
    for activation in ("gelu", "quick_gelu")
] + [Case("open_clip", 16, "gelu", "sigmoid")]


def name_of(case):
    return f"{case.library}_patch{case.patch}_{case.activation}_{case.loss}"


def pack_of(case):
    return f"packs/{56 if case.patch == 14 else 64}"


def config_of(case):
    pack = Pack(pack_of(case))
    size, quick = pack.info["image"]["size"], case.activation == "quick_gelu"
    return open_clip_config(case.patch, size, pack.vocabulary, quick, CONTEXT, sigmoid=case.loss == "sigmoid")


def model_of(case):
    """The same one in both calls of this program: it is drawn from a fixed seed."""
    return {"open_clip": open_clip_model, "transformers": hf_model}[case.library](config_of(case))


def prepare():
    for case in CASES:
        name, model = name_of(case), model_of(case)
        if case.library == "open_clip":
            write_open_clip(f"weights/{name}", config_of(case), model.state_dict())
        else:
            model.save_pretrained(f"weights/{name}")
        run = {
            "init": {"from": f"weights/{name}"},
            "loss": case.loss,
            "data": {"train": pack_of(case), "order": "sequential", "augment": "none"},
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


def loss_of(case, model, pack, records):
    images, captions = pack.images(records), pack.captions(records, CONTEXT)
    if case.library == "open_clip":
        return open_clip_loss(config_of(case))(**model(images, captions))
    return model(input_ids=captions, pixel_values=images, return_loss=True).loss


def in_our_layout(library, name, theirs):
    """A parameter of thaw's as the library has it, weights or gradients: hf_weights the other way."""
    if library == "open_clip":
        return theirs[name]
    parts = list(hf_weights({name: torch.empty(3, 3)}))
    if len(parts) == 3:
        return torch.cat([theirs[part] for part in parts])
    return theirs[parts[0]].T if name in ("visual.proj", "text_projection") else theirs[parts[0]]


def check_features(case, model, pack):
    name = name_of(case)
    with torch.no_grad():
        image, text = outputs(case.library, model, pack, range(len(pack.pixels)))
    ours = torch.from_numpy(np.fromfile(f"{name}.features", np.float32)).view(2, *image.shape)
    compare(f"features: {name}, image", ours[0], image, absolute=1e-5)
    compare(f"features: {name}, text", ours[1], text, absolute=1e-5)
    scale = model.logit_scale.detach().exp()
    compare(f"logits: {name}", scale * ours[0] @ ours[1].T, scale * image @ text.T, absolute=1e-4)


def check_step(case, model, pack):
    name, weights = name_of(case), dict(model.named_parameters())
    last = f"runs/{name}/ckpt/step-00000001.h5"
    ours = checkpoint_weights(last)
    if "logit_bias" in weights and "logit_bias" not in ours:
        fail(f"{name}: thaw has no logit_bias")
    for key, got in ours.items():
        compare(f"weights: {name}, {key}", got, in_our_layout(case.library, key, weights), absolute=0)

    loss = loss_of(case, model, pack, range(BATCH))
    loss.backward()
    compare(f"loss: {name}", metrics(f"runs/{name}", "train/loss")[0], loss, relative=1e-5)
    gradients = {key: p.grad for key, p in weights.items()}
    total = torch.cat([g.flatten() for g in gradients.values()]).double().norm()
    compare(f"norm of the gradient: {name}", metrics(f"runs/{name}", "train/grad_norm")[0], total, relative=1e-5)
    for key, got in checkpoint_weights(last, "optim/exp_avg").items():
        want = in_our_layout(case.library, key, gradients)
        compare(f"gradients: {name}, {key}", without_key_bias(key, got), without_key_bias(key, want), relative=2e-5)


def compare_all():
    for case in CASES:
        model, pack = model_of(case), Pack(pack_of(case))
        check_features(case, model, pack)
        check_step(case, model, pack)
        report(f"{name_of(case)}, off at most")


if __name__ == "__main__":
    {"prepare": prepare, "compare": compare_all}[sys.argv[1]]()
