#!/usr/bin/env bash
# tests/fault/cache_build.sh - a cache that is built ahead of the training: the run computes nothing and has the
# same bytes; a build that was stopped or killed goes on; what cannot be built is refused with its reason.
. "$(dirname "$0")/common.bash" "$1"

cat >staged.yaml <<'END'
model: {preset: tiny, image: {size: 16, patch: 8, width: 32, layers: 2, heads: 2},
        text: {context: 16, width: 32, layers: 2, heads: 2}, embed: 16}
data: {train: packs/train}
batch: 37
eval: {every: never}
optimizer: {lr: 1e-3}
checkpoint: {every: never}
threads: 1
memory_budget: 256 MiB
stages:
  - {name: text, train: [text, heads], for: 12 steps, augment: crop, views: 4}
  - {name: fresh, train: [text, heads], for: 12 steps, augment: crop}
  - {name: top, unfreeze: [image.top(1)], for: 12 steps}
  - {name: image, train: [image, heads], for: 12 steps}
  - {name: all, train: all, for: 12 steps}
END
rows() { awk '{ for (i = 2; i <= NF; i++) if ($i == "rows") sum += $(i - 1) } END { print sum + 0 }' last.log; }
build() { expect 0 ranks 2 cache build staged.yaml run_dir=ahead "$@"; }
# refused WORDS ARGUMENTS...
refused() {
    local words=$1
    shift
    expect 2 ranks 2 cache build staged.yaml run_dir=ahead "$@"
    grep -q "$words" last.log || fail "the refusal does not say \"$words\""
}
records=$(grep -o '"records": *[0-9]*' packs/train/dataset.json | head -1 | grep -o '[0-9]*$')

refused 'there is no stage "none"' --stage none
refused 'has no frozen tower' --stage all
refused 'still trains in a stage before it' --stage image
refused 'has a new random crop' --stage fresh
refused 'need .* GB and cache.budget is' --stage text 'cache.budget=50000 B'
[ ! -e ahead/cache ] || fail "a refused build has made $(ls ahead/cache)"

build
grep -q "is whole: $((4 * records)) rows were computed" last.log || fail "not 4 views of $records records"
expect 0 "$thaw" cache ls ahead
[ "$(rows)" = $((4 * records)) ] || fail "$(rows) rows are there, not $((4 * records))"
grep -q ' 4 views ' last.log || fail "ls does not tell 4 views"
build --stage text
grep -q 'is whole: 0 rows were computed' last.log || fail "a whole cache was computed again"
# Nothing below the cut of stage top has trained by then: it can be built before the first step.
build --stage top
grep -q "is whole: $records rows were computed" last.log || fail "not a row for each of $records records"

expect 0 ranks 2 train staged.yaml run_dir=plain 'cache.budget=0 B'
expect 0 ranks 2 train staged.yaml run_dir=ahead
same plain/metrics.jsonl ahead/metrics.jsonl
[ "$(grep -c 'image tower: .* 0 were computed' ahead/log.txt)" = 2 ] || fail "the run computed pictures"
refused 'is over' --stage text

# Stopped in order, then killed: what is there is not computed again.
sed -i 's/views: 4/views: 400/' staged.yaml
for signal in USR2 KILL; do
    start_ranks 2 cache build staged.yaml run_dir=broken
    for ((i = 0; i < 500; i++)); do grep -q 'computing what' run.log && break; sleep 0.01; done
    sleep 0.2
    code=0
    if [ $signal = KILL ]; then
        kill_ranks || code=$?
    else
        kill -$signal $(pgrep -P $job -f "$thaw")
        wait $job || code=$?
    fi
    [ $code != 0 ] || fail "the build had ended before it was told to stop"
    [ $signal = KILL ] || [ $code = 85 ] || fail "exit code $code after an orderly stop"
done
expect 0 "$thaw" cache ls broken
kept=$(rows)
[ "$kept" -gt 0 ] && [ "$kept" -lt $((400 * records)) ] || fail "$kept of $((400 * records)) rows were kept"
expect 0 ranks 2 cache build staged.yaml run_dir=broken
grep -q "is whole: $((400 * records - kept)) rows were computed" last.log || fail "$kept rows were there"
echo "a cache built ahead serves the run; stopped with $kept of $((400 * records)) rows it went on"
