#!/bin/bash
# tests/parity/models.sh BUILD - features, logits, loss and the gradient of every parameter are those of
# open_clip and of transformers, for GELU and QuickGELU and patches of 32, 16 and 14 pixels. One of the
# six runs is on two ranks.
. "$(dirname "$0")/common.bash" "$1"

python -c 'from reference import *; make_pictures("pictures", 150, 64)'
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/64 --size 64 --codec raw --bpe 600 --threads 1
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/56 --size 56 --codec raw --tokenizer packs/64 --threads 1
python "$here/models.py" prepare
for run in *.yaml; do
    name=${run%.yaml}
    case $name in
    patch16_gelu) expect 0 ranks 2 train $run ;;
    *) expect 0 "$thaw" train $run ;;
    esac
    expect 0 "$build/parity_features" runs/$name "packs/$([[ $name == patch14* ]] && echo 56 || echo 64)" $name.features
done
python "$here/models.py" compare || fail "thaw and the reference differ"
