#!/bin/bash
# tests/fault/checkpoint_h5py.sh BUILD - the examples of docs/checkpoint.md, run as they stand there
# on a checkpoint of the test fixture, whose numbers are known.
set -euo pipefail
build=$(realpath "$1")
docs=$(realpath docs/checkpoint.md)
python=/usr/bin/python3 # the distribution's, which python3-h5py belongs to
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

if ! "$python" -c 'import h5py' 2>/dev/null || ! command -v h5dump >/dev/null; then
    echo "SKIPPED: needs h5py and h5dump (apt-get install python3-h5py hdf5-tools)" >&2
    exit 77
fi
TH_TEST_EXAMPLE=$folder "$build/unit_checkpoint_scripts" >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
mv "$folder/example" "$folder/ckpt"
cd "$folder"

block() { awk -v begin="\`\`\`$1" '$0 == begin { on = 1; next } /^```/ { on = 0 } on' "$docs"; }
expect() { grep -qF -- "$2" "$1" || { echo "expected \"$2\" in $1:"; cat "$1"; exit 1; }; }

block python >example.py
cat >>example.py <<'END'
    assert bias.dtype == "float32" and bias.tolist() == [
        ((1200 * 31 + 1 * 7) * 1009 % 65536 + e) * 0.125 for e in range(5)], bias
    assert f["model/logit_scale"].shape == () and int(state["seed"]) == 0xfedcba9876543210
    assert all(d.fletcher32 for d in f["model"].values() if d.shape)
    assert f["optim/exp_avg_sq/token_embedding.weight"].shape == (15000, 7)
END
"$python" example.py >python.txt
expect python.txt '1200 76800 {"best": 1200}'
expect python.txt 'name: ä'
expect python.txt 'visual.transformer.resblocks.3.attn.in_proj_weight (6, 2) 1195 True'
expect python.txt 'frozen (3, 4) 1196 False'

block sh >example.sh
bash -e example.sh >dump.txt
expect dump.txt '/optim/step/visual.conv1.weight'
expect dump.txt 'ATTRIBUTE "samples_seen"'
expect dump.txt '(0): 76800'
echo "h5py and h5dump read what thaw writes"
