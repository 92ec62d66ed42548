#!/bin/bash
# tests/parity/minilm.sh BUILD - launch/examples/minilm.yaml, shortened: a pretrained sentence encoder as the text
# tower. Captions packed with its own tokenizer have the embeddings that transformers gives them; frozen in the
# first stage the encoder keeps its bits, and in the second all of it trains.
. "$(dirname "$0")/common.bash" "$1"

python "$here/minilm.py" prepare
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/p --size 32 --codec raw --tokenizer encoder --threads 1
sed -E 's/: [0-9]+ steps/: 2 steps/g' "$here/../../launch/examples/minilm.yaml" >minilm.yaml
expect 0 "$thaw" train minilm.yaml init.text=encoder data.train=packs/p data.val=packs/p batch=16 captions=1 \
    model.text.context=128 eval.every=never checkpoint.every=2steps
expect 0 "$build/parity_features" runs/minilm/ckpt/step-00000000.h5 packs/p start.features
python "$here/minilm.py" compare || fail "thaw's embeddings and the reference's differ"
