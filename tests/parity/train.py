"""train.py prepare | follow - writes models of open_clip and run files that start from them; then trains the
same models by open_clip, on the same batches, and compares the losses step by step.

The loop is open_clip_train's (train.py, main.py): its schedulers, its parameter groups, its loss, its clamp.

The losses are held to 1e-5, ten times closer than is asked for: positions that do not decay are off by
2e-5 in the first case, as is an epsilon of 1e-7. Seen: 3e-6.
"""

from reference import *

PACK, CONTEXT, STEPS = "packs/p", 16, 30
COMMON = {"loss": "softmax", "batch": 32, "lr": 1e-3, "warmup": 5, "shape": "cosine", "weight_decay": 0.2, "clip": 0}
CASES = {
    "everything": {**COMMON, "train": ["all"], "quick_gelu": False},
    "clipped": {
        **COMMON, "train": ["all"], "quick_gelu": True, "batch": 24, "lr": 5e-4, "warmup": 0,
        "shape": "constant", "weight_decay": 1.0, "clip": 1.0,
    },
    "locked": {**COMMON, "train": ["text", "logit_scale"], "quick_gelu": False, "unlocked_groups": 0},
    # open_clip counts the projection as a group of its own; image.top(1) is the last block with it.
    "opened": {**COMMON, "train": ["text", "logit_scale", "image.top(1)"], "quick_gelu": True, "unlocked_groups": 2},
    "sigmoid": {**COMMON, "loss": "sigmoid", "train": ["all"], "quick_gelu": False},
}  # fmt: skip


def config_of(case, pack):
    sigmoid = case["loss"] == "sigmoid"
    return open_clip_config(16, 64, pack.vocabulary, case["quick_gelu"], CONTEXT, sigmoid=sigmoid)


def prepare(pack):
    for name, case in CASES.items():
        config = config_of(case, pack)
        write_open_clip(f"weights/{name}", config, open_clip_model(config).state_dict())
        run = {
            "init": {"from": f"weights/{name}"},
            "loss": case["loss"],
            "data": {"train": PACK, "order": "sequential", "augment": "none"},
            "batch": case["batch"],
            "threads": 1,
            "memory_budget": "256 MiB",
            "checkpoint": {"every": f"{STEPS} steps"},
            "optimizer": {
                "lr": case["lr"],
                "weight_decay": case["weight_decay"],
                "decay_positions": True,
                "betas": [0.9, 0.98],
                "eps": 1e-6,
                "clip_norm": case["clip"],
            },
            "lr": {"warmup": f"{case['warmup']} steps", "shape": case["shape"]},
            "stages": [{"name": "one", "train": case["train"], "for": f"{STEPS} steps"}],
        }
        json.dump(run, open(f"{name}.yaml", "w"))  # YAML holds JSON


def train(model, case, pack):
    """The losses of 30 steps of open_clip's loop."""
    from open_clip_train.scheduler import const_lr, cosine_lr

    batch, losses, loss_of = case["batch"], [], open_clip_loss(config_of(case, pack))
    groups = open_clip_groups(model, case["weight_decay"])
    optimizer = torch.optim.AdamW(groups, lr=case["lr"], betas=(0.9, 0.98), eps=1e-6)
    shape = {"cosine": cosine_lr, "constant": const_lr}[case["shape"]]
    scheduler = shape(optimizer, case["lr"], case["warmup"], STEPS)
    for step in range(STEPS):
        scheduler(step)
        records = [(step * batch + i) % len(pack.pixels) for i in range(batch)]
        optimizer.zero_grad()
        loss = loss_of(**model(pack.images(records), pack.captions(records, CONTEXT)))
        loss.backward()
        if case["clip"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), case["clip"], norm_type=2.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses.append(loss.item())
    return losses


def follow(name, case, pack):
    run, model = f"runs/{name}", open_clip_model(config_of(case, pack))
    if "unlocked_groups" in case:
        model.lock_image_tower(unlocked_groups=case["unlocked_groups"])
    frozen = {key: p.detach().clone() for key, p in model.named_parameters() if not p.requires_grad}
    losses, ours = train(model, case, pack), metrics(run, "train/loss")

    if len(ours) != STEPS or not losses[-1] < 0.95 * losses[0]:
        fail(f"{name}: thaw made {len(ours)} steps, and open_clip's loss went from {losses[0]} to {losses[-1]}")
    for step, (got, want) in enumerate(zip(ours, losses)):
        compare(f"loss: {name}, step {step + 1}", got, want, relative=1e-5)

    # The biases of keys are left out: softmax does not see them, so their gradient is rounding and nothing
    # else, of which AdamW makes steps all the same. What is frozen keeps its bits.
    trained = checkpoint_weights(f"{run}/ckpt/step-{STEPS:08}.h5")
    for key, p in model.named_parameters():
        if key in frozen:
            compare(f"frozen weights: {name}, {key}", trained[key], frozen[key], absolute=0)
        else:
            got, want = (without_key_bias(key, w) for w in (trained[key], p))
            compare(f"trained weights: {name}, {key}", got, want, relative=2e-5)
    report(f"{name}, loss {losses[0]:.3f} to {losses[-1]:.3f}, off at most")


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Pack(PACK))
    else:
        for name, case in CASES.items():
            follow(name, case, Pack(PACK))
