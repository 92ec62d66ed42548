#!/usr/bin/env bash
# launch/demo.sh - from nothing to a trained model: installs, builds, makes the emoji data set, packs it,
# trains on two ranks for about three minutes, evaluates, and writes a page of queries.
#
#     ./launch/demo.sh                # Debian 12, as root or with sudo
#     DEMO_SECONDS=600 ./launch/demo.sh
#     ./launch/demo.sh stages         # then: the same model in three stages, in the same time
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

# The stages of stages.yaml, stretched to the time that the one-stage run spent on its steps.
stretch_stages() {
    [ -f out/stages.yaml ] && return
    say "measuring the stages"
    local spent planned
    spent=$(awk -F'"train/step_time": ' '{ split($2, t, ","); sum += t[1] } END { print sum }' $run/timings.jsonl)
    planned=$($thaw plan -n 2 --probe --json launch/demo/stages.yaml run_dir=out/run-stages |
        awk '/^ "seconds":/ { print $2 + 0 }')
    awk -v factor="$spent $planned" '
        BEGIN { split(factor, f, " ") }
        match($0, /for: [0-9]+ steps/) {
            steps = int(substr($0, RSTART + 5) * f[1] / f[2] / 10) * 10
            $0 = substr($0, 1, RSTART - 1) "for: " steps " steps" substr($0, RSTART + RLENGTH)
        }
        { print }' launch/demo/stages.yaml >out/stages.yaml
    grep -o 'name: [a-z]*.*' out/stages.yaml
}

train_stages() {
    say "training in three stages"
    $thaw train -n 2 out/stages.yaml run_dir=out/run-stages
}

# R@k of both runs, and how long their steps took.
compare() {
    local folder name
    say "held-out names, text to image: seconds of training, R@1, R@5, R@10"
    for name in "one stage:$run" "three stages:out/run-stages"; do
        folder=${name#*:}
        printf '%-13s' "${name%:*}"
        awk -F'"train/step_time": ' '{ split($2, t, ","); sum += t[1] } END { printf "%6.0f s", sum }' $folder/timings.jsonl
        $thaw eval $folder --data $packs/emoji-held-out | awk '/^text to image/ { printf "%8s%8s%8s\n", $4, $5, $6 }'
    done
}

thaw_install_packages build demo
build
make_packs
count_steps
train
case ${1:-} in
"")
    evaluate
    query
    ;;
stages)
    stretch_stages
    train_stages
    compare
    ;;
*)
    echo "usage: launch/demo.sh [stages]" >&2
    exit 2
    ;;
esac
