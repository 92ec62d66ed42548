#!/bin/bash
# tests/parity/bert.sh BUILD - a BertModel as the text tower: weights, features, loss and the gradient of every
# parameter are those of transformers, with the first token pooled and with the mean, on one rank and two.
. "$(dirname "$0")/common.bash" "$1"

python -c 'from reference import *; make_pictures("pictures", 150, 32)'
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/p --size 32 --codec raw --bpe 600 --threads 1
python "$here/bert.py" prepare
expect 0 "$thaw" train first.yaml
expect 0 ranks 2 train mean.yaml
for name in first mean; do
    expect 0 "$build/parity_features" runs/$name packs/p $name.features
done
python "$here/bert.py" compare || fail "thaw and transformers differ"
