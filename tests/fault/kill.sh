#!/bin/bash
# tests/fault/kill.sh BUILD - a run of two ranks is killed by SIGKILL at 20 random moments (one rank,
# mpirun, or everything; some of them in the middle of a checkpoint) and restarted by the same command
# each time. metrics.jsonl, weights and moments are then those of the run that was left alone, bit
# for bit.
. "$(dirname "$0")/common.bash" "$1"

steps=1200
arguments="train run.yaml checkpoint.every=7steps eval.every=200steps for=${steps}steps"
RANDOM=20 # the seed

expect 0 ranks 2 $arguments run_dir=runs/alone
echo "alone: $SECONDS s" >rounds.log

# Starts the killed run in the background; sets $job (mpirun).
start() {
    mpirun -n 2 --oversubscribe --bind-to none --quiet "$thaw" $arguments run_dir=runs/killed >run.log 2>&1 &
    job=$!
}

ranks_of() { pgrep -P "$1" -f "$thaw" || true; }

# Is there the file of a checkpoint that this start was writing?
in_checkpoint() {
    local file
    for file in runs/killed/ckpt/*.tmp; do if [ "$file" -nt start ]; then return 0; fi; done
    return 1
}

lines() { { cat runs/killed/metrics.jsonl 2>/dev/null || true; } | wc -l; }

# Waits for the moment of this round, 20 s at most: soon after the start, in the next checkpoint, or
# some steps further on.
wait_for_moment() {
    local until=$((SECONDS + 20)) before target
    before=$(lines)
    target=$((before + RANDOM % 14))
    touch start
    while [ -z "$(ranks_of $job)" ] && [ $SECONDS -lt $until ]; do sleep 0.01; done
    while kill -0 $job 2>/dev/null && [ $SECONDS -lt $until ]; do
        case $((round % 3)) in
        0) if in_checkpoint; then return; fi ;;
        1) if [ "$(lines)" -gt $target ]; then sleep "0.00$((RANDOM % 10))"; return; fi ;;
        2) sleep "0.$(printf %03d $((RANDOM % 300)))"; return ;;
        esac
    done
}

during_checkpoint=0
for ((round = 1; round <= 20; round++)); do
    start
    wait_for_moment
    pids=$(ranks_of $job)
    case $((RANDOM % 3)) in
    0) victim=$(echo $pids | cut -d' ' -f$((1 + RANDOM % 2))) what="rank $victim" ;;
    1) victim=$job what=mpirun ;;
    2) victim="$job $pids" what=everything ;;
    esac
    [ -z "$victim" ] || kill -KILL $victim 2>/dev/null || true
    code=0
    wait $job 2>/dev/null || code=$?
    [ $code != 0 ] || fail "round $round: the run had ended before it was killed"
    for ((i = 0; i < 100; i++)); do # ranks that have lost their mpirun end by themselves
        alive=
        for pid in $pids; do if grep -qs '^State:.[^Z]' /proc/$pid/status; then alive=$pid; fi; done
        [ -n "$alive" ] || break
        sleep 0.1
    done
    [ -z "$alive" ] || fail "round $round: rank $alive lives on 10 s after $what was killed"
    echo "round $round: $what, at step $(lines), $i tenths of a second" >>rounds.log
    if in_checkpoint; then during_checkpoint=$((during_checkpoint + 1)); fi
done
[ $during_checkpoint -ge 3 ] || fail "only $during_checkpoint of 20 kills were in a checkpoint"
resumed=$(grep -c 'going on at step' runs/killed/log.txt) || true
[ "$resumed" -ge 10 ] || fail "only $resumed starts went on from a checkpoint"

start
wait $job || fail "the last start did not end well"
[ -e runs/killed/DONE ] || fail "no DONE"
same runs/alone/metrics.jsonl runs/killed/metrics.jsonl
[ "$(grep -c train/loss runs/alone/metrics.jsonl)" = $steps ] || fail "not $steps steps"
for run in alone killed; do
    expect 0 "$thaw" ckpt verify runs/$run
    manifest=$(newest runs/$run)
    grep -oE '"(model|optim)/[^"]*": *"[0-9a-f]+"' "${manifest%.h5}.json" | sort >tensors.$run
done
[ "$(grep -c exp_avg_sq tensors.alone)" -gt 50 ] || fail "no hashes of moments in the manifest"
same tensors.alone tensors.killed
if compgen -G 'runs/killed/ckpt/*.tmp' >/dev/null; then fail "a temporary file was left behind"; fi
cat rounds.log
echo "killed 20 times, $during_checkpoint of them in a checkpoint; resumed $resumed times: the same bits"
