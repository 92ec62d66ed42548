#!/usr/bin/env bash
# tests/fault/stages_cache.sh - a run has the same bytes with a feature cache and without: cold, warm from
# another run, damaged, and killed in between. The stages cut both towers at every kind of place.
. "$(dirname "$0")/common.bash" "$1"

cat >staged.yaml <<'END'
model: {preset: tiny, image: {size: 16, patch: 8, width: 32, layers: 2, heads: 2},
        text: {context: 16, width: 32, layers: 2, heads: 2}, embed: 16}
data: {train: packs/train, val: packs/val}
batch: 37
captions: 2
eval: {every: never}
optimizer: {lr: 1e-3}
checkpoint: {every: 5 steps}
threads: 1
memory_budget: 256 MiB
stages:
  - {name: text, train: [text], for: 14 steps}
  - {name: heads, train: [text, heads], for: 14 steps}
  - {name: top, unfreeze: [image.top(1)], for: 14 steps}
  - {name: image, train: [image], for: 14 steps}
  - {name: image-heads, unfreeze: [heads], for: 14 steps}
END

end_of() { ls "$1"/ckpt/step-00000070*.json | tail -1; }
# Weights and moments as their hashes in the manifest of the last step.
same_run() {
    same plain/metrics.jsonl "$1/metrics.jsonl"
    grep -o '"\(model\|optim\)/[^,}]*' "$(end_of plain)" >want.hashes
    grep -o '"\(model\|optim\)/[^,}]*' "$(end_of "$1")" >got.hashes
    [ -s want.hashes ] || fail "no tensor hashes in $(end_of plain)"
    same want.hashes got.hashes
}
cached() { expect 0 ranks 2 train staged.yaml "run_dir=$1" cache.folder="$folder/shared"; }

expect 0 ranks 2 train staged.yaml run_dir=plain 'cache.budget=0 B'
[ ! -e plain/cache ] || fail "a cache was made with a budget of 0"

cached cold
same_run cold
expect 0 "$thaw" cache ls shared
[ "$(grep -c ' rows ' last.log)" = 5 ] || fail "five stages do not have five caches"
rows=$(awk '{ for (i = 2; i <= NF; i++) if ($i == "rows") sum += $(i - 1) } END { print sum }' last.log)
[ "$rows" -gt 500 ] || fail "only $rows rows were kept"

cached warm
same_run warm
expect 0 "$thaw" cache ls shared
again=$(awk '{ for (i = 2; i <= NF; i++) if ($i == "rows") sum += $(i - 1) } END { print sum }' last.log)
[ "$again" -lt $((2 * rows)) ] || fail "a warm run computed all rows again: $rows, then $again"

# Bytes in the middle of every segment are other ones: those rows are computed again.
for segment in shared/*/*.rows; do
    size=$(stat -c %s "$segment")
    for at in 3 5 7; do
        printf 'damaged!' | dd of="$segment" bs=1 seek=$((size * at / 8)) conv=notrunc status=none
    done
done
cached damaged
same_run damaged

expect 0 "$thaw" cache rm shared --all
[ -z "$(ls shared)" ] || fail "cache rm --all left $(ls shared)"

# Killed at seeded moments, each life beginning with what the last one kept.
RANDOM=7
for life in 1 2 3 4 5; do
    ranks 2 train staged.yaml run_dir=killed cache.folder="$folder/shared" >life.log 2>&1 &
    pid=$!
    sleep "0.$((RANDOM % 60 + 30))"
    pkill -KILL -f run_dir=killed || true
    wait $pid || true
done
cached killed
same_run killed
echo "the same bytes cold, warm, damaged and killed; $rows rows kept"
