#!/bin/bash
# tests/fault/stages_memory.sh BUILD - stages that do not fit memory_budget, at a border, as a group thaws, and for
# want of room for activations, on two ranks: the run saves the step that it reached and says what it would need.
# Then the next stage may be edited; or with a larger budget the same command goes on, to the bytes of a run that
# always had it.
. "$(dirname "$0")/common.bash" "$1"

sed -i 's/^memory_budget.*//; s/context: 16, width: 32/context: 16, width: 128/' run.yaml
cat >>run.yaml <<'END'
micro_batch: 4
checkpoint: {every: never}
stages:
  - {name: heads, train: heads, for: 11 steps}
  - {name: melt, unfreeze: {tower: text, from: top, one_group_every: 5 steps, warmup: 3 steps}, for: 17 steps}
  - {name: all, train: all, for: 9 steps}
END
expect 0 ranks 2 train run.yaml run_dir=runs/alone memory_budget=256MiB

# refused BUDGET STEP WORDS: the run ends for want of memory, with a checkpoint of that step.
refused() {
    expect 2 ranks 2 train run.yaml run_dir=runs/small memory_budget="$1MiB"
    grep -q "$3" last.log || fail "with $1 MiB nothing is said of what it would need"
    [ "$(newest runs/small)" = "$(printf 'runs/small/ckpt/step-%08d.h5' "$2")" ] || fail "no checkpoint of step $2"
    expect 0 "$thaw" ckpt verify runs/small
    expect 0 "$thaw" status runs/small
    grep -q '^runs/small: failed' last.log || fail "status does not say that it failed"
    grep -q "^error .*$3" last.log || fail "status does not say why"
}

refused 6 11 'memory_budget is 6.0 MiB, and stage "melt" needs 7.7 MiB'
refused 7 11 'memory_budget is 7.0 MiB, and stage "melt" needs 7.7 MiB' # it has that checkpoint already
grep -q 'in stage "heads"' runs/small/log.txt || fail "the checkpoint is not of the stage that ended"
cp -r runs/small runs/edited
refused 11 16 'memory_budget is 11.0 MiB, and stage "melt" needs 11.5 MiB'
refused 16 28 'a micro-batch of 4 needs .* and the memory budget leaves'
[ "$(grep -c 'is saved: the run can go on' runs/small/log.txt)" = 3 ] || fail "not saved three times"

sed 's/one_group_every: 5 steps/one_group_every: 50 steps/' run.yaml >edited.yaml
expect 2 ranks 2 train edited.yaml run_dir=runs/small memory_budget=256MiB
grep -q 'unfreeze.one_group_every of stage melt was' last.log || fail "a stage that has begun was edited"
expect 2 ranks 2 train edited.yaml run_dir=runs/edited memory_budget=11MiB # its last stage is as before
[ "$(newest runs/edited)" = runs/edited/ckpt/step-00000028.h5 ] || fail "the edited stage did not fit"

expect 0 ranks 2 train run.yaml run_dir=runs/small memory_budget=256MiB
same runs/alone/metrics.jsonl runs/small/metrics.jsonl
for run in alone small; do
    manifest=$(newest runs/$run)
    grep -oE '"(model|optim)/[^"]*": *"[0-9a-f]+"' "${manifest%.h5}.json" | sort >tensors.$run
done
[ "$(grep -c exp_avg_sq tensors.alone)" -gt 50 ] || fail "no hashes of moments in the manifest"
same tensors.alone tensors.small
echo "ended for want of memory at steps 11, 16 and 28, each with its checkpoint: the same bits"
