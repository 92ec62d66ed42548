#!/usr/bin/env bash
# tests/fault/stages_views.sh - random crops drawn among views: the same bytes with a cache and without, over
# several epochs, cold, warm and killed; the same views on 1 and 2 ranks; no picture is decoded whose row is
# there; a damaged record is replaced in the same way.
. "$(dirname "$0")/common.bash" "$1"

cat >views.yaml <<'END'
model: {preset: tiny, image: {size: 16, patch: 8, width: 32, layers: 2, heads: 2},
        text: {context: 16, width: 32, layers: 2, heads: 2}, embed: 16}
data: {train: packs/train, augment: crop, views: 3, crop_scale: [0.4, 1.0], bad_share: 0.05}
batch: 37
eval: {every: never}
optimizer: {lr: 1e-3}
checkpoint: {every: 4 steps}
threads: 1
memory_budget: 256 MiB
stages:
  - {name: heads, train: [text, heads], for: 30 steps}
  - {name: top, unfreeze: [image.top(1)], for: 20 steps}
  - {name: more, views: 5, unfreeze: [], for: 20 steps}
  - {name: fresh, freeze: image, views: 0, for: 10 steps}
END
sed -i 's/, unfreeze: \[\]/, freeze: text.embed/' views.yaml

hashes() { grep -o '"\(model\|optim\)/[^,}]*' "$(ls "$1"/ckpt/step-00000080*.json | tail -1)"; }
same_run() {
    same plain/metrics.jsonl "$1/metrics.jsonl"
    hashes plain >want.hashes
    hashes "$1" >got.hashes
    [ -s want.hashes ] || fail "no tensor hashes"
    same want.hashes got.hashes
}
cached() { expect 0 ranks 2 train views.yaml "run_dir=$1" cache.folder="$folder/shared"; }
computed() { grep -o '[0-9]* were computed' "$1/log.txt" | awk '{ sum += $1 } END { print sum + 0 }'; }

# A record damaged on disk from the start: its neighbour stands in for it, in every view.
python3 - packs/train/*-00000.lmdb <<'END'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
at = data.find(b"TREC\x01\x00")
data[at + 60] ^= 4
open(sys.argv[1], "wb").write(data)
END

expect 0 ranks 2 train views.yaml run_dir=plain 'cache.budget=0 B'
expect 0 ranks 1 train views.yaml run_dir=one 'cache.budget=0 B'
grep -q 'is damaged, the next good one takes its place' plain/log.txt || fail "no record is damaged"
# Which samples stood where, and in which view, as one number a step.
for run in plain one; do grep -o 'step [0-9]*: samples .*' $run/log.txt >samples.$run; done
[ "$(wc -l <samples.one)" = 80 ] || fail "not 80 steps"
same samples.plain samples.one

cached cold
same_run cold
[ "$(computed cold)" -gt 300 ] || fail "only $(computed cold) rows were computed"
cached warm
same_run warm
# Rank 0 tells; what the two ranks of the cold run have kept is all that the warm one needs.
[ "$(computed warm)" = 0 ] || fail "a warm run computed $(computed warm) rows"
expect 0 "$thaw" cache ls shared
grep -q ' 3 views .*crops of 0.4 to 1, seed 1' last.log || fail "ls does not tell 3 views"
grep -q 'tokens entering block 1 .* 5 views ' last.log || fail "ls does not tell 5 views"
[ "$(grep -c ' rows ' last.log)" = 2 ] || fail "more than two caches: those of 3 and 5 views are one"

RANDOM=11
for life in 1 2 3 4; do
    start_ranks 2 train views.yaml run_dir=killed cache.folder="$folder/mine"
    sleep "0.$((RANDOM % 60 + 30))"
    kill_ranks || true
done
expect 0 ranks 2 train views.yaml run_dir=killed cache.folder="$folder/mine"
same_run killed
echo "views: the same bytes cold, warm and killed, and the same draws on 1 and 2 ranks"
