#!/bin/bash
# tests/fault/not_finite.sh BUILD - losses that are not finite: no rank updates, each such step is said and
# counted, and ten in a row end the run with code 1. That a NaN of one rank is seen by all at once is
# tests/mpi/test_step.c's.
. "$(dirname "$0")/common.bash" "$1"

# Weight decay of 10 at a rate of 10 multiplies the weights by -99 in each step, until they overflow.
arguments="train run.yaml checkpoint.every=1steps eval.every=never lr.warmup=0steps lr.shape=constant
    optimizer.lr=10 optimizer.weight_decay=10"

hashes() { grep -oE '"(model|optim)/[^"]*": *"[0-9a-f]+"' "$1" | sort; }

for n in 1 2; do
    run=runs/$n
    expect 1 ranks $n $arguments run_dir=$run
    grep -q '10 steps in a row had a loss or gradient that is not finite, up to step' last.log ||
        fail "the reason is not named"
    [ "$(grep -c 'ALARM.* is not finite, so no rank updates' last.log)" -ge 10 ] || fail "too few alarms"
    grep -q 'such steps, 7 in a row)' last.log || fail "steps are not counted"
    [ "$(tail -10 $run/metrics.jsonl | grep -c '"train/skipped": true')" = 10 ] ||
        fail "metrics.jsonl does not tell of ten steps"
    head -1 $run/metrics.jsonl | grep -q skipped && fail "the first step was skipped"
    grep -qi 'nan\|inf' $run/metrics.jsonl && fail "metrics.jsonl is not JSON"
    [ ! -e $run/DONE ] || fail "DONE after a failure"
    expect 0 "$thaw" ckpt show $run
    grep -q 'skipped *\(9\|[1-9][0-9]\) steps' last.log || fail "the checkpoint does not count skipped steps"
    # What was skipped changed nothing.
    manifests=($(ls $run/ckpt/*.json | sort | tail -2))
    hashes "${manifests[0]}" >before.txt
    hashes "${manifests[1]}" >after.txt
    [ -s after.txt ] || fail "no hashes in ${manifests[1]}"
    same before.txt after.txt
done

# The count is the run's, not the start's: the next one fails at the same step.
cp runs/2/metrics.jsonl first.jsonl
expect 1 ranks 2 $arguments run_dir=runs/2
[ "$(grep -c 'ALARM.*is not finite, so no rank updates' last.log)" -le 2 ] || fail "it began to count anew"
same first.jsonl runs/2/metrics.jsonl
echo "ten steps that are not finite: skipped by all, counted, and the end of the run"
