#!/usr/bin/env bash
# launch/examples/fashion_mnist.sh - classes known by their names alone, on a public benchmark: Fashion-MNIST
# (Xiao et al. 2017, arXiv:1708.07747), 60,000 pictures to train on and 10,000 to test with, from Debian's
# package dataset-fashion-mnist. Installs, builds, packs, trains on two ranks for some minutes, evaluates.
#
#     ./launch/examples/fashion_mnist.sh               # Debian 12, as root or with sudo
#
# Everything goes to build/ and out/. A second call goes on from what is there; `rm -r out/fashion` trains anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
. launch/packages.sh

example=launch/examples/fashion_mnist data=/usr/share/datasets/fashion-mnist thaw=build/thaw

say() { printf '\n== %s\n' "$*"; }

# Open MPI refuses root unless told twice.
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# pack NAME FILE OPTIONS...
pack() {
    [ -f out/packs/$1/dataset.json ] && return
    say "packing $2"
    rm -rf out/packs/$1
    $thaw pack --from idx:$data/$2 --classes $example.json --to out/packs/$1 --size 28 --codec raw "${@:3}"
}

thaw_install_packages build fashion
say "building thaw"
cmake -S . -B build -G Ninja >build.log 2>&1 || { cat build.log; exit 1; }
ninja -C build thaw
rm -f build.log

mkdir -p out/packs
pack fashion-train train-images-idx3-ubyte.gz --bpe 600
pack fashion-test t10k-images-idx3-ubyte.gz --tokenizer out/packs/fashion-train
say "training on two ranks; ctrl-C stops in order, and the same command goes on"
SECONDS=0
$thaw train -n 2 $example.yaml run_dir=out/fashion
echo "trained for $SECONDS s, this time"
say "test pictures, sorted into classes by the names of these"
$thaw eval out/fashion --zeroshot $example.json
