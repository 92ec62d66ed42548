#!/bin/bash
# tests/fault/embed.sh BUILD - thaw embed writes what eval measures: recall of its features, computed
# again by numpy, is eval's; a run and its weights, a folder and a pack of the same pictures, one rank
# and several give the same bytes; what cannot be embedded is named.
docs=$(realpath docs/evaluation.md)
. "$(dirname "$0")/common.bash" "$1"

has() { grep -qE -- "$1" last.log || fail "no \"$1\" in the output: $(cat last.log)"; }

python=/usr/bin/python3 # the distribution's, which python3-h5py belongs to
"$python" -c 'import h5py, numpy' 2>/dev/null || {
    echo "SKIPPED: needs h5py and numpy (apt-get install python3-h5py)" >&2
    exit 77
}
cat >read.py <<'END_OF_PYTHON'
# load(path) -> dict of arrays and lists, of either format; the safetensors by hand.
import h5py, json, numpy as np, struct
def load(path):
    if path.endswith(".h5"):
        with h5py.File(path) as f:
            return {k: d.asstr()[()].tolist() if d.dtype == object else d[()] for k, d in f.items()}
    out = json.load(open(path.removesuffix(".safetensors") + ".names.json", encoding="utf-8"))
    data = open(path, "rb").read()
    (size,) = struct.unpack("<Q", data[:8])
    for name, t in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            first, end = (8 + size + at for at in t["data_offsets"])
            assert t["dtype"] == "F32"
            out[name] = np.frombuffer(data[first:end], "<f4").reshape(t["shape"])
    return out
END_OF_PYTHON
check() { PYTHONPATH=. "$python" - "$@" || fail "of $*"; }

expect 0 "$thaw" train run.yaml for=30steps eval.every=never run_dir=runs/first
expect 0 "$thaw" export runs/first --out open_clip
expect 0 "$thaw" import --from open_clip --out first.h5

# --- a pack: both formats hold the same, on any number of ranks; their recall is eval's ---
expect 0 "$thaw" embed runs/first --images packs/val --out val.h5
has '^val.h5: [0-9]+ pictures, [0-9]+ captions, 16 numbers each$'
expect 0 ranks 2 embed runs/first --images packs/val --out two.h5
same val.h5 two.h5
expect 0 ranks 3 embed runs/first --images packs/val --out val.safetensors
[ ! -e val.safetensors.tmp ] && [ ! -e val.h5.tmp ] || fail "something is left behind"
expect 0 "$thaw" eval runs/first --json
mv last.log eval.json
expect 0 "$thaw" inspect packs/val --dump-images dumped
check <<'END_OF_PYTHON'
import json, numpy as np, os, read
a, b, e = read.load("val.h5"), read.load("val.safetensors"), json.load(open("eval.json"))
for k in ("image", "text", "image_of", "image_names", "captions"):
    assert np.array_equal(a[k], b[k]), k
image, text, owner = a["image"], a["text"], a["image_of"]
assert image.dtype == text.dtype == np.float32 and image.shape[1] == 16
assert len(a["image_names"]) == len(image) == e["image_queries"]
assert len(a["captions"]) == len(text) == e["text_queries"]
for rows in (image, text):
    assert np.abs(np.linalg.norm(rows.astype(float), axis=1) - 1).max() < 1e-6
# Place of the right one; of equal ones, half are thought to be before it.
s = text.astype(float) @ image.astype(float).T
own = s[np.arange(len(text)), owner][:, None]
place = (s > own).sum(1) + ((s == own).sum(1) - 1) / 2
near = (np.abs(s - own) < 1e-6).sum(1) > 1 # pictures alike to a rounding may fall on either side
for k in (1, 5, 10):
    assert abs((place < k).mean() - e[f"val/text_to_image_R@{k}"]) <= near.mean() + 1e-9, (k, e)
assert e["val/text_to_image_R@10"] > 2 * 10 / len(image) and near.mean() < 0.2, (e, near.mean())
# Names are those of the dumped pictures, and captions stand beside their own.
for i, name in enumerate(a["image_names"]):
    assert os.path.exists(f"dumped/{name}.png"), name
    lines = open(f"dumped/{name}.txt", encoding="utf-8").read().splitlines()
    assert lines == [c for c, o in zip(a["captions"], owner) if o == i], name
END_OF_PYTHON

# The example of the documentation, as it stands there.
awk '$0 == "```python" { on = 1; next } /^```/ { on = 0 } on' "$docs" >example.py
"$python" example.py >last.log || fail "the example of docs/evaluation.md"
has '^a .* [0-9]{8}-[0-9a-f]{16}$'

# --- captions of a file: a run and its weights, with any tokenizer that is the same one ---
printf 'a red square at the left\r\n\n  a green disc  \nEin gr\xc3\xbcner Kreis &amp; mehr\n   \na green disc <end_of_text> a red square' >captions.txt
expect 0 "$thaw" embed runs/first --captions captions.txt --out run.safetensors
has ': 0 pictures, 4 captions,'
for how in "--tokenizer packs/train" "--tokenizer packs/train/tokenizer.bpe" "--data packs/val"; do
    expect 0 "$thaw" embed first.h5 --captions captions.txt $how --out weights.safetensors
    same run.safetensors weights.safetensors
    same run.names.json weights.names.json
done
expect 0 ranks 3 embed runs/first --captions captions.txt --images packs/val --out both.h5
expect 0 "$thaw" embed runs/first --captions captions.txt --images packs/val --out one.h5
same both.h5 one.h5
check <<'END_OF_PYTHON'
import numpy as np, read
a, b, c = read.load("run.safetensors"), read.load("both.h5"), read.load("val.h5")
assert a["captions"] == ["a red square at the left", "a green disc", "Ein grüner Kreis &amp; mehr",
                         "a green disc <end_of_text> a red square"], a["captions"]
assert np.array_equal(a["text"], b["text"]) and a["captions"] == b["captions"]
assert np.array_equal(b["image"], c["image"]) and b["image_names"] == c["image_names"]
assert "image" not in a and "image_of" not in a and "image_of" not in b
assert np.array_equal(a["text"][1], a["text"][3]) # CLIP's pool is the first end of text
assert not np.array_equal(a["text"][0], a["text"][1])
# A caption of the pack has the same features from a file.
open("again.txt", "w", encoding="utf-8").write("\n".join(c["captions"]))
END_OF_PYTHON
expect 0 "$thaw" embed first.h5 --tokenizer packs/val --captions again.txt --out again.h5
check <<'END_OF_PYTHON'
import numpy as np, read
assert np.array_equal(read.load("again.h5")["text"], read.load("val.h5")["text"])
END_OF_PYTHON

# --- a folder and a pack of it: the same bits, with and without a margin ---
mkdir -p folder/deep folder/.hidden
i=0
for png in $(ls pictures/*.png | head -70); do
    to=folder/$((i % 3 == 0 ? 1 : 0))-$(basename $png .png)
    [ $((i % 5)) != 0 ] || to=folder/deep/$i
    cp $png $to.png
    echo "a red square $i" >$to.txt
    i=$((i + 1))
done
cp folder/deep/0.png folder/.hidden/x.png
for margin in 0 3; do
    rm -rf packs/folder
    expect 0 "$thaw" pack --from folder:folder --to packs/folder --size 16 --margin $margin --codec raw --filter bilinear --tokenizer packs/train
    expect 0 "$thaw" embed runs/first --images packs/folder --out pack.h5
    expect 0 "$thaw" embed runs/first --images folder/ --data packs/folder --out folder.h5
    expect 0 ranks 2 embed first.h5 --images folder --data packs/folder --out two.h5
    same folder.h5 two.h5
    check <<'END_OF_PYTHON'
import numpy as np, os, read
a, b = read.load("pack.h5"), read.load("folder.h5")
assert np.array_equal(a["image"], b["image"]) and len(a["image"]) == 70
assert sorted(b["image_names"]) == sorted(os.path.relpath(os.path.join(at, f), "folder")
    for at, _, files in os.walk("folder") for f in files if f.endswith("png") and "hidden" not in at)
assert "text" not in b and "captions" not in b
assert len(np.unique(b["image"], axis=0)) > 20
END_OF_PYTHON
done
# Without a pack: the size of the model, thaw pack's defaults, mean and deviation of the weights.
rm -rf packs/folder
expect 0 "$thaw" pack --from folder:folder --to packs/folder --size 16 --codec zlib --tokenizer packs/train
expect 0 "$thaw" embed runs/first --images folder --data packs/folder --out pack.h5
expect 0 "$thaw" embed first.h5 --images folder --out folder.h5
same pack.h5 folder.h5

# --- a picture that is none is named and left out; the others stand as they were ---
echo "no picture" >folder/bad.png
: >folder/deep/empty.jpg
expect 0 ranks 2 embed runs/first --images folder --data packs/folder --out some.h5
has '^2 pictures could not be read and are left out$'
has 'reading picture "bad.png"'
has 'reading picture "deep/empty.jpg"'
check <<'END_OF_PYTHON'
import numpy as np, read
a, b = read.load("some.h5"), read.load("folder.h5")
assert a["image_names"] == b["image_names"] and np.array_equal(a["image"], b["image"])
END_OF_PYTHON

# --- a full disk leaves nothing that looks whole; features of another record are not written ---
for kib in 2 15 27; do
    (trap '' XFSZ; ulimit -f $kib; expect 74 "$thaw" embed runs/first --images packs/train --out full.h5) || fail "of $kib KiB"
    [ ! -e full.h5 ] && [ ! -e full.h5.tmp ] || fail "a file was written"
done
cp -r packs/val packs/damaged
check <<'END_OF_PYTHON'
import glob
(path,) = glob.glob("packs/damaged/*-00000.lmdb")
bytes = bytearray(open(path, "rb").read())
bytes[bytes.index(b"TREC") + 200] ^= 1
open(path, "wb").write(bytes)
END_OF_PYTHON
expect 65 "$thaw" embed runs/first --images packs/damaged --out no.h5
has 'damaged'

# --- what cannot be done is told before the work, and writes nothing ---
refused() { # CODE MESSAGE ARGUMENTS...
    expect $1 "$thaw" embed "${@:3}" --out no.h5
    has "$2"
    [ ! -e no.h5 ] && [ ! -e no.h5.tmp ] || fail "a file was written"
}
mkdir nothing only_bad
echo x >nothing/notes.txt
echo x >only_bad/a.png
printf '\n  \n' >blank.txt
printf 'good\nbad \xff\n' >latin.txt
: >empty.txt
refused 2 'folder "gone" does not exist' runs/first --images gone
refused 2 'no picture is in "nothing"' runs/first --images nothing
refused 2 'no picture is in "folder/bad.png"' runs/first --images folder/bad.png
refused 65 'none of the 1 pictures of "only_bad" could be read' runs/first --images only_bad
expect 65 ranks 2 embed runs/first --images only_bad --out no.h5 # no rank waits for another
expect 2 ranks 2 embed runs/first --images nothing --out no.h5
refused 2 'no caption is in "empty.txt"' runs/first --captions empty.txt
refused 2 'no caption is in "blank.txt"' runs/first --captions blank.txt
refused 65 'line 2 of "latin.txt" is not UTF-8: byte 4' runs/first --captions latin.txt
refused 2 'could not open "gone.txt"' runs/first --captions gone.txt
refused 2 'nothing to embed is named' runs/first
refused 2 'weights have no tokenizer of their own' first.h5 --captions captions.txt
refused 2 'leave --data out' runs/first --images packs/val --data packs/val
refused 2 'leave --tokenizer out' runs/first --images packs/val --tokenizer packs/val
expect 2 "$thaw" embed runs/first --images folder --out no.npy
has 'ends neither in .safetensors nor in .h5'
expect 74 "$thaw" embed runs/first --images folder --out gone/no.h5
has 'could not write to folder "gone/"'
expect 0 "$thaw" pack --from folder:folder --to packs/other --size 16 --codec raw --bpe 520
refused 2 'has a vocabulary of [0-9]+ tokens, and the model of' first.h5 --captions captions.txt --tokenizer packs/other
echo "features are what eval measures, by every way"
