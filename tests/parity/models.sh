#!/bin/bash
# tests/parity/models.sh BUILD - features, logits, loss and the gradient of every parameter of a model that
# was imported are those of open_clip and of transformers, which wrote it: GELU and QuickGELU, patches of
# 32, 16 and 14 pixels, and one with the sigmoid loss. Three of the thirteen runs are on two ranks.
. "$(dirname "$0")/common.bash" "$1"

python -c 'from reference import *; make_pictures("pictures", 150, 64)'
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/64 --size 64 --codec raw --bpe 600 --threads 1
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/56 --size 56 --codec raw --tokenizer packs/64 --threads 1
python "$here/models.py" prepare
for run in *.yaml; do
    name=${run%.yaml}
    expect 0 "$thaw" import --from weights/$name --out $name.h5
    expect 0 "$build/parity_features" $name.h5 "packs/$([[ $name == *patch14* ]] && echo 56 || echo 64)" $name.features
    case $name in
    *_patch16_gelu_*) expect 0 ranks 2 train $run ;;
    *) expect 0 "$thaw" train $run ;;
    esac
done
python "$here/models.py" compare || fail "thaw and the reference differ"
