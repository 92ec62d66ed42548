#!/bin/bash
# tests/parity/exports.sh BUILD - the tokenizer that `thaw export` writes beside a model: transformers and
# open_clip load it as it is, and give captions the ids of `thaw tokenize` with the pack that the model was
# trained on, and pictures and captions the features of `thaw embed`. Vocabularies: trained for the pack (both
# cleanups), CLIP's own, one whose end of text is not its last id, and BERT's below CLIP's tower.
. "$(dirname "$0")/common.bash" "$1"

python "$here/exports.py" prepare
pack() { # pack NAME OPTIONS...
    expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to "packs/$1" --size 32 --codec raw --threads 1 "${@:2}"
}
pack own --bpe 600
pack own_hf --bpe 600 --cleanup hf
pack clip --tokenizer clip.txt.gz
pack shifted --tokenizer shifted/vocab.json
pack bert --tokenizer encoder
for name in own own_hf clip shifted bert; do
    expect 0 "$thaw" train run.yaml data.train=packs/$name run_dir=runs/$name
    expect 0 "$thaw" export runs/$name --format hf --out hf/$name
    expect 0 "$thaw" export runs/$name --format open_clip --out open_clip/$name
    expect 0 "$thaw" import --from open_clip/$name --out $name.h5 # it reads what it wrote
    expect 0 "$thaw" embed runs/$name --images pictures --captions plain.txt --out $name.features.h5
    tokenize() { "$thaw" tokenize --tokenizer packs/$name --context 16 "$@" || fail "thaw tokenize $name $*"; }
    tokenize <plain.txt >plain.$name
    tokenize --null <strange.txt >strange.$name
    [ $name = bert ] || tokenize --null --cleanup hf <strange.txt >strange.$name.hf
done

# BERT's tower is in neither program as thaw has it: the weights go alone.
expect 0 "$thaw" train run.yaml data.train=packs/bert run_dir=runs/tower model.text.kind=bert
for format in hf open_clip; do
    expect 2 "$thaw" export runs/tower --format $format --out tower
done
expect 0 "$thaw" export runs/tower --format safetensors --out tower.safetensors
python "$here/exports.py" compare || fail "the exported tokenizers or models differ from thaw's"
