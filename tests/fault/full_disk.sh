#!/bin/bash
# tests/fault/full_disk.sh BUILD - the disk of the run directory is full for a while: training goes on, the
# old generation stands, an alarm is in the log; when there is room again the next checkpoint commits,
# and the run ends with every line of its metrics. Full at the end, the run says so (code 74) and the
# same command finishes it.
. "$(dirname "$0")/common.bash" "$1"

mkdir disk
if ! mount -t tmpfs -o size=12m tmpfs disk 2>/dev/null; then
    echo "SKIPPED: could not mount a tmpfs of 12 MiB; this test needs root" >&2
    exit 77
fi
trap 'umount -l "$folder/disk"; leave' EXIT

fill() { # to another file each time, as a checkpoint that failed gives its room back
    dd if=/dev/zero of="disk/filler$SECONDS$RANDOM" bs=4k 2>/dev/null && fail "the disk does not fill" || true
}
wait_for() { # a line in run.log, more than $2 times
    local until=$((SECONDS + 60))
    while [ "$(grep -c "$1" run.log || true)" -le "$2" ]; do
        kill -0 $job 2>/dev/null || fail "the run ended before \"$1\""
        [ $SECONDS -lt $until ] || fail "no \"$1\" in 60 s"
        sleep 0.02
    done
}
complete() { # every step once, in order
    grep -o '"step": [0-9]*, "samples_seen"' "$1/metrics.jsonl" | tr -dc '0-9\n' >steps.log
    seq "$2" >wanted.log
    same steps.log wanted.log
}

arguments="train run.yaml eval.every=never checkpoint.every=20steps"
ranks 2 $arguments for=4000steps run_dir=disk/run >run.log 2>&1 &
job=$!
wait_for 'committed' 0
fill
committed=$(grep -c committed run.log)
wait_for 'ALARM.*checkpoint of step .* failed; older generations stand' 1
fill
wait_for 'ALARM.*could not write metrics.jsonl: No space left on device' 0
wait_for 'ALARM.*checkpoint of step .* failed' 3 # it does go on
expect 0 "$thaw" ckpt verify disk/run
rm disk/filler*
wait_for 'committed' "$committed"
code=0
wait $job || code=$?
[ $code = 0 ] || fail "the run ended with code $code"
complete disk/run 4000
[ "$(basename "$(newest disk/run)")" = step-00004000.h5 ] || fail "no checkpoint of the last step"
expect 0 "$thaw" ckpt verify disk/run
[ -e disk/run/DONE ] || fail "no DONE"
rm -r disk/run

# Full until the end.
ranks 2 $arguments for=300steps run_dir=disk/run >run.log 2>&1 &
job=$!
wait_for 'committed' 0
fill
code=0
wait $job || code=$?
[ $code = 74 ] || fail "a run without its last checkpoint ended with code $code, not 74"
[ ! -e disk/run/DONE ] || fail "DONE without the last checkpoint"
rm disk/filler*
expect 0 ranks 2 $arguments for=300steps run_dir=disk/run
complete disk/run 300
expect 0 ranks 2 $arguments for=300steps run_dir=alone
same alone/metrics.jsonl disk/run/metrics.jsonl

# Full from the start.
rm -r disk/run
fill
expect 74 ranks 2 $arguments for=300steps run_dir=disk/run
grep -q 'No space left on device' last.log || fail "the reason is not named"
echo "full disk: training went on, old generations stood, nothing was lost when there was room again"
