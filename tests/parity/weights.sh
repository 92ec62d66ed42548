#!/bin/bash
# tests/parity/weights.sh BUILD - weights cross the border without the loss of a bit: what open_clip and
# transformers wrote (names with and without prefixes, f32, f16, bf16) is read as it is; positions are fitted
# to another picture size as open_clip does it; what thaw exports is loaded by both, with equal outputs and
# preprocessing; and open_clip -> thaw -> transformers -> thaw -> open_clip gives the weights back.
. "$(dirname "$0")/common.bash" "$1"

python "$here/weights.py" prepare
for form in plain module custom f16 bf16 hf hf_f16; do
    expect 0 "$thaw" import --from $form --out $form.h5
done
for side in 32 48 80 128; do
    expect 0 "$thaw" import --from plain --image_size $side --out side$side.h5
done

expect 0 "$thaw" export plain.h5 --format open_clip --out exported_open_clip
expect 0 "$thaw" export plain.h5 --format hf --out exported_hf
expect 0 "$thaw" export plain.h5 --format safetensors --out exported.safetensors
expect 0 "$thaw" import --from exported_hf --out again.h5
same plain.h5 again.h5
expect 0 "$thaw" export again.h5 --format open_clip --out back
same exported_open_clip/open_clip_model.safetensors back/open_clip_model.safetensors
python "$here/weights.py" compare || fail "weights differ from the reference's"
