#!/bin/bash
# tests/fault/fashion_mnist.sh BUILD - launch/examples/fashion_mnist.yaml made small: 2,000 pictures to train on,
# a narrow tower, half a minute at most. What was never seen is told apart by the names of the classes, far
# better than by chance.
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
. "$here/../common.bash" "$1"

example=$(realpath "$here/../../launch/examples")/fashion_mnist
data=/usr/share/datasets/fashion-mnist
if [ ! -e $data/train-images-idx3-ubyte.gz ]; then
    echo "SKIPPED: no $data (dataset-fashion-mnist)" >&2
    exit 77
fi

# some NAME COUNT: the first pictures and labels of NAME. COUNT below 65,536.
some() {
    local count
    count=$(printf '\\x%02x\\x%02x' $(($2 / 256)) $(($2 % 256)))
    {
        printf "\0\0\x08\x03\0\0$count\0\0\0\x1c\0\0\0\x1c"
        head -c $((784 * $2)) < <(zcat $data/$1-images-idx3-ubyte.gz | tail -c +17)
    } >$1-images-idx3-ubyte
    {
        printf "\0\0\x08\x01\0\0$count"
        head -c $2 < <(zcat $data/$1-labels-idx1-ubyte.gz | tail -c +9)
    } >$1-labels-idx1-ubyte
}

pack() { expect 0 "$thaw" pack --from "idx:$1-images-idx3-ubyte" --classes "$example.json" --to "$2" --size 28 --codec raw "${@:3}"; }

some train 2000
some t10k 1000
pack train train --bpe 600
pack t10k test --tokenizer train
expect 0 "$thaw" inspect train --verify

expect 0 ranks 2 train "$example.yaml" data.train=train data.val=test run_dir=run batch=64 for=8epochs \
    model.image.patch=7 model.image.width=32 model.image.layers=2 lr.warmup=20steps
expect 0 "$thaw" eval run --zeroshot "$example.json" --json
grep -q '"pictures": 1000, "without_class": 0' last.log || fail "not all pictures have a class"
accuracy=$(grep -oE '"acc1": [0-9.]+' last.log | head -1 | sed 's/.* //')
awk "BEGIN { exit !($accuracy > 0.6) }" || fail "top-1 is $accuracy"
echo "1,000 pictures of ten classes: top-1 $accuracy after 8 epochs of 2,000 (chance 0.1)"
