#!/bin/bash
# tests/fault/signals.sh BUILD - a run that is asked to stop, by whom and whenever: it checkpoints, ends
# with code 85, and the same command goes on with nothing lost. Ranks that differ are refused.
. "$(dirname "$0")/common.bash" "$1"

arguments="train run.yaml checkpoint.every=never for=300steps"
expect 0 ranks 2 $arguments run_dir=runs/alone

steps_of() { { cat "$1/metrics.jsonl" 2>/dev/null || true; } | grep -c train/loss || true; }

# Waits until run $1 has done $2 steps.
wait_for_steps() {
    local until=$((SECONDS + 60))
    while [ "$(steps_of "$1")" -lt "$2" ]; do
        [ $SECONDS -lt $until ] || fail "run $1 did not reach step $2"
        sleep 0.01
    done
}

# The job in the background has ended with code 85 and a checkpoint of its last step.
stopped() {
    local run=$1 code=0
    wait $job || code=$?
    [ $code = 85 ] || fail "$run ended with code $code, not 85"
    grep -q 'stopped as asked at step' run.log || fail "$run does not say that it stopped"
    [ "$(basename "$(newest "$run")" .h5)" = "$(printf step-%08d "$(steps_of "$run")")" ] ||
        fail "$run: the checkpoint is not that of its last step, $(steps_of "$run")"
    [ ! -e "$run/DONE" ] || fail "$run is not done"
}

goes_on() {
    expect 0 ranks 2 $arguments run_dir="$1"
    grep -q 'going on at step' last.log || fail "$1 began anew"
    [ -e "$1/DONE" ] || fail "no DONE in $1"
    same runs/alone/metrics.jsonl "$1/metrics.jsonl"
}

mpirun -n 2 --oversubscribe --bind-to none --quiet "$thaw" $arguments run_dir=runs/usr1 >run.log 2>&1 &
job=$!
wait_for_steps runs/usr1 5
kill -USR1 $job
stopped runs/usr1
goes_on runs/usr1

mpirun -n 2 --oversubscribe --bind-to none --quiet "$thaw" $arguments run_dir=runs/halt >run.log 2>&1 &
job=$!
wait_for_steps runs/halt 5
expect 0 "$thaw" stop runs/halt
stopped runs/halt
goes_on runs/halt
expect 65 "$thaw" stop packs/train # no run directory

for signal in INT TERM USR1; do # to thaw itself, which has started mpirun
    (trap - INT; exec "$thaw" $arguments -n 2 run_dir=runs/$signal) >run.log 2>&1 &
    job=$!
    wait_for_steps runs/$signal 5
    kill -$signal $job
    stopped runs/$signal
    goes_on runs/$signal
done

"$thaw" $arguments for=50000steps run_dir=runs/one >run.log 2>&1 & # a single process
job=$!
wait_for_steps runs/one 5
expect 2 "$thaw" $arguments run_dir=runs/one
grep -q "pid $job" last.log || fail "the owner of the lock is not named"
kill -TERM $job
stopped runs/one

# Has process $1 a handler for SIGTERM?
handles_term() {
    local mask
    mask=$(awk '/^SigCgt/ { print $2 }' /proc/$1/status)
    [ $((0x$mask & 0x4000)) != 0 ]
}

# A signal during the start is a wish to stop too: before mpirun is there, before the ranks, later.
# Before thaw has handlers of its own the shell's child ends by the signal itself.
for delay in 0.01 0.03 0.08 0.15 0.3; do
    "$thaw" $arguments for=50000steps -n 2 run_dir=runs/early-$delay >run.log 2>&1 &
    job=$! code=0
    sleep $delay
    allowed=143
    if handles_term $job; then allowed=85; fi
    kill -TERM $job
    wait $job || code=$?
    [ $code = 85 ] || [ $code = $allowed ] || fail "stopped after $delay s: code $code"
done

# thaw is killed, and cannot pass anything on: its ranks stop in order.
"$thaw" $arguments -n 2 run_dir=runs/orphan >run.log 2>&1 &
job=$!
wait_for_steps runs/orphan 5
kill -KILL $job
wait $job 2>/dev/null || true
until=$((SECONDS + 20))
while ! grep -q 'stopped as asked' run.log; do
    [ $SECONDS -lt $until ] || fail "the ranks of a killed thaw went on"
    sleep 0.05
done
sleep 0.2
goes_on runs/orphan

# A rank whose starter is killed ends at once: here a shell stands for mpirun, of whose end Open MPI
# does not learn.
OMPI_COMM_WORLD_SIZE=1 bash -c '"$@" >run.log 2>&1 & echo $! >rank; wait' - \
    "$thaw" $arguments for=50000steps run_dir=runs/starter &
job=$!
wait_for_steps runs/starter 5
kill -KILL $job
wait $job 2>/dev/null || true
until=$((SECONDS + 10))
while grep -qs '^State:.[^Z]' /proc/$(cat rank)/status; do
    [ $SECONDS -lt $until ] || { kill -KILL $(cat rank); fail "a rank went on without what started it"; }
    sleep 0.05
done

# Ranks that differ are refused before a step, and named.
cp "$thaw" other
printf x >>other
differ() {
    local what=$1 who=$2
    shift 2
    expect 2 timeout 100 mpirun --oversubscribe --bind-to none --quiet "$@"
    grep -q "$what" last.log || fail "the difference in $what is not named"
    grep -q "$who" last.log || fail "$who is not named"
    grep -q 'fix:' last.log || fail "no fix"
    [ ! -s runs/differ/metrics.jsonl ] || fail "a step was done"
}
common="train run.yaml run_dir=$PWD/runs/differ"
differ program 'rank 2' -n 2 "$thaw" $common : -n 1 ./other $common
differ program 'rank 0' -n 1 ./other $common : -n 2 "$thaw" $common
differ configuration 'rank 1' -n 1 "$thaw" $common : -n 1 "$thaw" $common seed=2 : -n 1 "$thaw" $common
mkdir -p elsewhere/pictures
cp run.yaml elsewhere
(cd elsewhere && ../make_data pictures 200 &&
    "$thaw" pack --from csv:pictures/pictures.tsv --to packs/train --size 16 --codec raw --bpe 600 --val 0.15 &&
    mv packs/train-val packs/val) >pack.log 2>&1 || fail "could not pack"
differ 'pack data.train' 'rank 2' -n 2 "$thaw" $common : -n 1 --wdir "$PWD/elsewhere" "$thaw" $common
echo "stopped by signals and by halt files, nothing lost; ranks that differ are refused"
