# tests/fault/common.bash - what the tests of whole runs share: a folder, packs, a run file, ranks.
#
#     . "$(dirname "$0")/common.bash" "$1"
#
# Afterwards we stand in an empty folder that goes away at the end, with packs/train, packs/val and
# run.yaml, a model so small that a step takes milliseconds. Ranks are oversubscribed.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
build=$(realpath "$1")
thaw=$build/thaw
folder=$(mktemp -d "$build/fault-XXXXXX")
export OMPI_MCA_pml=ob1 OMP_NUM_THREADS=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

leave() {
    local code=$?
    if [ -n "$(jobs -pr)" ]; then kill -KILL $(jobs -pr) 2>/dev/null || true; fi
    wait 2>/dev/null || true
    cd /
    [ $code = 0 ] || [ -z "${TH_KEEP:-}" ] || { echo "kept: $folder"; return; }
    rm -rf "$folder"
}
trap leave EXIT
trap 'echo "FAILED: line $LINENO of $0: $BASH_COMMAND"' ERR
cd "$folder"

fail() {
    echo "FAILED: $*"
    for log in *.log; do
        [ -s "$log" ] && { echo "--- $log"; tail -20 "$log"; }
    done
    exit 1
}

# expect CODE COMMAND...: runs it, output to last.log.
expect() {
    local want=$1 code=0
    shift
    "$@" >last.log 2>&1 || code=$?
    [ $code = "$want" ] || fail "exit code $code where $want was expected: $*"
}

# ranks N ARGUMENTS...: thaw on N ranks.
ranks() {
    local n=$1
    shift
    timeout 300 mpirun -n "$n" --oversubscribe --bind-to none --quiet "$thaw" "$@"
}

# same FILE FILE: byte for byte.
same() { cmp "$1" "$2" >cmp.log 2>&1 || fail "$1 and $2 differ: $(cat cmp.log)"; }

# The values of one key of metrics.jsonl, one a line.
metric() { grep -o "\"$1\": [^,}]*" "$2/metrics.jsonl" | sed 's/.*: //'; }

# Weights, moments and state of the newest checkpoint, whatever the clock says.
newest() { ls "$1"/ckpt/step-*.h5 | sort | tail -1; }

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
