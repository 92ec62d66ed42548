#!/usr/bin/env bash
# tests/fault/stages_cache.sh - a run has the same bytes with a feature cache and without: cold, warm from
# another run, damaged, and killed in between. The stages cut both towers at every kind of place. The text
# tower is CLIP's, then BERT's.
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

model=() # what the command line says of it
plain=plain

end_of() { ls "$1"/ckpt/step-00000070*.json | tail -1; }
# Weights and moments as their hashes in the manifest of the last step.
same_run() {
    same $plain/metrics.jsonl "$1/metrics.jsonl"
    grep -o '"\(model\|optim\)/[^,}]*' "$(end_of $plain)" >want.hashes
    grep -o '"\(model\|optim\)/[^,}]*' "$(end_of "$1")" >got.hashes
    [ -s want.hashes ] || fail "no tensor hashes in $(end_of $plain)"
    same want.hashes got.hashes
}
cached() { expect 0 ranks 2 train staged.yaml "${model[@]}" "run_dir=$1" cache.folder="$folder/shared"; }

# killed_and_resumed DIR: killed at seeded moments, each life beginning with what the last one kept.
killed_and_resumed() {
    for life in 1 2 3 4 5; do
        start_ranks 2 train staged.yaml "${model[@]}" "run_dir=$1" cache.folder="$folder/shared"
        sleep "0.$((RANDOM % 60 + 30))"
        kill_ranks || true
    done
    cached "$1"
    same_run "$1"
}

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

RANDOM=7
killed_and_resumed killed

# BERT: its cache holds pooled rows (where the head trains) and features (where nothing does).
model=(model.text.kind=bert model.text.pool=mean) plain=plain-bert
expect 0 ranks 2 train staged.yaml "${model[@]}" run_dir=$plain 'cache.budget=0 B'
cmp -s plain/metrics.jsonl plain-bert/metrics.jsonl && fail "the text tower made no difference"
killed_and_resumed killed-bert
echo "the same bytes cold, warm, damaged and killed, with CLIP's and BERT's text tower; $rows rows kept"
