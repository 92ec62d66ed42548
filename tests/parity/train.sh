#!/bin/bash
# tests/parity/train.sh BUILD - 30 steps of AdamW follow open_clip's loss: everything trains, with GELU, and
# with QuickGELU, clipped, at a constant rate; the image tower is locked; it is locked but for its last
# groups; the loss is the sigmoid one. open_clip decays embeddings of positions, so thaw is asked to
# (optimizer.decay_positions).
. "$(dirname "$0")/common.bash" "$1"

python -c 'from reference import *; make_pictures("pictures", 150, 64)'
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/p --size 64 --codec raw --bpe 600 --threads 1
python "$here/train.py" prepare
for run in *.yaml; do
    expect 0 "$thaw" train $run
done
python "$here/train.py" follow || fail "thaw and open_clip differ"
