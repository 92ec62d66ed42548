#!/bin/bash
# tests/parity/pictures.sh BUILD - no pixel of a stored picture and no box of a random crop differs from those
# of Pillow and torchvision: every mode that a PNG, JPEG or WebP can have, orientations, sides of 1 to 1,000
# pixels, three filters. tests/fault/resize_pillow.sh compares the resize alone, with boxes too.
. "$(dirname "$0")/common.bash" "$1"

python "$here/pictures.py" make pictures
pack() { expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --codec raw --threads 1 --to "packs/$1" "${@:2}"; }
pack bicubic --size 33 --margin 4 --alpha drop --bpe 600
pack bilinear --size 33 --margin 4 --alpha drop --filter bilinear --tokenizer packs/bicubic
pack box --size 33 --margin 4 --alpha drop --filter box --tokenizer packs/bicubic
pack white --size 64 --tokenizer packs/bicubic
pack upright --size 24 --filter bilinear --alpha drop --exif apply --tokenizer packs/bicubic
for pack in packs/*; do
    expect 0 "$thaw" inspect "$pack" --dump-images "dump/${pack#packs/}"
done
python "$here/pictures.py" compare packs dump || fail "thaw and Pillow differ"
python "$here/pictures.py" boxes "$build/parity_random_box" || fail "thaw and torchvision differ"
