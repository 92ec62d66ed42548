#!/usr/bin/env bash
# launch/demo.sh - from nothing to a trained model: installs, builds, makes the emoji data set, packs it,
# trains on two ranks for about three minutes, evaluates, and writes a page of queries.
#
#     ./launch/demo.sh                # Debian 12, as root or with sudo
#     DEMO_SECONDS=600 ./launch/demo.sh
#
# Everything goes to build/ and out/. A second call goes on from what is there; `rm -r out` starts anew.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/packages.sh

seconds=${DEMO_SECONDS:-175}
data=out/data packs=out/packs run=out/run thaw=build/thaw

say() { printf '\n== %s\n' "$*"; }

# Open MPI refuses root unless told twice.
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

build() {
    say "building thaw"
    cmake -S . -B build -G Ninja >build.log 2>&1 || { cat build.log; exit 1; }
    ninja -C build thaw demo
    rm -f build.log
}

make_packs() {
    [ -f $packs/emoji/dataset.json ] && [ -f $packs/emoji-new/dataset.json ] && return
    say "making the emoji data set"
    mkdir -p $data $packs
    build/demo/emoji $data
    say "packing it"
    rm -rf $packs/emoji $packs/emoji-held-out $packs/emoji-new
    $thaw pack --from wds:$data/train.tar --to $packs/emoji --size 32 --bpe 32768
    $thaw pack --from wds:$data/held-out.tar --to $packs/emoji-held-out --size 32 --tokenizer $packs/emoji
    $thaw pack --from wds:$data/new.tar --to $packs/emoji-new --size 32 --tokenizer $packs/emoji
}

# How many steps the time holds on this machine: the speed of a short run, once.
count_steps() {
    [ -f out/steps ] && return
    say "measuring this machine's speed"
    rm -rf out/probe
    $thaw train -n 2 launch/demo/emoji.yaml run_dir=out/probe 'for=60 steps' 'eval.every=never'
    awk -F'"train/step_time": ' 'NR > 20 { split($2, t, ","); sum += t[1]; n++ }
        END { print int('"$seconds"' * n / sum / 100) * 100 }' out/probe/timings.jsonl >out/steps
    rm -rf out/probe
    echo "$(cat out/steps) steps take about $seconds s"
}

train() {
    say "training on two ranks; ctrl-C stops in order, and the same command goes on"
    $thaw train -n 2 launch/demo/emoji.yaml run_dir=$run "for=$(cat out/steps) steps"
}

evaluate() {
    say "held-out names, among all pictures"
    $thaw eval $run --data $packs/emoji-held-out
    say "of them, those that the same picture does not carry letter for letter in another language"
    $thaw eval $run --data $packs/emoji-new
    say "matching letters alone, without any picture"
    build/demo/letters $data
}

query() {
    say "a dozen queries"
    mapfile -t queries <$data/queries.txt
    $thaw query $run "${queries[@]}" --data $packs/emoji --html out/query.html --png out/query.png
    say "see out/query.html and out/query.png"
}

thaw_install_packages build demo
build
make_packs
count_steps
train
evaluate
query
