# tests/fault/common.bash - what the tests of whole runs share: a folder, packs, a run file, ranks.
#
#     . "$(dirname "$0")/common.bash" "$1"
#
# Afterwards we stand in an empty folder that goes away at the end, with packs/train, packs/val and
# run.yaml, a model so small that a step takes milliseconds. Ranks are oversubscribed.
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
. "$here/../common.bash" "$1"

# The values of one key of metrics.jsonl, one a line.
metric() { grep -o "\"$1\": [^,}]*" "$2/metrics.jsonl" | sed 's/.*: //'; }

# Weights, moments and state of the newest checkpoint, whatever the clock says.
newest() { ls "$1"/ckpt/step-*.h5 | sort | tail -1; }

# start_ranks N ARGUMENTS...: thaw on N ranks in the background, output to run.log; $job is mpirun.
start_ranks() {
    mpirun -n "$1" --oversubscribe --bind-to none --quiet "$thaw" "${@:2}" >run.log 2>&1 &
    job=$!
}

# SIGKILL for $job and its ranks, and for nobody else; returns when they are gone, with $job's exit code.
kill_ranks() {
    local pid i code=0 pids
    pids=$(pgrep -P $job -f "$thaw" || true)
    kill -KILL $job $pids 2>/dev/null || true
    wait $job 2>/dev/null || code=$?
    for pid in $pids; do
        for ((i = 0; i < 100; i++)); do grep -qs '^State:.[^Z]' /proc/$pid/status || break; sleep 0.1; done
    done
    return $code
}

make_packs() {
    mkdir pictures
    cc -o make_data "$here/make_data.c" -lpng
    ./make_data pictures "${1:-230}"
    expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/train --size 16 --codec raw --bpe 600 --val 0.15 --shards 2 --threads 2
    mv packs/train-val packs/val
    cat >run.yaml <<'END'
model: {preset: tiny, image: {size: 16, patch: 8, width: 32, layers: 2, heads: 2},
        text: {context: 16, width: 32, layers: 2, heads: 2}, embed: 16}
data: {train: packs/train, val: packs/val}
batch: 37
captions: 2
for: 50 steps
eval: {every: 20 steps}
optimizer: {lr: 1e-3}
lr: {warmup: 5 steps}
threads: 1
memory_budget: 256 MiB
END
}
make_packs
