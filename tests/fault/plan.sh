#!/usr/bin/env bash
# tests/fault/plan.sh BUILD - `thaw plan`: tells a run's stages on 1 and 2 ranks, with a probe and without,
# writes nothing to the run directory and leaves nothing behind, knows where a stopped run stands, and says what
# cannot run with exit code 2.
. "$(dirname "$0")/common.bash" "$1"

cat >>run.yaml <<'END'
stages:
  - {name: text, train: [text, heads], for: 12 steps}
  - {name: melt, unfreeze: {tower: image, from: top, one_group_every: 5 steps}}
  - {name: last, train: all, until: {plateau: val/loss, min: 10 steps, max: 40 steps}, eval: {every: 5 steps}}
END
mkdir scratch
export TMPDIR=$folder/scratch

says() { grep -qE -- "$1" last.log || fail "no \"$1\" in: $(cat last.log)"; }

expect 0 "$thaw" plan run.yaml
says '^run "runs/run" has not begun$'
says '^text +0 +12 +37 '
says '^melt +12 +15 +37 '
says '^melt +12 +15 +37 '
says '^its end +22 '
says '^last +27 +20-40 '
[ ! -e runs ] || fail "a plan made the run directory"

# Ranks that are planned for are not started; those that are started are the ones planned for.
expect 0 "$thaw" plan run.yaml --ranks 3 --json
grep -E '"(features|gradients|loss|micro_batch|activations)"' last.log >three.json
says '"ranks": 3,'
expect 0 ranks 3 plan run.yaml --json
grep -E '"(features|gradients|loss|micro_batch|activations)"' last.log >started.json
same three.json started.json
expect 2 "$thaw" plan run.yaml --ranks 2 --probe
says 'cannot probe the steps of 2 ranks on 1'

expect 0 "$thaw" plan -n 2 run.yaml
says ' 2 ranks x 1 threads$'

for n in 1 2; do
    expect 0 ranks $n plan run.yaml --probe
    says '^text .* [0-9.]+, later [0-9.]+ +[0-9:.]+( s)?$'
    says '^time +[0-9:.]+( s)?, until 2'
    [ ! -e runs ] || fail "a probe on $n ranks made the run directory"
    [ -z "$(ls scratch)" ] || fail "a probe on $n ranks left $(ls scratch)"
done

# A run that stands in its second stage: nothing of it changes, and the rest is told.
(
    for ((i = 0; i < 2000; i++)); do
        grep -qs '"event": "thaws"' runs/run/metrics.jsonl && break
        sleep 0.01
    done
    "$thaw" stop runs/run
) >stop.log 2>&1 &
code=0
"$thaw" train run.yaml >train.log 2>&1 || code=$?
wait $! || true
[ $code = 85 ] || fail "the run was not stopped: exit code $code"
cp -r runs before
expect 0 "$thaw" plan run.yaml --probe --json
says '"begins": [0-9]+'
expect 0 "$thaw" plan run.yaml
says '^run "runs/run" stands in stage [23] of 3, at step [0-9]+: this is what is left$'

# What would be refused or would not fit.
sed 's/one_group_every: 5/one_group_every: 2/' run.yaml >edited.yaml
expect 2 "$thaw" plan edited.yaml run_dir=runs/run
says '^cannot run: option unfreeze.one_group_every of stage melt was 5 steps when run "runs/run" began'
diff -r before runs >diff.log || fail "a plan changed the run directory: $(cat diff.log)"
expect 2 "$thaw" plan run.yaml run_dir=other memory_budget=1MiB --probe
says '^cannot run: memory_budget is 1.0 MiB, and stage "last" needs'
says '^  fix: raise memory_budget'
expect 0 "$thaw" plan run.yaml run_dir=other cache.budget=1000B
says '^warning: features of the frozen image tower take .*'
[ ! -e other ] || fail "a plan made a run directory"
[ -z "$(ls scratch)" ] || fail "something was left: $(ls scratch)"
echo "plans of new and begun runs, on 1 to 3 ranks"
