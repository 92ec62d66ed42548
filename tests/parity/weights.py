"""weights.py prepare | compare - weights that open_clip and transformers wrote in every form that thaw reads,
and what thaw writes for them."""

from reference import *

MEAN, DEVIATION = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
CONFIG = open_clip_config(16, 64, 700, quick_gelu=True)
SIDES = (32, 48, 80, 128)  # other picture sizes, for models that had 64 pixels


def prepare():
    from open_clip.model import CustomTextCLIP

    model = open_clip_model(CONFIG)
    weights, preprocessing = model.state_dict(), {"mean": MEAN, "std": DEVIATION}
    write_open_clip("plain", CONFIG, weights, **preprocessing)
    write_open_clip("module", CONFIG, {f"module.{name}": w for name, w in weights.items()}, **preprocessing)
    write_open_clip("f16", CONFIG, {name: w.half() for name, w in weights.items()}, **preprocessing)
    write_open_clip("bf16", CONFIG, {name: w.bfloat16() for name, w in weights.items()}, **preprocessing)

    custom = CustomTextCLIP(**CONFIG)
    text = {key for key in weights if not key.startswith("visual") and key != "logit_scale"}
    custom.load_state_dict({f"text.{key}" if key in text else key: w for key, w in weights.items()})
    write_open_clip("custom", {**CONFIG, "custom_text": True}, custom.state_dict(), **preprocessing)

    model = hf_model(CONFIG, weights)
    model.save_pretrained("hf")
    model.half().save_pretrained("hf_f16")


def compare_imports():
    weights = open_clip_model(CONFIG).state_dict()
    forms = {
        "plain": lambda w: w,
        "module": lambda w: w,
        "custom": lambda w: w,
        "hf": lambda w: w,
        "f16": lambda w: w.half().float(),
        "hf_f16": lambda w: w.half().float(),
        "bf16": lambda w: w.bfloat16().float(),
    }
    for form, as_stored in forms.items():
        ours = checkpoint_weights(f"{form}.h5")
        if ours.keys() != weights.keys():
            fail(f"{form}: thaw has {ours.keys() ^ weights.keys()} or has it not")
        for name, want in weights.items():
            compare(f"imported weights: {form}, {name}", ours[name], as_stored(want), absolute=0)


def compare_positions():
    """open_clip's own resizing of embeddings of positions, when a model of another picture size loads them."""
    from open_clip.model import resize_pos_embed

    weights = open_clip_model(CONFIG).state_dict()
    for side in SIDES:
        other = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "image_size": side}}
        wanted = dict(weights)
        resize_pos_embed(wanted, open_clip_model(other))
        for name, got in checkpoint_weights(f"side{side}.h5").items():
            close = 1e-6 if name == "visual.positional_embedding" else 0
            compare(f"positions: {side} pixels, {name}", got, wanted[name], absolute=close)


def same_weights(what, model, weights):
    state = model.state_dict()
    for name, want in weights.items():
        compare(f"exported weights: {what}, {name}", state[name], want, absolute=0)


def compare_exports():
    from open_clip import create_model_and_transforms
    from safetensors.torch import load_file
    from transformers import CLIPImageProcessor, CLIPModel

    reference = open_clip_model(CONFIG).eval()
    weights = reference.state_dict()
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    tokens = torch.randint(1, 698, (8, 16), generator=torch.Generator().manual_seed(4))
    tokens[:, 10] = 699  # end of text
    with torch.no_grad():
        want = reference(images, tokens)

    model, _, transform = create_model_and_transforms("local-dir:exported_open_clip", output_dict=True)
    same_weights("open_clip", model, weights)
    with torch.no_grad():
        got = model.eval()(images, tokens)
    for key in ("image_features", "text_features", "logit_scale"):
        compare(f"exported models: open_clip, {key}", got[key], want[key], absolute=0)
    _, _, original = create_model_and_transforms("local-dir:plain")
    if repr(transform) != repr(original) or str(MEAN) not in repr(transform):
        fail(f"open_clip preprocesses for the exported model by {transform}, for the original by {original}")

    model = CLIPModel.from_pretrained("exported_hf").eval()
    same_weights("transformers", model, hf_weights(weights))
    with torch.no_grad():
        out = model(input_ids=tokens, pixel_values=images)
    compare("exported models: transformers, image", out.image_embeds, want["image_features"], absolute=1e-6)
    compare("exported models: transformers, text", out.text_embeds, want["text_features"], absolute=1e-6)
    pixels = CLIPImageProcessor.from_pretrained("exported_hf")
    told = pixels.size["shortest_edge"], pixels.crop_size["height"], pixels.image_mean, pixels.image_std
    if told != (64, 64, MEAN, DEVIATION) or not (pixels.do_resize and pixels.do_rescale and pixels.do_normalize):
        fail(f"transformers preprocesses for the exported model by {pixels}")

    for file in ("exported.safetensors", "back/open_clip_model.safetensors"):
        state = load_file(file)
        if state.keys() != weights.keys():
            fail(f"{file} differs by {state.keys() ^ weights.keys()}")
        for name, want in weights.items():
            compare(f"round trip: {file}, {name}", state[name], want, absolute=0)


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare()
    else:
        compare_imports()
        compare_positions()
        compare_exports()
        report("off at most")
