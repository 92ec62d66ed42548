#!/usr/bin/env bash
# tests/fault/plan_memory.sh BUILD - the memory that `thaw plan` tells for each stage is within 10 % of the largest
# resident memory of the real run in that stage, on one rank and on rank 0 of two. The model is large enough that
# the program itself is less than a tenth of it.
. "$(dirname "$0")/common.bash" "$1"
[ -w /proc/self/clear_refs ] || { echo "skipped: no clear_refs here, to measure a stage's peak"; exit 77; }
cc -o watch_memory "$here/watch_memory.c"

cat >large.yaml <<'END'
model: {preset: tiny, image: {size: 16, patch: 8, width: 256, layers: 6, heads: 4},
        text: {context: 16, width: 256, layers: 6, heads: 4}, embed: 64}
data: {train: packs/train, val: packs/val}
batch: 64
captions: 2
threads: 1
memory_budget: 1 GiB
stages:
  - {name: all, train: all, for: 3 steps}
  - {name: text, freeze: image, for: 3 steps}
  - {name: head, train: heads, for: 3 steps}
  - {name: melt, train: heads, unfreeze: {tower: image, from: top, one_group_every: 1 step}}
END

# Of each stage, MiB at the end of its last phase, where a stage has most.
planned() {
    awk -F'[:,]' '/"name"/ { if (bytes) print bytes / 1048576; bytes = 0 }
        /"in all"/ { bytes = $2 > bytes ? $2 : bytes }
        END { print bytes / 1048576 }' "$1"
}

for n in 1 2; do
    expect 0 ranks $n plan large.yaml --json run_dir=runs/$n
    planned last.log >planned.$n
    mkdir -p runs/$n
    timeout 300 mpirun -n $n --oversubscribe --bind-to none --quiet bash -c \
        "exec ./watch_memory runs/$n/metrics.jsonl peak.$n.\$OMPI_COMM_WORLD_RANK $thaw train large.yaml run_dir=runs/$n" \
        >train.log 2>&1 || fail "the run on $n ranks did not end"
    [ "$(wc -l <planned.$n)" = 4 ] && [ "$(wc -l <peak.$n.0)" = 4 ] || fail "not four stages: $(cat peak.$n.0)"
    paste planned.$n peak.$n.0 | awk -v n=$n '
        { peak = $2 / 1024; off = 100 * ($1 - peak) / peak
          printf "%d ranks, stage %d: %.1f MiB planned, %.1f at the most, %+.1f %%\n", n, NR, $1, peak, off
          bad += off > 10 || off < -10 }
        END { exit bad > 0 }' || fail "off by more than 10 %"
done
